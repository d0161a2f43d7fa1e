"""What is said on the terminal."""

import pandas as pd

from vitedit.tool import text
from vitedit.tool.layout import printable, table


def test_columns_are_aligned_and_nothing_acts_on_the_terminal():
    assert table([("a", "bb", "c"), ("ddd", "e", "")]) == "a    bb  c\nddd  e"
    assert table([("\x1b[31mred\n", "x")]) == "?[31mred?  x"
    assert printable("mouse 🐭 µ") == "mouse 🐭 µ"


def test_a_training_is_shown_by_its_ends_and_searches_without_the_replay():
    log = pd.DataFrame({column: [float(at) for at in range(30)] for column in text.LOGGED})
    log.loc[20:, ["kl", "sparsity_searched"]] = float("nan")
    lines = [line.split() for line in text.of_training(log).splitlines()]
    assert lines[0][:2] == ["30", "iterations"]
    assert [line[-2:] for line in lines[1:4]] == [["1", "28"], ["0.5", "18.5"], ["0.5", "18.5"]]
