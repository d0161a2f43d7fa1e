"""Stage `notebook`: executes a notebook on a run's tables and renders it as a page that opens offline."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError

from vitedit.artifacts import atomic
from vitedit.config import Config
from vitedit.errors import ArtifactError

TIMEOUT = 1200  # seconds for one cell


def notebook(
    config: Config, *, notebook: Path, tables: Path, output: Path, html: Path, figures: Path
) -> None:
    """Executes `notebook` with the folders `tables` and `figures`; writes the executed notebook and its page.

    A notebook that fails is kept under `results/<run>/logs/notebook/` for reading.

    Raises:
        ArtifactError: The notebook is missing or a cell failed.
    """
    if not notebook.is_file():
        raise ArtifactError(f"{notebook}: no such notebook. The project's own lie in notebooks/.")
    failed = config.results / "logs" / "notebook" / f"{notebook.stem}.failed.ipynb"
    failed.unlink(missing_ok=True)
    with atomic(output) as executed, atomic(html) as page:
        _execute(notebook, executed, {"tables": str(tables), "figures": str(figures)}, failed)
        page.write_text(render(executed, notebook.stem), encoding="utf-8")


def _execute(source: Path, executed: Path, folders: dict[str, str], failed: Path) -> None:
    """Runs all cells; a failing one ends in an error that names the notebook and what went wrong."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        _environment(IPYTHONDIR=scratch, JUPYTER_PREFER_ENV_PATH="1"),
        _quiet(),
    ):
        running = Path(scratch) / "running.ipynb"
        try:
            papermill.execute_notebook(
                str(source),
                str(running),
                parameters=folders,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                log_output=True,
                execution_timeout=TIMEOUT,
            )
        except PapermillExecutionError as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(running, failed)
            raise ArtifactError(
                f"{source}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\n"
                f"The notebook as far as it went is {failed}; open it to see the whole traceback."
            ) from None
        _write_stable(running, executed)


def _write_stable(running: Path, executed: Path) -> None:
    """Leaves out papermill's clock times and paths, so that the same tables give the same notebook."""
    made = nbformat.read(running, as_version=4)
    made.metadata.pop("papermill", None)
    for cell in made.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    nbformat.write(made, executed)


def render(executed: Path, title: str) -> str:
    """The notebook as one HTML file without links to scripts elsewhere."""
    exporter = HTMLExporter(
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
        mermaid_layout_elk_js_url="",
        embed_images=True,
    )
    body, _ = exporter.from_filename(str(executed), resources={"metadata": {"name": title}})
    return body


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Sets environment variables for the kernel and puts the old values back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides warnings of Jupyter's libraries about their own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
