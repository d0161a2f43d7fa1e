"""Patches: exact both ways, of one base model only, and read from files that nobody vouches for."""

import json
from dataclasses import replace

import pytest
import torch
from patches import ABOUT, bits
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vitedit.config import DescentConfig
from vitedit.editors.ft import FineTune
from vitedit.editors.random_mask import RandomMask
from vitedit.errors import ArtifactError
from vitedit.model.patch import Patch, checksum
from vitedit.model.sites import backbone_size


@pytest.fixture(scope="module")
def edits(split, samples):
    descent = DescentConfig(max_steps=25, stop_loss=0.05)
    return RandomMask(descent=descent, sparsity=0.9, learning_rate=3e-3, seed=0).edit(split, samples)


@pytest.fixture(scope="module")
def patch(edits, vit):
    return Patch.of(edits, 2, vit, ABOUT)


def test_the_patched_model_is_the_edited_one(patch, edits, vit, split, images):
    edited = split.suffix(split.prefix(images), {name: new[2] for name, new in edits.changed.items()})
    before = bits(vit.state_dict())
    with patch.applied(vit) as model:
        assert model is vit and bits(vit.state_dict()) != before
        torch.testing.assert_close(vit(images), edited)
    assert bits(vit.state_dict()) == before


def test_the_model_is_itself_again_after_an_exception(patch, vit):
    before, parameters = bits(vit.state_dict()), [id(one) for one in vit.parameters()]
    with pytest.raises(ZeroDivisionError), patch.applied(vit):
        raise ZeroDivisionError
    assert bits(vit.state_dict()) == before and [id(one) for one in vit.parameters()] == parameters


def test_apply_then_revert_is_the_original(patch, vit):
    base = vit.state_dict()
    before = bits(base)
    edited = patch.apply(base)
    assert bits(base) == before, "what was given stays"
    assert checksum(edited) == patch.edited and bits(patch.revert(edited)) == before


def test_only_what_changed_is_stored(patch, edits, vit, tmp_path):
    assert {change.layout for change in patch.differences.values()} == {"rows", "columns"}
    entries = sum(len(change.entries()[0]) for change in patch.differences.values())
    assert entries / backbone_size(vit) == pytest.approx(float(edits.fraction(vit)[2]))
    patch.save(tmp_path / "fix.safetensors")
    changed = sum(change.new.numel() for change in patch.differences.values())
    assert (tmp_path / "fix.safetensors").stat().st_size < 2 * 4 * changed + 5000


def test_a_saved_patch_is_the_same(patch, vit, tmp_path):
    patch.save(tmp_path / "fix.safetensors")
    read = Patch.load(tmp_path / "fix.safetensors")
    assert (read.base, read.edited, read.about) == (patch.base, patch.edited, patch.about)
    assert bits(read.apply(vit.state_dict())) == bits(patch.apply(vit.state_dict()))


@pytest.mark.parametrize("way", ["apply", "revert"])
def test_a_parameter_that_the_model_lacks_is_refused(patch, vit, way):
    (name, change), *_ = patch.differences.items()
    forged = replace(patch, differences={**patch.differences, "blocks.77.mlp.fc1.weight": change})
    weights = vit.state_dict() if way == "apply" else patch.apply(vit.state_dict())
    with pytest.raises(
        ArtifactError, match="blocks.77.mlp.fc1.weight, which the model does not have: it is damaged"
    ):
        getattr(forged, way)(weights)


def test_another_model_is_refused(patch, vit):
    other = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    other["norm.bias"][0] += 1e-3
    with pytest.raises(ArtifactError, match=f"checksum {patch.base[:12]} only .*this model's is"):
        patch.apply(other)
    with pytest.raises(ArtifactError, match="not applied, so there is nothing to revert"):
        patch.revert(vit.state_dict())
    with pytest.raises(ArtifactError, match="already applied.* Leave the patch out"):
        patch.apply(patch.apply(vit.state_dict()))
    with patch.applied(vit), pytest.raises(ArtifactError, match="already applied"), patch.applied(vit):
        pass


def test_patches_nest_where_one_was_made_on_top_of_the_other(patch, vit, split, samples, descent):
    before = bits(vit.state_dict())
    with patch.applied(vit):
        further = FineTune(descent=descent, learning_rate=3e-3).edit(split, samples)
        second = Patch.of(further, int(further.steps.argmax()), vit, ABOUT)
    with pytest.raises(ArtifactError, match="checksum"), second.applied(vit):
        pass
    with patch.applied(vit):
        inside = bits(vit.state_dict())
        with second.applied(vit):
            assert checksum(vit.state_dict()) == second.edited
        assert bits(vit.state_dict()) == inside
    assert bits(vit.state_dict()) == before


def test_a_patch_of_an_edited_model_asks_for_the_earlier_ones(patch, vit):
    above = replace(patch, base="b" * 64, about=ABOUT.model_copy(update={"after": (patch.base,)}))
    with pytest.raises(ArtifactError, match="It was made on an edited model: give the earlier patches too"):
        above.apply(vit.state_dict())
    with pytest.raises(ArtifactError, match="so there is nothing to revert.* Give the edited model"):
        above.revert(vit.state_dict())


def test_a_patch_is_shown_in_a_line(patch):
    assert repr(patch) == (
        f"<Patch by ft, right class 3 (ring), base model {patch.base[:12]}, 1.00% of the weights changed>"
    )


def test_an_edit_that_changes_nothing_is_no_patch(edits, vit):
    nothing = edits.undo(edits.losses, torch.ones_like(edits.converged))
    with pytest.raises(ArtifactError, match="changes no weight"):
        Patch.of(nothing, 0, vit, ABOUT)


def rewritten(path, change=lambda meta: None, tensors=lambda known: None):
    """A patch file with a changed header or tensors, its checksum left out."""
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["vitedit"])
    known = load_file(path)
    meta.pop("crc32", None)
    change(meta)
    tensors(known)
    save_file(known, path, metadata={"vitedit": json.dumps(meta)})


NAME = "blocks.1.mlp.fc1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.update(patch=99), "a patch of format 99"),
        (lambda meta: meta.pop("patch"), "no patch"),
        (lambda meta: meta.pop("differences"), "damaged"),
        (lambda meta: meta["differences"][NAME].update(shape=[2, 2]), "damaged"),
        (lambda meta: meta["differences"][NAME].update(grown=[2**40, 24]), "damaged"),
        (lambda meta: meta["differences"][NAME].update(layout="blob"), "layout"),
        (lambda meta: meta["differences"].pop(NAME), "tensors that belong to no difference"),
        (lambda meta: meta.update(base=3), "checksums"),
        (
            lambda meta: meta.update(patch=1),
            "a patch of format 1; this version reads patches of format 2, as",
        ),
        (lambda meta: meta["about"].update(label=3), "about.label"),
        (lambda meta: meta["about"].update(images=[]), "about.images"),
        (lambda meta: meta["about"]["images"][0].update(label="ring"), "about.images.0.label"),
        (lambda meta: meta["about"].update(way="somehow"), "about.way"),
        (lambda meta: meta["about"].update(after=["no checksum"]), "about.after.0"),
        (lambda meta: meta["about"].update(more=1), "about.more"),
        (lambda meta: meta.update(differences=[]), "damaged"),
    ],
)
def test_a_hostile_header_is_refused(change, message, patch, tmp_path):
    path = tmp_path / "fix.safetensors"
    patch.save(path)
    rewritten(path)
    Patch.load(path)
    rewritten(path, change)
    with pytest.raises(ArtifactError, match=message):
        Patch.load(path)


def test_hostile_values_lead_to_no_model(patch, vit, tmp_path):
    path, before = tmp_path / "fix.safetensors", bits(vit.state_dict())
    patch.save(path)
    rewritten(path, tensors=lambda known: known[f"{NAME}/new"].add_(1.0))
    hostile = Patch.load(path)
    with pytest.raises(ArtifactError, match="does not lead to the model"):
        hostile.apply(vit.state_dict())
    with pytest.raises(ArtifactError, match="does not lead to the model"), hostile.applied(vit):
        pass
    assert bits(vit.state_dict()) == before


def test_what_is_no_patch_is_refused(patch, vit, tmp_path):
    path = tmp_path / "fix.safetensors"
    with pytest.raises(ArtifactError, match="no such file"):
        Patch.load(path)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(ArtifactError, match="damaged, or no patch"):
        Patch.load(path)
    save_file(vit.state_dict(), path)
    with pytest.raises(ArtifactError, match="no patch; this version"):
        Patch.load(path)
    patch.save(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="not what was written"):
        Patch.load(path)
