import io
import logging
import sys

from vitedit import progress
from vitedit.progress import track


def test_a_log_file_gets_a_line_now_and_then_and_one_at_the_end(caplog, monkeypatch):
    clock = iter([0.0, 10.0, 40.0, 45.0, 50.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO):
        assert list(track("abcd", "letters", 4)) == list("abcd")
    assert caplog.messages == [
        "letters: 2 of 4, 0.05 a second, 40 s left",
        "letters: 4 of 4, 0.08 a second, 0 s left",
    ]


def test_resumed_work_counts_what_was_done_before_but_not_in_the_rate(caplog, monkeypatch):
    clock = iter([0.0, 10.0, 25.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO):
        list(track(range(8, 10), "steps", 20, start=8))
    assert caplog.messages == ["steps: 10 of 20, 0.08 a second, 125 s left"]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track([1, 2], "steps", 2)) == [1, 2]
    assert "steps" in terminal.getvalue() and "2/2" in terminal.getvalue()
