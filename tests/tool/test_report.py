"""The page of a patch: what it shows, and that names in it stay text."""

import re
import shutil

from vitedit.model.patch import Patch


def test_the_page_shows_sample_neighbours_and_flipped_images(place, run):
    run(*place.edit())
    page = place.folder / "fix.html"
    folders = [
        "--neighbours",
        str(place.world(0)),
        "--locality",
        str(place.world(1)),
        "--image",
        str(place.image),
    ]
    words = ["report", str(place.folder / "fix.safetensors"), *place.model(), *folders, "-o", str(page)]
    assert run(*words)[0] == 0
    text = page.read_text()
    right = re.search(r"(\d+) of 11 right after the edit, (\d+) before", text)
    flipped = int(re.search(r"(\d+) of 12 images are taken for something else", text)[1])
    assert (
        right and text.count("<img ") == 1 + 11 + flipped and text.count("✗") == 11 - int(right[1]) + flipped
    )
    assert Patch.load(place.folder / "fix.safetensors").base in text
    assert "The locality above was measured on 48 rendered pictures." in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text), "nothing from elsewhere"
    assert run(*words)[0] == 2, "it exists"


def test_names_stay_text(place, run):
    classes, hostile = place.folder / "classes.txt", "<script>alert(1)</script>"
    classes.write_text("\n".join(f"{hostile}{number}" for number in range(5)))
    folder = place.folder / "more"
    folder.mkdir()
    shutil.copy(place.world(0) / "01.png", folder / "<b>&.png")
    run(*place.edit("--classes", str(classes)))
    page = place.folder / "fix.html"
    patch = str(place.folder / "fix.safetensors")
    words = [
        "report",
        patch,
        *place.model(),
        "--classes",
        str(classes),
        "--neighbours",
        str(folder),
        "-o",
        str(page),
    ]
    assert run(*words)[0] == 0
    assert "<script>alert" not in page.read_text() and "&lt;script&gt;" in page.read_text()
    assert "<b>&.png" not in page.read_text()
    others = ["--locality", str(place.world(0))]
    known = ["report", patch, *place.model(), "-o", str(page), "--force"]
    assert run(*known)[0] == 0 and "No picture is shown" in page.read_text()
    assert run(*known, *others)[0] == 0 and "--locality: 1 image is left out" in page.read_text()
    assert run(*known, "--image", str(place.image))[0] == 0
    assert f"<p>before: &lt;script&gt;alert(1)&lt;/script&gt;{place.predicted} (" in page.read_text()


def test_an_image_that_the_patch_was_not_made_from(place, run):
    run(*place.edit())
    words = [
        "report",
        str(place.folder / "fix.safetensors"),
        *place.model(),
        "-o",
        str(place.folder / "x.html"),
    ]
    code, _, complaint = run(*words, "--image", str(place.world(2) / "00.png"))
    assert code == 2 and "none of the images that the patch was made from" in complaint
    assert run(*words, "--image", str(place.folder / "absent.png"))[0] == 2
