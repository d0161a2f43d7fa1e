"""State dicts of the published class as ours: the same masks from the same weights, anything else refused with the reason."""

import re

import pytest
import torch
from lively import lively
from published_net import published_masks, random_state
from safetensors.torch import save_file

from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.hypernet import CLAMP, soften
from vitedit.where.masks import join
from vitedit.where.published import convert, read_hypernet


def base_of(width, part="mlp", blocks=(0, 2)):
    vit = lively(embed_dim=width)
    return Split(vit, find_sites(vit, part, list(blocks)))


BASE = {24: base_of(24), 48: base_of(48)}


def masks_of(network, cls):
    with torch.no_grad():
        return soften(join(network(cls, torch.zeros(len(cls), dtype=torch.int64))))


@pytest.mark.parametrize(("width", "blocks", "heads"), [(24, 3, 6), (48, 1, 6), (48, 5, 6), (24, 2, 4)])
def test_the_masks_are_those_of_the_published_network(width, blocks, heads, images):
    base = BASE[width]
    state = random_state(width, blocks, [4 * width] * 4)
    cls = base.cls(images)
    ours = masks_of(convert(state, base, heads), cls)
    theirs = torch.stack([published_masks(state, one, CLAMP, heads) for one in cls])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)
    assert ours.std(0).max() > 0.05, "masks must depend on the image for this test to mean something"
    other = masks_of(convert(state, base, 2), cls)
    assert (other - theirs).abs().max() > 1e-2, "and on the number of heads"


def test_any_number_of_masks_of_any_length_in_the_order_of_the_sites(images):
    """D4: the k-th head is the k-th matrix in forward order, first the rows' and then the columns' units."""
    vit = BASE[24].vit
    base = Split(vit, find_sites(vit, "mlp", [0]) + find_sites(vit, "attn", [2]))
    state = random_state(24, 1, [96, 96, 72, 24])
    network = convert(state, base, 6)
    assert network.sizes == {
        "blocks.0.mlp.fc1.weight": 96,
        "blocks.0.mlp.fc2.weight": 96,
        "blocks.2.attn.qkv.weight": 72,
        "blocks.2.attn.proj.weight": 24,
    }
    cls = base.cls(images[:1])
    torch.testing.assert_close(
        masks_of(network, cls)[0], published_masks(state, cls[0], CLAMP), rtol=1e-5, atol=2e-6
    )


def test_the_network_is_ready_for_use_and_has_the_published_depth():
    network = convert(random_state(24, 3, [96] * 4), BASE[24], 6)
    shape = {"width": 24, "blocks": 3, "heads": 6, "tied": False, "classes": 0}
    assert network.shape == shape and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("form", ["plain", "wrapped", "parallel", "tokens", "no_dead", "half", "safetensors"])
def test_forms_of_a_file(form, tmp_path, images):
    state = random_state(24, 2, [96] * 4)
    path = tmp_path / ("h.safetensors" if form == "safetensors" else "h.pth")
    kept = {
        "plain": state,
        "wrapped": {"state_dict": state, "epoch": 3},
        "parallel": {f"module.{name}": tensor for name, tensor in state.items()},
        "tokens": state | {"cls_token": state["cls_token"][0]},
        "no_dead": {name: tensor for name, tensor in state.items() if name != "learn_masks"},
        "half": {name: tensor.half() for name, tensor in state.items()},
        "safetensors": state,
    }[form]
    save_file(kept, path) if form == "safetensors" else torch.save(kept, path)
    network, origin = read_hypernet(path, BASE[24], 6)
    cls = BASE[24].cls(images)
    exact = masks_of(convert(state, BASE[24], 6), cls)
    torch.testing.assert_close(masks_of(network, cls), exact, rtol=0, atol=2e-2 if form == "half" else 0)
    assert origin["file"] == str(path) and re.fullmatch("[0-9a-f]{64}", origin["sha256"])
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def without(*names):
    return lambda state: {key: value for key, value in state.items() if key not in names}


REFUSED = {
    "missing": (without("layer.1.attn.key.bias"), r"1 keys differ, e\.g\. layer\.1\.attn\.key\.bias: absent"),
    "unknown": (
        lambda state: state | {"layer.1.ffn.fc3.weight": torch.ones(24, 24)},
        r"layer\.1\.ffn\.fc3\.weight: \(24, 24\), expected no such key",
    ),
    "gap": (
        lambda state: {name.replace("layer.1.", "layer.2."): value for name, value in state.items()},
        r"2 blocks.*layer\.1\.attention_norm\.weight: absent",
    ),
    "width": (
        lambda state: random_state(48, 2, [96] * 4),
        r"Found: width 48, 2 blocks, 4 masks of 96 units\. Expected: width 24, any number of blocks, 4 masks of 96",
    ),
    "units": (
        lambda state: random_state(24, 2, [128] * 4),
        r"Found: width 24, 2 blocks, 4 masks of 128 units\. Expected: .* 4 masks of 96 units \(blocks\.0\.mlp\.fc1\.weight, ",
    ),
    "sites": (
        lambda state: random_state(24, 2, [96] * 6),
        r"Found: .* 6 masks of 96 units\. Expected: .*4 masks",
    ),
    "nothing": (
        lambda state: {"conv.weight": torch.ones(3)},
        r"Found: width unknown, 0 blocks, 0 masks of no units\. Expected: width 24",
    ),
    "nan": (
        lambda state: state | {"layer.0.ffn.fc1.bias": torch.full((24,), torch.nan)},
        r"NaN or infinite weights in layer\.0\.ffn\.fc1\.bias",
    ),
    "code": (lambda state: {"network": print}, r"damaged, or more than tensors"),
    "list": (lambda state: [1, 2], r"h\.pth: a list in place of named tensors"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_another_network_is_refused_with_what_was_found_and_expected(wrong, tmp_path):
    change, message = REFUSED[wrong]
    torch.save(change(random_state(24, 2, [96] * 4)), tmp_path / "h.pth")
    with pytest.raises(ArtifactError, match=message):
        read_hypernet(tmp_path / "h.pth", BASE[24], 6)


def test_a_missing_or_damaged_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"h\.pth: no such file\. A hypernetwork is"):
        read_hypernet(tmp_path / "h.pth", BASE[24], 6)
    torch.save(random_state(24, 1, [96] * 4), tmp_path / "whole.pth")
    (tmp_path / "h.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:2000])
    with pytest.raises(ArtifactError, match=r"h\.pth: damaged"):
        read_hypernet(tmp_path / "h.pth", BASE[24], 6)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match=r"meta_train\.heads: 5 heads do not divide .* 24"):
        convert(random_state(24, 1, [96] * 4), BASE[24], 5)


def test_what_was_imported_is_read_again_with_its_own_heads_and_its_origin(tmp_path, images):
    torch.save(random_state(24, 2, [96] * 4), tmp_path / "h.pth")
    network, origin = read_hypernet(tmp_path / "h.pth", BASE[24], 4)
    network.save(tmp_path / "ours.safetensors", {"imported": origin})
    again, second = read_hypernet(tmp_path / "ours.safetensors", BASE[24], 6)
    assert again.shape["heads"] == 4, "a file of ours knows its heads"
    cls = BASE[24].cls(images)
    assert torch.equal(masks_of(again, cls), masks_of(network, cls))
    assert second["imported"] == origin and second["file"].endswith("ours.safetensors")


def test_one_of_ours_for_another_backbone_or_other_sites_is_refused(tmp_path):
    convert(random_state(24, 1, [96] * 4), BASE[24], 6).save(tmp_path / "ours.safetensors", {})
    with pytest.raises(
        ArtifactError, match="width 24 for .* the backbone has width 48 and .* another backbone"
    ):
        read_hypernet(tmp_path / "ours.safetensors", BASE[48], 6)
    with pytest.raises(ArtifactError, match="are to be edited"):
        read_hypernet(tmp_path / "ours.safetensors", base_of(24, blocks=[1, 2]), 6)
