"""The image representation: what the classification head reads."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitedit.model.changes import Changes
from vitedit.model.factors import recorded
from vitedit.model.vit import PASS_BYTES, Split, edit_count


@torch.no_grad()
def represent(
    split: Split, tokens: Float[Tensor, "lead images tokens width"], changes: Changes
) -> Float[Tensor, "edits images width"]:
    """Inputs of the classification head in E edited models, in as many passes as memory asks for.

    Args:
        split: The base model.
        tokens: Prefix tokens, the same for all edits (lead = 1) or each edit's own (lead = E).
        changes: What is edited; the head is not. Without any, E = lead.
    """
    edits, images = edit_count(changes, len(tokens)), tokens.shape[1]
    room = max(1, PASS_BYTES[split.device.type] // (4 * tokens[0, 0].numel() * tokens.element_size()))
    step = max(1, room // images)

    def few(which: Tensor) -> Tensor:
        some = {name: change.take(which) for name, change in changes.items()}
        own = tokens if len(tokens) == 1 else tokens[which]
        return torch.cat([_once(split, part, some) for part in own.split(room, dim=1)], dim=1)

    return torch.cat([few(which) for which in torch.arange(edits, device=split.device).split(step)])


def _once(split: Split, tokens: Tensor, changes: Changes) -> Float[Tensor, "edits images width"]:
    """In one pass."""
    with recorded(split.vit, ["head"]) as seen:
        logits = split.run(tokens, changes)
    return seen["head"][0].unflatten(0, logits.shape[:2])
