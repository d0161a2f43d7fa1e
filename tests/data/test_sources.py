"""Folders, zip and tar files: the same images from all, none from outside."""

import io
import os
import re
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
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
    """A zip or tar file of a folder, as the archive's name says, in an order of its own."""
    members = sorted(folder.rglob("*"), reverse=True)
    if archive.suffix == ".tar":
        with tarfile.open(archive, "w") as tar:
            for path in members:
                tar.add(path, prefix + path.relative_to(folder).as_posix(), recursive=False)
        return archive
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in members:
            file.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def tar_of(archive: Path, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(archive, "w") as tar:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return archive


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
@pytest.mark.parametrize("prefix", ["some/where/", ""])
def test_archive_and_folder_give_the_same_set(tmp_path: Path, kind: str, prefix: str) -> None:
    folder = fill(tmp_path / "set")
    archive = pack(folder, tmp_path / kind, prefix)
    one = open_images("one", ImagesConfig(path=folder))
    two = open_images("two", ImagesConfig(path=archive, folder=prefix))
    assert one.files == two.files == ("a/10.png", "a/9.jpg", "b/1.JPEG", "b/2.png")
    assert one.labels is not None and two.labels is not None
    assert one.labels.tolist() == two.labels.tolist() == [0, 0, 1, 1]
    pixels = one.read(range(4), TRANSFORM)
    assert (pixels == two.read(range(4), TRANSFORM)).all()
    assert len({image.numpy().tobytes() for image in pixels}) == 4


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_in_every_form_of_tar(tmp_path: Path, form: int) -> None:
    names = ["n01/été_Ä_猫.png", "n01/" + "x" * 95 + ".png"]
    folder = tmp_path / "set"
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / name)
    with tarfile.open(tmp_path / "set.tar", "w", format=form) as tar:
        tar.add(folder, ".")
    archive, plain = (
        open_images("x", ImagesConfig(path=tmp_path / name, labels="none")) for name in ("set.tar", "set")
    )
    assert set(archive.files) == set(plain.files) == set(names)
    assert (archive.read([0, 1], TRANSFORM) == plain.read([0, 1], TRANSFORM)).all()


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / kind
    for seed in range(2):
        picture(seed).save(tmp_path / f"{seed}.png")
    if kind.endswith("tar"):
        with tarfile.open(archive, "w") as tar:
            for seed in range(2):
                tar.add(tmp_path / f"{seed}.png", "a/same.png")
    else:
        with zipfile.ZipFile(archive, "w") as file, pytest.warns(UserWarning, match="Duplicate name"):
            for seed in range(2):
                file.write(tmp_path / f"{seed}.png", "a/same.png")
    images = open_images("x", ImagesConfig(path=archive))
    assert images.files == ("a/same.png",) and images.picture(0).tobytes() == picture(1).tobytes()


def test_an_archive_that_changes_is_read_anew(tmp_path: Path) -> None:
    for count in (1, 2):
        archive = tar_of(tmp_path / "set.tar", *(member(f"{at}.png") for at in range(count)))
        os.utime(archive, ns=(count, count))
        assert len(open_images("x", ImagesConfig(path=archive, labels="none"))) == count


def test_links_inside_a_tar_lead_to_its_files(tmp_path: Path) -> None:
    picture(3).save(tmp_path / "0.png")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.addfile(member("b/soft.png", tarfile.SYMTYPE, "../a/hard.png"))
        tar.add(tmp_path / "0.png", "a/0.png")
        tar.addfile(member("a/hard.png", tarfile.LNKTYPE, "a/0.png"))
    images = open_images("x", ImagesConfig(path=tmp_path / "set.tar"))
    assert images.files == ("a/0.png", "a/hard.png", "b/soft.png")
    assert {images.picture(at).tobytes() for at in range(3)} == {picture(3).tobytes()}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("../a.png")], "'../a.png' climbs out"),
        ([member("x/../../a.png")], "climbs out"),
        ([member("/etc/a.png")], "'/etc/a.png' climbs out"),
        ([member("..\\a.png")], "climbs out"),
        ([member("a/x.png", tarfile.SYMTYPE, "../../x.png")], "link 'a/x.png' climbs out"),
        ([member("x.png", tarfile.SYMTYPE, "/etc/hostname")], "link 'x.png' climbs out"),
        ([member("a/x.png", tarfile.LNKTYPE, "../x.png")], "link 'a/x.png' climbs out"),
        ([member("x.png", tarfile.SYMTYPE, "y.png")], "link 'x.png' leads to no file"),
        (
            [member("x.png", tarfile.SYMTYPE, "y.png"), member("y.png", tarfile.SYMTYPE, "x.png")],
            "leads to no file",
        ),
    ],
)
def test_tar_with_a_member_that_leads_out_is_refused(
    tmp_path: Path, members: list[tarfile.TarInfo], message: str
) -> None:
    archive = tar_of(tmp_path / "set.tar", member("0.png"), *members)
    with pytest.raises(
        ImageError, match=rf"images\.x: .*set\.tar is no readable .*tar file.*{re.escape(message)}"
    ):
        open_images("x", ImagesConfig(path=archive, labels="none"))


@pytest.mark.parametrize("cut", [512 * 3 + 100, 512 * 6, 512 * 4 + 3, 512 * 6 + 20])
def test_an_incomplete_tar_is_refused(tmp_path: Path, cut: int) -> None:
    archive = tar_of(tmp_path / "set.tar", *(member(f"{at}.png") for at in range(4)), content=b"x" * 700)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:cut])
    with pytest.raises(ImageError, match=r"images\.x: .*set\.tar is no readable"):
        open_images("x", ImagesConfig(path=archive, labels="none"))
    damaged = bytearray(whole)
    damaged[512 * 3 : 512 * 3 + 40] = b"?" * 40  # the second header; tarfile would stop there without a word
    archive.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"no readable member and no end of archive at byte 1,536"):
        open_images("x", ImagesConfig(path=archive, labels="none"))


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_corrupt_member_is_named_when_it_is_read(tmp_path: Path, kind: str) -> None:
    folder = fill(tmp_path / "set")
    archive = pack(folder, tmp_path / kind)
    content = bytearray(archive.read_bytes())
    inside = (folder / "a" / "9.jpg").read_bytes()
    start = content.find(inside) if kind.endswith("tar") else content.find(b"a/9.jpg") + 20
    content[start : start + 60] = bytes(60)
    archive.write_bytes(content)
    images = open_images("mine", ImagesConfig(path=archive))
    assert images.files[1] == "a/9.jpg" and images.picture(0).size == (20, 14)
    with pytest.raises(ImageError, match=r"images\.mine: a/9\.jpg is missing or no readable image"):
        images.picture(1)


def test_an_absent_member_of_a_tar(tmp_path: Path) -> None:
    images = open_images("x", ImagesConfig(path=pack(fill(tmp_path / "set"), tmp_path / "set.tar")))
    with pytest.raises(OSError, match="no such member"):
        images.source.read("a/11.png")
    images.source.path.write_bytes(images.source.path.read_bytes()[:900])
    with pytest.raises(ImageError, match="ends before this member"):
        images.picture(0)


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tgz", "set.TAR.XZ"])
def test_a_compressed_tar_says_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ImageError, match=r"compressed as a whole.*Unpack it, or decompress it to a \.tar"):
        open_images("x", ImagesConfig(path=tmp_path / name))


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
@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_archive_is_read_correctly_after_a_fork_and_in_threads(tmp_path: Path, kind: str) -> None:
    images = open_images("x", ImagesConfig(path=pack(fill(tmp_path / "set"), tmp_path / kind)))
    expected = [np.asarray(images.picture(at)).tobytes() for at in range(4)]
    child = os.fork()
    reads = [np.asarray(images.picture(at % 4)).tobytes() == expected[at % 4] for at in range(200)]
    if kind.endswith("zip"):
        reads.append(getattr(images.source, "_owner") == os.getpid())  # noqa: B009 (a race rarely shows itself)
    if child == 0:
        os._exit(0 if all(reads) else 1)
    assert all(reads) and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda at: images.picture(at % 4).tobytes() == expected[at % 4], range(100)))
