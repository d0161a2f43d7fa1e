"""From rows (one an edit) to the tables that figures, notebooks and the page read.

Rates are means over groups of group means, so that a large group counts no more than a small one; their intervals are
95 % percentile bootstraps over groups. One seed draws the same groups for every method, which makes differences paired.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from vitedit.measure.bootstrap import LEVELS, interval
from vitedit.measure.overlap import resampled_overlap
from vitedit.where.pareto import pareto_front

RATES = ("sr", "gr", "lr")
SETTING = ["backbone", "method", "setting", "knob", "value", "subset"]
PARTS = {"mlp": "FFN", "attn": "MSA"}
COSTS = ("gr_ref", "gr_style", "steps", "converged", "seconds", "fraction")

Row = dict[str, Any]
Interval = tuple[float, float]


def bootstrap_interval(values: Float[np.ndarray, "n"], resamples: int, seed: int) -> Interval:
    """95 % percentile bootstrap of the mean, missing values left out; (NaN, NaN) with fewer than two values."""
    kept = values[~np.isnan(values)]
    if len(kept) < 2:
        return np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(0, len(kept), (resamples, len(kept)))
    low, high = np.quantile(kept[drawn].mean(1), LEVELS)
    return float(low), float(high)


def _rate(name: str, values: pd.Series, resamples: int, seed: int) -> Row:
    """Mean and interval of one rate as columns `name`, `name_low`, `name_high`."""
    low, high = bootstrap_interval(values.to_numpy(float), resamples, seed)
    return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}


def group_means(edits: pd.DataFrame) -> pd.DataFrame:
    """One row a (setting, subset, group): means over its edits, and how many; then once more as the subset `all`.

    `origin` is the subset that the group belongs to.
    """
    means = [*RATES, *COSTS]
    values = edits.assign(converged=edits["status"] == "converged").astype(dict.fromkeys(means, float))
    grouped = values.groupby([*SETTING, "group"], sort=False, dropna=False)
    table = grouped[means].mean().assign(edits=grouped.size()).reset_index()
    table = table.assign(origin=table["subset"])
    return pd.concat([table, table.assign(subset="all")], ignore_index=True)


def curves(edits: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """A point a (method, setting, subset): rates with intervals, and the mean steps, share of converged edits, seconds and share
    of changed weights."""
    rows = []
    for key, groups in group_means(edits).groupby(SETTING, sort=False, dropna=False):
        row: Row = dict(zip(SETTING, key, strict=True))
        for name in RATES:
            row |= _rate(name, groups[name], resamples, seed)
        row |= {name: groups[name].mean() for name in COSTS}
        rows.append(row | {"groups": len(groups), "edits": int(groups["edits"].sum())})
    order = [
        *SETTING,
        "sr",
        "gr",
        "gr_ref",
        "gr_style",
        "lr",
        *(f"{n}_{e}" for e in ("low", "high") for n in RATES),
    ]
    return pd.DataFrame(
        rows, columns=[*order, "groups", "edits", "steps", "converged", "seconds", "fraction"]
    )


def differences(edits: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Paired differences `method - reference` of GR and LR, over the groups that both edited, with intervals.

    A method is set against every other at the same value of the same knob (random against learned masks of one
    sparsity) and against every method without a knob (plain fine-tuning).
    """
    rows: list[Row] = []
    for (backbone, subset), table in group_means(edits).groupby(["backbone", "subset"], sort=False):
        settings = _by_setting(table)
        for (method, knob, value), ours in settings:
            for (other, other_knob, other_value), theirs in settings:
                comparable = (knob, value) == (other_knob, other_value) or not other_knob
                if method != other and comparable:
                    place = {
                        "backbone": backbone,
                        "subset": subset,
                        "method": method,
                        "reference": other,
                        "knob": knob,
                        "value": value,
                    }
                    rows += [
                        place | _difference(name, ours, theirs, resamples, seed) for name in ("gr", "lr")
                    ]
    columns = [
        "backbone",
        "subset",
        "method",
        "reference",
        "knob",
        "value",
        "metric",
        "difference",
        "low",
        "high",
        "groups",
    ]
    return pd.DataFrame(rows, columns=columns).astype({"value": float})


def _by_setting(table: pd.DataFrame) -> list[tuple[tuple[str, str, float | None], pd.DataFrame]]:
    """Parts of a table of group means by (method, knob, value); None stands for no value, since NaN equals nothing."""
    parts = []
    for (method, knob, value), part in table.groupby(["method", "knob", "value"], sort=False, dropna=False):
        key = (method, knob, None if pd.isna(value) else float(value))
        parts.append((key, part.set_index(["origin", "group"])))
    return parts


def _difference(name: str, ours: pd.DataFrame, theirs: pd.DataFrame, resamples: int, seed: int) -> Row:
    change = (ours[name] - theirs[name]).dropna()
    low, high = bootstrap_interval(change.to_numpy(float), resamples, seed)
    return {"metric": name, "difference": change.mean(), "low": low, "high": high, "groups": len(change)}


def groups(benchmark: pd.DataFrame, name_of: Callable[[int], str]) -> pd.DataFrame:
    """Table A: a row a group. `predicted` is -1, named "various", where the group's images are taken for several classes."""
    rows = []
    for (subset, group), images in benchmark.groupby(["subset", "group"], sort=False):
        one = images["predicted"].nunique() == 1
        label, predicted = int(images["label"].iloc[0]), int(images["predicted"].iloc[0]) if one else -1
        named = {"label_name": name_of(label), "predicted_name": name_of(predicted) if one else "various"}
        counts = {"images": len(images), "edits": int(images["is_edit"].sum())}
        rows.append(
            {"subset": subset, "group": group, "label": label, "predicted": predicted, **named, **counts}
        )
    return pd.DataFrame(
        rows,
        columns=["subset", "group", "label", "predicted", "label_name", "predicted_name", "images", "edits"],
    )


def add_truth(table: pd.DataFrame, benchmark: pd.DataFrame, truth: Mapping[str, int] | None) -> pd.DataFrame:
    """Adds `label_correct`, the share of a natural group's images whose label is the true one; NaN where truth is unknown.

    Labels of the MAD competition are the stronger model's predictions, so some are wrong.
    """
    true = benchmark["file"].map(dict(truth or {})).where(benchmark["subset"] == "natural")
    right = (true == benchmark["label"]).astype(float).where(true.notna())
    share = right.groupby([benchmark["subset"], benchmark["group"]]).mean().rename("label_correct")
    return table.join(share, on=["subset", "group"])


def searched(rows: pd.DataFrame, benchmark: pd.DataFrame, subset: str) -> pd.DataFrame:
    """The rows of the layer search with the group that they were measured on, as columns subset and group."""
    images = benchmark[benchmark["subset"] == subset].drop_duplicates("file")
    return rows.assign(subset=subset, group=rows["file"].map(images.set_index("file")["group"]))


def layers(rows: pd.DataFrame, choice: Mapping[str, Any], resamples: int, seed: int) -> pd.DataFrame:
    """A row a window of consecutive blocks, with intervals over the edits, the Pareto front and the choice (paper Fig. 2)."""
    table = []
    for (part, first, last), edits in rows.groupby(["part", "first", "last"], sort=False):
        row: Row = {
            "part": part,
            "first": int(first),
            "last": int(last),
            "name": window_name(str(part), int(first), int(last)),
            "subset": edits["subset"].iloc[0],
            "group": edits["group"].iloc[0],
            "edits": len(edits),
        }
        row |= _rate("gr", edits["gr"], resamples, seed) | _rate("lr", edits["lr"], resamples, seed)
        blocks = list(range(int(first), int(last) + 1))
        table.append(
            row
            | {
                "sr": edits["sr"].mean(),
                "chosen": part == choice["part"] and blocks == list(choice["blocks"]),
            }
        )
    rates = [f"{name}{end}" for name in ("gr", "lr") for end in ("", "_low", "_high")]
    result = pd.DataFrame(
        table, columns=["part", "first", "last", "name", "subset", "group", "edits", *rates, "sr", "chosen"]
    )
    front = pareto_front(result["gr"].to_numpy(float), result["lr"].to_numpy(float))
    result.insert(
        len(result.columns) - 1, "on_front", front & result[["gr", "lr"]].notna().all(axis=1).to_numpy()
    )
    return result.astype({"chosen": bool, "on_front": bool})


def window_name(part: str, first: int, last: int) -> str:
    """Name of a window of 0-based blocks as the paper writes it, counted from 1: "FFN 8-10"."""
    return f"{PARTS[part]} {first + 1}" + (f"-{last + 1}" if last > first else "")


def specificity(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean IoU of every two groups, both triangles (paper Fig. 6b)."""
    across = pairs[pairs["group_a"] != pairs["group_b"]]
    mirrored = across.rename(columns={"group_a": "group_b", "group_b": "group_a"})
    both = pd.concat([pairs, mirrored])[["group_a", "group_b", "iou"]]
    return both.groupby(["group_a", "group_b"], sort=False)["iou"].agg(iou="mean", pairs="size").reset_index()


def overlap(pairs: pd.DataFrame, sparsity: float, resamples: int, seed: int) -> Row:
    """Mean IoU within and between groups and their difference, with intervals over groups and edits.

    `chance` is the IoU expected of independent random masks of density d: d / (2 - d).
    """
    within, between, groups = resampled_overlap(pairs, resamples, seed)
    draws = {"within": within, "between": between, "difference": within - between}
    row: Row = {}
    for name, values in draws.items():
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), interval(values), strict=True))
    same = int((pairs["group_a"] == pairs["group_b"]).sum())
    counts = {"groups": len(set(groups)), "within_pairs": same, "between_pairs": len(pairs) - same}
    density = 1 - sparsity
    return row | counts | {"sparsity": sparsity, "chance": density / (2 - density)}
