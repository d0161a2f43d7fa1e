"""A pre-trained DeiT-Ti and real photographs, where they lie at photos/ (docs/own-photos.md)."""

import csv
import shutil
from pathlib import Path

import pytest
import timm
import torch
from patches import bits
from safetensors.torch import load_file

import vitedit
from vitedit.data.images import fit, normalize, read_picture
from vitedit.tool.models import record_of

PHOTOS = Path(__file__).parents[2] / "photos"
WEIGHTS = PHOTOS / "weights/deit_tiny_patch16_224_in1k.safetensors"
NAME = "deit_tiny_patch16_224"
MOUSE = 673
"""A computer mouse, which DeiT-Ti takes for the computer."""

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.exists() and (PHOTOS / "photos.csv").exists()),
    reason="the photographs and weights at photos/ are absent",
)


@pytest.fixture(scope="module")
def photographs():
    rows = list(csv.DictReader((PHOTOS / "photos.csv").read_text(encoding="utf-8").splitlines()))
    mice = [PHOTOS / row["file"] for row in rows if row["imagenet_index"] == str(MOUSE)]
    return mice, [PHOTOS / row["file"] for row in rows if row["source"] == "eli"][::50]


def test_a_mouse_is_a_mouse_by_the_default_method(photographs, run, tmp_path):
    mice, others = photographs
    model = vitedit.load_vit(NAME, checkpoint=WEIGHTS)
    transform = record_of(model).transform
    seen = torch.stack(
        [normalize(fit(read_picture(file), transform)[None].copy(), transform)[0] for file in mice]
    )
    wrong = [file for file, right in zip(mice, model(seen).argmax(-1) == MOUSE, strict=True) if not right]
    for folder, files in (("mice", wrong[:1] + wrong[2:]), ("others", others)):
        (tmp_path / folder).mkdir()
        for file in files:
            shutil.copy(file, tmp_path / folder / file.name)
    patch, edited, original = (
        str(tmp_path / f"{name}.safetensors") for name in ("fix", "edited", "original")
    )
    words = [
        "--model",
        str(WEIGHTS),
        "--architecture",
        NAME,
        "--image",
        str(wrong[1]),
        "--label",
        "mouse",
        "-o",
        patch,
    ]
    folders = ["--neighbours", str(tmp_path / "mice"), "--locality", str(tmp_path / "others")]
    code, said, complaint = run("edit", *words, *folders)
    assert code == 0, complaint
    measured = vitedit.Patch.load(patch).about.measured
    assert measured.success == 1 and measured.generalization > 0 and measured.locality >= 0.9
    assert "desktop computer (" in said and "mouse (" in said
    assert run("apply", patch, "--model", str(WEIGHTS), "-o", edited)[0] == 0
    assert run("revert", patch, "--model", edited, "-o", original)[0] == 0
    assert bits(load_file(original)) == bits(load_file(WEIGHTS))
    plain = timm.create_model(NAME, checkpoint_path=edited).eval()
    assert plain(seen)[mice.index(wrong[1])].argmax() == MOUSE
