"""A timm ViT's weights in the JAX release's layout, written from its description alone."""

import numpy as np


def jax_arrays(vit, root="", big_vision=False, stacked=False):
    """{name: array} of the whole model; attention kernels are (width, heads, head width), dense ones (in, out)."""
    state = {name: tensor.detach().numpy() for name, tensor in vit.state_dict().items()}
    heads = vit.blocks[0].attn.num_heads
    attention, second_norm, ffn = (0, 1, 0) if big_vision else (1, 2, 3)
    table = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    arrays = {
        "cls": state["cls_token"],
        table: state["pos_embed"],
        "embedding/kernel": np.moveaxis(state["patch_embed.proj.weight"], (0, 1), (3, 2)),
        "embedding/bias": state["patch_embed.proj.bias"],
        **dense("head", state, "head"),
        **norm("Transformer/encoder_norm", state, "norm"),
    }
    layers = []
    for i in range(len(vit.blocks)):
        layer, block = {}, f"blocks.{i}"
        layer |= norm("LayerNorm_0", state, f"{block}.norm1")
        layer |= norm(f"LayerNorm_{second_norm}", state, f"{block}.norm2")
        for j in (0, 1):
            layer |= dense(f"MlpBlock_{ffn}/Dense_{j}", state, f"{block}.mlp.fc{j + 1}")
        layer |= attend(f"MultiHeadDotProductAttention_{attention}", state, f"{block}.attn", heads)
        layers.append(layer)
    if stacked:
        arrays |= {f"Transformer/encoderblock/{n}": np.stack([x[n] for x in layers]) for n in layers[0]}
    else:
        arrays |= {f"Transformer/encoderblock_{i}/{n}": a for i, x in enumerate(layers) for n, a in x.items()}
    return {root + name: array for name, array in arrays.items()}


def norm(name, state, of):
    return {f"{name}/scale": state[f"{of}.weight"], f"{name}/bias": state[f"{of}.bias"]}


def dense(name, state, of):
    return {f"{name}/kernel": state[f"{of}.weight"].T, f"{name}/bias": state[f"{of}.bias"]}


def attend(name, state, of, heads):
    width = state[f"{of}.proj.bias"].size
    arrays = {
        f"{name}/out/kernel": state[f"{of}.proj.weight"].T.reshape(heads, -1, width),
        f"{name}/out/bias": state[f"{of}.proj.bias"],
    }
    kernels, biases = np.split(state[f"{of}.qkv.weight"], 3), np.split(state[f"{of}.qkv.bias"], 3)
    for part, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
        arrays[f"{name}/{part}/kernel"] = kernel.T.reshape(width, heads, -1)
        arrays[f"{name}/{part}/bias"] = bias.reshape(heads, -1)
    return arrays
