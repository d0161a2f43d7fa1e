"""Claims about edits: success, the comparison of methods, masks, penalties, numbers of samples."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vitedit.measure.ablations import in_common
from vitedit.measure.bootstrap import resampled_means
from vitedit.measure.fronts import area, escape
from vitedit.measure.verdicts import NOT_DEFINED, Claim, Paper, Statement
from vitedit.where.masks import kept_units
from vitedit.where.pareto import harmonic

SUCCESS, NEARLY_ALL = 0.95, 0.9
"""Success rate from which a method counts as successful, and share of the methods that are nearly all; the paper gives none."""
EDIT = ["subset", "group", "edit"]
NOT_KNOWN = "not known"
OVER: Mapping[str, Callable[["Draws", str], np.ndarray]] = {
    "on average over their settings": lambda draws, method: draws.at(method),
    "at the middle value of each knob": lambda draws, method: draws.middle(method),
}
"""Settings that a claim about single methods takes the mean over. Some settings are meant to edit weakly, so it is tested
twice; which setting is the single one does not depend on what comes out."""


@dataclass(frozen=True)
class Draws:
    """Mean rates of every setting of one backbone over all groups: row 0 as measured, then a row a resample."""

    settings: pd.DataFrame
    """method, setting and value of each column; a variant instead of a method for ablations."""
    sr: np.ndarray
    gr: np.ndarray
    lr: np.ndarray
    gr_square: np.ndarray
    groups: int
    edits: int

    @classmethod
    def of(cls, edits: pd.DataFrame, resamples: int, seed: int, key: str = "method") -> "Draws":
        """All settings on the same drawn groups and edits."""
        names = [key, "setting", "value"]
        settings = edits[names].drop_duplicates(names[:2]).reset_index(drop=True)
        numbered = edits.merge(settings.assign(column=settings.index)[[key, "setting", "column"]])
        numbered = numbered.assign(gr_square=numbered["gr"] ** 2)
        rates = {}
        for rate in ("sr", "gr", "lr", "gr_square"):
            wide = numbered.astype({rate: float}).pivot(index=EDIT, columns="column", values=rate)
            groups = wide.index.droplevel("edit").factorize()[0]
            rates[rate] = resampled_means(wide.to_numpy(), groups, resamples, seed)
        return cls(
            settings.rename(columns={key: "method"}),
            **rates,
            groups=int(groups.max()) + 1,
            edits=len(groups),
        )

    def has(self, *methods: str) -> bool:
        """Whether all of them were compared."""
        return set(methods) <= set(self.settings["method"])

    def at(self, *methods: str | int) -> np.ndarray:
        """Columns of some methods, or of some numbers of samples."""
        return np.flatnonzero(self.settings["method"].isin(methods))

    def middle(self, method: str) -> np.ndarray:
        """Column of the middle value of a method's knob as configured, which tuning uses too."""
        columns = self.at(method)
        return columns[[len(columns) // 2]]

    def curve(self, *methods: str) -> tuple[np.ndarray, np.ndarray]:
        """GR and LR of all settings of some methods."""
        columns = self.at(*methods)
        return self.gr[:, columns], self.lr[:, columns]

    def by_value(self, method: str) -> pd.Series:
        """Column of each value of a method's knob, ascending."""
        own = self.settings[self.settings["method"] == method].dropna(subset=["value"])
        return pd.Series(own.index, index=own["value"]).sort_index()


def edit_claims(
    edits: pd.DataFrame, backbone: str, step_sizes: Mapping[str, str], paper: Paper, resamples: int, seed: int
) -> list[Claim]:
    """Every claim about the edits of one backbone that its methods can test.

    The methods are those that the paper compares; the searched mask or somebody's own method takes no part.
    """
    methods: Mapping[str, str] = paper["main_results"]["methods"]
    draws = Draws.of(edits, resamples, seed)
    present = {name: words for name, words in methods.items() if draws.has(name)}
    place = _source(backbone, paper)
    found = [success_claim(draws, backbone, present, over) for over in OVER] if present else []
    proposed = paper["main_results"]["proposed"]
    if draws.has(proposed):
        others = {name: words for name, words in present.items() if name != proposed}
        found += comparison_claims(draws, backbone, proposed, others, place, paper)
        found += [sparsity_claim(draws, backbone, proposed)]
        found += mask_claims(draws, backbone, proposed, step_sizes, paper)
    if draws.has(*(pair := paper["penalties"]["better_first"])):
        found.append(penalty_claim(draws, backbone, pair, methods))
    found += variation_claims(draws, backbone, paper["main_results"]["most_varying"], present)
    return found


def _source(backbone: str, paper: Paper) -> str:
    """Figure of the main comparison: the paper's own backbones have one each, other models stand in for the first."""
    return paper["main_results"]["figures"].get(backbone, "Figure 4")


def success_claim(draws: Draws, backbone: str, methods: Mapping[str, str], over: str) -> Claim:
    """Nearly all methods succeed: the success rate that nine in ten of them reach, less 95 %."""
    rates = np.stack([draws.sr[:, OVER[over](draws, name)].mean(1) for name in methods], 1)
    reached = np.sort(rates, 1)[:, len(methods) - int(np.ceil(NEARLY_ALL * len(methods)))]
    statement = Statement(
        "Section 4",
        backbone,
        "Nearly all methods succeed: nine in ten correct their edit samples in at least 95 % of the edits.",
        f"Success rate that nine in ten methods reach {over}, less 95 %",
    )
    short = [f"{w} ({100 * r:.0f} %)" for w, r in zip(methods.values(), rates[0], strict=True) if r < SUCCESS]
    text = f"Of {len(methods)} methods {len(methods) - len(short)} reach 95 % {over}"
    text += f"; not {', '.join(short)}." if short else "."
    return statement.resampled(reached - SUCCESS, text, draws.groups, draws.edits)


def comparison_claims(
    draws: Draws, backbone: str, proposed: str, others: Mapping[str, str], source: str, paper: Paper
) -> list[Claim]:
    """The proposed method is on the front of all, and its curve lies above that of each other."""
    if not others:
        return []
    printed = paper["main_results"]["claim"]
    front = Statement(
        source,
        backbone,
        "The proposed method is on the Pareto front of all methods.",
        "Largest lead by which one of its settings escapes domination",
        printed,
    )
    leads = escape(*draws.curve(proposed), *draws.curve(*others))
    settings = draws.at(proposed)
    alone = [
        draws.settings["setting"][at].replace("=", " ")
        for at in settings
        if escape(draws.gr[:1, [at]], draws.lr[:1, [at]], *(rate[:1] for rate in draws.curve(*others)))[0] > 0
    ]
    text = f"Not dominated by any setting of {len(others)} other methods: {', '.join(alone) or 'none of its settings'}."
    found = [front.resampled(leads, text, draws.groups, draws.edits)]
    for name, words in others.items():
        statement = Statement(
            source,
            backbone,
            f"At equal locality the proposed method generalizes more than {words}.",
            "Mean height of its GR-LR curve above the other over their common range of locality",
            printed,
        )
        found.append(area_claim(draws, statement, proposed, name))
    return found


def area_claim(draws: Draws, statement: Statement, ours: str, theirs: str) -> Claim:
    """One curve above another; undecided in words where they share no locality."""
    own, other = draws.curve(ours), draws.curve(theirs)
    gap = area(*own, *other)
    spans = [f"{100 * lr[0].min():.0f} to {100 * lr[0].max():.0f} %" for _, lr in (own, other)]
    spans = [
        span if curve[0].shape[1] > 1 else span.split(" to ")[1]
        for span, curve in zip(spans, (own, other), strict=True)
    ]
    text = f"Its settings keep {spans[0]} of the locality set, the other's {spans[1]}."
    if np.isnan(gap[0]):
        return statement.untested(
            f"{text} The curves share no locality, so neither lies above the other.", NOT_DEFINED
        )
    lost = np.isnan(gap[1:]).mean() if len(gap) > 1 else 0.0
    if lost > 0.05:
        text += f" In {100 * lost:.0f} % of the resamples they share none, so no interval is given."
    return statement.resampled(gap, text, draws.groups, draws.edits)


def sparsity_claim(draws: Draws, backbone: str, proposed: str) -> Claim:
    """Least-squares slopes over the settings in the order of their sparsity."""
    statement = Statement(
        "Figure 5a",
        backbone,
        "Sparsity trades generalization for locality: with sparser masks the first falls and the second rises.",
        "Smaller of the fall of GR and the rise of LR, a step of sparsity",
    )
    columns = draws.by_value(proposed)
    if len(columns) < 2:
        return statement.untested("This run has one sparsity only.")
    gr, lr = draws.gr[:, columns], draws.lr[:, columns]
    rank = np.arange(len(columns)) - (len(columns) - 1) / 2
    slopes = np.minimum(-(gr @ rank), lr @ rank) / (rank @ rank)
    falls, rises = (np.diff(gr[0]) < 0).sum(), (np.diff(lr[0]) > 0).sum()
    ends = [f"{_rate(rate[0, 0])} to {_rate(rate[0, -1])}" for rate in (gr, lr)]
    text = f"From sparsity {columns.index[0]:g} to {columns.index[-1]:g} GR goes from {ends[0]} and LR from {ends[1]}; "
    text += f"of {len(columns) - 1} steps {falls} lower GR and {rises} raise LR."
    return statement.resampled(slopes, text, draws.groups, draws.edits)


def mask_claims(
    draws: Draws, backbone: str, proposed: str, step_sizes: Mapping[str, str], paper: Paper
) -> list[Claim]:
    """Learned against random masks of the same sparsity, by the harmonic mean of GR and LR, which falls if either does."""
    section = paper["learned_against_random_masks"]
    ours, theirs = draws.by_value(proposed), draws.by_value(section["random"])
    both = ours.index.intersection(theirs.index)
    if both.empty:
        return []
    gains = _score(draws, ours[both].to_numpy()) - _score(draws, theirs[both].to_numpy())
    each = ", ".join(f"{100 * gain:+.1f} at {value:g}" for value, gain in zip(both, gains[0], strict=True))
    text = f"Gains in the harmonic mean of GR and LR in percentage points: {each}.".replace("-", "−")
    text += _step_sizes(*(step_sizes.get(method, NOT_KNOWN) for method in (proposed, section["random"])))
    better = Statement(
        "Figure 5a",
        backbone,
        "Learned masks beat random masks of the same sparsity.",
        "Gain in the harmonic mean of GR and LR, mean over sparsities",
        section["claim"],
    )
    found = [better.resampled(gains.mean(1), text, draws.groups, draws.edits)]
    if len(both) > 1:
        more = Statement(
            "Figure 5a",
            backbone,
            "Learned masks beat random ones by more where masks are sparser.",
            f"Gain at sparsity {both[-1]:g} less gain at {both[0]:g}",
        )
        found.append(more.resampled(gains[:, -1] - gains[:, 0], text, draws.groups, draws.edits))
    return found


def _step_sizes(learned: str, random: str) -> str:
    """With which step sizes two kinds of masks were edited."""
    if learned == random:
        return f" Step size of both: {learned}."
    sizes = f" Step sizes: {learned} for learned masks, {random} for random ones;"
    return f"{sizes} at one and the same step size they are not measured here."


def penalty_claim(draws: Draws, backbone: str, pair: Iterable[str], words: Mapping[str, str]) -> Claim:
    """FT-l1 against FT-l2."""
    first, second = pair
    statement = Statement(
        "Figure 5a",
        backbone,
        f"{words[first]} edits better than {words[second]}: at equal locality it generalizes more.",
        "Mean height of its GR-LR curve above the other over their common range of locality",
    )
    return area_claim(draws, statement, first, second)


def variation_claims(draws: Draws, backbone: str, method: str, methods: Mapping[str, str]) -> list[Claim]:
    """One method against the others, by the standard deviation of GR over edits."""
    if method not in methods or len(methods) < 2:
        return []
    return [_variation(draws, backbone, method, methods, over) for over in OVER]


def _variation(draws: Draws, backbone: str, method: str, methods: Mapping[str, str], over: str) -> Claim:
    """The standard deviation of GR over edits, every group weighing the same; against the largest other."""
    spread = np.sqrt(np.clip(draws.gr_square - draws.gr**2, 0, None))
    each = {name: spread[:, OVER[over](draws, name)].mean(1) for name in methods}
    own = each.pop(method)
    rival = max(each, key=lambda name: each[name][0])
    statement = Statement(
        "Section 4",
        backbone,
        f"The generalization of {methods[method]} varies most from edit to edit.",
        f"Its standard deviation of GR over edits {over} less the largest of the other methods",
    )
    text = f"Standard deviation {over}: {_rate(own[0])}; the largest of the others is {methods[rival]}'s, "
    text += f"{_rate(each[rival][0])}."
    largest = np.stack(list(each.values())).max(0)
    return statement.resampled(own - largest, text, draws.groups, draws.edits)


def sample_claim(rows: pd.DataFrame, backbone: str, paper: Paper, resamples: int, seed: int) -> Claim:
    """Fig. 5b: the gain a further sample, on the edits that all numbers of samples have."""
    statement = Statement(
        "Figure 5b",
        backbone,
        "Edits from more samples of a failure are better.",
        "Slope of the harmonic mean of GR and LR, a further sample",
    )
    rows = rows[(rows["family"] == "samples") & (rows["backbone"] == backbone)]
    rows = in_common(rows) if len(rows) else rows
    if rows["samples"].nunique() < 2:
        return statement.untested(
            "Not measured: on this backbone all edits are from the same number of samples."
        )
    draws = Draws.of(rows, resamples, seed, key="samples")
    numbers = sorted({int(number) for number in draws.settings["method"]})
    scores = np.stack([_score(draws, draws.at(number)).mean(1) for number in numbers], 1)
    away = np.array(numbers, float) - np.mean(numbers)
    each = ", ".join(
        f"{_rate(score)} with {number}" for number, score in zip(numbers, scores[0], strict=True)
    )
    text = f"Harmonic mean of GR and LR, mean over settings: {each}."
    return statement.resampled(scores @ away / (away @ away), text, draws.groups, draws.edits)


def share_claims(edits: pd.DataFrame, backbone: str, share: float, units: int, paper: Paper) -> list[Claim]:
    """Masked edits change the weights that their sparsity leaves of the sites' share: whole hidden units, of `units` in all."""
    masked = edits[edits["method"] == paper["main_results"]["proposed"]].dropna(subset=["value"])
    if masked.empty:
        return []
    kept = masked["value"].map(lambda sparsity: kept_units(sparsity, units) / units)
    off = (masked["fraction"] / (kept * share) - 1).abs()
    statement = Statement(
        "Section 4",
        backbone,
        "A masked edit changes (1 − sparsity) times the share of the weights that all edited matrices hold.",
        "1 % less the largest relative deviation of any edit",
        kind="check",
    )
    room = 0.01 - float(off.max())
    shares = ", ".join(
        f"{100 * part.mean():.2f} % at {value:g}" for value, part in masked.groupby("value")["fraction"]
    )
    text = f"All edited matrices hold {100 * share:.2f} % of the weights; measured: {shares}. "
    text += f"Largest deviation {100 * off.max():.2f} % of the share of the whole hidden units that a mask selects; "
    text += f"{len(masked)} edits, each exact."
    return [statement.tested((room, room, room), text)]


def _score(draws: Draws, columns: np.ndarray) -> np.ndarray:
    return harmonic(draws.gr[:, columns], draws.lr[:, columns])


def _rate(value: float) -> str:
    return f"{100 * value:.1f} %"
