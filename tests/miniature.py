"""A miniature of every data set of the paper run, in the layout of the real one, and checkpoints with random weights.

`python tests/miniature.py FOLDER` writes it below FOLDER/paper; docs/paper-run.md runs the whole workflow on it.
"""

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data.imagenet_info import ImageNetInfo

from vitedit.config import Config, ModelConfig
from vitedit.config_files import load
from vitedit.data.images import fit, normalize
from vitedit.model.vit import build_vit, load_vit

PUG = {"Volley_Ball": [890], "Shovel": [792], "Fox": [277, 278, 279, 280]}
"""Names of PUG and their ImageNet indices: a fox is four classes, so it is left out."""


def write(folder: Path, config: Config, seed: int = 0) -> None:
    """Writes weights and images for a configuration of the paper run; all paths of it are below `folder`."""
    for name, settings in config.models.items():
        _checkpoint(folder / settings.checkpoint, settings, sum(map(ord, name)))
    base = config.models[config.backbones[0]]
    drawn = _photographs(folder / base.checkpoint, base, np.random.default_rng(seed))
    paper = folder / "paper"
    _class_folders(paper / "imagenet/train", drawn, 24)
    _class_folders(paper / "imagenet/val", drawn, 12)
    _renditions(paper / "imagenet-r.tar", drawn)
    with ZipFile(paper / "ImageNet-Sketch.zip", "w") as sketches:
        for at, (content, label) in _some(drawn, 6):
            sketches.writestr(f"sketch/{wnid(label)}/sketch_{at}.JPEG", content)
    _groups(paper / "Natural-Image-Subset.zip", drawn)
    with ZipFile(paper / "Sensitive-Images.zip", "w") as sensitive:
        for at, (content, _) in _some(drawn, 5):
            sensitive.writestr(f"{at}.jpg", content)
    _star(paper / "imagenet_star", drawn)
    _pug(paper, drawn)


def wnid(label: int) -> str:
    """WordNet id of a class of ImageNet-1k."""
    return ImageNetInfo().label_names()[label]


Drawn = Iterator[tuple[bytes, int]]
"""JPEG files, each with the class that the base model sees in it."""


def _checkpoint(path: Path, settings: ModelConfig, seed: int) -> None:
    """Random weights, with a head that tells images apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = build_vit(settings)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5)
    save_file(model.state_dict(), path)


def _photographs(checkpoint: Path, settings: ModelConfig, rng: np.random.Generator) -> Drawn:
    model = load_vit(settings, checkpoint, torch.device("cpu"))
    while True:
        blocks = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        file = io.BytesIO()
        blocks.resize((300, 260), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        with Image.open(file) as picture, torch.no_grad():
            pixels = np.stack([fit(picture.convert("RGB"), settings.transform)])
            label = model(normalize(pixels, settings.transform)).argmax(-1).item()
        yield file.getvalue(), int(label)


def _some(drawn: Drawn, count: int) -> Iterator[tuple[int, tuple[bytes, int]]]:
    return zip(range(count), drawn, strict=False)


def _class_folders(folder: Path, drawn: Drawn, count: int) -> None:
    """ImageNet's layout: one folder a WordNet id; the model gets every image right."""
    for at, (content, label) in _some(drawn, count):
        file = folder / wnid(label) / f"{folder.name}_{at:08d}.JPEG"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _renditions(path: Path, drawn: Drawn) -> None:
    with tarfile.open(path, "w") as archive:
        for at, (content, label) in _some(drawn, 6):
            member = tarfile.TarInfo(f"imagenet-r/{wnid(label)}/art_{at}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _groups(path: Path, drawn: Drawn) -> None:
    """Group folders that begin with the index of the true class, which the model misses."""
    with ZipFile(path, "w") as archive:
        for group, true in {"890_430": 890, "792_694": 792, "430_890": 430}.items():
            for at, (content, label) in _some(drawn, 4):
                assert label != true
                archive.writestr(f"{group}/photo {at}.jpg", content)


def _star(folder: Path, drawn: Drawn) -> None:
    """ImageNet*: class folders, and a pickled mapping of shifts to one 0 or 1 an image."""
    folder.mkdir(parents=True)
    kept = [1, 1, 0, 1, 1, 1] * 2
    with ZipFile(folder / "oil_painting.zip", "w") as archive:
        for at, (content, _) in _some(drawn, len(kept)):
            archive.writestr(f"{wnid([430, 890][at // 6])}/{at % 6}.jpg", content)
    np.save(folder / "masks.npy", np.array({"oil_painting": np.array(kept)}, dtype=object))


def _pug(paper: Path, drawn: Drawn) -> None:
    """PUG: ImageNet: folders by factor, a table with every factor, and a class map."""
    (paper / "pug/Scene_Light").mkdir(parents=True)
    lines = ["filename,world_name,character_name,character_label,scene_light"]
    for at, (content, _) in _some(drawn, 15):
        name, light = list(PUG)[at // 5], ["Default", "Red"][at % 5 > 0]
        Image.open(io.BytesIO(content)).save(paper / f"pug/Scene_Light/{at}.png")
        lines.append(f"Scene_Light/{at}.png,City,{name}_1,{name},{light}")
    (paper / "pug/labels_pug_imagenet.csv").write_text("\n".join(lines) + "\n")
    (paper / "class_to_imagenet_idx.json").write_text(json.dumps(PUG))


def main(words: list[str]) -> None:
    """Writes the miniature for config/paper_miniature.yaml below a folder."""
    root = Path(__file__).parents[1]
    names = ("config.yaml", "paper.yaml", "paper_miniature.yaml")
    write(Path(words[0]), load(*(root / "config" / name for name in names)))


if __name__ == "__main__":
    main(sys.argv[1:])
