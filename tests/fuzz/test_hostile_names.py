"""Names from the data - classes, groups, files, the run's note - are shown as they are: on the page, in notebooks and figures."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
import synthetic
from damage import FUZZ, outcome
from drawing import DRAW, Tables, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbconvert.filters import markdown2html_mistune

from vitedit.config import BenchmarkConfig, Config
from vitedit.figures.captions import CAPTIONS
from vitedit.figures.words import groups_markdown, groups_table, harmless, literal, readable
from vitedit.stages.page import page

mpl.use("agg")

NAMED = [
    *("label_name", "predicted_name", "before_name", "after_name"),
    *("group", "group_a", "group_b", "file", "file_a", "file_b", "path"),
]
NAMES = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "\"'><b onmouseover='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; & ]]>",
    "\u202egnp.txt\u2066 \u200f",
    "$\\frac{$ x_i^{2} $",
    "\\ % # ~ _^{}",
    "a $ b",
    "*bold* _it_ `code` [x](javascript:alert(1)) ![x](x)",
    "| a | b |\n---\n# head",
    "猫 été ไทย שלום",
    "\u2028\u2029 \x7f",
]
MARKS = "\u202e\u2066\u200f"
"""Marks of direction in `NAMES`."""
ODD = st.text(st.sampled_from("<>&\"'/!-={}%$\\_^*`[]()#|;: \n\u202e\u200fascript猫"), max_size=30)


@pytest.fixture(scope="module")
def plain() -> Tables:
    """A small run whose names are not yet replaced."""
    return synthetic.tables({"natural": 2, "stage_light": 1}, ("hypernet", "ft"), ("base",))


def renamed(tables: Tables, name: str) -> Tables:
    """The same run where the name of every class, group and file begins with this one."""

    def odd(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            **{key: table[key].where(table[key] == "", name + table[key]) for key in NAMED if key in table}
        )

    return {key: odd(table) for key, table in tables.items()}


class Outline(HTMLParser):
    """Elements with the names of their attributes, and the texts between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment",))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def written(folder: Path, tables: Tables, note: str) -> str:
    synthetic.write(folder / "tables", tables)
    (folder / "figures").mkdir(exist_ok=True)
    for name in CAPTIONS:
        (folder / "figures" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    benchmark = BenchmarkConfig(rule="published", images="natural")
    page(
        Config.model_construct(run="synthetic", note=note, seed=3, benchmark=benchmark),
        output=folder / "index.html",
    )
    return (folder / "index.html").read_text()


def test_the_page_has_the_same_elements_whatever_the_names(tmp_path: Path, plain: Tables) -> None:
    expected, name = Outline(written(tmp_path, plain, "note")), "".join(NAMES)
    text = written(tmp_path, renamed(plain, name), f"note {name}")
    found = Outline(text)
    assert found.elements == expected.elements
    assert f"note {harmless(name)}" in found.texts and not set(MARKS) & set(text)
    assert sum(part.startswith(harmless(name)) for part in found.texts) >= 6
    (data,) = (part for part in found.texts if part.startswith('{"pictures"'))
    assert "<" not in data and harmless(name) in json.loads(data)["edits"][0]["group"]


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_show_names_as_they_are(plain: Tables, name: str) -> None:
    groups = renamed(plain, name)["groups"]
    plain_html = readable(groups_table(plain["groups"])).to_html()
    found, expected = Outline(readable(groups_table(groups)).to_html()), Outline(plain_html)
    assert [one[0] for one in found.elements] == [one[0] for one in expected.elements]
    assert sum(part.startswith(harmless(name)) for part in found.texts) >= 3
    html = Outline(markdown2html_mistune(groups_markdown(groups)))
    assert [one[0] for one in html.elements if one[0] not in ("br", "/br")] == [
        one[0] for one in Outline(markdown2html_mistune(groups_markdown(plain["groups"]))).elements
    ]
    assert squeezed(harmless(name)) in squeezed("".join(html.texts))


def squeezed(text: str) -> str:
    return "".join(text.split())


@FUZZ
@given(name=ODD)
def test_any_name_in_markdown_is_text(name: str) -> None:
    html = Outline(markdown2html_mistune(f"- a “{literal(name)}” b"))
    assert [one[0] for one in html.elements] == ["ul", "li", "/li", "/ul"]
    assert squeezed("".join(html.texts)) == squeezed(f"a“{harmless(name)}”b")


WITH_NAMES = (
    *("fig0b_groups", "fig2_layers", "fig3_pretraining", "fig6_specificity", "fig6a_examples"),
    *("figA_natural", "figC_style", "figK_sites", "tableA_groups"),
)


def drawn(name: str, tables: Tables) -> Figure:
    figure = DRAW[name](tables)
    figure.draw_without_rendering()
    return figure


@pytest.mark.filterwarnings(
    "ignore:Glyph .* missing", "ignore:.*[Tt]ight.layout", "ignore:constrained_layout not applied"
)
@pytest.mark.parametrize("figure", WITH_NAMES)
def test_figures_draw_names_letter_by_letter(plain: Tables, figure: str) -> None:
    name = "$\\frac{$_^"
    made = outcome(lambda: drawn(figure, renamed(plain, name)))
    assert isinstance(made, Figure) and name in texts(made)
    assert not [text for text in made.findobj(Text) if name in text.get_text() and text.get_parse_math()]  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore")
@settings(FUZZ, max_examples=FUZZ.max_examples // 10)
@given(name=st.sampled_from(NAMES) | ODD)
def test_any_name_can_be_drawn(plain: Tables, name: str) -> None:
    made = outcome(lambda: drawn("tableA_groups", renamed(plain, name)))
    assert isinstance(made, Figure)


def test_ticks_of_powers_need_no_formulas(plain: Tables) -> None:
    made = drawn("figI_editor_training", plain)
    shown = texts(made)
    assert "$" not in shown and re.search("10⁻[⁰¹²³⁴⁵⁶⁷⁸⁹]", shown)
