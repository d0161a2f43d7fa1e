"""Files that stages leave behind, damaged, and a hypernetwork that another gives: refused by name, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from damage import FUZZ, Damage, damages, outcome
from hypothesis import given
from safetensors.torch import save_file

from vitedit.artifacts import KEY, load_json, load_table, save_json, save_table
from vitedit.errors import ArtifactError
from vitedit.model.vit import Split
from vitedit.tensors import load_state, load_tensors, save_state, save_tensors
from vitedit.where.hypernet import Hypernet
from vitedit.where.published import read_hypernet

META = {"stage": "meta_train", "depends": {"a": [1, 2]}}
DEPENDS = {"a": [1, 2]}
TABLE = pd.DataFrame({"a": range(20), "b": [f"text {at}" for at in range(20)], "c": [None, 0.5] * 10})

KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "x.safetensors": (
        lambda path: save_tensors(path, {"w": torch.arange(6.0)}, META),
        lambda path: load_tensors(path, DEPENDS),
    ),
    "x.parquet": (lambda path: save_table(path, TABLE, META), lambda path: load_table(path, DEPENDS)),
    "x.json": (lambda path: save_json(path, {"blocks": [7]}, META), lambda path: load_json(path, DEPENDS)),
    "x.state": (
        lambda path: save_state(path, {"step": 3, "w": torch.ones(2)}, DEPENDS),
        lambda path: load_state(path, DEPENDS),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(damage=damages())
def test_damaged(tmp_path: Path, kind: str, damage: Damage) -> None:
    save, load = KINDS[kind]
    save(tmp_path / kind)
    (tmp_path / kind).write_bytes(damage((tmp_path / kind).read_bytes()))
    found = outcome(lambda: load(tmp_path / kind))
    assert not isinstance(found, Exception) or (isinstance(found, ArtifactError) and kind in str(found))


@pytest.mark.parametrize(
    "meta", [[1], "text", None, {"depends": [1]}, {"depends": None}, {"depends": {"a": {}}}]
)
def test_provenance_of_another_form(tmp_path: Path, meta: Any) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "x", metadata={KEY: json.dumps(meta)})
    (tmp_path / "y").write_text(json.dumps({"provenance": meta}))
    for name, load in (("x", load_tensors), ("y", load_json)):
        found = outcome(lambda name=name, load=load: load(tmp_path / name, DEPENDS))
        assert isinstance(found, ArtifactError) and name in str(found)


def test_json_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 100_000)
    assert "damaged or of another kind" in str(outcome(lambda: load_json(tmp_path / "x.json")))


def changed(network: Hypernet, path: Path, **changes: Any) -> Path:
    """The network's file with another description of its shape."""
    meta = {"shape": network.shape | changes.pop("shape", {}), "sizes": network.sizes} | changes
    save_tensors(path, network.state_dict(), {key: value for key, value in meta.items() if value is not None})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": {"blocks": 10**9}},
        {"shape": {"blocks": -1}},
        {"shape": {"blocks": "many"}},
        {"shape": {"width": 10**9}},
        {"shape": {"heads": 0}},
        {"shape": {"heads": 7}},
        {"shape": {"classes": 10**12}},
        {"shape": {"unknown": 1}},
        {"sizes": 3},
        {"sizes": {"x": 10**12}},
        {"sizes": None},
        {"shape": {"tied": [1]}, "sizes": {}},
    ],
    ids=str,
)
def test_a_hypernetwork_of_an_impossible_shape(tmp_path: Path, split: Split, changes: dict[str, Any]) -> None:
    network = Hypernet.for_sites(split.vit, split.sites, 24, 1, 3)
    path = changed(network, tmp_path / "h.safetensors", **changes)
    found = outcome(lambda: read_hypernet(path, split, 3))
    assert isinstance(found, ArtifactError) and "h.safetensors" in str(found)


def test_sites_of_an_impossible_size(tmp_path: Path, split: Split) -> None:
    network = Hypernet.for_sites(split.vit, split.sites, 24, 1, 3)
    for size in (10**12, -1, "many", None):
        path = changed(network, tmp_path / "h.safetensors", sizes=dict.fromkeys(network.sizes, size))
        assert isinstance(outcome(lambda path=path: Hypernet.load(path, split)), ArtifactError)
    whole = changed(network, tmp_path / "h.safetensors")
    assert isinstance(outcome(lambda: read_hypernet(whole, split, 3)), tuple)
