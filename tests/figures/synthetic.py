"""Tables with the columns of a real run and plausible numbers, so that figures, notebooks and the page can be tried."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from synthetic_groups import NAMES, SUBSETS, groups_of
from synthetic_images import gallery, shown_edits
from synthetic_many import many_rows

from vitedit.figures import TABLES
from vitedit.measure import tabulate
from vitedit.measure.ablations import curves, named
from vitedit.measure.claims import claims
from vitedit.measure.many import conflicts, summary
from vitedit.measure.verdicts import PAPER_VALUES, read_paper_values

PAPER = Path(__file__).parents[2] / PAPER_VALUES
SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95)
EDITING = ("ke", "mend")


class Method(NamedTuple):
    """How a method's rates run over its settings, from the first to the last: plausible, not measured."""

    knob: str = ""
    values: tuple[float, ...] = (np.nan,)
    gr: tuple[float, float] = (1.0, 1.0)
    lr: tuple[float, float] = (0.55, 0.55)
    sr: float = 0.99
    steps: float = 15
    seconds: float = 0.4
    fraction: float = 0.165


METHODS = {
    "hypernet": Method("sparsity", SPARSITIES, (0.97, 0.9), (0.6, 0.78)),
    "ft": Method(),
    "ft_l1": Method("penalty_weight", (0.001, 0.005, 0.01, 0.05, 0.1), (0.98, 0.6), (0.56, 0.72)),
    "ft_l2": Method("penalty_weight", (0.001, 0.01, 0.1, 1, 10), (0.99, 0.82), (0.55, 0.62)),
    "t_patcher": Method("memory_weight", (0.1, 1, 3, 10, 30), (0.5, 0.15), (0.85, 0.97), 0.9, 60, 0.1, 0.001),
    "kn": Method("sparsity", SPARSITIES, (0.92, 0.45), (0.57, 0.74), seconds=0.7),
    "kn_slots": Method("scale", (1, 2, 4, 8, 16), (0.05, 0.6), (0.96, 0.3), 0.5, 0, 0.05, 0.002),
    "spt": Method("sparsity", SPARSITIES, (1.0, 0.86), (0.55, 0.66), fraction=0.16),
    "rome": Method("clamp", (1, 2, 3, 4, 6), (0.15, 0.5), (0.93, 0.75), 0.8, 20, 0.02, 0.027),
    "lora": Method("rank", (1, 2, 4, 8, 16), (0.62, 0.9), (0.82, 0.4), 0.95, 30, 1.1, 0.002),
    "ke": Method("scale", (0.25, 0.5, 1, 1.5, 2), (0.2, 0.7), (0.95, 0.6), 0.7, 2, 0.01),
    "mend": Method("scale", (0.25, 0.5, 1, 1.5, 2), (0.35, 0.8), (0.92, 0.68), 0.85, 1, 0.008),
    "random_mask": Method("sparsity", SPARSITIES, (0.98, 0.5), (0.57, 0.68)),
}


def edits(
    subsets: dict[str, int] = SUBSETS,
    methods: tuple[str, ...] = tuple(METHODS),
    backbone: str = "base",
    count: int = 4,
) -> pd.DataFrame:
    """Rows of edits; a method that METHODS does not know has no knob."""
    rng = np.random.default_rng(len(backbone))
    places = pd.DataFrame(groups_of(subsets), columns=["subset", "group", "label", "predicted"])
    places = places.assign(ease=rng.uniform(0.3, 0.95, len(places)), near=rng.normal(0, 0.05, len(places)))
    every = places.loc[places.index.repeat(count)].reset_index(drop=True)
    every = every.assign(edit=np.tile(np.arange(count), len(places)))
    tables = [
        _edits(every, method, METHODS.get(method, Method()), value, rng)
        for method in methods
        for value in METHODS.get(method, Method()).values
    ]
    made = pd.concat(tables, ignore_index=True).drop(columns=["ease", "near"])
    file = made["edit"].map("{:05}.jpg".format)
    return made.assign(run="synthetic", backbone=backbone, file=file, loss=0.008, norm=1.0, seed=0, samples=1)


def _edits(
    every: pd.DataFrame, name: str, method: Method, value: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Edits of one setting."""
    at = method.values.index(value) / max(len(method.values) - 1, 1) if method.knob else 0.0
    noise = rng.normal(0, 0.05, (2, len(every)))
    gr = every["ease"] * (method.gr[0] + at * (method.gr[1] - method.gr[0])) + noise[0]
    lr = method.lr[0] + at * (method.lr[1] - method.lr[0]) + every["near"] + noise[1] / 2
    right = rng.random(len(every)) < method.sr
    masked = 1 - value if method.knob == "sparsity" else 1.0
    return every.assign(
        method=name,
        knob=method.knob,
        setting=f"{method.knob}={value}" if method.knob else "",
        value=value,
        sr=right,
        gr=gr.clip(0, 1),
        gr_ref=0.95 * gr.clip(0, 1),
        gr_style=np.where(every["subset"] == "natural", np.nan, 0.1 * gr.clip(0, 1)),
        lr=lr.clip(0, 1),
        steps=np.round(method.steps * (1 + at)),
        seconds=method.seconds * (1 + at),
        fraction=method.fraction * masked,
        status=np.where(right, "converged", "not_converged"),
    )


def groups(subsets: dict[str, int] = SUBSETS, backbone: str = "base") -> pd.DataFrame:
    """Table A."""
    rng = np.random.default_rng(2)
    rows = []
    for subset, group, label, predicted in groups_of(subsets):
        images = int(rng.integers(6, 60))
        taken = NAMES[predicted] if subset == "natural" else "various"
        rows.append(
            {
                "backbone": backbone,
                "subset": subset,
                "group": group,
                "label": label,
                "predicted": predicted,
                "label_name": NAMES[label],
            }
            | {
                "predicted_name": taken,
                "images": images,
                "edits": min(8, images),
                "label_correct": 0.9 if subset == "natural" else np.nan,
            }
        )
    return pd.DataFrame(rows)


def layer_edits(backbone: str = "base") -> pd.DataFrame:
    """Rows of the layer search of a model of twelve blocks."""
    rng = np.random.default_rng(3)
    rows = []
    for part, height in (("mlp", 0.75), ("attn", 0.6)):
        for first in range(10):
            gr, lr = height - 0.012 * (first - 6) ** 2, 0.55 + 0.035 * first - (0.08 if part == "attn" else 0)
            spread = rng.normal(0, 0.08, (20, 2))
            rows += [
                {"part": part, "first": first, "last": first + 2, "sr": True, "gr": gr + a, "lr": lr + b}
                | {"edit": edit, "backbone": backbone}
                for edit, (a, b) in enumerate(spread)
            ]
    return pd.DataFrame(rows)


def layers(backbone: str = "base") -> pd.DataFrame:
    """The layer search, a row a window of blocks."""
    choice = {"part": "mlp", "blocks": [7, 8, 9]}
    searched = layer_edits(backbone).assign(subset="natural", group=groups_of({"natural": 1})[0][1])
    return tabulate.layers(searched, choice, 200, 0).assign(backbone=backbone)


def training(backbone: str = "base") -> pd.DataFrame:
    """A log of a search of masks followed by replay."""
    rng = np.random.default_rng(4)
    step = np.arange(150)
    search = pd.DataFrame(
        {
            "backbone": backbone,
            "iteration": step,
            "phase": "search",
            "kl": 0.1 + 0.25 * np.exp(-step / 60) + rng.normal(0, 0.03, 150),
        }
    )
    search["sparsity_searched"] = 0.62 + rng.normal(0, 0.02, 150)
    search["sparsity_predicted"] = 0.5 + 0.12 * (1 - np.exp(-step / 20))
    search["regression_loss"] = 0.62 + 0.08 * np.exp(-step / 30) + rng.normal(0, 0.004, 150)
    replay = pd.DataFrame(
        {
            "backbone": backbone,
            "iteration": 150 + np.arange(600),
            "phase": "replay",
            "kl": np.nan,
            "sparsity_searched": np.nan,
        }
    )
    replay["sparsity_predicted"] = 0.62 + rng.normal(0, 0.003, 600)
    replay["regression_loss"] = 0.62 - 0.06 * (1 - np.exp(-np.arange(600) / 200)) + rng.normal(0, 0.004, 600)
    return pd.concat([search, replay], ignore_index=True).assign(seconds=0.5)


def editor_training(backbone: str = "base", networks: tuple[str, ...] = EDITING) -> pd.DataFrame:
    """Logs of the networks that edit; only the first is held to a margin."""
    rng = np.random.default_rng(6)
    step = np.arange(300)
    logs = []
    for at, network in enumerate(networks):
        rise = 1 - np.exp(-step / (60 + 60 * at))
        log = pd.DataFrame({"backbone": backbone, "network": network, "iteration": step})
        log["loss_edit"] = np.exp(1.2 - 3 * rise + rng.normal(0, 0.3, 300))
        log["kl"] = np.exp(-1 - 2.5 * rise + rng.normal(0, 0.4, 300))
        log["success"] = np.clip(0.15 + 0.7 * rise + rng.normal(0, 0.08, 300), 0, 1)
        log["success_before"] = np.clip(0.15 + rng.normal(0, 0.04, 300), 0, 1)
        log["multiplier"] = np.nan if at else 1 + 0.01 * step
        log["margin"] = np.nan if at else np.where(step < 150, 0.1, 0.08)
        logs.append(log.assign(seconds=0.1))
    return pd.concat(logs, ignore_index=True)


def masks(count: int = SUBSETS["natural"], samples: int = 4, backbone: str = "base") -> pd.DataFrame:
    """Overlaps of masks of every pair of edit samples."""
    rng = np.random.default_rng(5)
    named = [group for _, group, _, _ in groups_of({"natural": count}) for _ in range(samples)]
    first, second = np.triu_indices(len(named), 1)
    same = np.array([named[a] == named[b] for a, b in zip(first, second, strict=True)])
    iou = np.clip(np.where(same, 0.55, 0.4) + rng.normal(0, 0.07, len(same)), 0, 1)
    pairs = pd.DataFrame(
        {"backbone": backbone, "group_a": [named[a] for a in first], "group_b": [named[b] for b in second]}
    )
    files = [f"{at % samples}.jpg" for at in range(len(named))]
    pairs = pairs.assign(file_a=[files[a] for a in first], file_b=[files[b] for b in second])
    return pairs.assign(edit_a=first, edit_b=second, iou=iou)


def sites(count: int = SUBSETS["natural"], backbone: str = "base") -> pd.DataFrame:
    """Shares of the units of six sites."""
    rng = np.random.default_rng(7)
    rows = [
        {"subset": "natural", "group": group, "site": f"blocks.{block}.mlp.{matrix}.weight"}
        | {"block": block, "matrix": matrix, "share": rng.uniform(0.01, 0.12), "masks": 4, "sparsity": 0.95}
        for _, group, _, _ in groups_of({"natural": count})
        for block in (7, 8, 9)
        for matrix in ("fc1", "fc2")
    ]
    return pd.DataFrame(rows).assign(backbone=backbone)


def system(backbone: str = "base") -> pd.DataFrame:
    """The system of a ViT of twelve blocks."""
    sizes = {"model": "vit_tiny", "size": 48, "blocks": 12, "width": 96, "classes": 20, "weights": 1_350_000}
    sites = " ".join(
        f"blocks.{block}.mlp.{matrix}.weight" for block in (7, 8, 9) for matrix in ("fc1", "fc2")
    )
    edited = {"part": "mlp", "edited": "8 9 10", "sites": sites, "units": 2304, "share": 0.164}
    network = {"hypernet_blocks": 3, "hypernet_heads": 6, "iterations": 64, "batch_size": 8}
    steps = {"inner_steps": 5, "search_steps": 10, "sparsities": "0.25 0.5 0.75 0.9 0.95"}
    steps |= {"step_sizes": "hypernet=0.002 random_mask=0.005"}
    return pd.DataFrame([{"backbone": backbone} | sizes | edited | network | steps])


ABLATIONS = {
    "samples": ("two", "three"),
    "pseudo": ("mixup", "cutout", "crop", "noise", "none"),
    "sparsity_weight": ("weaker", "stronger"),
    "inner_steps": ("one", "ten"),
    "inner_learning_rate": ("smaller", "larger"),
    "blocks": ("one", "five"),
    "conditioning": ("label",),
    "tied": ("tied",),
}


def tables(
    subsets: dict[str, int] = SUBSETS,
    methods: tuple[str, ...] = tuple(METHODS),
    backbones: tuple[str, ...] = ("base", "small"),
) -> dict[str, pd.DataFrame]:
    """Every table of a run."""
    parts = [_of_backbone(subsets, backbone) for backbone in backbones]
    made = pd.concat([edits(subsets, methods, backbone) for backbone in backbones], ignore_index=True)
    compared = {
        "edits": made,
        "curves": tabulate.curves(made, 200, 0),
        "differences": tabulate.differences(made, 200, 0),
        "ablation_edits": ablations(made),
        "ablations": curves(ablations(made), 200, 0).assign(tried=lambda table: table["variant"]),
    }
    many = many_rows(methods, backbones[0])
    compared |= {"many_edits": summary(many), "conflicts": conflicts(many)}
    sums = {"path": ["data/<images>.zip"], "bytes": [2_500_000], "sha256": ["0" * 64], "of": ["content"]}
    every = compared | {
        name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]
    }
    return {"claims": tested(every), "inputs": pd.DataFrame(sums)} | every


def tested(made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The claims on the other tables of a run."""
    searched = [layer_edits(backbone) for backbone in made["system"]["backbone"]]
    rows = {name: table for name, table in made.items() if name != "inputs"}
    rows["layer_edits"] = pd.concat(searched, ignore_index=True)
    return claims(rows, read_paper_values(PAPER), 100, 0)


def ablations(edits: pd.DataFrame) -> pd.DataFrame:
    """Rows of every family, one of them released: the proposed method's, a little worse in every variant."""
    own = edits[(edits["method"] == "hypernet") & (edits["backbone"] == edits["backbone"].iloc[0])]
    parts = []
    for family, variants in ABLATIONS.items():
        for at, variant in enumerate(("default", *variants)):
            samples = at + 1 if family == "samples" else 1
            rows = named(own.assign(gr=own["gr"] * (1 - 0.1 * at), samples=samples), family, variant)
            parts.append(rows.assign(released=family == "pseudo"))
    return pd.concat(parts, ignore_index=True)


def _of_backbone(subsets: dict[str, int], backbone: str) -> dict[str, pd.DataFrame]:
    """Tables that compare no methods."""
    pairs = masks(subsets["natural"], backbone=backbone)
    matrix = tabulate.specificity(pairs)
    return {
        "system": system(backbone),
        "sites": sites(subsets["natural"], backbone),
        "groups": groups(subsets, backbone),
        "layers": layers(backbone),
        "training": training(backbone),
        "editor_training": editor_training(backbone),
        "masks": pairs,
        "specificity": matrix.assign(backbone=backbone),
        "overlap": pd.DataFrame([tabulate.overlap(pairs, 0.95, 200, 0)]).assign(backbone=backbone),
        "gallery": gallery(subsets, backbone),
        "shown_edits": shown_edits(subsets, backbone),
    }


def write(folder: Path, made: dict[str, pd.DataFrame]) -> None:
    """Writes tables as the stage does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        table.to_parquet(folder / f"{name}.parquet")
        if "csv" in TABLES[name]:
            table.to_csv(folder / f"{name}.csv", index=False)
