"""Images, whatever their bytes."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from damage import FUZZ, Damage, damages, outcome
from hypothesis import given
from PIL import Image

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data import images, sources
from vitedit.data.images import open_images, read_picture
from vitedit.errors import ImageError

TRANSFORM = TransformConfig(size=12)
FORMATS = {
    "BMP": "RGB",
    "GIF": "P",
    "JPEG": "RGB",
    "PNG": "RGBA",
    "PPM": "RGB",
    "TIFF": "I;16",
    "WEBP": "RGB",
}


def encoded(kind: str) -> bytes:
    """A small picture with what a decoder has to interpret: a palette, transparency, an orientation."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    picture = Image.fromarray(pixels)
    picture = (
        Image.fromarray(pixels[..., 0].astype(np.uint16))
        if kind == "TIFF"
        else picture.convert(FORMATS[kind])
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP") else {}
    with io.BytesIO() as file:
        picture.save(file, kind, **more)
        return file.getvalue()


WHOLE = {kind: encoded(kind) for kind in FORMATS}


def only(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.png").write_bytes(content)
    return folder


def read(folder: Path) -> object:
    return open_images("x", ImagesConfig(path=folder, labels="none")).read([0], TRANSFORM)


@pytest.mark.parametrize("kind", FORMATS)
@FUZZ
@given(damage=damages())
def test_damaged(tmp_path: Path, kind: str, damage: Damage) -> None:
    folder = only(tmp_path / "set", damage(WHOLE[kind]))
    outcome(lambda: read(folder))


@pytest.mark.parametrize("kind", FORMATS)
def test_these_pictures_are_read_where_they_are_whole(tmp_path: Path, kind: str) -> None:
    assert read_picture(only(tmp_path, WHOLE[kind]) / "a.png").size in ((14, 9), (9, 14))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, content: bytes = b"") -> bytes:
    """A grey picture that says to be of some size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(content))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(9_500, 9_500), (40_000, 40_000), (2**31 - 1, 2**31 - 1), (30_000, 2), (1, 101)],
)
def test_sizes_that_would_fill_the_memory_are_refused_before_decoding(
    tmp_path: Path, width: int, height: int
) -> None:
    found = outcome(lambda: read(only(tmp_path / "set", png(width, height, bytes(100)))))
    assert isinstance(found, ImageError) and "a.png" in str(found)
    assert "the longer side may be" in str(found) or "pixels" in str(found)


def test_the_bounds_leave_room_for_photographs(tmp_path: Path) -> None:
    assert images.MOST_PIXELS > 9331 * 6530  # larger than any of ImageNet
    assert outcome(lambda: read(only(tmp_path, png(3, 300, bytes(4 * 300))))).shape == (1, 3, 12, 12)


def test_postscript_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow starts Ghostscript for a file that begins so, whatever its name."""
    ran = tmp_path / "ran"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    found = outcome(lambda: read(only(tmp_path / "set", script)))
    assert isinstance(found, ImageError) and "no readable image" in str(found)
    assert not ran.exists()


def test_a_pipe_is_not_waited_for_and_a_large_file_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.png")
    found = outcome(lambda: read(tmp_path))
    assert isinstance(found, ImageError) and "there is no such file" in str(found)
    (tmp_path / "a.png").unlink()
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(sources.MOST_BYTES + 1)
    found = outcome(lambda: read(tmp_path))
    assert isinstance(found, ImageError) and "268,435,457 bytes" in str(found)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    only(tmp_path, WHOLE["PNG"]).joinpath("a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    found = outcome(lambda: read(tmp_path))
    assert isinstance(found, ImageError) and r"'\udcff.png' is not UTF-8" in str(found)
