"""The operations that `benchmarks/paper_cost.py` counts are those that torch makes."""

import argparse
import importlib
from pathlib import Path

import pytest
import timm
import torch
from lively import lively
from torch.func import grad
from torch.utils.flop_counter import FlopCounterMode

from vitedit.config_files import load
from vitedit.model.objectives import cross_entropy
from vitedit.model.room import BATCH_BYTES
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

ROOT = Path(__file__).parents[1]
PAPER = [ROOT / "config/config.yaml", ROOT / "config/paper.yaml"]


@pytest.fixture(scope="module")
def cost():
    """The script as it is run, beside the modules that it imports."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("paper_cost")


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_the_whole_vit_b_16(cost):
    with torch.device("meta"):
        vit = timm.create_model("vit_base_patch16_224").eval()
        net, images = cost.Network.of(vit), torch.empty(1, 3, 224, 224)
    assert net.whole == counted(lambda: vit(images)) == pytest.approx(35e9, rel=0.01)


@pytest.mark.parametrize(
    ("part", "blocks"), [("mlp", [1, 2]), ("mlp", [0]), ("attn", [0, 1, 2]), ("attn", [1])]
)
def test_prefix_suffix_and_gradient(cost, part, blocks):
    vit = lively()
    net, split = cost.Network.of(vit), Split(vit, find_sites(vit, part, blocks))
    images, label = torch.randn(1, 3, 24, 24), torch.zeros(1, dtype=torch.long)
    tokens = split.prefix(images)
    assert net.prefix(blocks[0], part) == counted(lambda: split.prefix(images))
    assert net.forward(blocks[0], part) == counted(lambda: split.suffix(tokens))
    step = grad(lambda weights: cross_entropy(split.call(weights, tokens[None]), label).sum())
    assert net.step(blocks, part) == counted(lambda: step({n: w[None] for n, w in split.weights.items()}))
    assert net.edited(blocks, part) == sum(4 * weight.numel() for weight in split.weights.values())


def run_of(cost, **changes):
    assumed = {
        "images": ["natural=300"],
        "natural": 200,
        "wrong": 0.5,
        "near": 1000,
        "updates": None,
        **changes,
    }
    return cost.prepare(load(*PAPER), "base", argparse.Namespace(**assumed))


def test_every_assumption_reaches_the_costs_that_depend_on_it(cost):
    before = cost.stages(run_of(cost))
    moved = {
        "natural": (
            {"natural": 400},
            {"search_layers", "edit_groups: edits", "edit_groups: rates", "specificity"},
        ),
        "near": ({"near": 2000}, {"search_layers", "edit_groups: rates"}),
        "updates": ({"updates": 50}, {"search_layers", "edit_groups: edits"}),
        "wrong": ({"wrong": 0.1}, {"edit_groups: edits", "edit_groups: rates"}),
        "images": ({"images": ["natural=600"]}, {"build_benchmark"}),
    }
    for changes, expected in moved.values():
        after = cost.stages(run_of(cost, **changes))
        assert {stage for stage in before if before[stage] != after[stage]} == expected


def test_a_limit_of_edits_a_group_limits_the_edits(cost):
    config = load(*PAPER)
    limited = config.model_copy(update={"benchmark": config.benchmark.model_copy(update={"max_edits": 2})})
    run = run_of(cost)
    few = cost.Run(limited, run.net, run.blocks, run.known)
    assert few.total == 2 * (16 + 1000 + 1000) < run.total == 200 + 25000 + 44164


def test_the_descent_is_the_batch_that_a_stage_makes_on_a_gpu(cost):
    run = run_of(cost)
    matrices = 6 * 768 * 3072 * 4
    assert cost.batch(run) == BATCH_BYTES["cuda"] // (4 * matrices)
    two, one = (cost.descent_bytes(run, edits, 5) for edits in (2, 1))
    assert 5 * matrices < two - one < 7 * matrices


def test_sets_without_a_count_and_unknown_ones_are_refused(cost):
    config = load(ROOT / "config/config.yaml")
    with pytest.raises(SystemExit, match="how many images natural has: --images natural=N"):
        cost.count_images(config, [])
    with pytest.raises(SystemExit, match="--images natral: no such set. Sets: "):
        cost.count_images(config, ["natral=5"])
    assert cost.count_images(load(*PAPER), ["natural=300"])["natural"] == 300
