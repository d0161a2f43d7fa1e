"""Decoding, resizing and labels of image sets."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import open_images, read_classes, read_files, read_picture
from vitedit.errors import ConfigError, ImageError, UnknownNameError

PLAIN = TransformConfig(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def noise(seed: int, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def single(tmp_path: Path, content: bytes | Image.Image, name: str = "0.png") -> Image.Image:
    """The one image of a set, written as given and read back."""
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        content.save(tmp_path / name)
    return open_images("one", ImagesConfig(path=tmp_path, labels="none")).picture(0)


@pytest.mark.parametrize("size", [(31, 57), (57, 31), (40, 40), (16, 90), (9, 13)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [None, 21])
def test_read_equals_torchvision(
    tmp_path: Path, size: tuple[int, int], interpolation: str, resize: int | None
) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    transform = TransformConfig.model_validate(
        {"resize": resize, "size": 16, "interpolation": interpolation, "mean": mean, "std": std}
    )
    original = noise(1, *size)
    original.save(tmp_path / "0.png")
    reference = v2.Compose(
        [
            v2.Resize(resize or 16, InterpolationMode(interpolation), antialias=True),
            v2.CenterCrop(16),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )
    images = open_images("x", ImagesConfig(path=tmp_path, labels="none")).read([0], transform)
    assert images.shape == (1, 3, 16, 16) and images.dtype == torch.float32
    torch.testing.assert_close(images[0], reference(original), atol=1e-6, rtol=0)


def test_an_image_of_the_input_size_is_not_resampled(tmp_path: Path) -> None:
    original = noise(2, 8, 8)
    original.save(tmp_path / "0.png")
    read = open_images("x", ImagesConfig(path=tmp_path, labels="none")).read([0], PLAIN)
    assert (read[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8).tobytes() == np.asarray(
        original
    ).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    upright = noise(4, 6, 4)
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # how the camera stored it: inverse of what a viewer does
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "0.png", exif=exif)
    read = open_images("x", ImagesConfig(path=tmp_path, labels="none")).picture(0)
    assert read.size == (6, 4) and read.tobytes() == upright.tobytes()


def test_grey_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.arange(0, 65536, 1024).astype(np.uint16).reshape(8, 8)
    read = np.asarray(single(tmp_path, Image.fromarray(grey)))
    expected = np.round(grey / 257).astype(np.uint8)
    assert (read == expected[..., None]).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA"])
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = noise(5, 9, 7).convert("L").convert(mode, dither=Image.Dither.NONE)
    read = single(tmp_path, grey)
    assert read.mode == "RGB" and read.size == (9, 7)
    levels = np.asarray(read)
    assert (levels[..., 0] == levels[..., 1]).all() and (levels[..., 0] == levels[..., 2]).all()
    assert (levels[..., 0] == np.asarray(grey.convert("L"))).all()


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    flat = Image.new("RGB", (16, 16), (200, 30, 60))
    read = np.asarray(single(tmp_path, flat.convert("CMYK"), "0.jpg"))
    assert read.shape == (16, 16, 3) and np.abs(read.mean(axis=(0, 1)) - (200, 30, 60)).max() < 6


@pytest.mark.parametrize("transparency", [3, bytes([0, 128] * 8)])
def test_transparent_palettes_keep_their_colours(tmp_path: Path, transparency: int | bytes) -> None:
    colours = noise(9, 8, 8).quantize(16)
    colours.save(tmp_path / "0.png", transparency=transparency)
    read = open_images("x", ImagesConfig(path=tmp_path, labels="none")).picture(0)
    assert read.tobytes() == colours.convert("RGB").tobytes()


@pytest.mark.parametrize("kind", ["gif", "png", "tiff"])
def test_of_an_animated_image_the_first_frame_counts(tmp_path: Path, kind: str) -> None:
    frames = [noise(seed, 9, 7).quantize(32) for seed in range(3)]
    frames[0].save(tmp_path / f"0.{kind}", save_all=True, append_images=frames[1:])
    read = open_images("x", ImagesConfig(path=tmp_path, labels="none")).picture(0)
    assert read.mode == "RGB" and read.tobytes() == frames[0].convert("RGB").tobytes()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    noise(6, 64, 64).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image at all",
        encoded("JPEG")[:-900],
        encoded("PNG")[:600],
        encoded("PNG")[:60] + bytes(5000),
    ],
    ids=["empty", "text", "truncated-jpeg", "truncated-png", "corrupt-png"],
)
def test_unreadable_images_name_file_and_set(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ImageError, match=r"images\.one: bad\.png "):
        single(tmp_path, content, "bad.png")
    with pytest.raises(ImageError, match=r"bad\.png"):
        read_picture(tmp_path / "bad.png")


def test_decompression_bomb_is_an_image_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="decompression bomb"):
        single(tmp_path, noise(7, 60, 60))


def test_image_deleted_after_listing(tmp_path: Path) -> None:
    noise(8, 9, 9).save(tmp_path / "gone.png")
    images = open_images("x", ImagesConfig(path=tmp_path, labels="none"))
    (tmp_path / "gone.png").unlink()
    with pytest.raises(ImageError, match=r"images\.x: gone\.png"):
        images.read([0], PLAIN)


def test_threads_read_what_one_thread_reads(tmp_path: Path) -> None:
    for seed in range(6):
        noise(seed, 20, 12).save(tmp_path / f"{seed}.png")
    images = open_images("x", ImagesConfig(path=tmp_path, labels="none"))
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: images.read([at % 6], PLAIN), range(60)))
    assert (torch.cat(parts) == images.read([at % 6 for at in range(60)], PLAIN)).all()


def test_read_files_follows_the_manifest(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        for seed in range(3):
            noise(seed + 10 * (place == "two"), 9, 9).save(tmp_path / place / f"{seed}.png")
    config = {place: ImagesConfig(path=tmp_path / place, labels="none") for place in ("one", "two")}
    read = read_files(config, ["two", "one", "two"], ["2.png", "0.png", "0.png"], PLAIN)
    one, two = (open_images(place, config[place]) for place in ("one", "two"))
    assert (read == torch.cat([two.read([2], PLAIN), one.read([0], PLAIN), two.read([0], PLAIN)])).all()
    assert read_files(config, [], [], PLAIN).shape == (0, 3, 8, 8)
    with pytest.raises(UnknownNameError, match=r"images\.three: not defined; defined: one, two"):
        read_files(config, ["three"], ["0.png"], PLAIN)
    with pytest.raises(ImageError, match=r"images\.one: \.\./two/0\.png .*leaves the folder"):
        read_files(config, ["one"], ["../two/0.png"], PLAIN)


def test_labels_from_class_folders(tmp_path: Path) -> None:
    for name in ("zebra", "n02 ant", "cat"):
        (tmp_path / name).mkdir()
        noise(1, 9, 9).save(tmp_path / name / "0.png")
    config = ImagesConfig(path=tmp_path)

    def labels(classes: list[str] | None) -> list[int]:
        found = open_images("x", config, classes).labels
        assert found is not None
        return found.tolist()

    assert labels(None) == [0, 1, 2]
    assert labels(["zebra", "dog", "cat", "n02 ant"]) == [2, 3, 0]
    with pytest.raises(ImageError, match=r"1 class folders fit no class or several, first 'cat'"):
        labels(["zebra", "n02 ant", "dog"])
    noise(1, 9, 9).save(tmp_path / "loose.png")
    with pytest.raises(ImageError, match=r"loose\.png lies in no class folder"):
        labels(None)


def test_class_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("disc spotted\nring\n\n")
    assert read_classes(path) == ["disc spotted", "ring"] and read_classes(None) is None
    for content, message in (("a\n\nb\n", "empty line"), ("", "empty line")):
        path.write_text(content)
        with pytest.raises(ConfigError, match=message):
            read_classes(path)
    with pytest.raises(ConfigError, match=r"none\.txt cannot be read"):
        read_classes(tmp_path / "none.txt")


def csv_labels(tmp_path: Path, text: str) -> tuple[tuple[str, ...], list[int]]:
    for name in ("b/1.png", "a/0.png", "c.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        noise(1, 9, 9).save(tmp_path / "set" / name)
    (tmp_path / "t.csv").write_text(text)
    config = ImagesConfig.model_validate(
        {
            "path": tmp_path / "set",
            "labels": "csv",
            "csv": tmp_path / "t.csv",
            "file_column": "image",
            "label_column": "class",
        }
    )
    images = open_images("x", config, classes=["ignored"])
    assert images.labels is not None
    return images.files, images.labels.tolist()


def test_a_part_of_a_set_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    whole = {"path": tmp_path, "labels": "none"}
    assert len(open_images("x", ImagesConfig.model_validate(whole | {"min_images": 2}))) == 2
    with pytest.raises(ImageError, match=r"images\.x: 2 images in .*, 3 are needed \(`min_images`\)"):
        open_images("x", ImagesConfig.model_validate(whole | {"min_images": 3}))


def test_labels_from_a_table(tmp_path: Path) -> None:
    files, labels = csv_labels(tmp_path, "\ufeffclass,image,more\n7,b/1.png,x\n812,a/0.png,y\n")
    assert files == ("a/0.png", "b/1.png") and labels == [812, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,image\n7,d.png\n", r"t\.csv, line 2: no image 'd\.png'"),
        ("class,image\n7,c.png\n8,../set/c.png\n", r"line 3: no image"),
        ("class,image\n7,c.png\n7,c.png\n", r"line 3: 'c\.png' is listed twice"),
        ("class,image\nring,c.png\n", r"line 2: 'ring' in column `class` is no class index"),
        ("class,image\n-1,c.png\n", r"'-1' in column"),
        ("label,image\n1,c.png\n", r"no column 'class', only label, image"),
        ("class,image\n", r"has no rows"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        csv_labels(tmp_path, text)


def test_imagenets_names_come_with_their_wordnet_ids():
    names = read_classes(Path("imagenet"))
    assert names is not None and len(names) == 1000
    assert names[890].startswith("n04540053 volleyball") and names[430].startswith("n02802426 basketball")
