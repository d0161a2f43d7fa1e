"""Edits on top of a patch that has added neurons (T-Patcher)."""

import pytest
import torch
from test_refusals import refused
from tiny import TINY
from tool_place import QUICK, ranked

from vitedit.errors import NumericalError
from vitedit.learned.statistics import collect
from vitedit.model.last_block import LastBlock
from vitedit.model.patch import Patch
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.tool.models import load_vit


@pytest.fixture
def grown(place, run, vit, images):
    """A patch that adds neurons."""
    memory, covariance = collect(LastBlock.of(Split(vit, find_sites(vit, "mlp", [3]))), [images])
    memory.save(place.folder / "memory.safetensors", {})
    covariance.save(place.folder / "covariance.safetensors", {})
    words = ["--method", "t_patcher", "--artifact", f"memory={place.folder / 'memory.safetensors'}"]
    assert run(*place.edit(*words, "--anyway", output="grown.safetensors", quick=False))[0] == 0
    path = place.folder / "grown.safetensors"
    assert Patch.load(path).grows
    return path


def later(place, grown, *more, output="later.safetensors"):
    """Words of an edit of another image on top of it."""
    vit = load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    image = place.world(3) / "03.png"
    with torch.no_grad(), Patch.load(grown).applied(vit):
        label = ranked(vit, image)[1]
    what = ["--image", str(image), "--label", str(label), "--after", str(grown), "--anyway"]
    return ["edit", *place.model(), *what, "-o", str(place.folder / output), *more]


def test_no_file_of_weights_is_written_that_timm_cannot_load(place, run, grown):
    edited = place.folder / "edited.safetensors"
    refused(
        run,
        later(place, grown, *QUICK, "--edited", str(edited)),
        f"{grown} adds neurons",
        "Leave --edited out",
    )
    assert not edited.exists() and run(*later(place, grown, *QUICK))[0] == 0
    assert not Patch.load(place.folder / "later.safetensors").grows


def test_of_an_edit_that_adds_neurons_the_patch_is_kept(place, run, grown):
    words = [
        "--method",
        "t_patcher",
        "--artifact",
        f"memory={place.folder / 'memory.safetensors'}",
        "--anyway",
    ]
    edited = place.folder / "edited.safetensors"
    refused(
        run,
        place.edit(*words, "--edited", str(edited), quick=False),
        "fix.safetensors is written, but",
        "adds neurons",
    )
    assert Patch.load(place.folder / "fix.safetensors").grows and not edited.exists()


def test_what_was_trained_for_the_smaller_model_does_not_fit(place, run, grown):
    words = ["--method", "rome", "--artifact", f"covariance={place.folder / 'covariance.safetensors'}"]
    refused(run, later(place, grown, *words), "earlier patches have added neurons", "rome", "`--method spt`")


def test_two_generations_are_compared_as_far_as_they_can_be(place, run, grown):
    words = ["--method", "t_patcher", "--artifact", f"memory={place.folder / 'memory.safetensors'}"]
    assert run(*later(place, grown, *words))[0] == 0
    refused(
        run,
        ["compare", str(grown), str(place.folder / "later.safetensors")],
        "made on top of neurons that the other has added",
    )


def test_a_sparsity_that_diverges_leaves_the_others(place, run, monkeypatch):
    from vitedit.tool import choosing

    make = choosing.make

    def sometimes(failures, method, *rest):
        if method.setting["sparsity"] == 0.25:
            raise NumericalError("NaN at step 3")
        return make(failures, method, *rest)

    monkeypatch.setattr(choosing, "make", sometimes)
    setting = ["--method", "spt", "--set", "learning_rate=0.003", "max_steps=60", "--anyway"]
    code, said, complaint = run(*place.edit("--sparsity", "auto", *setting, quick=False))
    assert code == 0 and "0.5 " in said and "0.25 " not in said and "left out: spt" in complaint
    monkeypatch.setattr(choosing, "make", lambda *_: sometimes(None, _[1].under(0.25)))
    refused(run, place.edit("--sparsity", "auto", *setting, "--force", quick=False), "NaN at step 3")
