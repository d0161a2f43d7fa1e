"""Tables of failures: what they may say, and every mistake in words with its line."""

import shutil

import pytest
from tables_place import edit_all, failures_of, write_table
from test_refusals import refused
from tiny import TINY
from tool_place import ranked, several_failures

import vitedit
from vitedit.errors import ConfigError
from vitedit.model.patch import Patch
from vitedit.tool.tables import read_table


def test_labels_are_read_in_every_form_and_files_from_the_table_s_folder(place):
    (place.folder / "below").mkdir()
    rows = [("../world/class0/00.png", "n00000003"), (place.image, 4), ("x.png", " ring ")]
    table = write_table(place.folder / "below" / "t.csv", rows)
    classes = ["n00000001 disc", "ring, hoop", "n00000003 star", "heart", "cross"]
    listed = read_table("--failures", table, classes, 5)
    assert [one.label for one in listed] == [2, 4, 1] and [one.line for one in listed] == [2, 3, 4]
    assert [one.name for one in listed] == ["00.png", "00.png", "x.png"], "no folders of elsewhere"
    assert listed[1].path == place.image and listed[2].path == place.folder / "below" / "x.png"


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("file,class", [("a.png", 1)], "has no column 'label', only file, class; its first line has to name"),
        ("file;label", [], "only file;label; its first line has to name the columns file,label, separated by commas."),
        ("", [], "has no column 'file', only none"),
        ("file,label", [], "no rows below `file,label`"),
        ("file,label", [("{good}", 2), ("{other}", 7)], "line 3: label 7: the model has the classes 0 to 4"),
        ("file,label", [("{good}", "ring")], "line 2: label 'ring': the model has 5 classes without names"),
        ("file,label", [("{good}", "")], "line 2: no label; each row is a file and its right class"),
        ("label,file", [(2, "")], "line 2: no file; each row is a file and its right class"),
        ("file,label", [("{good}",)], "line 2: no label"),
        ("file,label", [("{good}", 2), ("", ""), ("absent.png", 1)], "line 3: no file"),
        ("file,label", [("absent.png", 1)], "line 2: {folder}/absent.png: no such file."),
        ("note,file,label", [('"two\nlines"', "{good}", 2), ("", "t.csv", 1)], "line 4: {folder}/t.csv: no read"),
        ("file,label", [("{good}", 2), ("{good}", 2)], "line 3: world/class1/05.png is the image of line 2 again; keep"),
        ("file,label", [("{good}", 2), ("copy.png", 1)], "line 3: copy.png is the image of line 2 again, with the class 1 in"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_their_line(place, run, head, rows, message):
    good, other = ("world/class1/05.png", "world/class2/05.png")
    shutil.copy(place.folder / good, place.folder / "copy.png")
    filled = [[str(cell).format(good=good, other=other) for cell in row] for row in rows]
    table = write_table(place.folder / "t.csv", filled, head)
    refused(run, edit_all(place, table=table), str(table), message.format(folder=place.folder))
    assert not (place.folder / "fix.safetensors").exists()


def test_a_table_that_cannot_be_read(place, run):
    absent = place.folder / "absent.csv"
    refused(run, edit_all(place, table=absent), f"--failures {absent}: no such file.")
    binary = place.folder / "binary.csv"
    binary.write_bytes(b"file,label\n\xff\xfe,1\n")
    refused(run, edit_all(place, table=binary), "cannot be read", "a CSV file in UTF-8")


def test_failures_that_are_none_are_left_out_and_named(place, run):
    images, labels = several_failures(place)
    files = [image.relative_to(place.folder) for image in images]
    rows = [(place.image.relative_to(place.folder), place.predicted), *zip(files, labels, strict=True)]
    table = write_table(place.folder / "t.csv", rows)
    code, said, complaint = run(*edit_all(place, "--anyway", table=table))
    assert code == 0, complaint
    assert "1 of 4 images are left out, for the model is right about them: world/class0/00.png." in said
    assert len(Patch.load(place.folder / "fix.safetensors").about.images) == 3
    write_table(table, rows[:1])
    refused(
        run,
        edit_all(place, "--force", table=table),
        "already takes world/class0/00.png for",
        "nothing to fix",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--failures", "{table}", "--image", "x.png"], "--failures and --image together; give `--image FILE"),
        (["--failures", "{table}", "--label", "1"], "--failures and --label together"),
        (["--image", "x.png"], "--image without its right class"),
        ([], "no failure to edit from; give `--image FILE --label CLASS`, or `--failures FILE.csv`"),
        (["--label", "1"], "no failure to edit from"),
        (["--failures", "{table}", "--neighbours", "{folder}/world"], "give a CSV file with the columns file,label"),
        (["--failures", "{table}", "--min-success", "90"], "--min-success 90.0: a share of images, from 0 to 1"),
    ],
)  # fmt: skip
def test_either_images_or_a_table(place, run, words, message):
    table = failures_of(place)
    filled = [word.format(table=table, folder=place.folder) for word in words]
    refused(run, ["edit", *place.model(), *filled, "-o", str(place.folder / "f.safetensors")], message)


def test_neighbours_have_their_own_labels(place, run):
    rows = [(f"world/class0/{at:02d}.png", at % 5) for at in range(1, 9)]
    own = failures_of(place).read_text().splitlines()[1].split(",")
    table = write_table(place.folder / "near.csv", [own, *rows])
    code, said, complaint = run(*edit_all(place, "--anyway", "--neighbours", str(table)))
    assert code == 0 and "of 8 neighbours right" in said, complaint
    patch = Patch.load(place.folder / "fix.safetensors")
    assert patch.about.measured.neighbours == 8, "samples do not count"
    model = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    with patch.applied(model):
        right = [ranked(model, place.folder / file)[0] == label for file, label in rows]
    assert sum(right) > 0 and patch.about.measured.generalization == sum(right) / 8
    write_table(table, [own])
    words = edit_all(place, "--anyway", "--force", "--neighbours", str(table))
    refused(run, words, f"--neighbours {table}: no images but those that the edit is made from")
    write_table(table, [*rows, ("absent.png", 1)])
    refused(run, words, f"{table}, line 10: {place.folder}/absent.png: no such file.")
    write_table(table, [("a.png", 9)])
    refused(run, words, f"--neighbours {table}, line 2: label 9")


def test_one_image_may_have_neighbours_of_a_table_too(place, run):
    table = write_table(place.folder / "near.csv", [("world/class0/03.png", place.label)])
    code, said, _ = run(*place.edit("--neighbours", str(table)))
    assert code == 0 and "of 1 neighbours right" in said


def test_a_folder_serves_one_class_only(place):
    model = vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    images, labels = several_failures(place)
    with pytest.raises(ConfigError, match="give a CSV file with the columns file,label"):
        vitedit.edit(model, images, labels, neighbours=place.world(0), method="ft")
