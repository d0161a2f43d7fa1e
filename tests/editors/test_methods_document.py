"""docs/methods.md names every method, in one order, and every hyper-parameter with its default."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pandas as pd
import pytest

from vitedit.config_files import load
from vitedit.editors import EDITORS, SHARED, editor_class

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/methods.md").read_text()


def tables() -> list[list[list[str]]]:
    """Rows of cells of every table, without head and rule."""
    blocks = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    return [[[c.strip() for c in line[1:-1].split("|")] for line in b.splitlines()[2:]] for b in blocks]


def names(table: list[list[str]]) -> list[str]:
    return [name for row in table for name in re.findall(r"`(\w+)`", row[0])]


def described() -> dict[str, dict[str, str]]:
    """Method -> hyper-parameter -> what is printed as its default."""
    found, method = {}, ""
    for row in tables()[1]:
        method = row[0].strip("`") or method
        default = re.search(r"\(([^()\[\]]*)\)$", row[3])
        found.setdefault(method, {})[row[1].strip("`")] = default[1].strip("`") if default else ""
    return found


def test_all_tables_have_the_methods_in_one_order():
    methods, hyper, run, before, fixed = tables()
    assert set(names(methods)) == set(EDITORS)
    assert list(described()) == names(methods)
    measured = [name for name in names(methods) if name in load(ROOT / "config/config.yaml").editors]
    assert names(run) == names(fixed) == measured
    needing = {name for name in EDITORS if editor_class(name).artifacts}
    assert set(names(before)) == needing and hyper


@pytest.mark.parametrize("method", EDITORS)
def test_every_hyper_parameter_is_described_with_its_default(method):
    cls = editor_class(method)
    own = {field.name: field.default for field in fields(cls) if field.name not in (*SHARED, *cls.artifacts)}
    printed = described()[method]
    assert set(printed) == set(own)
    for name, default in own.items():
        if default is MISSING:
            assert not printed[name]
        elif isinstance(default, bool | str):
            assert printed[name] == str(default).lower()
        else:
            assert float(printed[name]) == default


def test_the_document_of_the_tuning_agrees_with_its_table():
    text = (ROOT / "docs/tuning.md").read_text()
    trials = pd.read_csv(ROOT / "docs/tuning.csv").query("origin == 'trial'")
    best = trials[trials["best"]].groupby("method")["score"].mean()
    line = " ".join(re.findall(r"Mean best scores: (.*?)\. So the control", text, re.DOTALL)[0].split())
    scores = [float(score) for score in re.findall(r"0\.\d{3}", line)]
    assert scores == sorted(best.round(3), reverse=True) and len(scores) == trials["method"].nunique()
    rates = trials["parameters"].str.extract(r'^\{"learning_rate": ([\d.]+)\}$')[0].astype(float)
    pairs = trials.assign(rate=rates).pivot(index=["backbone", "rate", "parameters"], columns="method")
    pairs = pairs.swaplevel(axis=1)[["hypernet", "random_mask"]].dropna().droplevel("parameters")
    rows = re.findall(r"^\| (\de-\d) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 6
    for rate, cells in rows:
        of_rate = pairs.xs(float(rate), level="rate")
        expected = [
            f"{100 * of_rate.loc[backbone, (method, 'gr')]:.0f}, {100 * of_rate.loc[backbone, (method, 'lr')]:.0f}"
            for backbone in ("base", "small")
            for method in ("hypernet", "random_mask")
        ]
        means = [f"{of_rate[(method, 'score')].mean():.3f}" for method in ("hypernet", "random_mask")]
        assert cells.split(" | ") == expected + means
