"""The page of a run: complete, offline, and safe with any name."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import synthetic

from vitedit.config import Config
from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, TABLES
from vitedit.figures.captions import CAPTIONS
from vitedit.stages.page import page

Tables = dict[str, pd.DataFrame]
PNG = b"\x89PNG\r\n\x1a\n rest"
CONFIG = Config.model_construct(run="synthetic <run>", seed=3, backbones=["base", "small"])


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
        *(f"figures/{name}.{ending}" for name in CAPTIONS for ending in ("png", "pdf")),
        *(f"notebooks/{name}.{ending}" for name in FIGURES for ending in ("html", "ipynb")),
    }
    assert "1.5 minutes of computing" in text and "edit_groups" in text


def test_numbers_are_those_of_the_tables(tmp_path: Path, tables: Tables) -> None:
    text = written(tmp_path, tables)
    row = tables["curves"].query("subset == 'all' and method == 'hypernet' and value == 0.95").iloc[-1]
    assert row["backbone"] == "small" and "Learned mask (proposed), small" in text
    for name in ("sr", "gr", "lr"):
        assert (
            f"<b>{100 * row[name]:.1f} %</b> <span>[{100 * row[f'{name}_low']:.1f}, {100 * row[f'{name}_high']:.1f}]</span>"
            in text
        )
    changed = tables | {"curves": tables["curves"].assign(gr=0.1234)}
    assert "<b>12.3 %</b>" in written(tmp_path, changed)


def test_names_are_escaped(tmp_path: Path, tables: Tables) -> None:
    groups = tables["groups"].assign(label_name="<script>alert(1)</script>", group='"><b>')
    text = written(tmp_path, tables | {"groups": groups})
    assert "<script>" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text and '"><b>' not in text
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
