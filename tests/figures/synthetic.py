"""Tables with the columns of a real run and plausible numbers, so that figures, notebooks and the page can be tried."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from vitedit.figures import TABLES
from vitedit.measure import tabulate

NAMES = [
    f"{shape} {texture}"
    for shape in ("heart", "star", "ring", "cross", "moon")
    for texture in ("spotted", "striped")
]
SUBSETS = {"natural": 9, "oil_painting": 6, "stage_light": 5}
SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95)
GAIN = {"hypernet": 0.06, "random_mask": 0.0, "gradient_mask": 0.03}


def groups_of(subsets: dict[str, int]) -> list[tuple[str, str, int, int]]:
    """(subset, group, label, predicted) of every group."""
    named = []
    for subset, count in subsets.items():
        for at in range(count):
            label, predicted = at % 10, (3 * at + 1) % 10
            named.append(
                (subset, f"{label}_{predicted}" if subset == "natural" else str(label), label, predicted)
            )
    return named


def edits(
    subsets: dict[str, int] = SUBSETS,
    methods: tuple[str, ...] = ("hypernet", "random_mask", "ft"),
    backbone: str = "base",
    count: int = 6,
) -> pd.DataFrame:
    """Rows of edits; a method without an entry in GAIN has no knob."""
    rng = np.random.default_rng(1)
    rows = []
    for subset, group, label, predicted in groups_of(subsets):
        ease = rng.uniform(0.25, 0.8)
        for method in methods:
            for value in SPARSITIES if method in GAIN else (np.nan,):
                strength = 1 if np.isnan(value) else (1 - value) ** 0.35
                for edit in range(count):
                    gr = np.clip(
                        ease * (0.5 + 0.5 * strength) + GAIN.get(method, 0) + rng.normal(0, 0.06), 0, 1
                    )
                    lr = np.clip(1 - 0.4 * strength + GAIN.get(method, 0) / 3 + rng.normal(0, 0.03), 0, 1)
                    row = {
                        "run": "synthetic",
                        "backbone": backbone,
                        "method": method,
                        "value": value,
                        "subset": subset,
                        "group": group,
                    }
                    row |= {
                        "knob": "" if np.isnan(value) else "sparsity",
                        "setting": "" if np.isnan(value) else f"sparsity={value}",
                    }
                    row |= {
                        "edit": edit,
                        "file": f"{edit:05}.jpg",
                        "label": label,
                        "predicted": predicted,
                        "sr": bool(rng.random() < 0.98),
                    }
                    row |= {
                        "gr": gr,
                        "gr_ref": gr * 0.95,
                        "lr": lr,
                        "steps": int(10 + 60 * (1 - strength)),
                        "loss": 0.008,
                        "seconds": 0.4,
                    }
                    rows.append(
                        row
                        | {
                            "fraction": 0.165 * (1 if np.isnan(value) else 1 - value),
                            "norm": 1.0,
                            "seed": 0,
                            "status": "converged",
                        }
                    )
    return pd.DataFrame(rows)


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


def layers(backbone: str = "base") -> pd.DataFrame:
    """The layer search of a model of twelve blocks."""
    rng = np.random.default_rng(3)
    rows = []
    for part, height in (("mlp", 0.75), ("attn", 0.6)):
        for first in range(10):
            gr, lr = height - 0.012 * (first - 6) ** 2, 0.55 + 0.035 * first - (0.08 if part == "attn" else 0)
            spread = rng.normal(0, 0.08, (20, 2))
            rows += [
                {"part": part, "first": first, "last": first + 2, "sr": True, "gr": gr + a, "lr": lr + b}
                for a, b in spread
            ]
    choice = {"part": "mlp", "blocks": [7, 8, 9]}
    return tabulate.layers(pd.DataFrame(rows), choice, 200, 0).assign(backbone=backbone)


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
    return pairs.assign(edit_a=first, edit_b=second, file_a="a.jpg", file_b="b.jpg", iou=iou)


def gallery(subsets: dict[str, int] = SUBSETS, backbone: str = "base") -> pd.DataFrame:
    """Drawn thumbnails in all roles."""
    rows = []
    for subset, group, label, predicted in groups_of(
        {name: min(count, 4) for name, count in subsets.items()}
    ):
        place = {"backbone": backbone, "subset": subset, "group": group}
        pictures = [("edit", label, predicted), *[("neighbour", label, predicted)] * 5]
        pictures += (
            [("pretraining", label, -1)] * 3 + [("pretraining", predicted, -1)] * 3
            if subset == "natural"
            else []
        )
        for at, (role, true, taken) in enumerate(pictures):
            taken_name = NAMES[taken] if taken >= 0 else ""
            rows.append(
                place
                | {
                    "role": role,
                    "label_name": NAMES[true],
                    "predicted_name": taken_name,
                    "png": _drawn(true, at),
                }
            )
    near = {"backbone": backbone, "subset": "", "group": "", "role": "locality"}
    rows += [
        near | {"label_name": NAMES[at], "predicted_name": NAMES[at], "png": _drawn(at, at)}
        for at in range(8)
    ]
    return pd.DataFrame(rows)


def _drawn(kind: int, at: int) -> bytes:
    image = Image.new("RGB", (48, 48), (40 + 20 * kind, 90, 220 - 20 * kind))
    ImageDraw.Draw(image).regular_polygon(
        (24, 24, 14), 3 + kind % 5, rotation=13 * at, fill="white", outline="black"
    )
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        return buffer.getvalue()


def tables(
    subsets: dict[str, int] = SUBSETS, methods: tuple[str, ...] = ("hypernet", "random_mask", "ft")
) -> dict[str, pd.DataFrame]:
    """Every table of a run."""
    made, pairs = edits(subsets, methods), masks(subsets["natural"])
    matrix = tabulate.specificity(pairs).assign(backbone="base")
    shared = pd.DataFrame([tabulate.overlap(matrix, 0.95, 200, 0)]).assign(backbone="base")
    return {
        "edits": made,
        "curves": tabulate.curves(made, 200, 0),
        "differences": tabulate.differences(made, 200, 0),
        "groups": groups(subsets),
        "layers": layers(),
        "training": training(),
        "masks": pairs,
        "specificity": matrix,
        "overlap": shared,
        "gallery": gallery(subsets),
    }


def write(folder: Path, made: dict[str, pd.DataFrame]) -> None:
    """Writes tables as the stage does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        table.to_parquet(folder / f"{name}.parquet")
        if "csv" in TABLES[name]:
            table.to_csv(folder / f"{name}.csv", index=False)
