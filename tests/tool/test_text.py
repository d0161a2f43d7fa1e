"""What is said on the terminal."""

from vitedit.tool.text import printable, table


def test_columns_are_aligned_and_nothing_acts_on_the_terminal():
    assert table([("a", "bb", "c"), ("ddd", "e", "")]) == "a    bb  c\nddd  e"
    assert table([("\x1b[31mred\n", "x")]) == "?[31mred?  x"
    assert printable("mouse 🐭 µ") == "mouse 🐭 µ"
