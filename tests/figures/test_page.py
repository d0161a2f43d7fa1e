"""The page of a run: complete, offline, and safe with any name."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import synthetic
from test_notebooks import SOURCES, run_cells, save_blank

from vitedit.config import BenchmarkConfig, Config, EditorConfig
from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, SUFFIXES, TABLES, style
from vitedit.figures.captions import CAPTIONS
from vitedit.figures.page_script import SCRIPT
from vitedit.measure import tabulate
from vitedit.stages.page import _cards, page
from vitedit.stages.tabulate import _mask_tables

Tables = dict[str, pd.DataFrame]
PNG = b"\x89PNG\r\n\x1a\n rest"
CONFIG = Config.model_construct(
    run="synthetic <run>",
    note="Only <numbers>.",
    seed=3,
    backbones=["base", "small"],
    benchmark=BenchmarkConfig(rule="published", images="natural"),
)


class Links(HTMLParser):
    """Collects links, pictures and elements; complains about elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := values.get(name))]
        if tag == "img":
            self.pictures.append(values)
        elif tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def written(folder: Path, tables: Tables) -> str:
    """The page of a run with these tables and a picture for each figure."""
    synthetic.write(folder / "tables", tables)
    (folder / "figures").mkdir(exist_ok=True)
    for name in CAPTIONS:
        (folder / "figures" / f"{name}.png").write_bytes(PNG)
    page(CONFIG, output=folder / "index.html")
    return (folder / "index.html").read_text()


def test_page_is_whole_and_offline(tmp_path: Path, tables: Tables) -> None:
    (tmp_path / "timings" / "edit_groups").mkdir(parents=True)
    (tmp_path / "timings" / "edit_groups" / "a.tsv").write_text("s\th:m:s\n90.0\t0:01:30\n")
    text = written(tmp_path, tables)
    found = Links()
    found.feed(text)
    assert found.open == []
    assert [picture["alt"] for picture in found.pictures] == [
        CAPTIONS[name][1] for names in FIGURES.values() for name in names
    ]
    assert not [
        link
        for link in found.links
        if re.match(r"\w+:|//|/", link) and not link.startswith("data:image/png;base64,")
    ]
    targets = {link for link in found.links if not link.startswith(("data:", "#"))}
    assert targets == {
        *(f"tables/{name}.{ending}" for name, endings in TABLES.items() for ending in endings),
        *(f"figures/{name}.{ending}" for name in CAPTIONS for ending in SUFFIXES),
        *(f"notebooks/{name}.{ending}" for name in FIGURES for ending in ("html", "ipynb")),
    }
    assert text.index('id="claims"') < text.index('id="numbers"') < text.index('id="figures"')
    checks = (tables["claims"]["kind"] == "check").sum()
    assert f"Checks that hold by construction: {checks} reproduced, 0 not reproduced, 0 undecided." in text
    ties = (tables["claims"]["why"] == "interval holds 0").sum()
    assert re.search(
        rf"Findings: \d+ reproduced, \d+ not reproduced, \d+ undecided \(.*interval holds 0 {ties}", text
    )
    assert "<dt>GR (published formula)</dt>" in text and "<dt>not_converged</dt>" in text
    assert "not measured</td>" in text and "add up to\n1.5 minutes" in text and "edit_groups" in text
    assert "Only &lt;numbers&gt;." in text and "Natural groups are the published ones" in text
    groups = tables["groups"].groupby("backbone").size()
    assert all(f"{name} on {count} groups" in text for name, count in groups.items())


def test_numbers_are_those_of_the_tables(tmp_path: Path, tables: Tables) -> None:
    text = written(tmp_path, tables)
    points = tables["curves"].query("subset == 'all' and method == 'hypernet' and backbone == 'small'")
    row = points.loc[(1 / (1 / points["gr"] + 1 / points["lr"])).idxmax()]
    assert row["backbone"] == "small" and "Learned mask (proposed), small" in text
    for name in ("sr", "gr", "lr"):
        assert (
            f"<b>{100 * row[name]:.1f} %</b> <span>[{100 * row[f'{name}_low']:.1f}, {100 * row[f'{name}_high']:.1f}]</span>"
            in text
        )
    changed = tables | {"curves": tables["curves"].assign(gr=0.1234)}
    assert "<b>12.3 %</b>" in written(tmp_path, changed)


def test_headline_takes_the_best_trade_of_every_method_not_its_last_setting() -> None:
    def point(method: str, value: float, gr: float, lr: float) -> dict[str, object]:
        ends = {f"{name}_{end}": 0.5 for name in ("sr", "gr", "lr") for end in ("low", "high")}
        named = {
            "backbone": "b",
            "method": method,
            "setting": f"k={value:g}",
            "value": value,
            "subset": "all",
        }
        return {**named, "sr": 1.0, "gr": gr, "lr": lr, "fraction": 0.1, **ends}

    curves = pd.DataFrame(
        [
            point("ft_l1", 1, 0.9, 0.2),
            point("ft_l1", 2, 0.5, 0.5),
            point("ft_l1", 3, 0.1, 1.0),
            point("rome", 4, 0.0, 0.0),
            point("rome", 5, 0.0, 1.0),
            point("ke", 6, float("nan"), 0.3),
            point("ke", 7, 0.2, 0.3),
        ]
    )
    assert [card["setting"] for card in _cards(curves)] == ["k 2", "k 4", "k 7"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_run_whose_methods_need_no_hypernetwork(
    source: Path, tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_construct(editors={"ft": EditorConfig(), "kn": EditorConfig()})
    bare = _mask_tables(config, lambda stage, file: pytest.fail(f"{file} was read"))
    named = {name: table.assign(backbone="base") for name, table in bare.items()}
    made = tables | {name: table[["backbone", *bare[name].columns]] for name, table in named.items()}
    for name in ("edits", "curves"):
        made[name] = tables[name][tables[name]["method"].isin(["ft", "kn"])]
    made["differences"] = tabulate.differences(made["edits"], 50, 0)
    made["claims"] = synthetic.tested(made)
    monkeypatch.setattr(style, "save", save_blank)
    text = written(tmp_path, made)
    assert "Figure 6" not in text.partition('id="figures"')[0] and "Fine-tuning (FT), small" in text
    shown = run_cells(source, tmp_path / "tables", tmp_path / "drawn")
    assert {file.stem for file in (tmp_path / "drawn").iterdir()} == set(FIGURES[source.stem]) and shown


def test_names_are_escaped(tmp_path: Path, tables: Tables) -> None:
    groups = tables["groups"].assign(label_name="<script>alert(1)</script>", group='"><b>')
    text = written(tmp_path, tables | {"groups": groups})
    assert (
        "<script>" not in text.replace(SCRIPT, "")
        and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        and '"><b>' not in text
    )
    assert "synthetic &lt;run&gt;" in text


def test_missing_figure_and_table_are_named(tmp_path: Path, tables: Tables) -> None:
    written(tmp_path, tables)
    (tmp_path / "figures" / "fig2_layers.png").unlink()
    with pytest.raises(
        ArtifactError, match=r"fig2_layers\.png: no such figure\. The notebook 02_layer_search"
    ):
        page(CONFIG, output=tmp_path / "index.html")
    (tmp_path / "tables" / "curves.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"curves\.parquet: no such table"):
        page(CONFIG, output=tmp_path / "index.html")
