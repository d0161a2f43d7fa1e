"""Source notebooks: clean, complete, and right on whatever tables they get."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import PIL.Image
import pytest
import synthetic
from IPython.display import Image
from matplotlib.figure import Figure

from vitedit.config import Config
from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, style
from vitedit.figures.captions import CAPTIONS
from vitedit.stages.notebook import notebook, render

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))

Tables = dict[str, pd.DataFrame]


def config(results: Path) -> Config:
    """All that the stage asks of a configuration is where the run's results lie."""

    class Elsewhere(Config):
        @property
        def results(self) -> Path:
            return results

    return Elsewhere.model_construct(run="synthetic")


def test_notebooks_are_those_of_the_table() -> None:
    assert [path.stem for path in SOURCES] == sorted(FIGURES)
    assert sorted(CAPTIONS) == sorted(name for names in FIGURES.values() for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_source_is_clean(path: Path) -> None:
    source: Any = nbformat.read(path, as_version=4)
    nbformat.validate(source)
    assert (source.nbformat, source.nbformat_minor) == (4, 5) and source.metadata.kernelspec.name == "python3"
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].metadata.tags == ["parameters"]
    assert "results/embedded/tables" in code[0].source and "results/embedded/figures" in code[0].source
    saved = re.findall(r'save\(.*, figures, "(\w+)", .*\)', "\n".join(cell.source for cell in code))
    assert tuple(saved) == FIGURES[path.stem]
    prose = "\n".join(cell.source for cell in source.cells if cell.cell_type == "markdown")
    assert not re.search(
        r"\d\s?%(?! (bootstrap|interval))", prose.replace("95 %", "")
    )  # measured numbers are computed


@pytest.mark.parametrize("name", CAPTIONS)
def test_report_captions_say_the_same(name: str) -> None:
    title, caption = CAPTIONS[name]
    assert (ROOT / "workflow" / "report" / f"{name}.rst").read_text() == f"**{title}.** {caption}\n"


def run_cells(path: Path, tables: Path, figures: Path) -> list[Any]:
    """The values of the code cells' last expressions, without a kernel."""
    shown: list[Any] = []
    names: dict[str, Any] = {"display": shown.append}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            *lines, last = cell.source.rstrip().split("\n")
            while last[:1] in " )":
                last = f"{lines.pop()}\n{last}"
            try:
                expression = compile(last, path.name, "eval")
            except SyntaxError:
                exec(cell.source, names)
            else:
                exec("\n".join(lines), names)
                shown.append(eval(expression, names))
        names |= {"tables": str(tables), "figures": str(figures)}
    return shown


def save_blank(figure: Figure, folder: str, name: str, data: pd.DataFrame) -> Path:
    """Stands in for `style.save`, whose rendering is slow and tested elsewhere."""
    path = Path(folder) / f"{name}.png"
    assert figure.axes and isinstance(data, pd.DataFrame)
    path.parent.mkdir(exist_ok=True)
    PIL.Image.new("RGB", (4, 4)).save(path)
    return path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_cells_run_and_save_their_figures(
    path: Path, tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "save", save_blank)
    synthetic.write(tmp_path / "tables", tables)
    shown = run_cells(path, tmp_path / "tables", tmp_path / "figures")
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == set(FIGURES[path.stem])
    pictures = [value for value in shown if isinstance(value, Image)]
    assert [picture.alt for picture in pictures] == [CAPTIONS[name][1] for name in FIGURES[path.stem]]


def small_notebook(path: Path, last: str) -> Path:
    cells = [
        nbformat.v4.new_code_cell('tables = "none"\nfigures = "none"', metadata={"tags": ["parameters"]})
    ]
    cells += [
        nbformat.v4.new_markdown_cell("# Small"),
        nbformat.v4.new_code_cell("print(tables)"),
        nbformat.v4.new_code_cell(last),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_stage_executes_and_renders(tmp_path: Path) -> None:
    source = small_notebook(tmp_path / "small.ipynb", "f'figures: {figures}'")
    made, html = tmp_path / "out" / "small.ipynb", tmp_path / "out" / "small.html"
    notebook(
        config(tmp_path),
        notebook=source,
        tables=Path("my/tables"),
        output=made,
        html=html,
        figures=Path("my/figures"),
    )
    text = html.read_text()
    assert "my/tables" in text and "figures: my/figures" in text
    assert str(tmp_path) not in made.read_text() and not re.findall(
        r'(?:src|href)="https?://|import\("https?:', text
    )
    assert "papermill" not in json.loads(made.read_text())["metadata"]
    assert sorted(path.name for path in made.parent.iterdir()) == ["small.html", "small.ipynb"]


def test_failing_cell_leaves_no_output(tmp_path: Path) -> None:
    source = small_notebook(tmp_path / "small.ipynb", "{}['absent']")
    made, html = tmp_path / "out" / "small.ipynb", tmp_path / "out" / "small.html"
    with pytest.raises(ArtifactError, match=r"small\.ipynb: cell 4 failed with KeyError: 'absent'"):
        notebook(
            config(tmp_path), notebook=source, tables=Path("t"), output=made, html=html, figures=Path("f")
        )
    assert not made.exists() and not html.exists()
    kept = tmp_path / "logs" / "notebook" / "small.failed.ipynb"
    assert "absent" in kept.read_text() and "KeyError" in render(kept, "small")


def test_missing_notebook(tmp_path: Path) -> None:
    absent = tmp_path / "absent.ipynb"
    with pytest.raises(ArtifactError, match="no such notebook"):
        notebook(config(tmp_path), notebook=absent, tables=absent, output=absent, html=absent, figures=absent)
