"""Commands with many failures: what is written, said and shown."""

import re

import pytest
from tables_place import edit_all, failures_of
from test_refusals import refused, replaced

from vitedit.model.patch import Patch

MASKS = ["--method", "random_mask", "--set", "learning_rate=0.003", "max_steps=20", "stop_loss=0.05"]


def test_a_sequence_says_what_it_lost_and_by_which_edit(place, run):
    code, said, complaint = run(*edit_all(place, "--way", "sequence", "--anyway"))
    assert code == 0 and "edits of the sequence: 3 of 3" in complaint and "failures read: 3 of 3" in complaint
    assert "editing: 3 failures by ft, sequence" in complaint
    images = Patch.load(place.folder / "fix.safetensors").about.images
    assert "3 failures of 2 classes" in said and "samples right (before: 0 of 3)" in said
    assert "3 of 3 samples right directly after their own edit" in said
    assert "2 of 3 of these still right after all edits" in said
    (lost,) = [image for image in images if image.after != image.label]
    table = said[said.index("lost again") :].splitlines()
    assert table[1].split() == [lost.name, f"{lost.label}", images[2].name, f"{lost.after}"]
    assert re.search(rf"{lost.name} .*still wrong", said)


@pytest.mark.parametrize("way", ["joint", "merge", "sequence"])
def test_auto_goes_the_whole_way_at_each_sparsity(place, run, way):
    words = edit_all(place, "--way", way, "--sparsity", "auto", "--min-locality", "0", how=MASKS)
    code, said, complaint = run(*words, "--min-success", "0.3")
    assert code == 0, complaint
    chosen = next(line.split() for line in said.splitlines()[1:7] if line.startswith("->"))
    about = Patch.load(place.folder / "fix.safetensors").about
    assert about.setting["sparsity"] == float(chosen[1]) and about.way == way


def test_too_few_right_writes_nothing_unless_it_is_enough_or_asked(place, run):
    words = edit_all(place, "--way", "sequence")
    refused(
        run,
        words,
        "still wrong about 1 of 3 samples",
        "lost again",
        "--min-success 0.66 is content with it; --anyway",
    )
    refused(run, [*words, "--min-success", "0.7"], "try `--way joint`.")
    assert not (place.folder / "fix.safetensors").exists()
    assert run(*words, "--min-success", "0.66")[0] == 0
    assert run(*words, "--anyway", "--force")[0] == 0


def test_a_way_that_the_method_cannot_go(place, run):
    words = edit_all(place, "--way", "joint", how=["--method", "kn_slots"])
    refused(
        run, words, "kn_slots makes an edit from images of one class", "`--way merge` or `--way sequence`"
    )
    refused(run, edit_all(place, "--way", "union"), "only hypernet can unite its masks")
    assert run(*words, "--way", "sequence", "--anyway")[0] == 0
    assert Patch.load(place.folder / "fix.safetensors").about.way == "sequence"


def test_edited_weights_are_those_of_the_patch(place, run):
    edited = place.folder / "edited.safetensors"
    assert run(*edit_all(place, "--way", "merge", "--anyway", "--edited", str(edited)))[0] == 0
    again = str(place.folder / "again.safetensors")
    assert run("apply", str(place.folder / "fix.safetensors"), *place.model(), "-o", again)[0] == 0
    assert edited.read_bytes() == (place.folder / "again.safetensors").read_bytes()


def test_inspect_and_compare_show_many_failures(place, run):
    run(*edit_all(place, "--way", "sequence", "--anyway"))
    run(*place.edit(output="one.safetensors"))
    many, one = (str(place.folder / f"{name}.safetensors") for name in ("fix", "one"))
    code, said, _ = run("inspect", many)
    images = Patch.load(many).about.images
    assert code == 0 and "3 failures of 2 classes: world/class1/05.png, world/class2/05.png" in said
    for image in images:
        mark = " +still wrong" if image.after != image.label else ""
        assert re.search(rf"{image.name} +{image.label} +{image.before} +{image.after}{mark}\n", said)
    (lost,) = [image for image in images if image.lost_by]
    assert lost.lost_by == images[2].name and "lost again" in said
    code, said, _ = run("compare", many, one)
    assert code == 0 and re.search(r"retention +2 of 3 of these still right after all edits +-\n", said)


def test_the_page_shows_every_failure_with_its_own_class(place, run):
    table, page = failures_of(place), place.folder / "fix.html"
    run(*edit_all(place, "--way", "merge", "--anyway", table=table))
    patch = str(place.folder / "fix.safetensors")
    words = ["report", patch, *place.model(), "--failures", str(table), "-o", str(page)]
    assert run(*words, "--neighbours", str(table), "--force")[0] == 2, "no neighbours but the samples"
    refused(run, [*words, "--neighbours", str(place.world(0))], "give a CSV file")
    assert run(*words)[0] == 0
    text, images = page.read_text(), Patch.load(patch).about.images
    assert "from 3 failures</h1>" in text and "3 failures of 2 classes" in text and text.count("<img ") == 3
    for image in images:
        assert f"<p>right class: {image.label}</p>" in text
    other = replaced(words, str(table), str(failures_of(place, 2, "other.csv")))
    assert run(*other, "--force")[0] == 0 and page.read_text().count("<img ") == 2
