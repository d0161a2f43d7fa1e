"""The paper's sets of images, each as a small tree in its real layout: the same set from a folder, a zip and a tar file."""

import csv
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.errors import ImageError

TRANSFORM = TransformConfig(size=8)
TENCH, GOLDFISH, HEN, VOLLEYBALL = "n01440764", "n01443537", "n01514859", "n04540053"
INDICES = {TENCH: 0, GOLDFISH: 1, HEN: 8, VOLLEYBALL: 890}
LIGHTS = ("Default", "Blue", "Red")
FACTORS = {"world_name": "City", "character_scale": 1.0, "camera_yaw": 0, "character_texture": "Default"}

Tree = Callable[[Path], None]
Expected = dict[str, int] | list[str]


def write(root: Path, *names: str) -> None:
    """Images of different content and format, as each name says."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(crc32(name.encode()))
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(path)


def imagenet(root: Path) -> None:
    """Folder per WordNet id below train/ and val/; the class goldfish is missing in val/."""
    write(root, *(f"train/{wnid}/{wnid}_{at}.JPEG" for wnid in INDICES for at in (10026, 9)))
    write(
        root,
        *(f"val/{wnid}/ILSVRC2012_val_0000{at}.JPEG" for at, wnid in enumerate([TENCH, HEN, VOLLEYBALL])),
    )


def renditions(root: Path) -> None:
    """ImageNet-R: one top folder with some of the classes and a text beside them."""
    write(
        root, *(f"imagenet-r/{wnid}/{kind}_0.jpg" for wnid in (GOLDFISH, HEN) for kind in ("art", "tattoo"))
    )
    (root / "imagenet-r" / "README.txt").write_text("ImageNet-R")


def sketch(root: Path) -> None:
    """ImageNet-Sketch."""
    write(root, *(f"sketch/{wnid}/sketch_{at}.JPEG" for wnid in INDICES for at in range(2)))


def natural(root: Path) -> None:
    """The published natural subset: folders named by true index and more."""
    write(root, "Natural-Image-Subset/890_430/b.jpg", "Natural-Image-Subset/890_430/a.png")
    write(root, "Natural-Image-Subset/890_805/a.jpg", "Natural-Image-Subset/8_7/Huhn_größer.jpg")


def sensitive(root: Path) -> None:
    """The published locality set: a flat folder without labels."""
    write(root, "Sensitive-Images/2.JPEG", "Sensitive-Images/10.JPEG", "Sensitive-Images/sketch_1.png")


def star(root: Path) -> None:
    """ImageNet*: a folder for each shift, class folders below."""
    for shift in ("base", "oil_painting"):
        write(root, *(f"{shift}/{wnid}/{at}.jpg" for wnid in INDICES for at in (0, 1, 10)))


def pug(root: Path) -> None:
    """PUG: ImageNet: folders of factors."""
    write(root, *(f"Scene_Light/{at}_{light}.png" for at in range(4) for light in LIGHTS), "Worlds/0.png")


LAYOUTS: dict[str, tuple[Tree, dict[str, Any], Expected]] = {
    "imagenet-train": (
        imagenet,
        {"folder": "train"},
        {f"{wnid}/{wnid}_{at}.JPEG": index for wnid, index in INDICES.items() for at in (10026, 9)},
    ),
    "imagenet-val-without-goldfish": (
        imagenet,
        {"folder": "val/"},
        {
            f"{TENCH}/ILSVRC2012_val_00000.JPEG": 0,
            f"{HEN}/ILSVRC2012_val_00001.JPEG": 8,
            f"{VOLLEYBALL}/ILSVRC2012_val_00002.JPEG": 890,
        },
    ),
    "imagenet-r": (
        renditions,
        {"folder": "imagenet-r"},
        {f"{wnid}/{kind}_0.jpg": INDICES[wnid] for wnid in (GOLDFISH, HEN) for kind in ("art", "tattoo")},
    ),
    "sketch": (
        sketch,
        {"folder": "sketch"},
        {f"{wnid}/sketch_{at}.JPEG": index for wnid, index in INDICES.items() for at in range(2)},
    ),
    "natural": (
        natural,
        {"folder": "Natural-Image-Subset", "labels": "groups"},
        {"890_430/a.png": 890, "890_430/b.jpg": 890, "890_805/a.jpg": 890, "8_7/Huhn_größer.jpg": 8},
    ),
    "sensitive": (
        sensitive,
        {"folder": "Sensitive-Images", "labels": "none"},
        ["10.JPEG", "2.JPEG", "sketch_1.png"],
    ),
    "star": (
        star,
        {"folder": "oil_painting", "mask": "masks.npy", "mask_key": "oil_painting"},
        {f"{TENCH}/1.jpg": 0, f"{TENCH}/10.jpg": 0, f"{HEN}/0.jpg": 8, f"{VOLLEYBALL}/10.jpg": 890},
    ),
    "pug": (
        pug,
        {
            "labels": "csv",
            "csv": "labels_pug_imagenet.csv",
            "file_column": "filename",
            "label_column": "character_label",
            "rows": {"scene_light": "Blue", "camera_yaw": 0.0},
            "label_map": "class_to_imagenet_idx.json",
        },
        {"Scene_Light/0_Blue.png": 1, "Scene_Light/2_Blue.png": 890},
    ),
}


@pytest.fixture(scope="module")
def classes() -> list[str]:
    names = read_classes(Path("imagenet"))
    assert names is not None
    return names


def annotate(folder: Path) -> None:
    """What lies beside some of the sets: filter masks, a table, a map of classes."""
    flags = {(TENCH, 1), (TENCH, 10), (HEN, 0), (VOLLEYBALL, 10)}
    order = [(wnid, at) for wnid in INDICES for at in (0, 1, 10)]
    masks = {"base": np.ones(12, int), "oil_painting": np.array([int(place in flags) for place in order])}
    np.save(folder / "masks.npy", masks, allow_pickle=True)
    kinds = ("GoldFish", "Wolf", "Volley_Ball", "Elephant")
    meant = {
        "GoldFish": [1],
        "Wolf": [269, 270],
        "Volley_Ball": [890],
        "Elephant": [385, 386],
        "Bagel": [931],
    }
    (folder / "class_to_imagenet_idx.json").write_text(json.dumps(meant))
    rows = [
        {"filename": f"Scene_Light/{at}_{light}.png", "character_label": kind, "scene_light": light} | FACTORS
        for at, kind in enumerate(kinds)
        for light in LIGHTS
    ]
    with (folder / "labels_pug_imagenet.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def pack(folder: Path, archive: Path) -> Path:
    if archive.suffix == ".tar":
        with tarfile.open(archive, "w") as tar:
            tar.add(folder, ".")
        return archive
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    return archive


def configured(folder: Path, path: Path, settings: dict[str, Any]) -> ImagesConfig:
    """The set's configuration, written as YAML would be and read again."""
    beside = {key: folder / settings[key] for key in ("mask", "csv", "label_map") if key in settings}
    config = ImagesConfig.model_validate({"path": path, **settings, **beside})
    assert ImagesConfig.model_validate(config.model_dump(mode="json")) == config
    assert set(config.files) == {path, *beside.values()}
    return config


def content(images: ImageSet) -> Expected:
    if images.labels is None:
        return list(images.files)
    return dict(zip(images.files, images.labels.tolist(), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_the_same_from_folder_zip_and_tar(tmp_path: Path, classes: list[str], layout: str):
    tree, settings, expected = LAYOUTS[layout]
    tree(tmp_path / "set")
    annotate(tmp_path)
    places = [
        tmp_path / "set",
        *(pack(tmp_path / "set", tmp_path / f"set.{kind}") for kind in ("zip", "tar")),
    ]
    sets = [open_images(layout, configured(tmp_path, place, settings), classes) for place in places]
    pixels = [images.read(range(len(images)), TRANSFORM) for images in sets]
    for images, read in zip(sets, pixels, strict=True):
        assert content(images) == expected and list(images.files) == sorted(expected)
        assert (read == pixels[0]).all()
    assert len({image.numpy().tobytes() for image in pixels[0]}) == len(expected)


@pytest.mark.parametrize("names", [["a", "a b", "a-c", "B"], ["10", "2", "1"], [TENCH, HEN, GOLDFISH]])
def test_a_mask_counts_images_as_torchvision_does(tmp_path: Path, names: list[str]):
    """Class folders in order, then their files: `a/x` comes before `a b/x`, though not as text."""
    write(
        tmp_path / "set", *(f"{name}/{file}" for name in names for file in ("2.jpg", "10.jpg", "sub/1.jpg"))
    )
    order = [
        Path(path).relative_to(tmp_path / "set").as_posix()
        for path, _ in ImageFolder(tmp_path / "set").samples
    ]
    for at, file in enumerate(order):
        np.save(tmp_path / "m.npy", np.eye(len(order), dtype=np.uint8)[at])
        images = open_images("x", ImagesConfig(path=tmp_path / "set", labels="none", mask=tmp_path / "m.npy"))
        assert images.files == (file,)


def test_a_mask_does_not_shift_indices(tmp_path: Path):
    write(tmp_path / "set", "cat/0.png", "dog/0.png", "owl/0.png")
    np.save(tmp_path / "m.npy", np.array([False, True, True]))
    images = open_images("x", ImagesConfig(path=tmp_path / "set", mask=tmp_path / "m.npy"))
    assert content(images) == {"dog/0.png": 1, "owl/0.png": 2}


class Trap:
    """Divides by zero when it is unpickled."""

    def __reduce__(self):
        return (eval, ("1 / 0",))


@pytest.mark.parametrize(
    ("mask", "key", "message"),
    [
        (
            {"fog": np.ones(4, int)},
            "fog",
            r"m\.npy has 4 entries for 3 images.*incomplete, or the mask that of another",
        ),
        (
            {"fog": np.ones(3, int)},
            "rain",
            r"images\.x: mask .*m\.npy: has no array 'rain' \(`mask_key`\), only fog",
        ),
        ({"fog": np.ones(3, int), "trap": Trap()}, "fog", r"mask .*m\.npy: names `builtins\.eval`"),
        (np.zeros(3, int), "", r"leave no image of 3"),
        (None, "", r"mask .*m\.npy: .*No such file.*Put or link"),
    ],
)
def test_a_mask_that_does_not_fit(tmp_path: Path, mask: Any, key: str, message: str):
    write(tmp_path / "set", "cat/0.png", "dog/0.png", "owl/0.png")
    if mask is not None:
        np.save(tmp_path / "m.npy", mask, allow_pickle=True)
    config = ImagesConfig(path=tmp_path / "set", mask=tmp_path / "m.npy", mask_key=key)
    with pytest.raises(ImageError, match=message):
        open_images("x", config)


def test_a_top_folder_that_is_not_configured(tmp_path: Path, classes: list[str]):
    sketch(tmp_path / "set")
    archive = pack(tmp_path / "set", tmp_path / "set.zip")
    with pytest.raises(ImageError, match=r"first 'sketch'.* set `folder: sketch`"):
        open_images("sketch", ImagesConfig(path=archive), classes)


def test_a_missing_class_moves_no_other(tmp_path: Path, classes: list[str]):
    """All of ImageNet's class folders but one: indices come from the ids, and without them the set is refused."""
    wnids = [line.split()[0] for line in classes]
    write(tmp_path / "set", *(f"{wnid}/0.png" for wnid in wnids[:3] + wnids[4:]))
    images = open_images("val", ImagesConfig(path=tmp_path / "set"), classes)
    assert images.labels is not None and images.labels.tolist() == [at for at in range(1000) if at != 3]
    with pytest.raises(ImageError, match=r"999 class folders.*`classes: imagenet`"):
        open_images("val", ImagesConfig(path=tmp_path / "set"))
