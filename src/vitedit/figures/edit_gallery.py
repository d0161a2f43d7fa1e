"""The gallery of edits on the page: what an edit did to its sample, its neighbours and the locality set."""

import base64
import json
from collections.abc import Hashable
from typing import Any

import pandas as pd

from vitedit.figures.style import methods, words
from vitedit.figures.words import harmless

PLACE = ["backbone", "method", "setting", "subset", "group"]
ROLES = ("edit", "neighbour", "flipped")


def edit_gallery(shown: pd.DataFrame) -> dict[str, Any]:
    """Pictures, each once, as data URIs, and the edits that refer to them by number.

    Args:
        shown: Table `shown_edits`.

    Returns:
        `pictures`: list of URIs; `edits`: of every edit what it is called, its counts, and by role its images with the
        predictions before and after.
    """
    pictures: dict[bytes, int] = {}
    look = methods(shown["method"])
    edits = []
    for key, rows in shown.groupby(PLACE, sort=False):
        place: dict[str, Any] = dict(zip(PLACE, key, strict=True))
        first = rows.iloc[0]
        setting = str(place["setting"]).replace("=", " ")
        edits.append(
            {
                "backbone": place["backbone"],
                "method": look[place["method"]].words + (f", {setting}" if setting else ""),
                "group": harmless(f"{words(place['subset'])}: {place['group']}, {first['label_name']}"),
                "corrected": f"{first['neighbours_right']} of {first['neighbours']}",
                "flipped": f"{first['locality_flipped']} of {first['locality']}",
                "images": {role: _images(rows[rows["role"] == role], pictures) for role in ROLES},
            }
        )
    return {"pictures": list(map(_uri, pictures)), "edits": edits}


def as_json(gallery: dict[str, Any]) -> str:
    """JSON that can stand in a script element: no name in it can end that element."""
    return json.dumps(gallery, ensure_ascii=False).replace("<", "\\u003c")


def _images(rows: pd.DataFrame, pictures: dict[bytes, int]) -> list[dict[Hashable, Any]]:
    kept = ["label_name", "before_name", "after_name", "right_before", "right_after"]
    numbers = [pictures.setdefault(png, len(pictures)) for png in rows["png"]]
    return rows[kept].map(harmless).assign(picture=numbers).to_dict("records")


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
