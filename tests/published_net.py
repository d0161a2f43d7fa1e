"""The published hypernetwork and editing loop once more, from their description alone: nothing of vitedit's is used here."""

import copy
import math

import torch
import torch.nn.functional as F


def random_state(width, blocks, sizes, seed=0, spread=1.0):
    """A state dict of the published class with arbitrary weights; six tokens (here one a size) are arbitrary as well."""
    rng = torch.Generator().manual_seed(seed)

    def linear(name, outputs, inputs, scale=1.0):
        return {
            f"{name}.weight": scale * torch.randn(outputs, inputs, generator=rng) / math.sqrt(inputs),
            f"{name}.bias": 0.3 * torch.randn(outputs, generator=rng),
        }

    state = {
        "cls_token": torch.randn(1, len(sizes), width, generator=rng),
        "learn_masks": torch.randn(len(sizes), max(sizes), generator=rng),
    }
    for n in range(blocks):
        for norm in ("attention_norm", "ffn_norm"):
            state[f"layer.{n}.{norm}.weight"] = 1 + 0.3 * torch.randn(width, generator=rng)
            state[f"layer.{n}.{norm}.bias"] = 0.3 * torch.randn(width, generator=rng)
        for part in ("attn.query", "attn.key", "attn.value", "attn.out", "ffn.fc1", "ffn.fc2"):
            state |= linear(f"layer.{n}.{part}", width, width)
    for k, size in enumerate(sizes):
        state |= linear(f"out_layer.{k}.out", size, width, spread)
    return state


def published_masks(state, cls, eps, heads=6):
    """Soft masks of one CLS token (width,), those of all matrices side by side."""
    count = len({name for name in state if name.startswith("out_layer.") and name.endswith("weight")})
    blocks = len({name.split(".")[1] for name in state if name.startswith("layer.")})
    width = cls.shape[-1]

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    tokens = torch.cat([state["cls_token"].reshape(count, width), cls[None]])
    for n in range(blocks):
        x = norm(f"layer.{n}.attention_norm", tokens)
        query, key, value = (linear(f"layer.{n}.attn.{part}", x) for part in ("query", "key", "value"))
        seen, size = [], width // heads
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            weights = torch.softmax(query[:, own] @ key[:, own].T / math.sqrt(size), dim=-1)
            seen.append(weights @ value[:, own])
        tokens = tokens + linear(f"layer.{n}.attn.out", torch.cat(seen, dim=-1))
        x = linear(f"layer.{n}.ffn.fc1", norm(f"layer.{n}.ffn_norm", tokens))
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        tokens = tokens + linear(f"layer.{n}.ffn.fc2", x)
    outputs = [linear(f"out_layer.{k}.out", tokens[k]) for k in range(count)]
    return torch.sigmoid(3 * torch.cat(outputs)).clamp(eps, 1 - eps)


def published_mask(state, vit, image, sparsity):
    """The binary mask that editing uses: what lies above the k-th largest soft mask."""
    with torch.no_grad():
        soft = published_masks(state, vit.forward_features(image)[0, 0], eps=1e-7)
    k = int((1 - sparsity) * len(soft))
    return (soft > soft.sort(descending=True).values[k - 1]).float()


def published_edit(vit, blocks, image, label, rate, mask=None, sgd_first=False, penalty=None):
    """Weights of the blocks' FFN matrices after an edit, and the number of updates: at most 100, checked before each.

    Args:
        mask: One entry a row of fc1 and a column of fc2, block after block; its factor is applied to every gradient.
        sgd_first: Make the first update with SGD of the same step size.
        penalty: Term of the loss, a function of the list of changes.
    """
    model = copy.deepcopy(vit).requires_grad_(False)
    matrices = [w for b in blocks for w in (model.blocks[b].mlp.fc1.weight, model.blocks[b].mlp.fc2.weight)]
    start = [matrix.clone() for matrix in matrices]
    factors = [1.0] * len(matrices)
    if mask is not None:
        parts = mask.split([matrix.shape[i % 2] for i, matrix in enumerate(matrices)])
        factors = [part[:, None] if i % 2 == 0 else part[None, :] for i, part in enumerate(parts)]
    for matrix in matrices:
        matrix.requires_grad_()
    first, rest = torch.optim.SGD(matrices, lr=rate), torch.optim.RMSprop(matrices, lr=rate)
    for update in range(101):
        logits = model(image)
        loss = F.cross_entropy(logits, label[None])
        if update == 100 or (logits.argmax() == label and loss.item() <= 0.01):
            break
        model.zero_grad()
        if penalty is not None:
            loss = loss + penalty([new - old for new, old in zip(matrices, start, strict=True)])
        loss.backward()
        for matrix, factor in zip(matrices, factors, strict=True):
            matrix.grad *= factor
        (first if sgd_first and update == 0 else rest).step()
    return [matrix.detach() for matrix in matrices], update
