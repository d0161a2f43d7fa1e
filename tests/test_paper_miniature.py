"""The paper run's configuration on a miniature of every data set in its real layout, with small ViTs of random weights."""

from pathlib import Path

import pytest
import yaml
from miniature import PUG, wnid, write

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config_files import load

SMALL = {"embed_dim": 24, "depth": 4, "num_heads": 3}
OVERLAY = {
    "models": {name: {"architecture": SMALL} for name in ("base", "small", "stronger")},
    "sites": {"blocks": [1, 2]},
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory, request):
    """The folder of the miniature, with its configuration."""
    folder, configs = tmp_path_factory.mktemp("paper"), request.config.rootpath / "config"
    (folder / "small.yaml").write_text(yaml.safe_dump(OVERLAY))
    names = ("config.yaml", "paper.yaml", "paper_miniature.yaml")
    files = [*(configs / name for name in names), folder / "small.yaml"]
    write(folder, load(*files))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield files


def run(files, stage, **paths):
    """Runs a stage of the backbone `base`."""
    words = [stage, "--config", *map(str, files), "--backbone", "base", "--device", "cpu"]
    for flag, path in paths.items():
        words += [f"--{flag}", str(path)]
    assert main(words) == 0


@pytest.fixture(scope="module")
def benchmark(paper):
    run(paper, "build-benchmark", output="benchmark.parquet")
    return load_table(Path("benchmark.parquet"))


@pytest.fixture(scope="module")
def locality(paper):
    run(paper, "build-locality", output="locality.parquet")
    return load_table(Path("locality.parquet"))


def test_the_natural_subset_is_read_from_the_authors_groups(benchmark):
    natural = benchmark[benchmark["subset"] == "natural"]
    assert sorted(natural["group"].unique()) == ["430_890", "792_694"] and len(natural) == 8
    assert natural["label"].tolist() == [int(group.split("_")[0]) for group in natural["group"]]


def test_styles_are_filtered_as_published(benchmark):
    """ImageNet* by its mask, PUG by the class map and the light."""
    styled = benchmark[benchmark["subset"].isin(["oil_painting", "stage_light"])]
    oil, light = (styled[styled["subset"] == name] for name in ("oil_painting", "stage_light"))
    assert oil["file"].str.startswith((wnid(430), wnid(890))).all()
    assert not oil["file"].str.endswith("/2.jpg").any(), "masked out"
    everything = benchmark[benchmark["images"] == "stage_light"]
    assert set(everything["label"]) <= {PUG["Volley_Ball"][0], PUG["Shovel"][0]} and len(light) == 4
    assert not everything["file"].isin([f"Scene_Light/{at}.png" for at in (0, 5, 10)]).any(), "default light"


def test_the_locality_set_comes_from_all_three_sources(locality):
    assert set(locality["images"]) == {"val", "renditions", "sketch"}
    assert locality["file"].str.contains(r"n\d{8}/").all() and (locality["gap"] < 0.1).all()


def test_edits_are_made_and_measured(paper, benchmark, locality):
    inputs = {"benchmark": "benchmark.parquet", "locality": "locality.parquet", "choice": "layers.json"}
    run(paper, "search-layers", **inputs, rows="layers.parquet")
    run(paper, "edit-groups", **inputs, methods="ft-random_mask", output="edits.parquet")
    rows = load_table(Path("edits.parquet"))
    assert set(rows["subset"]) == {"natural", "oil_painting", "stage_light"}
    assert rows[["gr", "lr", "loss"]].notna().all(axis=None) and set(rows["method"]) == {"ft", "random_mask"}
    assert rows.loc[rows["subset"] != "natural", "gr_style"].notna().all()
