"""Many failures of an embedded model, from one command to the next: every way succeeds for most, and is undone."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from patches import bits
from safetensors.torch import load_file
from tables_place import write_table

from vitedit.config import ImagesConfig
from vitedit.data.images import open_images
from vitedit.model.patch import Patch
from vitedit.tool.models import open_model, record_of

DATA = Path(__file__).parents[2] / "data" / "embedded"
SMALL, CLASSES = DATA / "checkpoints" / "small.safetensors", DATA / "classes.txt"
COUNT = 5


@pytest.fixture(scope="module")
def vit():
    if not SMALL.exists():
        pytest.skip("data/ is missing: run `dvc pull`")
    return open_model(str(SMALL), None, torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(vit, tmp_path_factory):
    """Errors of the small model among the natural images, each with its right class by name; and as many neighbours."""
    place, natural = tmp_path_factory.mktemp("failures"), DATA / "images" / "natural"
    images = open_images("natural", ImagesConfig(path=natural.with_suffix(".zip"), labels="none"))
    truth = pd.read_csv(f"{natural}_truth.csv").set_index("file")["class"]
    names, classes = [Path(file).name for file in images.files[:48]], CLASSES.read_text().split()
    with torch.no_grad():
        seen = vit(images.read(range(48), record_of(vit).transform)).argmax(-1).tolist()
    wrong = [at for at, name in enumerate(names) if classes[seen[at]] != truth[name]]
    for at in wrong:
        (place / names[at]).write_bytes(images.source.read(images.files[at]))
    rows = [(names[at], truth[names[at]]) for at in wrong]
    write_table(place / "failures.csv", rows[:COUNT])
    write_table(place / "neighbours.csv", rows[COUNT : 2 * COUNT])
    return place


@pytest.mark.parametrize("way", ["joint", "merge", "sequence"])
def test_every_way_from_end_to_end(way, folder, vit, run):
    fix, edited, original = (folder / f"{way}-{name}.safetensors" for name in ("fix", "edited", "original"))
    tables = ["--failures", str(folder / "failures.csv"), "--neighbours", str(folder / "neighbours.csv")]
    words = ["edit", "--model", str(SMALL), "--classes", str(CLASSES), *tables, "--way", way]
    code, said, complaint = run(*words, "--min-success", "0.6", "-o", str(fix))
    assert code == 0, complaint
    about = Patch.load(fix).about
    assert len(about.images) == COUNT and len(about.labels) > 2 and about.measured.neighbours == COUNT
    assert all(image.before != image.label for image in about.images) and about.images[0].class_name in said
    assert f"of {COUNT} samples right (before: 0 of {COUNT})" in said
    assert run("apply", str(fix), "--model", str(SMALL), "-o", str(edited))[0] == 0
    assert run("revert", str(fix), "--model", str(edited), "-o", str(original))[0] == 0
    assert bits(load_file(original)) == bits(vit.state_dict())
    right = sum(image.after == image.label for image in about.images)
    assert about.measured.success == pytest.approx(right / COUNT)
