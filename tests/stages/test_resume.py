"""From which state a training goes on: one of the same configuration, code and inputs."""

import pytest

from vitedit.stages.resume import same_work


def test_configuration_code_and_inputs_count(tmp_path):
    file = tmp_path / "benchmark.parquet"
    file.write_text("groups")
    before = same_work({"seed": 0}, "abc", [file])
    assert before == same_work({"seed": 0}, "abc", [file]) and before["seed"] == 0
    assert before != same_work({"seed": 1}, "abc", [file])
    assert before != same_work({"seed": 0}, "def", [file])
    file.write_text("other groups")
    assert before != same_work({"seed": 0}, "abc", [file])


@pytest.fixture
def interrupted(world, monkeypatch):
    """A world whose meta-training was interrupted after its second state."""
    for stage in ("build-benchmark", "build-locality", "search-layers"):
        assert world.run(stage) == 0
    with monkeypatch.context() as patch:
        patch.setattr("vitedit.training.track", lambda items, *_: items[:2])
        patch.setattr("vitedit.stages.meta_train.save_table", _interrupt)
        assert world.run("meta-train") == 130
    (world.folder / world.results / "hypernet.safetensors").unlink()
    return world


def _interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_training_goes_on(interrupted, capsys):
    assert interrupted.run("meta-train") == 0
    assert "going on after 2 of 34, from state.pt" in capsys.readouterr().err
    assert not (interrupted.folder / "state.pt").exists()


def test_with_other_groups_it_starts_anew_and_says_why(interrupted, capsys):
    benchmark = interrupted.folder / interrupted.results / "benchmark.parquet"
    benchmark.unlink()
    interrupted.folder.joinpath("world/class0/00.png").unlink()
    assert interrupted.run("build-benchmark") == 0
    assert interrupted.run("meta-train") == 0
    said = capsys.readouterr().err
    assert "state.pt: belongs to another configuration, code or input (inputs" in said
    assert "going on" not in said
