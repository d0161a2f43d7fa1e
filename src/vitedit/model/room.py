"""How many edits a batch takes: as many as make a step cheap, and no more than fit into free memory."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitedit.memory import free_memory
from vitedit.model.vit import Split

BATCH_BYTES = {"cpu": 2**28, "cuda": 2**34}
"""Memory for the copies of the edited matrices in one batch: from there on an edit costs no less in a larger one."""
AT_LEAST = 8
"""Edits of a batch of any model: alone on a CPU, one of ViT-B/16 costs a quarter more than among eight (docs/performance.md)."""
COPIES = 4  # weights, squared gradients, gradients, results
KEPT = 20
"""Vectors of the model's width that a step keeps or makes for each token and block: inputs of products and norms, gradients."""
SHARE = 0.5
"""Of the free memory that a batch may take; other jobs take theirs at the same time."""


def planned(split: Split) -> int:
    """Edits of a batch, by model and kind of device alone: jobs that share a run's edits need not ask each other."""
    return max(AT_LEAST, BATCH_BYTES[split.device.type] // matrix_bytes(split))


def fitting(split: Split, images: Float[Tensor, "edits samples 3 side side"]) -> int:
    """How many of E edits from these images fit into the memory that is free now; at least one.

    An upper bound is reckoned for each, as if it changed whole matrices.
    """
    free = SHARE * free_bytes(split.device)
    return max(1, int(free / (matrix_bytes(split) + images.shape[1] * image_bytes(split, images.shape[-1]))))


def matrix_bytes(split: Split) -> int:
    """Copies of the edited matrices that an edit takes at most."""
    return COPIES * sum(weight.numel() * weight.element_size() for weight in split.weights.values())


def image_bytes(split: Split, side: int) -> int:
    """What a step keeps of one image of side x side pixels."""
    vit = split.vit
    rows, columns = vit.patch_embed.dynamic_feat_size((side, side))
    tokens = rows * columns + vit.num_prefix_tokens
    blocks = len(vit.blocks) - split.point[0]
    return KEPT * blocks * tokens * vit.embed_dim * next(vit.parameters()).element_size()


def free_bytes(device: torch.device) -> int:
    """Memory that new tensors may take."""
    if device.type != "cuda":
        return free_memory()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
