"""Folders and zip files: the same images from both, none from outside."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import open_images
from vitedit.data.sources import is_inside
from vitedit.errors import ImageError

TRANSFORM = TransformConfig(size=12)


def picture(seed: int, width: int = 20, height: int = 14) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def fill(folder: Path) -> Path:
    for seed, name in enumerate(
        ["b/2.png", "a/10.png", "b/1.JPEG", "a/9.jpg", "a/.hidden.png", "__MACOSX/a/9.jpg"]
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / name)
    (folder / "a" / "notes.txt").write_text("no image")
    return folder


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*"), reverse=True):
            file.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def test_zip_and_folder_give_the_same_set(tmp_path: Path) -> None:
    folder = fill(tmp_path / "set")
    archive = pack(folder, tmp_path / "set.zip", "some/where/")
    one = open_images("one", ImagesConfig(path=folder))
    two = open_images("two", ImagesConfig(path=archive, folder="some/where"))
    assert one.files == two.files == ("a/10.png", "a/9.jpg", "b/1.JPEG", "b/2.png")
    assert one.labels is not None and two.labels is not None
    assert one.labels.tolist() == two.labels.tolist() == [0, 0, 1, 1]
    pixels = one.read(range(4), TRANSFORM)
    assert (pixels == two.read(range(4), TRANSFORM)).all()
    assert len({image.numpy().tobytes() for image in pixels}) == 4


def test_folder_inside_a_folder(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    images = open_images("x", ImagesConfig(path=tmp_path, folder="set/a", labels="none"))
    assert images.files == ("10.png", "9.jpg") and images.labels is None


def test_links_are_followed_and_cycles_end(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere")
    (tmp_path / "set" / "c").mkdir(parents=True)
    picture(7).save(tmp_path / "set" / "c" / "0.png")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere" / "a")
    (tmp_path / "set" / "c" / "loop").symlink_to(tmp_path / "set")
    assert open_images("x", ImagesConfig(path=tmp_path / "set")).files == (
        "c/0.png",
        "linked/10.png",
        "linked/9.jpg",
    )


@pytest.mark.parametrize("member", ["../a.png", "x/../../a.png", "/etc/a.png", "..\\a.png", "C:\\a.png"])
def test_archive_with_a_climbing_member_is_refused(tmp_path: Path, member: str) -> None:
    folder = fill(tmp_path / "set")
    archive = pack(folder, tmp_path / "set.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "a" / "10.png", "placeholder")
        file.infolist()[-1].filename = member  # write() itself would clean the name
    with pytest.raises(ImageError, match="climbs out"):
        open_images("x", ImagesConfig(path=archive))
    assert not is_inside(member)


@pytest.mark.parametrize("folder", ["..", "a/../..", "/etc"])
def test_configured_folder_stays_inside(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ImageError, match="leaves"):
        open_images("x", ImagesConfig(path=fill(tmp_path / "set"), folder=folder))


def test_dots_in_names_are_no_climbing(tmp_path: Path) -> None:
    assert is_inside("a..b/c...png") and is_inside("a/b.png") and is_inside("12:30.png")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"x" * 3000])
def test_damaged_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(ImageError, match=r"images\.mine: .*set\.zip is no readable folder or zip"):
        open_images("mine", ImagesConfig(path=tmp_path / "set.zip"))


def test_missing_set_names_set_path_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=r"images\.val: nothing at data/x\.zip\. `dvc pull`"):
        open_images("val", ImagesConfig(path=Path("data/x.zip")))
    with pytest.raises(ImageError, match=r"images\.val: nothing at photos\. Put or link") as caught:
        open_images("val", ImagesConfig(path=Path("photos")))
    assert "dvc" not in str(caught.value)


def test_set_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"images\.val: no images in .*empty"):
        open_images("val", ImagesConfig(path=tmp_path / "empty"))
    archive = pack(fill(tmp_path / "set"), tmp_path / "set.zip")
    with pytest.raises(ImageError, match=r"images\.val: no images in .*set\.zip/other"):
        open_images("val", ImagesConfig(path=archive, folder="other"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_archive_is_read_correctly_after_a_fork(tmp_path: Path) -> None:
    archive = pack(fill(tmp_path / "set"), tmp_path / "set.zip")
    images = open_images("x", ImagesConfig(path=archive))
    expected = [np.asarray(images.picture(at)).tobytes() for at in range(4)]
    child = os.fork()
    reads = [np.asarray(images.picture(at % 4)).tobytes() == expected[at % 4] for at in range(200)]
    reads.append(getattr(images.source, "_owner") == os.getpid())  # noqa: B009 (a race rarely shows itself)
    if child == 0:
        os._exit(0 if all(reads) else 1)
    assert all(reads) and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
