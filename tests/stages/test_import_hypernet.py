"""A hypernetwork of the published class in a run: imported, taken over in place of a training, edited and measured with."""

import hashlib
import json

import pandas as pd
import pytest
import torch
import yaml
from published_net import published_edit, published_mask, random_state

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config_files import load
from vitedit.data.images import read_files
from vitedit.figures.training import IMPORTED, figH_training
from vitedit.stages.meta_train import LOG
from vitedit.tensors import load_tensors
from vitedit.where.hypernet import Hypernet
from vitedit.where.metatrain import MetaTraining

SECTIONS = {
    "sites": {"blocks": [1, 2], "part": "mlp"},
    "descent": {"max_steps": 100, "stop_loss": 0.01},
    "editors": {"hypernet": {"artifacts": ["hypernet"], "sparsity": [0.5, 0.9], "learning_rate": 3e-3}},
}
STATE = random_state(24, 2, [96] * 4)


def import_words(file="h.pth", output="ours.safetensors", *more):
    return [
        "import-hypernet",
        file,
        "--config",
        "config.yaml",
        "--backbone",
        "tiny",
        "--output",
        output,
        *more,
    ]


def configure(world, checkpoint="h.pth", **changes):
    """The run with a hypernetwork of a file."""
    meta = yaml.safe_load((world.folder / "config.yaml").read_text())["meta_train"]
    world.configure(**SECTIONS | {"meta_train": meta | {"checkpoint": checkpoint}} | changes)


@pytest.fixture(scope="module")
def imported(shared_world):
    """A run with a published hypernetwork, edited and measured as the published code does."""
    torch.save(STATE, "h.pth")
    configure(shared_world)
    for stage in ("build-benchmark", "build-locality", "search-layers", "meta-train"):
        assert shared_world.run(stage) == 0
    assert shared_world.run("specificity", "--reference") == 0
    output = shared_world.results / "edits" / "hypernet.parquet"
    assert shared_world.edit("hypernet", output, "--reference") == 0
    assert shared_world.show("--reference") == 0
    return shared_world


@pytest.fixture(autouse=True)
def _configured(imported):
    """Undoes a test's own configuration."""
    configure(imported)


def test_a_state_dict_becomes_a_network_of_ours(imported):
    assert main(import_words()) == 0
    tensors, made = load_tensors(imported.folder / "ours.safetensors")
    assert torch.equal(tensors["heads.3.weight"], STATE["out_layer.3.out.weight"])
    digest = hashlib.sha256((imported.folder / "h.pth").read_bytes()).hexdigest()
    assert made["imported"] == {"file": "h.pth", "sha256": digest} and made["stage"] == "import_hypernet"
    assert list(made["sizes"]) == [f"blocks.{b}.mlp.fc{i}.weight" for b in (1, 2) for i in (1, 2)]
    assert made["shape"] == {"width": 24, "blocks": 2, "heads": 6, "tied": False, "classes": 0}


def test_a_run_takes_either_form_over_and_says_where_it_is_from(imported):
    assert main(import_words()) == 0
    found, made = load_tensors(imported.results / "hypernet.safetensors")
    digest = hashlib.sha256((imported.folder / "h.pth").read_bytes()).hexdigest()
    assert made["imported"] == {"file": "h.pth", "sha256": digest} and made["stage"] == "meta_train"
    configure(imported, "ours.safetensors")
    more = ("--output", "second.safetensors", "--log-table", "second.parquet")
    assert imported.run("meta-train", *more) == 0
    again, second = load_tensors(imported.folder / "second.safetensors")
    assert found.keys() == again.keys() and all(torch.equal(found[name], again[name]) for name in found)
    assert (
        second["imported"]["file"] == "ours.safetensors" and second["imported"]["imported"]["file"] == "h.pth"
    )
    assert second["imported"]["imported"]["sha256"] == digest


def test_the_log_is_empty_with_the_columns_of_a_training(imported, split, images):
    log = load_table(imported.results / "hypernet_log.parquet")
    settings = load(imported.folder / "config.yaml").meta_train
    training = MetaTraining(split, Hypernet.for_sites(split.vit, split.sites, 24, 1, 6), settings, seed=0)
    training.search_iteration(0, images[:2], images[2:4])
    real = pd.DataFrame(training.rows).dtypes.astype(str).to_dict()
    assert len(log) == 0 and list(log.columns) == list(LOG) and real == LOG
    joined = pd.concat([log, pd.DataFrame(training.rows)], ignore_index=True)
    assert joined.dtypes.astype(str).to_dict() == LOG, "beside another backbone's log"


def test_edits_are_those_of_the_published_procedure(imported, vit):
    rows = load_table(imported.results / "edits" / "hypernet.parquet")
    config = load(imported.folder / "config.yaml")
    assert len(rows) > 6 and rows["steps"].nunique() > 1
    for row in rows.iloc[[0, 1, len(rows) - 1]].itertuples():
        image = read_files(config.images, ["world"], [row.file], config.models["tiny"].transform)
        mask = published_mask(STATE, vit, image, row.value)
        weights, updates = published_edit(vit, [1, 2], image, torch.tensor(row.label), 3e-3, mask)
        names = [f"blocks.{b}.mlp.fc{i}.weight" for b in (1, 2) for i in (1, 2)]
        changes = [w - vit.get_parameter(name) for name, w in zip(names, weights, strict=True)]
        assert row.steps == updates
        assert row.norm == pytest.approx(
            torch.stack([c.square().sum() for c in changes]).sum().sqrt().item(), rel=1e-3
        )


def test_generalization_is_the_published_formula(imported):
    rows = load_table(imported.results / "edits" / "hypernet.parquet")
    benchmark = load_table(imported.results / "benchmark.parquet")
    sizes = benchmark[benchmark["subset"] == "natural"].groupby("group").size()
    hits = rows["gr"] * rows["group"].map(sizes) + 1
    assert (rows["gr"] == rows["gr_ref"]).all()
    assert (hits - hits.round()).abs().max() < 1e-9 and hits.between(0, rows["group"].map(sizes)).all()
    assert (hits.round() >= rows["sr"]).all() and rows["gr"].max() <= 1 - 1 / sizes.max()


def test_rows_of_another_procedure_are_stale(imported, capsys):
    words = ["tabulate", "--config", "config.yaml", "--output", "tables"]
    assert main(words) == 2
    assert "reference: made with True, configuration says False" in capsys.readouterr().err


def test_tables_and_figure_say_that_nothing_was_trained(imported):
    assert main(["tabulate", "--config", "config.yaml", "--reference", "--output", "tables"]) == 0
    training = pd.read_parquet(imported.folder / "tables" / "training.parquet")
    assert len(training) == 0 and list(training.columns) == ["backbone", *LOG]
    (axis,) = figH_training(training).axes
    assert [text.get_text() for text in axis.texts] == [IMPORTED]


def test_without_fixed_blocks_the_search_says_where(imported, capsys):
    configure(imported, sites={})
    assert main(import_words()) == 2
    assert "sites.blocks is null" in capsys.readouterr().err
    assert imported.run("search-layers", "--rows", "rows.parquet", "--choice", "choice.json") == 0
    sites = json.loads((imported.folder / "choice.json").read_text())["sites"]
    sizes = {"fc1": 96, "fc2": 96, "qkv": 72, "proj": 24}
    names = [site["name"] for site in sites]
    torch.save(
        random_state(24, 1, [sizes[name.split(".")[3]] for name in names]), imported.folder / "own.pth"
    )
    assert main(import_words("own.pth", "chosen.safetensors", "--choice", "choice.json")) == 0
    assert list(load_tensors(imported.folder / "chosen.safetensors")[1]["sizes"]) == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (import_words("absent.pth"), "absent.pth: no such file"),
        (import_words("tiny.safetensors"), "tiny.safetensors is no hypernetwork of the published class"),
        (
            [*import_words(), "--backbone", "tinny"],
            "--backbone: the configuration has no 'tinny'. It has: tiny.",
        ),
    ],
)
def test_mistakes_are_one_message(imported, capsys, words, message):
    (imported.folder / "ours.safetensors").unlink(missing_ok=True)
    assert main(words) == 2
    assert message in capsys.readouterr().err and not (imported.folder / "ours.safetensors").exists()


def test_a_wrong_network_stops_the_run(imported, capsys):
    torch.save(random_state(48, 1, [192] * 4), imported.folder / "wide.pth")
    configure(imported, "wide.pth")
    assert imported.run("meta-train", "--output", "no.safetensors", "--log-table", "no.parquet") == 2
    assert "wide.pth is no hypernetwork" in capsys.readouterr().err
    assert not (imported.folder / "no.safetensors").exists() and not (imported.folder / "no.parquet").exists()
