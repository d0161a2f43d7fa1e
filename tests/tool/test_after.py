"""Edits on top of earlier patches: made, applied and reverted in order, and what becomes of the earlier samples."""

from pathlib import Path

import pytest
import torch
from patches import bits
from safetensors.torch import load_file
from tables_place import edit_all, write_table
from test_refusals import refused
from tiny import TINY
from tool_place import QUICK, pixels_of, ranked

import vitedit
from vitedit.errors import ArtifactError
from vitedit.model.about import ImageRecord
from vitedit.model.patch import Patch
from vitedit.tool.earlier import patched, remember
from vitedit.tool.models import history


@pytest.fixture
def chain(place, run):
    """Two patches, the second of a table and made on top of the first; and what the second command said."""
    assert run(*place.edit())[0] == 0
    first = place.folder / "fix.safetensors"
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    with Patch.load(first).applied(vit):
        seen = {at: ranked(vit, place.world(3) / f"0{at}.png") for at in (1, 2)}
    rows = [(f"world/class3/0{at}.png", classes[at]) for at, classes in seen.items()]
    table = write_table(place.folder / "more.csv", rows)
    words = edit_all(place, "--after", str(first), "--anyway", table=table, output="fix2.safetensors")
    code, said, complaint = run(*words)
    assert code == 0, complaint
    return first, place.folder / "fix2.safetensors", said


def outputs(place, *names):
    return [str(place.folder / f"{name}.safetensors") for name in names]


def test_patches_are_applied_and_reverted_in_order(place, run, chain):
    (one, two), before = map(str, chain[:2]), bits(load_file(place.weights))
    both, original, step = outputs(place, "both", "original", "step")
    assert run("apply", one, two, *place.model(), "-o", both)[0] == 0
    assert run("apply", one, *place.model(), "-o", step)[0] == 0
    assert run("apply", two, "--model", step, "-o", outputs(place, "again")[0])[0] == 0
    assert bits(load_file(both)) == bits(load_file(outputs(place, "again")[0]))
    assert run("revert", one, two, "--model", both, "-o", original)[0] == 0
    assert bits(load_file(original)) == before
    said = run("revert", two, "--model", both, "-o", outputs(place, "part")[0])[1]
    assert f"the model that {two} was made on" in said and "base model" not in said
    assert Patch.load(two).about.after == (Patch.load(one).base,)
    assert history(Path(both)) == Patch.load(two).history and history(place.weights) == ()
    assert history(place.folder / "part.safetensors") == Patch.load(one).history
    applied = ["apply", one, two, "--model", both, "-o", outputs(place, "more")[0]]
    refused(run, applied, f"{one}, {two} are already applied", "Leave them out")
    refused(run, ["apply", one, two, "--model", step, *applied[5:]], f"the patch {one} is already applied")
    absent = ["revert", one, two, *place.model(), "-o", outputs(place, "more")[0]]
    refused(run, absent, f"the patch {two} is not applied, so there is nothing to revert", "Give the edited")
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    images = torch.cat([pixels_of(place.world(3) / f"0{at}.png") for at in (1, 2)])
    with torch.no_grad(), Patch.load(one).applied(vit), Patch.load(two).applied(vit):
        after = [image.after for image in Patch.load(two).about.images]
        assert vit(images).argmax(-1).tolist() == after


def test_a_patch_of_an_edited_file_knows_the_earlier_ones(place, run):
    edited, again, back = outputs(place, "edited", "again", "back")
    assert run(*place.edit("--edited", edited))[0] == 0
    table = write_table(place.folder / "t.csv", [("world/class0/00.png", place.predicted)])
    words = ["edit", "--model", edited, "--failures", str(table), *QUICK, "--anyway", "-o"]
    assert run(*words, (two := outputs(place, "two")[0]), "--edited", again)[0] == 0
    first, second = Patch.load(place.folder / "fix.safetensors"), Patch.load(two)
    assert second.about.after == (first.base,) and second.base == first.edited
    assert f"the model that {two} was made on" in run("revert", two, "--model", again, "-o", back)[1]
    assert history(Path(back)) == (first.base,)


def test_python_edits_on_top_of_earlier_patches_too(place, run, chain):
    first = Patch.load(chain[0])
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    before = bits(vit.state_dict())
    image = place.world(3) / "03.png"
    with first.applied(vit):
        label = ranked(vit, image)[1]
        inside = vitedit.edit(vit, image, label, method="ft", keep_failed=True)
    later = vitedit.edit(vit, image, label, method="ft", after=[first], keep_failed=True)
    assert bits(vit.state_dict()) == before
    assert (later.base, later.about.after) == (first.edited, (first.base,))
    assert later.edited == inside.edited, "the same edit as of the edited model"
    with pytest.raises(ArtifactError, match="is already applied"), first.applied(vit):
        vitedit.edit(vit, image, label, method="ft", after=[first])


def test_a_model_of_an_edited_file_knows_its_patches_in_python(place, run):
    (edited,) = outputs(place, "edited")
    assert run(*place.edit("--edited", edited))[0] == 0
    first = Patch.load(place.folder / "fix.safetensors")
    vit = vitedit.load_vit(TINY.name, checkpoint=edited, architecture=TINY.architecture)
    image = place.world(3) / "03.png"
    label = ranked(vit, image)[1]
    assert vitedit.edit(vit, image, label, method="ft", keep_failed=True).about.after == (first.base,)


def test_what_becomes_of_the_earlier_samples_is_said(place, run, chain):
    first, second, said = chain
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    with torch.no_grad(), Patch.load(first).applied(vit), Patch.load(second).applied(vit):
        still = int(vit(pixels_of(place.image)).argmax()) == place.label
    found = "1 of 1 samples that were right are still right" if still else "lost: 00.png"
    assert f"{first}: not found: 00.png, so whether it is still right was not measured." in said
    (place.folder / "00.png").write_bytes(place.image.read_bytes())
    words = edit_all(place, "--after", str(first), "--anyway", "--force", output="fix2.safetensors")
    words[words.index("--failures") + 1] = str(place.folder / "more.csv")
    assert f"{first}: " in (again := run(*words)[1]) and found in again


def test_names_of_a_forged_patch_lead_nowhere(place, chain):
    first, second = map(Patch.load, chain[:2])
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    names = ("../world/class0/00.png", str(place.image), "a\0b", "x" * 5000)
    for name in names:
        record = ImageRecord(**{**first.about.images[0].model_dump(), "name": name})
        about = first.about.model_copy(update={"images": (record,)})
        forged = Patch(first.differences, first.base, first.edited, about)
        (found,) = remember(second, patched(vit, [first]), chain[:1], [forged], [place.folder / "world"])
        assert found.absent == [name] and not found.seen


def test_a_wrong_order_is_refused(place, run, chain):
    first, second = map(str, chain[:2])
    (output,) = outputs(place, "out")
    refused(
        run,
        ["apply", second, first, *place.model(), "-o", output],
        f"{first} was not made on top of {second}",
    )
    earlier = (
        "the very weights that it was made for. It was made on an edited model: give the earlier patches"
    )
    refused(run, ["apply", second, *place.model(), "-o", output], earlier)
    refused(run, place.edit("--after", second, output="out.safetensors"), earlier)
    refused(
        run, place.edit("--after", first, "--force"), "--after, --output and --edited must be different files"
    )
    refused(
        run,
        place.edit("--after", "absent.safetensors", output="out.safetensors"),
        "absent.safetensors: no such",
    )


def test_a_model_with_patches_is_itself_untouched(place, chain):
    vit = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    before = bits(vit.state_dict())
    copy = patched(vit, [Patch.load(path) for path in chain[:2]])
    assert bits(vit.state_dict()) == before != bits(copy.state_dict()) and patched(vit, []) is vit


def test_trained_artefacts_are_those_of_the_base_model(place, run, chain):
    size = ["--iterations", "1", "--batch-size", "3", "--images", str(place.folder / "world")]
    quick = ["--set", "inner_steps=1", "search_steps=1", "pseudo.patches=1,2"]
    hypernet = outputs(place, "h")[0]
    assert run("train-hypernet", *place.model(), *size, *quick, "-o", hypernet)[0] == 0
    how = ["--hypernet", hypernet, "--set", "max_steps=2", "--anyway"]
    words = edit_all(place, "--after", str(chain[0]), output="h2.safetensors", how=how)
    for way in ("sequence", "union"):
        code, _, complaint = run(*words, "--way", way, "--force")
        assert code == 0, complaint
        about = Patch.load(place.folder / "h2.safetensors").about
        assert (about.method, about.way) == ("hypernet", way)


def test_a_page_shows_a_patch_on_top_of_another(place, run, chain):
    first, second = map(str, chain[:2])
    page = place.folder / "fix.html"
    words = ["report", second, *place.model(), "--failures", str(place.folder / "more.csv"), "-o", str(page)]
    refused(run, words, "the very weights")
    assert run(*words, "--after", first)[0] == 0
    text, images = page.read_text(), Patch.load(second).about.images
    right = sum(image.after == image.label for image in images)
    assert f"{right} of 2 right after the edit, 0 before." in text and text.count("<img ") == 2
    for image in images:
        assert f"<p>right class: {image.label}</p>" in text
