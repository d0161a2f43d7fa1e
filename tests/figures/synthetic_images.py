"""Drawn thumbnails of a synthetic run: its gallery and its shown edits."""

import io

import pandas as pd
from PIL import Image, ImageDraw
from synthetic_groups import NAMES, SUBSETS, groups_of

from vitedit.measure.gallery import SHOWN_COLUMNS


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
                    "images": subset if taken >= 0 else "train",
                    "file": f"{at}.jpg",
                    "label_name": NAMES[true],
                    "predicted_name": taken_name,
                    "png": _drawn(true, at),
                }
            )
    near = {
        "backbone": backbone,
        "subset": "",
        "group": "",
        "role": "locality",
        "images": "val",
        "file": "near.jpg",
    }
    rows += [
        near | {"label_name": NAMES[at], "predicted_name": NAMES[at], "png": _drawn(at, at)}
        for at in range(8)
    ]
    return pd.DataFrame(rows)


def shown_edits(subsets: dict[str, int] = SUBSETS, backbone: str = "base") -> pd.DataFrame:
    """What two methods did to the first image of every group, its neighbours and two locality images."""
    rows = []
    for method, setting in (("hypernet", "sparsity=0.95"), ("ft", "")):
        for subset, group, label, predicted in groups_of(subsets):
            place = {
                "backbone": backbone,
                "method": method,
                "setting": setting,
                "subset": subset,
                "group": group,
            }
            counts = {"neighbours": 20, "neighbours_right": 11, "locality": 50, "locality_flipped": 2}
            images = [("edit", label, predicted, label), ("neighbour", label, predicted, label)]
            images += [("neighbour", label, predicted, predicted), ("flipped", 5, 5, 6), ("flipped", 6, 6, 5)]
            for at, (role, true, before, after) in enumerate(images):
                seen = {"label_name": NAMES[true], "before_name": NAMES[before], "after_name": NAMES[after]}
                right = {"right_before": true == before, "right_after": true == after}
                file = {"role": role, "images": subset, "file": f"{group}-{at}.jpg", "png": _drawn(true, at)}
                rows.append(place | counts | seen | right | file)
    return pd.DataFrame(rows)[["backbone", *SHOWN_COLUMNS]]


def _drawn(kind: int, at: int) -> bytes:
    image = Image.new("RGB", (48, 48), (40 + 20 * kind, 90, 220 - 20 * kind))
    ImageDraw.Draw(image).regular_polygon(
        (24, 24, 14), 3 + kind % 5, rotation=13 * at, fill="white", outline="black"
    )
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        return buffer.getvalue()
