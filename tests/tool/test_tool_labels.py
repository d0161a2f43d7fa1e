"""Labels as people write them."""

import pytest

from vitedit.errors import UnknownNameError
from vitedit.tool.labels import class_list, class_name, find_label

IMAGENET = class_list(None, 1000)


@pytest.mark.parametrize("label", [890, "890", " 890 ", "n04540053", "volleyball", "Volleyball"])
def test_one_class_by_all_its_names(label):
    assert find_label(label, IMAGENET, 1000) == 890


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("crane", "'crane' is the name of several classes: 134 .*517"),
        (
            "volleybal",
            r"^label volleybal: no class of this model. Give its index \(0 to 999\), WordNet id or name, as 0, "
            r"n01440764 or 'tench'; similar: volleyball\.$",
        ),
        ("n99999999", r"no class of this model.*'tench'\.$"),
        ("-1", "label -1: no class"),
        ("1000", "the model has the classes 0 to 999"),
        ("²", "label ²: no class"),
    ],
)
def test_what_is_no_class_or_several(label, message):
    with pytest.raises(UnknownNameError, match=message):
        find_label(label, IMAGENET, 1000)


def test_classes_in_words():
    assert class_name(0, IMAGENET) == "tench" and class_name(7, None) == "7"
    assert class_name(1, ["a", "disc spotted, plate"]) == "disc spotted"
    assert class_list(None, 12) is None
