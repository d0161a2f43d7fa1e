"""Data of the page's gallery: every picture once, every image with what became of it, nothing that ends a script."""

import base64
import json

import pandas as pd
import synthetic

from vitedit.figures.edit_gallery import as_json, edit_gallery

SHOWN = synthetic.shown_edits({"natural": 2, "stage_light": 1})


def test_edits_are_called_by_their_names_and_counted():
    edits = edit_gallery(SHOWN)["edits"]
    assert len(edits) == 6 and len({(edit["method"], edit["group"]) for edit in edits}) == 6
    first = edits[0]
    assert first["method"] == "Learned mask (proposed), sparsity 0.95" and first["backbone"] == "base"
    assert first["group"].startswith("natural images: ")
    assert (first["corrected"], first["flipped"]) == ("11 of 20", "2 of 50")
    assert edits[3]["method"] == "Fine-tuning (FT)"


def test_images_stand_in_their_roles_and_pictures_are_kept_once():
    made = edit_gallery(SHOWN)
    assert len(made["pictures"]) == SHOWN["png"].nunique() < len(SHOWN)
    rows = SHOWN[(SHOWN["method"] == "ft") & (SHOWN["subset"] == "stage_light")].to_dict("records")
    images = made["edits"][5]["images"]
    assert {role: len(some) for role, some in images.items()} == {"edit": 1, "neighbour": 2, "flipped": 2}
    for row, image in zip(rows, [one for some in images.values() for one in some], strict=True):
        assert image["after_name"] == row["after_name"] and image["right_after"] == row["right_after"]
        uri = made["pictures"][image["picture"]]
        assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == row["png"]


def test_no_name_ends_the_script():
    text = as_json(edit_gallery(SHOWN.assign(label_name="</script><b>")))
    assert "<" not in text
    assert json.loads(text)["edits"][0]["images"]["edit"][0]["label_name"] == "</script><b>"


def test_nothing_shown_is_nothing():
    assert edit_gallery(pd.DataFrame(columns=SHOWN.columns)) == {"pictures": [], "edits": []}
