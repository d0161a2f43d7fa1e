"""Stage `page`: one HTML page with a run's numbers, claims, figures and tables. It opens offline."""

import base64
import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow.parquet as pq
import yaml

from vitedit import __version__
from vitedit.artifacts import KEY, atomic
from vitedit.config import BenchmarkConfig, Config
from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, SUFFIXES, TABLES
from vitedit.figures.behind import behind
from vitedit.figures.captions import CAPTIONS
from vitedit.figures.edit_gallery import as_json, edit_gallery
from vitedit.figures.page_script import SCRIPT
from vitedit.figures.page_template import STYLE, TEMPLATE
from vitedit.figures.style import load, methods, words
from vitedit.figures.words import (
    COLUMNS,
    VERDICTS,
    curves_table,
    groups_table,
    harmless,
    harmonic,
    layers_table,
    percentages,
)
from vitedit.timings import Timing, read_timings

Tables = dict[str, pd.DataFrame]


def page(config: Config, *, output: Path) -> None:
    """Writes the page of the run whose `tables/`, `figures/`, `notebooks/` and `timings/` lie beside `output`.

    Pictures are part of the page; links to PDFs, tables and notebooks are relative.

    Raises:
        ArtifactError: A table or figure is missing.
    """
    folder = output.parent
    tables = {name: load(folder / "tables", name) for name in TABLES if name != "gallery"}
    timings, tested = _timings(folder / "timings"), tables["claims"]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=harmless)
    text = environment.from_string(TEMPLATE).render(
        run=config.run,
        style=STYLE,
        script=SCRIPT,
        counts=_counts(tables, config.benchmark),
        note=config.note,
        cards=_cards(tables["curves"]),
        claims=tested.to_dict("records"),
        verdicts=_verdicts(tested),
        explained=COLUMNS,
        gallery=as_json(edit_gallery(edited)) if len(edited := tables["shown_edits"]) else "",
        figures=_figures(folder / "figures", folder / "tables"),
        endings=SUFFIXES,
        shown=_shown(tables),
        files=TABLES,
        notebooks=list(FIGURES),
        timings=timings,
        minutes=sum(timing.seconds for timing in timings) / 60,
        inputs=tables["inputs"].to_dict("records"),
        provenance=_provenance(config, folder / "tables" / "curves.parquet"),
        configuration=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        version=__version__,
    )
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


ORIGINS = {
    "mad": "Natural groups were found by the MAD competition: images on which two confident models disagree.",
    "errors": "Natural groups are labelled images that the model gets wrong.",
    "published": "Natural groups are the published ones, less the images that the model gets right.",
}
"""Rule of the benchmark -> where its natural groups come from."""


def _counts(tables: Tables, benchmark: BenchmarkConfig) -> str:
    """What the run consists of, and where its groups come from."""
    edits, groups = tables["edits"], tables["groups"]
    subsets = ", ".join(words(name) for name in groups["subset"].unique())
    each = [
        f"{name} on {count} groups" for name, count in groups["backbone"].value_counts(sort=False).items()
    ]
    methods = edits["method"].nunique()
    return f"{len(edits):,} edits with {methods} methods, {', '.join(each)} ({subsets}). {ORIGINS[benchmark.rule]}"


def _verdicts(tested: pd.DataFrame) -> dict[str, str]:
    """How many findings and how many checks got each verdict, and why how many are undecided."""
    parts = {"Findings": "finding", "Checks that hold by construction": "check"}
    return {
        title: _counted(kept) for title, kind in parts.items() if len(kept := tested[tested["kind"] == kind])
    }


def _counted(tested: pd.DataFrame) -> str:
    """3 reproduced, 0 not reproduced, 2 undecided (too few units 1, not measured 1)."""
    counts = ", ".join(f"{(tested['verdict'] == verdict).sum()} {verdict}" for verdict in VERDICTS)
    reasons = tested.loc[tested["why"] != "", "why"].value_counts()
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f"{counts} ({why})" if why else counts


def _cards(curves: pd.DataFrame) -> list[dict[str, Any]]:
    """Of every method the setting with the highest harmonic mean of GR and LR over all groups, the first of equals."""
    look, every = methods(curves["method"]), curves[curves["subset"] == "all"]
    several = every["backbone"].nunique() > 1
    cards = []
    for (backbone, method), points in every.groupby(["backbone", "method"], sort=False):
        row = points.iloc[harmonic(points).fillna(-1).argmax()]
        rates = {
            name: _split(percentages(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))))
            for name in ("sr", "gr", "lr")
        }
        title = look[str(method)][0] + (f", {backbone}" if several else "")
        setting = str(row["setting"]).replace("=", " ") or "one setting"
        cards.append(
            {"title": title, "setting": setting, "weights": f"{100 * row['fraction']:.2f} %", **rates}
        )
    return cards


def _split(text: str) -> tuple[str, str]:
    """A rate and its interval."""
    rate, bracket, interval = text.partition(" [")
    return rate, f"[{interval}" if bracket else ""


def _figures(folder: Path, tables: Path) -> list[dict[str, str]]:
    """Every figure with its picture as base64 text, its caption and the numbers behind it.

    Raises:
        ArtifactError: One is missing.
    """
    found = []
    for notebook, names in FIGURES.items():
        for name in names:
            path = folder / f"{name}.png"
            if not path.is_file():
                raise ArtifactError(
                    f"{path}: no such figure. The notebook {notebook} makes it: `snakemake {path}`."
                )
            title, caption = CAPTIONS[name]
            found.append(
                {
                    "name": name,
                    "notebook": notebook,
                    "title": title,
                    "caption": caption,
                    "behind": behind(name, tables),
                    "png": base64.b64encode(path.read_bytes()).decode(),
                }
            )
    return found


def _shown(tables: Tables) -> list[dict[str, Any]]:
    """The tables that the page shows itself."""
    made = {
        f"Methods and settings, {words(name)}": curves_table(tables["curves"], name)
        for name in reversed(tables["curves"]["subset"].unique())
    }
    made |= {
        "Windows of blocks": layers_table(tables["layers"]),
        "Groups (Table A)": groups_table(tables["groups"]),
    }
    return [
        {"title": title, "columns": list(table.columns), "rows": table.to_numpy().tolist()}
        for title, table in made.items()
    ]


def _timings(folder: Path) -> list[Timing]:
    """Times of the stages; none for a run that was not made by Snakemake."""
    return read_timings(folder) if any(folder.rglob("*.tsv")) else []


def _provenance(config: Config, table: Path) -> dict[str, str]:
    """Who made the tables, when known, and the run's seed."""
    metadata = pq.read_schema(table).metadata or {}
    made = json.loads(metadata.get(KEY.encode(), b"{}"))
    known = {
        "Version": "vitedit",
        "Commit": "commit",
        "PyTorch": "torch",
        "timm": "timm",
        "Snakemake": "snakemake",
        "Python": "python",
        "Tables made on": "device",
    }
    return {"Run": config.run, "Seed": str(config.seed)} | {
        name: str(made[key]) for name, key in known.items() if key in made
    }
