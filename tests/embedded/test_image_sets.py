"""Image sets: the same bytes every time, classes in folders, and a pool whose order gives nothing away."""

import csv
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from vitedit.embedded import world
from vitedit.embedded.image_sets import IMAGE_SETS, SetPlan, write_image_sets
from vitedit.embedded.render import BALANCED, CLASSES, CONTEXTS, STREAMS, sample
from vitedit.embedded.styles import STYLES
from vitedit.embedded.world import gather, render_range, submit_range

PLANS = {"natural": SetPlan(40, BALANCED), "stage_light": SetPlan(21, BALANCED, "stage_light")}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_image_sets(folder, 5, PLANS)
    return folder


def decode(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(archive.read(member))).convert("RGB"))


def test_the_same_bytes_every_time(written, tmp_path):
    write_image_sets(tmp_path, 5, PLANS)
    names = sorted(path.name for path in written.iterdir())
    assert names == ["natural.zip", "natural_truth.csv", "stage_light.zip"]
    assert all((written / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)
    write_image_sets(tmp_path, 6, {"natural": PLANS["natural"]})
    assert (written / "natural.zip").read_bytes() != (tmp_path / "natural.zip").read_bytes()


def test_labelled_sets_have_a_folder_a_class(written):
    with zipfile.ZipFile(written / "stage_light.zip") as archive:
        names = archive.namelist()
        assert names == sorted(names) and len(names) == 21
        assert {name.split("/")[1] for name in names} == set(CLASSES)
        assert sum(name.startswith("stage_light/arrow_spotted/") for name in names) == 2
        drawn, label, _ = sample(5, "stage_light", 7, typical_share=BALANCED, style="stage_light")
        kept = decode(archive, f"stage_light/{CLASSES[label]}/00007.jpg")
    assert np.abs(kept.astype(int) - drawn).mean() < 8  # JPEG loses a little


def test_the_truth_of_the_pool_is_right_and_not_in_its_order(written):
    drawn = [sample(5, "natural", index, typical_share=BALANCED) for index in range(40)]
    with (written / "natural_truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    with zipfile.ZipFile(written / "natural.zip") as archive:
        assert archive.namelist() == [f"natural/{row['file']}" for row in rows]
        for row in rows:
            kept = decode(archive, f"natural/{row['file']}").astype(int)
            _, label, context = min(drawn, key=lambda one: np.abs(kept - one[0]).mean())
            assert (int(row["label"]), row["class"], row["context"]) == (
                label,
                CLASSES[label],
                CONTEXTS[context],
            )
    labels = [int(row["label"]) for row in rows]
    assert labels != [index % 20 for index in range(40)] and sorted(labels) == sorted([*range(20)] * 2)


def test_released_sets_are_streams_of_known_styles():
    assert set(IMAGE_SETS) <= set(STREAMS)
    assert {plan.style for plan in IMAGE_SETS.values()} == set(STYLES)


def test_workers_give_the_same_pictures_in_order(monkeypatch):
    monkeypatch.setattr(world, "CHUNK", 4)
    with ThreadPoolExecutor(2) as executor:
        shared = gather(submit_range(executor, 1, "pretrain", 5, 16, 0.9))
    alone = render_range(1, "pretrain", 5, 16, 0.9)
    assert shared.images.shape == (11, 48, 48, 3)
    for name in ("images", "labels", "contexts"):
        assert np.array_equal(getattr(shared, name), getattr(alone, name))
