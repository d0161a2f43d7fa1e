"""Rule edit_many: sequences of edits on one model, and combined edits, from many failures at once (not in the paper)."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from vitedit.artifacts import load_table, numpy_rng, provenance, save_table
from vitedit.config import Config, ManyEditsConfig
from vitedit.editors import build, editor_class
from vitedit.editors.base import Editor
from vitedit.editors.ways import edit_together, ways_of
from vitedit.errors import NumericalError
from vitedit.lineage import code, depends
from vitedit.measure.many import COLUMNS, COMBINED, SEQUENCE, undone
from vitedit.model.edits import Edits, Samples
from vitedit.model.successive import Successive
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.stages.backbone import Backbone
from vitedit.stages.many_ground import Failures, ManyGround
from vitedit.stages.resume import same_work
from vitedit.stages.rows import setting_columns
from vitedit.stages.shards import MeasuredRows
from vitedit.stages.trained import load_trained

log = logging.getLogger(__name__)

REFUSED = "not_finite"
"""Status of an edit that the model was left without."""
Row = dict[str, Any]
Piece = tuple[str, str, Callable[[], Iterator[Row]]]
"""Experiment, way, and what makes its rows."""


def edit_many(
    config: Config,
    *,
    backbone: str,
    methods: str,
    failures: Path,
    locality: Path,
    choice: Path,
    artifact: Mapping[str, Path],
    output: Path,
    state: Path | None = None,
    device: torch.device,
) -> None:
    """Edits with every method (joined by "-") at the middle of its knob; writes one row an edit.

    Args:
        config: The run.
        backbone: Model that is edited.
        methods: Names of the methods, joined by "-".
        failures: What `find_failures` wrote.
        locality: What `build_locality` wrote.
        choice: What `search_layers` chose.
        artifact: Trained artefacts by their names.
        output: The rows.
        state: Where rows are kept until all are there; a killed job goes on after the last sequence or size that was whole.
        device: Where to compute.
    """
    base = Backbone.chosen(config, backbone, choice, device)
    table = load_table(failures, depends(config, "find_failures", backbone=backbone))
    needs = depends(config, "edit_many", backbone=backbone, method=methods)
    inputs = [failures, locality, choice, config.checkpoint(backbone), *artifact.values()]
    work = same_work(needs, code("edit_many", *methods.split("-")), inputs)
    done = MeasuredRows("edit_many", state, work)
    several = Failures.of(base, table, config.many_edits.edited)
    for method in methods.split("-"):
        setting = config.editors[method].middle()
        editor = build(method, setting, config, load_trained(base, editor_class(method), artifact))
        ground = ManyGround.of(base, editor.cut(base.split), several, table, base.locality(locality))
        known = {"run": config.run, "backbone": backbone, "seed": config.seed, "method": method}
        named = known | setting_columns(config, method, setting)
        for rows in _missing(_pieces(editor, base, ground), done.batches(method)):
            done.add(rows.assign(**named).reindex(columns=COLUMNS))
    save_table(output, done.table(COLUMNS), provenance("edit_many", needs))
    done.forget()


def _missing(pieces: Iterator[Piece], there: set[int]) -> Iterator[pd.DataFrame]:
    """Rows of the pieces that are not there yet, by their numbers."""
    for number, (experiment, way, made) in enumerate(pieces):
        if number not in there:
            log.info("%s, %s", experiment, way)
            yield pd.DataFrame(list(made())).assign(experiment=experiment, way=way, batch=number)


def _pieces(editor: Editor, base: Backbone, ground: ManyGround) -> Iterator[Piece]:
    """All sequences, then all sizes of combined edits in every way that the method can."""
    many = base.config.many_edits
    for way, places in _orders(many, ground.failures.rows, base):
        yield SEQUENCE, way, lambda places=places: _sequence(editor, base.split, ground, places, many)
    for way in ways_of(editor):
        for size in many.sizes:
            yield (
                COMBINED,
                way,
                lambda way=way, size=size: _combined(way, editor, base.split, ground, size, many.repeats),
            )


def _orders(
    many: ManyEditsConfig, rows: pd.DataFrame, base: Backbone
) -> Iterator[tuple[str, Int[np.ndarray, " edits"]]]:
    """The long sequence; its first edits in other random orders, and group by group."""
    yield "first order", np.arange(many.counts[-1])
    few = np.arange(min(many.compared, many.counts[-1]))
    for number in range(many.shuffles):
        rng = numpy_rng(base.config.seed, "order", base.name, number)
        yield f"random order {number + 1}", rng.permutation(few)
    yield "group by group", rows["group"].iloc[few].sort_values(kind="stable").index.to_numpy()


def _sequence(
    editor: Editor, base: Split, ground: ManyGround, places: Int[np.ndarray, " edits"], many: ManyEditsConfig
) -> Iterator[Row]:
    """One row an edit; those that `counts` names, and the last, with the rates of all edits so far.

    An edit whose weights do not stay finite is refused, as `Editor.edit` does, and the model stays as it was.
    """
    model, right, held = Successive(base), np.zeros(0, bool), np.zeros(0, bool)
    rows = ground.failures.rows
    for count, place in enumerate(track(places, "edits of a sequence", len(places)), 1):
        row = rows.loc[place, ["file", "label", "predicted", "group"]].to_dict() | {"count": count}
        row |= _try(model, editor, ground.failures.samples(places[count - 1 : count]))
        now, so_far = editor.cut(model.split), places[:count]
        watched, measured = count <= many.compared, count in many.counts or count == len(places)
        after = ground.right(now, {}, so_far if watched or measured else so_far[-1:])[0]
        right = np.append(right, after[-1])
        if watched:
            if row["status"] != REFUSED:  # what did not change the model undoes nothing
                row |= undone(row, rows.iloc[so_far[:-1]], held, after[:-1])
            held = after
        if measured:
            lasting = after[right].mean() if right.any() else np.nan
            row |= {"success": right.mean(), "retention": lasting, **ground.measure(now, {}, so_far)}
        yield row


def _try(model: Successive, editor: Editor, samples: Samples) -> Row:
    """Takes one more edit in, if it is finite."""
    began = time.perf_counter()
    try:
        edits = editor.edit(model.split, samples)
    except NumericalError as error:
        return _refused(began, error)
    model.take(edits.changes)
    return _made(edits, began)


def _combined(
    way: str, editor: Editor, base: Split, ground: ManyGround, size: int, count: int
) -> Iterator[Row]:
    """One row an edit from `size` failures; none has a failure of another."""
    cut = editor.cut(base)
    for number in track(range(count), f"edits from {size} failures", count):
        places = np.arange(number * size, (number + 1) * size)
        began = time.perf_counter()
        try:
            edits = edit_together(way, editor, base, ground.failures.samples(places))
        except NumericalError as error:
            yield _refused(began, error) | {"count": size, "success": 0.0}
            continue
        row = _made(edits, began)
        rates = ground.measure(cut, edits.changes, places)
        yield row | rates | {"count": size, "success": ground.right(cut, edits.changes, places).mean()}


def _made(edits: Edits, began: float) -> Row:
    """What one edit cost."""
    status = "converged" if bool(edits.converged) else "not_converged"
    return {"steps": int(edits.steps), "seconds": time.perf_counter() - began, "status": status}


def _refused(began: float, error: NumericalError) -> Row:
    """What an edit cost that did not stay finite."""
    log.warning("refused: %s", error)
    return {"steps": 0, "seconds": time.perf_counter() - began, "status": REFUSED}
