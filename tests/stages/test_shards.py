"""Edits in shards and edits that go on after a kill give the rows of one undisturbed job."""

import pandas as pd
import pytest

from vitedit.artifacts import load_table, save_table
from vitedit.cli import main
from vitedit.errors import ConfigError
from vitedit.stages import shards
from vitedit.stages.rows import measured
from vitedit.stages.shards import Shard


@pytest.fixture
def single(monkeypatch):
    """Batches of one edit, so that there is something to spread."""
    monkeypatch.setattr("vitedit.stages.backbone.planned", lambda cut: 1)


def rows(path):
    """What a job wrote, without measured time."""
    return load_table(path).drop(columns="seconds")


def join(chain, output, *parts, methods="ft-random_mask"):
    """Exit code of the stage that joins shards."""
    words = ["join-edits", "--config", "config.yaml", "--backbone", "tiny", "--methods", methods]
    return main([*words, "--shards", *map(str, parts), "--output", str(output)])


def edit_part(chain, folder, shard):
    """Edits of one shard, in a file of its own."""
    output = folder / f"{shard}.parquet"
    assert chain.edit("ft-random_mask", output, "--shard", shard) == 0
    return output


def test_joined_shards_are_the_rows_of_one_job(chain, single, tmp_path):
    whole = tmp_path / "whole.parquet"
    assert chain.edit("ft-random_mask", whole) == 0
    parts = [edit_part(chain, tmp_path, f"{number}of4") for number in (1, 2, 3, 4)]
    sizes = [len(rows(part)) for part in parts]
    assert sum(sizes) == len(rows(whole)) and max(sizes) - min(sizes) <= 2
    assert join(chain, tmp_path / "joined.parquet", *reversed(parts)) == 0
    pd.testing.assert_frame_equal(rows(tmp_path / "joined.parquet"), rows(whole), check_exact=True)


def test_a_shard_may_be_empty(chain, tmp_path):
    parts = [edit_part(chain, tmp_path, f"{number}of3") for number in (1, 2, 3)]  # one batch a setting
    assert [len(rows(part)) > 0 for part in parts] == [True, False, False]
    assert join(chain, tmp_path / "joined.parquet", *parts) == 0
    assert len(rows(tmp_path / "joined.parquet")) == len(rows(parts[0]))


def test_a_missing_or_repeated_shard_is_refused(chain, single, tmp_path, capsys):
    parts = [edit_part(chain, tmp_path, f"{number}of3") for number in (1, 2, 3)]
    assert join(chain, tmp_path / "joined.parquet", parts[0], parts[2]) == 2
    assert "batches 1, 4" in capsys.readouterr().err
    assert join(chain, tmp_path / "joined.parquet", *parts, parts[1]) == 2
    assert "edits of ft are there twice" in capsys.readouterr().err
    assert not (tmp_path / "joined.parquet").exists()


@pytest.mark.parametrize("text", ["0of3", "4of3", "1/3", "1of0", ""])
def test_shards_that_do_not_exist_are_refused(text):
    with pytest.raises(ConfigError, match="3of40"):
        Shard.parse(text)


def test_a_killed_job_goes_on_after_the_batches_that_it_kept(chain, single, tmp_path, monkeypatch, capsys):
    whole, output, state = (tmp_path / name for name in ("whole.parquet", "edits.parquet", "state.parquet"))
    assert chain.edit("ft-random_mask", whole) == 0
    monkeypatch.setattr(shards, "SECONDS_BETWEEN_SAVES", 0.0)
    made = []

    def killed_after_five(batches):
        for batch in measured(batches):
            if len(made) == 5:
                raise RuntimeError("killed")
            made.append(batch)
            yield batch

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr("vitedit.stages.edit_groups.measured", killed_after_five)
        chain.edit("ft-random_mask", output, "--state", str(state))
    assert not output.exists() and len(load_table(state)) == 5
    assert chain.edit("ft-random_mask", output, "--state", str(state)) == 0
    assert "going on after 5 edits" in capsys.readouterr().err and not state.exists()
    pd.testing.assert_frame_equal(rows(output), rows(whole), check_exact=True)
    first = load_table(output).head(5)["seconds"].tolist()
    assert first == [table["seconds"].iloc[0] for _, table in made], "kept, not made again"


def test_what_another_configuration_kept_is_named_and_left_behind(chain, tmp_path, capsys):
    output, state = tmp_path / "edits.parquet", tmp_path / "state.parquet"
    assert chain.edit("ft", output) == 0
    save_table(state, load_table(output), {"stage": "edit_groups", "depends": {"seed": 7}})
    assert chain.edit("ft", tmp_path / "again.parquet", "--state", str(state)) == 0
    said = capsys.readouterr().err
    assert "another configuration" in said and "Starting anew" in said
    pd.testing.assert_frame_equal(rows(tmp_path / "again.parquet"), rows(output), check_exact=True)
