"""Files of every kind give the model that was saved, or are refused with the reason."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from families import config_of, enliven
from jax_layout import jax_arrays
from safetensors.torch import save_file

from vitedit.config import ModelConfig, TransformConfig
from vitedit.errors import ArtifactError
from vitedit.model.checkpoints import read_weights
from vitedit.model.vit import build_vit, load_vit

VIT = config_of("vit_tiny_patch16_224")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vit():
    return enliven(build_vit(VIT))


@pytest.fixture(scope="module")
def logits(vit, photos):
    return vit(photos)


@pytest.fixture(scope="module")
def photos():
    return torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def refused(path, reason, config=VIT):
    with pytest.raises(ArtifactError, match=reason) as refusal:
        load_vit(config, path, CPU)
    assert path.name in str(refusal.value)


def save(path, content):
    torch.save(content, path)
    return path


def save_npz(path, arrays):
    np.savez(path, **arrays)
    return path


WRAPPED = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
    "model_state": lambda state: {"model_state": state},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "two wrappers": lambda state: {"state_dict": {"model": state}},
    "arguments": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1)},
    "module.": lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    "_orig_mod.": lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    "half precision": lambda state: {name: tensor.half() for name, tensor in state.items()},
}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
@pytest.mark.parametrize("wrapping", WRAPPED)
def test_a_state_dict_is_found_in_what_training_scripts_save(tmp_path, vit, photos, logits, wrapping, suffix):
    path = save(tmp_path / f"x{suffix}", WRAPPED[wrapping](vit.state_dict()))
    tolerance = 0.1 if wrapping == "half precision" else 0.0
    torch.testing.assert_close(load_vit(VIT, path, CPU)(photos), logits, rtol=0, atol=tolerance or 1e-5)


class Malicious:
    def __reduce__(self):
        return (Path("executed").touch, ())


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, vit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(
        save(tmp_path / "bad.pth", {"model": vit.state_dict(), "args": Malicious()}),
        "more than tensors.*state_dict",
    )
    np.savez(tmp_path / "bad.npz", **jax_arrays(vit), extra=np.array([Malicious()], dtype=object))
    refused(tmp_path / "bad.npz", "more than arrays")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(2)], "a list in place of named tensors"),
        ({}, "a dict in place of named tensors"),
        ({"epoch": 3, "weights": {"a": torch.zeros(2)}}, "no tensors under epoch, weights.*model_state"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, reason):
    refused(save(tmp_path / "x.pth", content), reason)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
def test_a_damaged_file_is_refused(tmp_path, vit, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        np.savez(path, **jax_arrays(vit))
    else:
        (save_file if suffix == ".safetensors" else torch.save)(vit.state_dict(), path)
    path.write_bytes(path.read_bytes()[:500])
    refused(path, f"x{suffix}: damaged")


def test_a_missing_file_names_the_remedy(tmp_path):
    refused(tmp_path / "absent.npz", "dvc pull.*snakemake models")
    hub = VIT.model_copy(update={"weights": "hub"})
    refused(tmp_path / "absent.safetensors", "snakemake fetch", hub)
    with pytest.raises(ArtifactError, match="dvc pull"):
        read_weights(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ({"embed_dim": 48}, r"is no checkpoint of .*48.*24\).* in the file"),
        ({"num_classes": 7}, r"2 tensors differ.*The file has 5 classes: set `architecture: \{num_classes"),
        ({"depth": 4}, r"12 tensors differ.*blocks\.3.*absent in the file"),
        ({"depth": 2}, r"12 tensors differ.*blocks\.2.*absent in the model"),
        ({"patch_size": 12, "img_size": 36}, r"1 tensors differ.*patch_embed\.proj\.weight"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, vit, architecture, reason):
    config = config_of(VIT.name, **architecture)
    refused(save(tmp_path / "x.pth", vit.state_dict()), reason, config)


def without(state, word):
    return {name: tensor for name, tensor in state.items() if word not in name}


def test_a_file_without_a_head_or_a_block_is_refused(tmp_path, vit):
    refused(save(tmp_path / "x.pth", without(vit.state_dict(), "head")), "backbone without a head")
    refused(save(tmp_path / "y.pth", without(vit.state_dict(), "blocks.1.")), r"12 tensors differ.*blocks\.1")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_and_infinite_weights_are_refused(tmp_path, vit, value):
    bad = {**vit.state_dict(), "norm.weight": torch.full((24,), value)}
    refused(save(tmp_path / "x.pth", bad), r"NaN or infinite weights in norm\.weight")
    arrays = {**jax_arrays(vit), "Transformer/encoder_norm/scale": np.full(24, value)}
    refused(save_npz(tmp_path / "x.npz", arrays), "NaN or infinite weights in Transformer/encoder_norm/scale")


def dinov2(state):
    """The names of DINOv2 with registers: the CLS token's position is kept apart from the token."""
    state = {**state, "register_tokens": state["reg_token"], "mask_token": torch.zeros(1, 24)}
    position = torch.full((1, 1, 24), 0.25)
    state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
    state["cls_token"] = state["cls_token"] - position
    del state["reg_token"]
    return state


def deit3(state):
    """DeiT III keeps LayerScale's factors in the block."""
    return {
        name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t for name, t in state.items()
    }


@pytest.mark.parametrize(
    ("name", "rename"), [("vit_small_patch14_reg4_dinov2", dinov2), ("deit3_small_patch16_224", deit3)]
)
def test_released_names_are_translated(tmp_path, photos, name, rename):
    config = config_of(name)
    model = enliven(build_vit(config))
    renamed = rename(model.state_dict())
    assert renamed.keys() != model.state_dict().keys()
    loaded = load_vit(config, save(tmp_path / "x.pth", {"model": renamed}), CPU)
    torch.testing.assert_close(loaded(photos), model(photos), rtol=1e-5, atol=1e-4)
    refused(save(tmp_path / "y.pth", without(renamed, "head")), "2 tensors differ.*without a head", config)


def openai_clip(state):
    """The names of OpenAI's CLIP, beside its text model; a projection without bias is in the head's place."""
    words = {
        "blocks.": "visual.transformer.resblocks.", "norm_pre": "visual.ln_pre", "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj", "attn.proj": "attn.out_proj", "attn.qkv.": "attn.in_proj_", ".norm": ".ln_",
        "patch_embed.proj": "visual.conv1",
    }  # fmt: skip
    renamed = {"logit_scale": torch.tensor(4.6), "token_embedding.weight": torch.zeros(7, 24)}
    for name, tensor in state.items():
        for word, other in words.items():
            name = name.replace(word, other)
        renamed[name.replace("norm.", "visual.ln_post.")] = tensor
    renamed["visual.class_embedding"] = renamed.pop("cls_token")[0, 0]
    renamed["visual.positional_embedding"] = renamed.pop("pos_embed")[0]
    renamed["visual.proj"] = renamed.pop("head.weight").T
    del renamed["head.bias"]
    return renamed


def test_the_image_model_is_taken_out_of_clip(tmp_path, photos):
    config = config_of("vit_base_patch16_clip_quickgelu_224")
    model = enliven(build_vit(config))
    torch.nn.init.zeros_(model.head.bias)
    loaded = load_vit(config, save(tmp_path / "x.pt", openai_clip(model.state_dict())), CPU)
    torch.testing.assert_close(loaded(photos), model(photos), rtol=1e-5, atol=1e-4)


def test_a_layer_before_the_head_is_not_dropped(tmp_path, vit):
    more = {"pre_logits.fc.weight": torch.eye(24), "pre_logits.fc.bias": torch.zeros(24)}
    refused(save(tmp_path / "x.pth", {**vit.state_dict(), **more}), "pre_logits")


BIG_VISION = {"root": "params/", "big_vision": True}
LAYOUTS = {
    "2021": {},
    "optimiser": {"root": "opt/target/"},
    "big_vision": BIG_VISION,
    "stacked": {**BIG_VISION, "stacked": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_jax_checkpoint_gives_the_logits_of_the_model_it_was_written_from(
    tmp_path, vit, photos, logits, layout
):
    path = save_npz(tmp_path / "x.npz", jax_arrays(vit, **LAYOUTS[layout]))
    model = load_vit(VIT, path, CPU)
    torch.testing.assert_close(model(photos), logits, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(tensor, vit.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", ["2021", "stacked"])
@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ({"num_classes": 7}, "classes: 5 in the file, 7 in the model.*num_classes"),
        ({"depth": 4}, "blocks: 3 in the file, 4 in the model"),
        ({"depth": 2}, "blocks: 3 in the file, 2 in the model"),
        ({"num_heads": 4}, r"attention heads: \[3\] in the file, \[4\] in the model"),
        ({"embed_dim": 48}, "width: 24 in the file, 48 in the model"),
        ({"patch_size": 12, "img_size": 36}, r"patch: \(8, 8\) in the file, \(12, 12\) in the model"),
        ({"mlp_ratio": 3.0}, "weights without position embeddings"),
        ({"init_values": 0.1}, "weights without position embeddings"),
    ],
)
def test_a_jax_checkpoint_of_another_architecture_is_refused(tmp_path, vit, architecture, reason, layout):
    config = config_of(VIT.name, **architecture)
    refused(save_npz(tmp_path / "x.npz", jax_arrays(vit, **LAYOUTS[layout])), reason, config)


def test_an_incomplete_jax_checkpoint_is_refused(tmp_path, vit):
    arrays = jax_arrays(vit)
    lacking = {name: a for name, a in arrays.items() if "encoderblock_1/" not in name}
    refused(save_npz(tmp_path / "a.npz", lacking), "blocks: 2 in the file, 3 in the model")
    shifted = {name.replace("encoderblock_2/", "encoderblock_7/"): a for name, a in arrays.items()}
    refused(save_npz(tmp_path / "b.npz", shifted), "encoderblock_2")
    swapped = {name.replace("head/kernel", "head/weights"): a for name, a in arrays.items()}
    refused(save_npz(tmp_path / "c.npz", swapped), "head/kernel")
    hidden = {**arrays, "pre_logits/kernel": np.eye(24), "pre_logits/bias": np.zeros(24)}
    refused(save_npz(tmp_path / "d.npz", hidden), "layer before the head")
    refused(
        save_npz(tmp_path / "e.npz", {"a": np.zeros(2)}), "no weights of a ViT in the JAX release's names"
    )
    headless = {name: a for name, a in arrays.items() if not name.startswith("head")}
    refused(save_npz(tmp_path / "f.npz", headless), "classes: None in the file, 5 in the model")


def test_a_head_that_normalises_elsewhere_is_never_left_random(tmp_path, vit):
    """Mean pooling moves the final norm, which timm's converter then skips: as many weights, but not all from the file."""
    config = config_of(VIT.name, global_pool="avg")
    path = save_npz(tmp_path / "x.npz", jax_arrays(vit))
    refused(path, r"nothing for 2 of the model's parameters, e\.g\. fc_norm\.weight, fc_norm\.bias", config)


def grid_config(**architecture):
    """Seven by seven patches: timm's own input size, set or not."""
    arguments = {"img_size": None, "patch_size": 32, **architecture}
    return config_of(VIT.name, **arguments)


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_position_embeddings_are_resampled_only_where_the_input_size_is_set(tmp_path, suffix):
    small = enliven(build_vit(grid_config(img_size=96)))
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        np.savez(path, **jax_arrays(small))
    else:
        torch.save(small.state_dict(), path)
    refused(path, "(10.*50|img_size).*img_size", grid_config())
    model = load_vit(grid_config(img_size=224), path, CPU)
    how = {"mode": "bicubic", "antialias": True} if suffix == ".pth" else {"mode": "bilinear"}
    grid = small.pos_embed[:, 1:].unflatten(1, (3, 3)).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, (7, 7), align_corners=False, **how).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.pos_embed[:, 1:], expected)
    assert torch.equal(model.pos_embed[:, :1], small.pos_embed[:, :1])
    assert torch.equal(model.head.weight, small.head.weight)


def test_patches_of_another_size_are_never_resampled(tmp_path):
    model = enliven(build_vit(config_of("vit_small_patch14_reg4_dinov2")))
    config = config_of("vit_small_patch14_reg4_dinov2", patch_size=12, img_size=36)
    refused(save(tmp_path / "x.pth", dinov2(model.state_dict())), "tensors differ", config)


REAL = Path(__file__).parents[2] / "photos/weights/deit_tiny_patch16_224_in1k.safetensors"


@pytest.mark.skipif(not REAL.is_file(), reason="the real DeiT-Ti weights are not at photos/weights")
def test_the_real_deit_gives_the_same_logits_from_every_kind_of_file(tmp_path):
    config = ModelConfig(
        name="deit_tiny_patch16_224", checkpoint=REAL, transform=TransformConfig(resize=256, size=224)
    )
    photos = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(2)) * 2 - 1
    model = load_vit(config, REAL, CPU)
    logits = model(photos)
    assert (logits[0] - logits[1]).abs().max() > 0.05
    path = save(tmp_path / "x.pth", {"model": model.state_dict()})
    assert torch.equal(load_vit(config, path, CPU)(photos), logits)
    path = save_npz(tmp_path / "x.npz", jax_arrays(model))
    torch.testing.assert_close(load_vit(config, path, CPU)(photos), logits, rtol=1e-5, atol=1e-5)
