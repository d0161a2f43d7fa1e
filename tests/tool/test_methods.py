"""Defaults, where edits go, and trained artefacts."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from vitedit.config import DescentConfig
from vitedit.editors import EDITORS, check_setting, editor_class
from vitedit.errors import ConfigError
from vitedit.learned.anchors import Anchors
from vitedit.learned.null_space import collect_null_space
from vitedit.learned.statistics import collect
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.tool.methods import Method, cut_model, default_blocks, methods_file
from vitedit.where.hypernet import Hypernet


def test_every_method_has_defaults_that_it_accepts():
    file = methods_file()
    assert list(file.methods) == list(EDITORS)
    for name, defaults in file.methods.items():
        check_setting(name, editor_class(name), defaults.setting)
        assert defaults.source
    assert not editor_class(file.default).artifacts and "sparsity" in file.methods[file.default].setting


def test_help_names_the_default_method():
    from vitedit.tool import arguments

    assert f"else {methods_file().default}" in Path(arguments.__file__).read_text()


def test_nothing_of_a_descent_is_a_hyper_parameter_of_a_method():
    own = {field.name for name in EDITORS for field in fields(editor_class(name))}
    assert not own & set(DescentConfig.model_fields)


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, [7, 8, 9]), (24, [14, 15, 16]), (6, [3, 4, 5]), (4, [1, 2, 3]), (1, [0])]
)
def test_the_paper_s_blocks_at_the_same_height(depth, blocks):
    assert default_blocks(depth) == blocks


def test_a_setting_is_laid_over_the_defaults():
    method = Method.of("ft", {"learning_rate": 0.5, "max_steps": 7})
    assert method.hyper_parameters == {"learning_rate": 0.5, "max_steps": 7, "stop_loss": 0.01}
    sparser = Method.of("random_mask", {"max_steps": 7}).under(0.5)
    assert sparser.setting["sparsity"] == 0.5 and sparser.descent.max_steps == 7


def test_a_default_learning_rate_is_for_the_model_s_width_and_one_that_is_asked_for_is_not():
    base = Method.of("ft")
    assert base.for_width(192).setting == {"learning_rate": 1e-4}
    assert base.for_width(768).setting == {"learning_rate": 2.5e-5}
    assert Method.of("spt").under(0.5).for_width(768).for_width(768).setting["learning_rate"] == 7.5e-5
    assert Method.of("ft", {"learning_rate": 0.5}).for_width(768).setting == {"learning_rate": 0.5}
    assert Method.of("lora").for_width(768).setting == methods_file().methods["lora"].setting


@pytest.fixture
def hypernet(vit, tmp_path):
    torch.manual_seed(0)
    sites = find_sites(vit, "attn", [2, 3])
    Hypernet.for_sites(vit, sites, 24, blocks=1, heads=3).save(tmp_path / "h.safetensors", {})
    return tmp_path / "h.safetensors"


def test_a_hypernetwork_is_the_method_and_says_where(vit, hypernet):
    method = Method.of(None, artifacts={"hypernet": hypernet})
    cut = cut_model(vit, method)
    assert method.name == "hypernet" and cut.sites == find_sites(vit, "attn", [2, 3])
    assert isinstance(method.build(cut).hypernet, Hypernet)
    assert cut_model(vit, Method.of("ft")).sites == find_sites(vit, "mlp", [1, 2, 3])


def test_a_hypernetwork_on_the_command_line(place, run, hypernet):
    words = place.edit(
        "--hypernet", str(hypernet), "--set", "learning_rate=0.01", "stop_loss=0.05", quick=False
    )
    code, said, complaint = run(*words)
    assert code == 0, complaint
    assert "blocks.2.attn.qkv.weight" in said and "of hypernet (sparsity 0.95" in said
    other = run(*words, "--blocks", "1", "--part", "mlp", "--force")
    assert other[0] == 2 and "a hypernetwork for the sites" in other[2]


@pytest.mark.parametrize(
    ("method", "artifact"), [("t_patcher", "memory"), ("rome", "covariance"), ("x_edit", "null_space")]
)
def test_other_trained_artefacts_on_the_command_line(place, run, vit, images, method, artifact):
    split = Split(vit, find_sites(vit, "mlp", [3]))
    last = LastBlock.of(split)
    made = (*collect(last, [images]), collect_null_space(last, images[:4], [images], seed=0))
    for name, one in zip(("memory", "covariance", "null_space"), made, strict=True):
        one.save(place.folder / f"{name}.safetensors", {})
    words = [
        "--artifact",
        f"{artifact}={place.folder / artifact}.safetensors",
        "--method",
        method,
        "--anyway",
    ]
    code, said, complaint = run(*place.edit(*words, quick=False))
    assert code == 0, complaint
    assert "blocks.3.mlp.fc2.weight" in said
    patch, edited = str(place.folder / "fix.safetensors"), str(place.folder / "edited.safetensors")
    code, _, complaint = run("apply", patch, *place.model(), "-o", edited)
    grows = method == "t_patcher"
    assert code == (2 if grows else 0) and ("adds neurons" in complaint) is grows
    page = str(place.folder / "fix.html")
    assert run("report", patch, *place.model(), "--neighbours", str(place.world(0)), "-o", page)[0] == 0


@pytest.mark.parametrize("heads", [0, 3])
def test_attention_heads_are_removed_on_the_command_line(place, run, images, heads):
    """The patch holds the classification head too; without removed heads nothing else."""
    Anchors(images).save(place.folder / "anchors.safetensors", {})
    words = [
        "--artifact",
        f"anchors={place.folder / 'anchors.safetensors'}",
        "--method",
        "refine_heads",
        "--anyway",
        "--set",
        f"heads={heads}",
    ]
    code, said, complaint = run(*place.edit(*words, quick=False))
    assert code == 0, complaint
    assert "head.weight" in said and ("attn.proj" in said) is (heads > 0)
    patch, edited = str(place.folder / "fix.safetensors"), str(place.folder / "edited.safetensors")
    assert run("inspect", patch)[0] == 0
    assert run("apply", patch, *place.model(), "-o", edited)[0] == 0
    page = str(place.folder / "fix.html")
    assert run("report", patch, *place.model(), "--neighbours", str(place.world(0)), "-o", page)[0] == 0


def test_a_damaged_hypernetwork(place, run):
    (place.folder / "h.safetensors").write_bytes(b"no")
    code, _, complaint = run(*place.edit("--hypernet", str(place.folder / "h.safetensors"), quick=False))
    assert code == 2 and "h.safetensors" in complaint


def test_artefacts_that_nobody_asked_for():
    with pytest.raises(ConfigError, match="no use for memory"):
        Method.of("ft", artifacts={"memory": Path("m")})
