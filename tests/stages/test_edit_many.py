"""Sequences of edits and edits from many failures, by the command line, against the same made by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from tiny_run import CONFIG

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config_files import load
from vitedit.data.failures import EDIT, NEIGHBOUR, OTHER
from vitedit.editors import build
from vitedit.errors import ArtifactError, NumericalError
from vitedit.measure.many import RELATIONS
from vitedit.model.successive import Successive
from vitedit.stages.backbone import Backbone
from vitedit.stages.tabulate import tabulate

MANY = {
    "images": ["world", "more"],
    "counts": [1, 3, 6],
    "compared": 4,
    "shuffles": 1,
    "sizes": [1, 3],
    "repeats": 2,
    "others": 5,
}
CHANGES = {"images": CONFIG["images"] | {"more": {"path": "more"}}, "methods_per_job": 1, "many_edits": MANY}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def many(chain):
    """A world with failures, and the rows of two methods."""
    for at, picture in enumerate(sorted((chain.folder / "world").rglob("*.png"))):
        place = chain.folder / "more" / picture.relative_to(chain.folder / "world")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(picture).rotate(90 * (1 + at % 3)).save(place)
    chain.configure(**CHANGES)
    assert main(words(chain, "find-failures", "benchmark", output="failures.parquet")) == 0
    for method in CONFIG["editors"]:
        assert edit_many(chain, method, f"many/{method}.parquet") == 0
    return chain


def words(world, stage, *inputs, output):
    """Words of a stage with files of the run."""
    common = [stage, "--config", "config.yaml", "--backbone", "tiny", "--device", "cpu"]
    for name in (*inputs, "locality"):
        common += [f"--{name}", str(world.results / f"{name}.parquet")]
    return [*common, "--output", str(world.results / output)]


def edit_many(world, method, output, *more):
    choice = ["--choice", str(world.results / "layers.json"), "--methods", method]
    trained = CONFIG["editors"][method].get("artifacts", [])
    given = [w for name in trained for w in ("--artifact", f"{name}={world.results / name}.safetensors")]
    return main([*words(world, "edit-many", "failures", output=output), *choice, *given, *more])


def rows_of(world, method):
    return load_table(world.results / "many" / f"{method}.parquet")


def test_failures_are_those_of_the_model_and_none_of_the_locality_set(many):
    table = load_table(many.results / "failures.parquet")
    wrong = table["label"] != table["predicted"]
    assert wrong[table["role"].isin([EDIT, NEIGHBOUR])].all() and not wrong[table["role"] == OTHER].any()
    assert (table["role"] == OTHER).sum() == MANY["others"] and not table.duplicated(["images", "file"]).any()
    near = load_table(many.results / "locality.parquet")
    held_out = load_table(many.results / "benchmark.parquet").query("subset == 'tuning'")
    assert len(held_out) and set(table["images"]) == {"world", "more"}
    world = table[table["images"] == "world"]
    assert not set(world["file"]) & {*near["file"], *held_out["file"]}


def test_a_sequence_is_edits_on_the_model_with_those_before(many):
    config = load(many.folder / "config.yaml")
    base = Backbone.chosen(config, "tiny", many.results / "layers.json", CPU)
    editor = build("ft", config.editors["ft"].middle(), config, {})
    table = load_table(many.results / "failures.parquet")
    failures = table[table["role"] == EDIT].head(6)
    model, right, labels = Successive(base.split), [], torch.tensor(failures["label"].to_numpy(copy=True))
    samples = [base.samples(failures.iloc[at : at + 1]) for at in range(6)]
    for at, sample in enumerate(samples):
        model.take(editor.edit(model.split, sample).changes)
        right.append(int(model.split.vit(sample.images[0]).argmax()) == int(labels[at]))
    vit = model.split.vit
    now = vit(torch.cat([sample.images[0] for sample in samples])).argmax(-1) == labels

    rows = rows_of(many, "ft").query("way == 'first order'")
    assert rows["count"].tolist() == [1, 2, 3, 4, 5, 6] and rows["file"].tolist() == failures["file"].tolist()
    last = rows.iloc[-1]
    assert last["success"] == pytest.approx(np.mean(right))
    assert last["retention"] == pytest.approx(now[torch.tensor(right)].float().mean())
    near = base.locality(many.results / "locality.parquet")
    kept = vit(base.read(near)).argmax(-1).numpy() == base.split.vit(base.read(near)).argmax(-1).numpy()
    assert last["lr"] == pytest.approx(kept.mean())
    beside = table[(table["role"] == NEIGHBOUR) & table["group"].isin(failures["group"])]
    fit = vit(base.read(beside)).argmax(-1).numpy() == beside["label"].to_numpy()
    assert last["gr"] == pytest.approx(fit.mean())
    others = table[table["role"] == OTHER]
    still = vit(base.read(others)).argmax(-1).numpy() == others["label"].to_numpy()
    assert last["kept"] == pytest.approx(still.mean())


def test_rates_stand_where_counts_say_and_conflicts_among_the_first(many):
    rows = rows_of(many, "hypernet").query("experiment == 'sequence'")
    measured = rows.dropna(subset=["lr"]).groupby("way")["count"].apply(list).to_dict()
    assert measured == {"first order": [1, 3, 6], "random order 1": [1, 3, 4], "group by group": [1, 3, 4]}
    for _, own in rows.groupby("way"):
        held = own[[f"held_{name}" for name in RELATIONS]].sum(axis=1, skipna=False)
        assert held.isna().tolist() == (own["count"] > 4).tolist()
        assert (held.iloc[:4] <= own["count"].iloc[:4] - 1).all()
        lost = own[[f"lost_{name}" for name in RELATIONS]].sum(axis=1)
        assert (lost.iloc[:4] <= held.iloc[:4]).all()
    first, other = (
        rows.query(f"way == '{way}'")["file"].tolist() for way in ("first order", "random order 1")
    )
    grouped = rows.query("way == 'group by group'")["group"].tolist()
    assert sorted(first[:4]) == sorted(other) and grouped == sorted(grouped)


def test_combined_edits_have_failures_of_their_own_in_every_way_of_the_method(many):
    rows = rows_of(many, "hypernet").query("experiment == 'combined'")
    assert rows.groupby(["way", "count"]).size().to_dict() == {
        (way, size): 2 for way in ("joint", "union", "merge") for size in (1, 3)
    }
    alone = rows[rows["count"] == 1].groupby("way")["lr"].apply(list)
    assert alone["joint"] == alone["union"] == alone["merge"], "of one failure all ways make the same edit"
    assert rows["success"].between(0, 1).all() and rows["retention"].isna().all()


def test_the_table_is_collected_and_shown_or_the_released_one(many, tmp_path):
    config = load(many.folder / "config.yaml")
    assert main(["many-edits", "--config", "config.yaml", "--output", str(tmp_path / "many.parquet")]) == 0
    made = load_table(tmp_path / "many.parquet")
    assert set(made["method"]) == set(CONFIG["editors"])
    tabulate(config, output=tmp_path / "none")
    assert load_table(tmp_path / "none/many_edits.parquet").empty
    tabulate(config, output=tmp_path / "own", many=tmp_path / "many.parquet")
    shown = load_table(tmp_path / "own/many_edits.parquet")
    assert not shown["released"].any() and list(dict.fromkeys(shown["method"])) == list(config.editors)
    made.to_parquet(tmp_path / "released.parquet")
    tabulate(config, output=tmp_path / "released", released_many=tmp_path / "released.parquet")
    assert load_table(tmp_path / "released/conflicts.parquet")["released"].all()
    changed = config.model_copy(update={"many_edits": config.many_edits.model_copy(update={"others": 6})})
    with pytest.raises(ArtifactError, match="others: made with 5, configuration says 6"):
        tabulate(changed, output=tmp_path / "stale", many=tmp_path / "many.parquet")


def test_a_killed_job_goes_on_after_the_last_whole_piece(many, monkeypatch, capsys):
    state = many.results / "state.parquet"
    monkeypatch.setattr("vitedit.stages.shards.SECONDS_BETWEEN_SAVES", 0)
    with monkeypatch.context() as patch:
        patch.setattr(
            "vitedit.stages.edit_many._combined", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert edit_many(many, "ft", "again.parquet", "--state", str(state)) == 130
    kept = len(pd.read_parquet(state))
    assert kept == 6 + 4 + 4
    made: list[int] = []
    monkeypatch.setattr("vitedit.stages.edit_many._sequence", lambda *_: made.append(1) or iter(()))
    assert edit_many(many, "ft", "again.parquet", "--state", str(state)) == 0
    assert not made and not state.exists() and f"going on after {kept} edits" in capsys.readouterr().err
    again = load_table(many.results / "again.parquet").drop(columns="seconds")
    pd.testing.assert_frame_equal(again, rows_of(many, "ft").drop(columns="seconds"))


def test_an_edit_that_does_not_stay_finite_is_refused_and_the_rest_goes_on(many, monkeypatch):
    from vitedit.editors.ft import FineTune

    edit, calls = FineTune.edit, []

    def sometimes(self, split, samples):
        calls.append(1)
        if len(calls) == 2:
            raise NumericalError("NaN")
        return edit(self, split, samples)

    monkeypatch.setattr(FineTune, "edit", sometimes)
    assert edit_many(many, "ft", "broken.parquet") == 0
    rows = load_table(many.results / "broken.parquet").query("way == 'first order'")
    assert rows["status"].tolist()[1] == "not_finite" and len(rows) == 6
    assert (rows["status"] == "not_finite").sum() == 1 and rows["steps"].tolist()[1] == 0
    watched = rows[f"held_{RELATIONS[-1]}"].isna().tolist()
    assert watched == [False, True, False, False, True, True], (
        "what was refused can undo nothing, nor fail to"
    )


def test_a_combined_edit_that_does_not_stay_finite_fails(many, monkeypatch):
    def never(*_):
        raise NumericalError("NaN")

    monkeypatch.setattr("vitedit.stages.edit_many.edit_together", never)
    assert edit_many(many, "ft", "broken.parquet") == 0
    rows = load_table(many.results / "broken.parquet").query("experiment == 'combined'")
    assert set(rows["status"]) == {"not_finite"} and (rows["success"] == 0).all() and rows["lr"].isna().all()


def test_too_few_failures_are_said_before_any_edit(many, request, capsys):
    request.addfinalizer(lambda: many.configure(**CHANGES))
    many.configure(**CHANGES | {"many_edits": MANY | {"counts": [1, 1000]}})
    assert main(words(many, "find-failures", "benchmark", output="more.parquet")) == 2
    assert "1000 failures are to be edited" in capsys.readouterr().err


def test_numbers_must_rise(many, capsys):
    (many.folder / "falling.yaml").write_text(yaml.safe_dump({"many_edits": {"counts": [3, 1]}}))
    assert main(["check", "--config", "config.yaml", "falling.yaml"]) == 2
    assert "write the numbers in rising order" in capsys.readouterr().err
