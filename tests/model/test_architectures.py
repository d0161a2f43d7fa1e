"""Every family of plain ViTs through the whole engine; every other model refused with its reason."""

import re
from pathlib import Path

import pytest
import torch
from families import FAMILIES, GATED, NO_CLS, POOLED, SMALL, config_of, enliven
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg
from torch.func import functional_call

from vitedit.config import DescentConfig, ModelConfig, TransformConfig
from vitedit.editors.ft import FineTune
from vitedit.editors.random_mask import RandomMask
from vitedit.editors.refine_heads import RefineHeads
from vitedit.errors import ConfigError, UnknownNameError
from vitedit.learned.anchors import Anchors
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit, load_vit
from vitedit.where.attribution import attribute_neurons
from vitedit.where.heads import cut_before_heads

DESCENT = DescentConfig(max_steps=20, stop_loss=0.1)
EDITORS = {
    "FT": FineTune(DESCENT, learning_rate=3e-3),
    "masked": RandomMask(DESCENT, learning_rate=3e-3, sparsity=0.5, seed=0),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family, tmp_path_factory):
    """Saved and loaded as a run does."""
    name, changes = FAMILIES[family]
    config, path = config_of(name, **changes), tmp_path_factory.mktemp("models") / "x.safetensors"
    save_file(enliven(build_vit(config)).state_dict(), path)
    return load_vit(config, path, torch.device("cpu"))


@pytest.fixture(scope="module")
def photos(model):
    side = model.patch_embed.img_size[0]
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("part", "block"), [("attn", 0), ("mlp", 1), ("attn", 2), ("mlp", 2)])
def test_suffix_of_prefix_is_the_whole_model(model, photos, part, block):
    split = Split(model, find_sites(model, part, [block]))
    whole = model(photos)
    assert whole.std(0).min() > 0.1
    torch.testing.assert_close(split.suffix(split.prefix(photos)), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", EDITORS)
def test_edits_succeed_and_leave_the_base_alone(model, photos, method):
    split = Split(model, find_sites(model, "mlp", [1, 2]))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    labels = model(photos[:2]).topk(2).indices[:, 1]
    edits = EDITORS[method].edit(split, Samples(photos[:2, None], labels, ("a.png", "b.png")))
    assert edits.converged.all() and (edits.steps > 0).all() and set(edits.changed) == set(split.weights)
    for i in range(2):
        changed = {name: tensor[i] for name, tensor in edits.changed.items()}
        assert functional_call(model, changed, (photos[i : i + 1],)).argmax() == labels[i]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    if method == "masked":
        rows = [
            (edits.changed[site.name] != split.weights[site.name]).any(2 - site.axis).any(0)
            for site in split.sites
        ]
        assert not all(bool(row.all()) for row in rows)


def test_methods_refuse_a_family_only_where_it_lacks_what_they_read(family, model, photos):
    split = Split(model, find_sites(model, "mlp", [2]))
    samples = Samples(photos[:1, None], torch.tensor([0]), ("a.png",))
    wants = {
        "hypernet": (lambda: split.cls(photos), NO_CLS, "no CLS token.*Keep other methods"),
        "last FFN": (lambda: LastBlock.of(split), POOLED | GATED, "T-Patcher, ROME and X-Edit need.*Keep other methods"),
        "kn": (lambda: attribute_neurons(split, samples, steps=2), GATED, "knowledge neurons need plain FFNs"),
        "heads": (lambda: cut_before_heads(split, 2), POOLED, "refine_heads needs.*Keep other methods"),
    }  # fmt: skip
    for work, without, reason in wants.values():
        if family in without:
            with pytest.raises(ConfigError, match=reason):
                work()
        else:
            work()


def test_attention_heads_are_removed_wherever_the_head_reads_cls(family, model, photos):
    """Against a model without these columns; then a whole edit."""
    if family in POOLED:
        return
    labels = model(photos[:2]).topk(2).indices[:, 1]
    editor = RefineHeads(DESCENT, 0.1, protection=0.0, anchors=Anchors(photos[2:]), blocks=2)
    edits = editor.edit(Split(model, ()), Samples(photos[:2, None], labels, ("a.png", "b.png")))
    assert edits.converged.all()
    cut = editor.cut(Split(model, ()))
    logits = cut.run(cut.prefix(photos)[None], edits.changes)
    for i in range(2):
        changed = {name: tensor[i] for name, tensor in edits.changed.items()}
        torch.testing.assert_close(
            logits[i], functional_call(model, changed, (photos,)), rtol=1e-4, atol=1e-4
        )
        assert logits[i, i].argmax() == labels[i]


REFUSED = {
    "resnet18": ({}, "timm's ResNet, without a ViT's `blocks`"),
    "swin_tiny_patch4_window7_224": ({}, "timm's SwinTransformer, without"),
    "deit_tiny_distilled_patch16_224": (SMALL, "VisionTransformerDistilled, with a distillation token and a second head"),
    "beit_base_patch16_224": (SMALL, "timm's Beit;"),
    "vit_small_patch16_18x2_224": (SMALL, "blocks are of the kind ParallelThingsBlock"),
    "vit_base_patch16_rpn_224": (SMALL, "blocks are of the kind ResPostBlock"),
    "no_such_model": ({}, "Unknown model"),
    "hf-hub:someone/model": ({}, "downloaded from, which no stage does"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_edited_is_refused_with_the_reason(name):
    arguments, reason = REFUSED[name]
    config = config_of(name).model_copy(update={"architecture": arguments})
    with torch.device("meta"), pytest.raises(ConfigError, match=reason) as refusal:
        build_vit(config)
    assert f"'{name}'" in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_classes": 0}, r"no classification head.*num_classes: 1000"),
        ({"global_pool": ""}, "pools no tokens.*global_pool: token"),
        ({"global_pool": "map", "num_heads": 5}, "timm cannot make"),
        ({"in_chans": 1}, "images of 1 channels"),
        ({"depth_of_heads": 1}, "timm cannot make.*depth_of_heads"),
        ({"act_layer": "no_such"}, "timm cannot make"),
    ],
)
def test_arguments_that_make_no_classifier_of_photographs_are_refused(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        build_vit(config_of("vit_base_patch16_224", **changes))


def test_a_transform_of_another_size_than_the_models_input_is_refused():
    config = config_of("vit_base_patch16_224", img_size=32)
    with pytest.raises(ConfigError, match=r"32 x 32 pixels, but `transform\.size` is 24.*img_size: 24"):
        build_vit(config.model_copy(update={"transform": config_of("any").transform}))
    size = config_of("any").transform
    anyhow = config_of("vit_base_patch16_224", img_size=32, dynamic_img_size=True)
    build_vit(anyhow.model_copy(update={"transform": size}))


def test_a_gated_ffn_of_three_matrices_is_refused_but_its_attention_is_not():
    with torch.device("meta"):
        model = build_vit(config_of("aimv2_large_patch14_224"))
    with pytest.raises(
        UnknownNameError, match="block 1: its SwiGLU has the matrices fc1_g, fc1_x, fc2.*fc1 and fc2"
    ):
        find_sites(model, "mlp", [1])
    assert find_sites(model, "attn", [1])[0].size(model) == 72


TABLE = (Path(__file__).parents[2] / "docs/models.md").read_text()
ROWS = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([a-z ]+) \| ([^|]+) \|$", TABLE, re.MULTILINE)


def test_the_table_of_models_names_every_family_that_is_tested():
    yes = {name for name, can, _ in ROWS if can == "yes"}
    assert yes == {name for name, _ in FAMILIES.values()} and len(ROWS) > len(yes) + 8
    lacking = {name for name, _, why in ROWS if "the same" in why or "hypernetwork" in why}
    assert lacking == {FAMILIES[family][0] for family in NO_CLS}


@pytest.mark.parametrize(("name", "can", "why"), ROWS, ids=[row[0] for row in ROWS])
def test_the_table_of_models_is_true(name, can, why):
    pretrained = get_pretrained_cfg(name)
    config = ModelConfig(
        name=name,
        architecture=None if can == "no" else {"depth": 1, "num_classes": 1000},
        checkpoint=Path("any.safetensors"),
        transform=TransformConfig(size=pretrained.input_size[-1] if pretrained else 224),
    )
    reasons = {
        "class of its own": "it is timm's",
        "kind": "of the kind",
        "no ViT's blocks": "without a ViT's",
    }
    with torch.device("meta"):
        if can == "no":
            reason = next((text for key, text in reasons.items() if key in why), "a second head")
            with pytest.raises(ConfigError, match=reason):
                build_vit(config)
            return
        model = build_vit(config)
    assert len(find_sites(model, "attn", [0])) == 2
    if can == "yes":
        assert len(find_sites(model, "mlp", [0])) == 2
    else:
        with pytest.raises(UnknownNameError, match="fc1"):
            find_sites(model, "mlp", [0])
