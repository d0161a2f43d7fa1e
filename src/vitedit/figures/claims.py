"""What the paper claims, what this run measured, and one of three verdicts.

A verdict follows from intervals, never from a mean alone: "reproduced" and "not reproduced" need an interval that
excludes no difference; everything else is "undecided".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from vitedit.figures.style import PROPOSED, methods

Verdict = Literal["reproduced", "not reproduced", "undecided"]
Tables = Mapping[str, pd.DataFrame]

PAPER_RUN = "FFN 8-10"
_MEAN = ["difference", "low", "high"]
_END = 0.2  # share of the iterations that counts as the beginning and as the end


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, for one backbone."""

    source: str
    backbone: str
    statement: str
    verdict: Verdict
    measured: str


def claims(tables: Tables, proposed: str = PROPOSED) -> list[Claim]:
    """Every claim that the run's tables can test."""
    return [
        *by_backbone(layer_claims, tables["layers"]),
        *by_backbone(
            lambda part, backbone: comparison_claims(part, backbone, proposed), tables["differences"]
        ),
        *by_backbone(overlap_claims, tables["overlap"]),
        *by_backbone(training_claims, tables["training"]),
    ]


def by_backbone(test: Callable[[pd.DataFrame, str], list[Claim]], table: pd.DataFrame) -> list[Claim]:
    """One kind of claim for every backbone of a table."""
    return [
        claim
        for backbone, part in table.groupby("backbone", sort=False)
        for claim in test(part, str(backbone))
    ]


def percentages(mean: float, low: float, high: float, unit: str = " %") -> str:
    """A rate in [0, 1] with its interval: "41.2 % [35.0, 47.1]"; without one where it is unknown."""
    if pd.isna(mean):
        return "not measured"
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * mean:.1f}{unit}{interval}"


def points(mean: float, low: float, high: float) -> str:
    """A signed difference of rates in percentage points with its interval: "+4.2 [+1.7, +6.6]"."""
    if pd.isna(mean):
        return "not measured"
    return _signed(100 * mean, 100 * low, 100 * high, "+.1f")


def _signed(mean: float, low: float, high: float, form: str) -> str:
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{low:{form}}, {high:{form}}]"
    return f"{mean:{form}}{interval}".replace("-", "−")


def layer_claims(layers: pd.DataFrame, backbone: str) -> list[Claim]:
    """Fig. 2: the 8th-10th FFN against the run with the best harmonic mean of GR and LR among the others."""
    if layers.empty:
        return []
    front = ", ".join(layers.loc[layers["on_front"], "name"])
    chosen = ", ".join(layers.loc[layers["chosen"], "name"]) or "a run that was not searched"
    asked = layers[layers["name"] == PAPER_RUN]
    text = f"The front holds {front}; edited are the blocks of {chosen}."
    others = layers[layers["name"] != PAPER_RUN]
    best = others.loc[harmonic(others).nlargest(1).index]
    for row in pd.concat([asked, best]).to_dict("records") if len(asked) else []:
        rates = [percentages(*(row[f"{n}{end}"] for end in ("", "_low", "_high"))) for n in ("gr", "lr")]
        text += f" {row['name']}: GR {rates[0]}, LR {rates[1]}."
    if asked.empty:
        text += f" This model has no {PAPER_RUN}."
    verdict = _layer_verdict(asked, others)
    return [
        Claim(
            "Figure 2",
            backbone,
            "Editing the 8th to 10th FFN gives the best trade of generalization and locality.",
            verdict,
            text,
        )
    ]


def harmonic(table: pd.DataFrame, end: str = "") -> pd.Series:
    """Harmonic mean of the columns `gr` and `lr`, or of their ends `_low` or `_high`; 0 where both are."""
    gr, lr = table[f"gr{end}"], table[f"lr{end}"]
    return 2 * gr * lr / (gr + lr).clip(lower=1e-12)


def _layer_verdict(asked: pd.DataFrame, others: pd.DataFrame) -> Verdict:
    """From harmonic means at the ends of the intervals: the table holds no single edits that differences could be paired over."""
    low, high = harmonic(asked, "_low"), harmonic(asked, "_high")
    if asked.empty or others.empty or low.isna().any():
        return "undecided"
    return _sign(low.item() - harmonic(others, "_high").max(), high.item() - harmonic(others, "_low").max())


def comparison_claims(differences: pd.DataFrame, backbone: str, proposed: str = PROPOSED) -> list[Claim]:
    """Fig. 4 and Fig. 5a: the proposed method against each of the others, over all groups."""
    ours = differences[(differences["method"] == proposed) & (differences["subset"] == "all")]
    look = methods([*differences["method"], *differences["reference"]])
    found = []
    for reference, part in ours.groupby("reference", sort=False):
        style = look[str(reference)]
        equal = part["value"].notna().any() and _has_knob(differences, str(reference))
        other = f"“{style.words}”{' at the same sparsity' if equal else ''}"
        statement = f"Learned masks edit better than {other}: more generalization, more locality, or both."
        verdict, text = _compare(part)
        found.append(Claim(style.paper, backbone, statement, verdict, text))
    return sorted(found, key=lambda claim: claim.source)


def _has_knob(differences: pd.DataFrame, method: str) -> bool:
    return bool((differences.loc[differences["method"] == method, "knob"] != "").any())


def outcome(gr: tuple[float, float], lr: tuple[float, float]) -> Literal["better", "worse", "mixed", "open"]:
    """Of the intervals of two differences: better in one and not worse in the other, the reverse, one each, or neither."""
    up, down = gr[0] > 0 or lr[0] > 0, gr[1] < 0 or lr[1] < 0
    if up and down:
        return "mixed"
    return "better" if up else "worse" if down else "open"


def _compare(part: pd.DataFrame) -> tuple[Verdict, str]:
    """Verdict and sentences of one comparison: where it is better, and by how much."""
    at: dict[str, list[str]] = {"better": [], "worse": [], "mixed": [], "open": []}
    for value, rows in part.groupby("value", sort=True, dropna=False):
        gr, lr = (rows[rows["metric"] == name].iloc[0] for name in ("gr", "lr"))
        name = "the one setting" if pd.isna(value) else f"{value:g}"
        at[outcome((gr["low"], gr["high"]), (lr["low"], lr["high"]))].append(name)
    wording = {
        "better": "better at {}",
        "worse": "worse at {}",
        "mixed": "a gain in one rate for a loss in the other at {}",
        "open": "no difference shown at {}",
    }
    summary = "; ".join(wording[kind].format(", ".join(values)) for kind, values in at.items() if values)
    return _majority(at), f"{summary[:1].upper()}{summary[1:]}. Gains in percentage points: {_gains(part)}."


def _gains(part: pd.DataFrame) -> str:
    """The least and the greatest mean of several settings, and the last setting with its intervals."""
    rates = {name.upper(): rows.sort_values("value") for name, rows in part.groupby("metric", sort=False)}
    last = ", ".join(f"{name} {points(*rows.iloc[-1][_MEAN])}" for name, rows in rates.items())
    known = {name: 100 * rows["difference"].dropna() for name, rows in rates.items()}
    settings = part["value"].dropna().unique()
    if len(settings) < 2 or not all(map(len, known.values())):
        return last
    spans = (f"{name} {gains.min():+.1f} to {gains.max():+.1f}" for name, gains in known.items())
    return f"{', '.join(spans).replace('-', '−')}; at {settings.max():g} {last}"


def _majority(at: Mapping[str, list[str]]) -> Verdict:
    total = sum(map(len, at.values()))
    if 2 * len(at["better"]) > total and not at["worse"]:
        return "reproduced"
    return "not reproduced" if 2 * len(at["worse"]) > total and not at["better"] else "undecided"


def overlap_claims(overlap: pd.DataFrame, backbone: str) -> list[Claim]:
    """Fig. 6: masks of one group overlap more than masks of different groups."""
    found = []
    for row in overlap.to_dict("records"):
        means = {
            name: f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
            for name in ("within", "between", "difference")
        }
        text = f"Mean IoU within groups {means['within']} ({row['within_pairs']} pairs), "
        text += f"between {means['between']} ({row['between_pairs']} pairs); "
        text += f"difference {means['difference']}. "
        text += f"Independent random masks of sparsity {row['sparsity']:g} would share {row['chance']:.3f}."
        statement = "Masks of errors of one kind overlap more than masks of different kinds."
        found.append(
            Claim("Figure 6", backbone, statement, _sign(row["difference_low"], row["difference_high"]), text)
        )
    return found


def training_claims(training: pd.DataFrame, backbone: str) -> list[Claim]:
    """Fig. H: sparsity rises while the outer divergence falls."""
    search = training[training["phase"] == "search"]
    rise, fall = change(search["sparsity_predicted"].to_numpy(float)), change(search["kl"].to_numpy(float))
    if np.isnan([rise[0], fall[0]]).any():
        return []
    text = (
        "From the first to the last fifth of the iterations the sparsity of the predicted masks changes by "
    )
    text += f"{points(*rise)} percentage points, "
    text += f"the divergence by {_signed(*fall, '+.4f')}. The masks that the divergence is measured with are searched for each "
    text += "batch anew, without the hypernetwork, so only chance can make it fall (docs/deviations.md)."
    signs = {_sign(rise[1], rise[2]), _sign(-fall[2], -fall[1])}
    verdict: Verdict = (
        "reproduced"
        if signs == {"reproduced"}
        else "not reproduced"
        if "not reproduced" in signs
        else "undecided"
    )
    statement = "While the hypernetwork trains, the masks grow sparser and the outer divergence falls."
    return [Claim("Figure H", backbone, statement, verdict, text)]


def change(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """Mean of the last fifth minus mean of the first, with a 95 % bootstrap interval; NaN for fewer than ten values."""
    kept = values[~np.isnan(values)]
    size = int(_END * len(kept))
    if size < 2:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(0)
    first, last = (
        part[rng.integers(0, size, (resamples, size))].mean(1) for part in (kept[:size], kept[-size:])
    )
    low, high = np.quantile(last - first, (0.025, 0.975))
    return float(kept[-size:].mean() - kept[:size].mean()), float(low), float(high)


def _sign(low: float, high: float) -> Verdict:
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "undecided"
