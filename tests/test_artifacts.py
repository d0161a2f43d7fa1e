import os
import subprocess
import sys

import pandas as pd
import pytest
import torch

from vitedit.artifacts import (
    atomic,
    load_json,
    load_table,
    numpy_rng,
    provenance,
    save_json,
    save_table,
    seed_of,
)
from vitedit.errors import ArtifactError
from vitedit.tensors import load_state, load_tensors, save_state, save_tensors

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
TENSORS = {"w": torch.arange(6.0).reshape(2, 3)}
META = {"stage": "meta_train", "depends": {"meta_train": {"iterations": 3, "patches": [1, 4]}}}

KINDS = {
    "tensors": ("x.safetensors", lambda p, meta: save_tensors(p, TENSORS, meta), load_tensors),
    "table": ("x.parquet", lambda p, meta: save_table(p, TABLE, meta), load_table),
    "json": ("x.json", lambda p, meta: save_json(p, {"blocks": [7]}, meta), load_json),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_what_is_saved_is_loaded(tmp_path):
    save_tensors(tmp_path / "a", TENSORS, META)
    tensors, meta = load_tensors(tmp_path / "a")
    assert torch.equal(tensors["w"], TENSORS["w"]) and meta == META
    save_table(tmp_path / "b", TABLE, META)
    pd.testing.assert_frame_equal(load_table(tmp_path / "b"), TABLE)
    save_json(tmp_path / "c", {"blocks": [7]}, META)
    assert load_json(tmp_path / "c") == {"blocks": [7], "provenance": META}


def test_the_same_configuration_is_accepted_and_another_refused(tmp_path, kind):
    name, save, load = kind
    save(tmp_path / name, META)
    load(tmp_path / name, {"meta_train": {"iterations": 3, "patches": (1, 4)}})
    with pytest.raises(
        ArtifactError, match=r"meta_train\.iterations: made with 3, configuration says 4.*Run rule meta_train"
    ):
        load(tmp_path / name, {"meta_train": {"iterations": 4, "patches": [1, 4]}})


def test_a_file_without_provenance_is_stale(tmp_path, kind):
    name, save, load = kind
    save(tmp_path / name, {})
    with pytest.raises(ArtifactError, match="made under another configuration"):
        load(tmp_path / name, {"seed": 0})


def test_a_missing_file_names_the_remedies(tmp_path, kind):
    with pytest.raises(ArtifactError, match=r"no such file.*dvc pull.*snakemake"):
        kind[2](tmp_path / kind[0])


def test_a_damaged_file_is_refused(tmp_path, kind):
    name, save, load = kind
    save(tmp_path / name, META)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    with pytest.raises(ArtifactError, match="damaged"):
        load(tmp_path / name)


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(KeyError), atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x"]


LIMITED = """
import resource, signal, sys
import pandas as pd, torch
from pathlib import Path
from vitedit.artifacts import save_json, save_table
from vitedit.tensors import save_state, save_tensors
from vitedit.errors import ArtifactError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
big = torch.rand(10**6)
writes = {
    "tensors": lambda path: save_tensors(path, {"w": big}, {}),
    "table": lambda path: save_table(path, pd.DataFrame({"w": big.numpy()}), {}),
    "json": lambda path: save_json(path, {"w": "x" * 10**6}, {}),
    "state": lambda path: save_state(path, {"w": big}, {}),
}
failed = []
for name, write in writes.items():
    try:
        write(Path(sys.argv[1]) / name)
    except ArtifactError as error:
        failed.append(f"{name}: {error}")
sys.exit("\\n".join(failed))
"""


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path):
    """A file size limit makes writes fail half way, as a full disk does."""
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["tensors", "table", "json", "state"], done.stderr
    assert all("could not be written" in line and "free space" in line for line in lines)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="could not be written"):
        save_json(tmp_path / "file" / "x.json", {}, {})


def test_state_of_an_interrupted_stage(tmp_path, caplog):
    path = tmp_path / "state.pt"
    assert load_state(path, {"a": 1}) is None
    save_state(path, {"epoch": 3, "rows": [{"kl": 0.5}], **TENSORS}, {"a": 1})
    kept = load_state(path, {"a": 1})
    assert kept["epoch"] == 3 and kept["rows"] == [{"kl": 0.5}] and torch.equal(kept["w"], TENSORS["w"])
    assert load_state(path, {"a": 2}) is None and "another configuration" in caplog.text


def test_seeds_depend_on_every_part_and_nothing_else():
    assert len({seed_of(0, "a"), seed_of(1, "a"), seed_of(0, "b"), seed_of("0", "a")}) == 4
    assert numpy_rng(0, "a").random() == numpy_rng(0, "a").random() != numpy_rng(1, "a").random()


def test_provenance_says_who_made_it():
    made = provenance("edit_groups", {"seed": 0})
    assert (
        made["stage"] == "edit_groups"
        and made["depends"] == {"seed": 0}
        and made["torch"] == torch.__version__
    )
