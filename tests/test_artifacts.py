import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from vitedit.artifacts import (
    atomic,
    drop_state,
    load_json,
    load_table,
    numpy_rng,
    provenance,
    save_json,
    save_table,
    seed_of,
)
from vitedit.errors import ArtifactError
from vitedit.tensors import load_state, load_tensors, save_state, save_tensors, state_differences

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


@pytest.mark.parametrize("name", ["tensors", "table"])
def test_rubbish_in_the_middle_of_a_file_is_refused(tmp_path, name):
    file, save, load = KINDS[name]
    path = tmp_path / file
    if name == "tensors":
        save_tensors(
            path, {"w": torch.arange(1000.0), "none": torch.zeros(0), "one": torch.tensor(3.0)}, META
        )
    else:
        save_table(path, pd.DataFrame({"w": np.random.default_rng(0).random(1000)}), META)
    load(path)
    content = bytearray(path.read_bytes())
    at = 3000  # among the numbers of both
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged"):
        load(path)


def test_tensors_of_others_have_no_checksum_and_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "x")
    assert torch.equal(load_tensors(tmp_path / "x")[0]["w"], TENSORS["w"])


@pytest.mark.parametrize("rubbish", [b"{", b"\xff\xfe"])
def test_damaged_provenance_of_a_table_is_refused(tmp_path, rubbish):
    arrow = pa.Table.from_pandas(TABLE).replace_schema_metadata({b"vitedit": rubbish})
    pq.write_table(arrow, tmp_path / "x")
    with pytest.raises(ArtifactError, match="damaged"):
        load_table(tmp_path / "x", {"seed": 0})


def test_what_a_killed_write_left_is_swept_away_by_the_next(tmp_path):
    for name in (".x.json.17.tmp", ".x.json.18.tmp", ".y.json.17.tmp"):
        (tmp_path / name).write_text("half")
    save_json(tmp_path / "x.json", {}, {})
    assert sorted(os.listdir(tmp_path)) == [".y.json.17.tmp", "x.json"], "that of another file stays"


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
    assert load_state(path, {"a": 2}) is None
    assert (
        f"{path}: belongs to another configuration, code or input (a: made with 1, configuration says 2)"
        in caplog.text
    )
    assert state_differences(path, {"a": 2}) == ["a: made with 1, configuration says 2"]
    assert state_differences(path, {"a": 1}) == state_differences(tmp_path / "none", {"a": 2}) == []


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_damaged_state_is_refused(tmp_path, kept):
    path = tmp_path / "state.pt"
    save_state(path, {"w": torch.rand(1000)}, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ArtifactError, match="state.pt: damaged.*Delete it"):
        load_state(path, {})


def test_rubbish_in_a_state_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    save_state(path, {"w": torch.rand(1000)}, {})
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="state.pt: damaged"):
        load_state(path, {})


def test_a_finished_stage_leaves_no_state_and_no_part_of_one(tmp_path):
    for name in ("state.pt", ".state.pt.17.tmp", "other.pt"):
        (tmp_path / name).write_text("")
    drop_state(tmp_path / "state.pt")
    drop_state(tmp_path / "state.pt")
    assert os.listdir(tmp_path) == ["other.pt"]


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
