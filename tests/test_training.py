import pytest

from vitedit.training import run


class Counter:
    """Adds up the numbers of its iterations; stops with an exception where it is told to."""

    def __init__(self, stop=None):
        self.rows, self.total, self.stop, self.done = [], 0, stop, []

    def step(self, iteration):
        if iteration == self.stop:
            raise KeyboardInterrupt
        self.total = 3 * self.total + iteration
        self.done.append(iteration)
        self.rows.append({"iteration": iteration, "total": self.total})

    def state(self):
        return {"rows": self.rows, "total": self.total}

    def restore(self, state):
        self.rows, self.total = list(state["rows"]), state["total"]


def test_every_iteration_is_run_and_logged(tmp_path):
    training = Counter()
    log = run(training, 5, 2, tmp_path / "state.pt", {"a": 1})
    assert training.done == [0, 1, 2, 3, 4] and log["iteration"].tolist() == training.done
    assert log["total"].tolist() == [0, 1, 5, 18, 58]


def test_a_killed_training_goes_on_from_its_last_state(tmp_path, caplog):
    caplog.set_level("INFO")
    with pytest.raises(KeyboardInterrupt):
        run(Counter(stop=3), 5, 2, tmp_path / "state.pt", {"a": 1})
    resumed = Counter()
    log = run(resumed, 5, 2, tmp_path / "state.pt", {"a": 1})
    assert resumed.done == [2, 3, 4] and log["total"].tolist() == [0, 1, 5, 18, 58]
    assert f"going on after 2 of 5, from {tmp_path / 'state.pt'}" in caplog.text


def test_a_state_of_another_configuration_is_left_alone(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        run(Counter(stop=3), 5, 2, tmp_path / "state.pt", {"a": 1})
    anew = Counter()
    run(anew, 5, 2, tmp_path / "state.pt", {"a": 2})
    assert anew.done == [0, 1, 2, 3, 4] and "belongs to another configuration" in caplog.text


def test_a_finished_training_does_nothing_more(tmp_path):
    run(Counter(), 4, 2, tmp_path / "state.pt", {})
    again = Counter()
    assert len(run(again, 4, 2, tmp_path / "state.pt", {})) == 4 and again.done == []
