"""Zip and tar files, whatever their headers say."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import FUZZ, Damage, damages, lean, outcome
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import open_images
from vitedit.data.sources import MOST_BYTES
from vitedit.data.tar import MOST_LINKS
from vitedit.errors import ImageError

TRANSFORM = TransformConfig(size=4)
NAMES = ("0/a.png", "0/b.png", "1/" + 120 * "long" + ".png")
KINDS = ("deflated.zip", "stored.zip", "pax.tar", "gnu.tar")


def picture() -> bytes:
    with io.BytesIO() as file:
        Image.new("L", (5, 5), 77).save(file, "PNG")
        return file.getvalue()


PNG = picture()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for member, content in members:
            member.size = member.size or len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def plain() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(tarfile.TarInfo(name), PNG) for name in NAMES]


WHOLE = {
    "deflated.zip": zipped(dict.fromkeys(NAMES, PNG)),
    "stored.zip": zipped(dict.fromkeys(NAMES, PNG), zipfile.ZIP_STORED),
    "pax.tar": tarred(plain()),
    "gnu.tar": tarred(plain(), tarfile.GNU_FORMAT),
}


def read(path: Path) -> list[object]:
    """Every image, or the error that reading it gives."""
    images = open_images("x", ImagesConfig(path=path, labels="none"))
    return [outcome(lambda at=at: images.read([at], TRANSFORM)) for at in range(len(images))]


def read_bytes(folder: Path, kind: str, content: bytes) -> object:
    path = folder / kind
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return outcome(lambda: read(path))


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(damage=damages())
def test_damaged(tmp_path: Path, kind: str, damage: Damage) -> None:
    before = sorted(tmp_path.parent.rglob("*"))
    read_bytes(tmp_path, kind, damage(WHOLE[kind]))
    assert sorted({*tmp_path.parent.rglob("*")} - {tmp_path / kind}) == [
        p for p in before if p != tmp_path / kind
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_these_archives_are_read_where_they_are_whole(tmp_path: Path, kind: str) -> None:
    found = read_bytes(tmp_path, kind, WHOLE[kind])
    assert isinstance(found, list) and [one.shape for one in found] == 3 * [(1, 3, 4, 4)]


@FUZZ
@given(names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=4))
def test_names_of_members_are_never_paths(tmp_path: Path, names: list[str]) -> None:
    members = {f"{name}.png": PNG for name in names}
    content = tarred([(tarfile.TarInfo(name), PNG) for name in members])
    for kind, archive in (("names.zip", zipped(members)), ("names.tar", content)):
        read_bytes(tmp_path, kind, archive)
    assert {path.name for path in tmp_path.iterdir()} == {"names.zip", "names.tar"}


@pytest.mark.parametrize(
    ("method", "words"),
    [(zipfile.ZIP_DEFLATED, "268,435,457 bytes"), (zipfile.ZIP_BZIP2, "compressed in a way")],
)
def test_a_member_that_unpacks_without_end(tmp_path: Path, method: int, words: str) -> None:
    """Where the archive says that it has 100 bytes, Python would unpack all the same."""
    content, size = zipped({"0/a.png": bytes(MOST_BYTES + 1)}, method), struct.pack("<I", MOST_BYTES + 1)
    (tmp_path / "honest.zip").write_bytes(content)
    (tmp_path / "lying.zip").write_bytes(content.replace(size, struct.pack("<I", 100)))
    for name in ("honest.zip", "lying.zip"):
        found = lean(lambda name=name: read(tmp_path / name))
        assert isinstance(found, list) and isinstance(found[0], ImageError)
        assert name == "lying.zip" or words in str(found[0])


def test_a_member_of_a_tar_file_larger_than_any_image(tmp_path: Path) -> None:
    member = tarfile.TarInfo("0/a.png")
    content = tarred([(member, PNG)])
    member.size = 2**40
    header = member.tobuf(tarfile.GNU_FORMAT)
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(header + content[512:1024])
        file.truncate(2**40 + 2**20)  # of holes
    found = lean(lambda: read(tmp_path / "x.tar"))
    assert isinstance(found, list) and "1,099,511,627,776 bytes" in str(found[0])


def pax(records: bytes, member: bytes = b"") -> bytes:
    head = tarfile.TarInfo("PaxHeaders/a")
    head.type, head.size = tarfile.XHDTYPE, len(records)
    padded = records + bytes(-len(records) % 512)
    return head.tobuf(tarfile.USTAR_FORMAT) + padded + member + bytes(1024)


def negative() -> bytes:
    """A member that ends before it begins: Python lists it again and again."""
    member = tarfile.TarInfo("0/a.png")
    head = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256
    total = sum(head[:148]) + sum(head[156:512]) + 8 * 32
    head[148:156] = b"%06o\0 " % total
    return bytes(head) + bytes(2048)


def links(count: int) -> bytes:
    """Links that lead to each other."""
    members = []
    for at in range(count):
        link = tarfile.TarInfo(f"{at}.png")
        link.type, link.linkname = tarfile.SYMTYPE, f"{at + 1}.png"
        members.append((link, b""))
    return tarred([*members, (tarfile.TarInfo(f"{count}.png"), PNG)], tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (negative, "damaged"),
        (lambda: pax(b"14 size=-1024\n", tarfile.TarInfo("a.png").tobuf()), "ends before"),
        (lambda: pax(b"1" * 200_000), "a header of 200,000 bytes"),
        (lambda: pax(b"") * 2000, "tar file"),
        (lambda: links(3 * MOST_LINKS), "leads to no file"),
        (lambda: links(20_000), "leads to no file"),
    ],
    ids=["negative", "negative in words", "digits", "nested", "links", "many links"],
)
def test_headers_that_would_be_read_for_ever(
    tmp_path: Path, content: Callable[[], bytes], words: str
) -> None:
    found = read_bytes(tmp_path, "x.tar", content())
    assert isinstance(found, ImageError) and words in str(found)


def test_a_chain_of_a_few_links_is_followed(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, "x.tar", links(5))
    assert (
        isinstance(found, list) and len(found) == 6 and not any(isinstance(one, ImageError) for one in found)
    )
