"""What a change makes Snakemake do again, on the finished chain with its real jobs (`-n`, nothing is run)."""

import os
import re
import time

import pytest

pytestmark = pytest.mark.skipif("FAULT_SEEDS" not in os.environ, reason="takes minutes: `make test-faults`")


@pytest.fixture
def chain(finished, tmp_path):
    return finished[0].copy(tmp_path / "chain")


def planned(chain, *words: str) -> list[str]:
    """Rules of the jobs that a dry run plans, without the target."""
    done = chain.start("-n", *words, "--", "tables").wait()
    assert done.code == 0, done.text
    assert done.idle or done.jobs, done.text
    counted = re.findall(r"^(\w+) +(\d+)$", done.text.rpartition("Job stats:")[2], re.MULTILINE)
    return sorted(
        rule for rule, count in counted for _ in range(int(count)) if rule not in ("tables", "total")
    )


def change(chain, file: str, old: str, new: str) -> None:
    """Replaces text in a file of the project."""
    path = chain.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("section", "rules"),
    [
        ("train_editor: {ke: {iterations: 3}}", ["edit_groups", "tabulate", "train_editor"]),
        (
            "meta_train: {iterations: 3}",
            ["edit_groups", "meta_train", "show_edits", "specificity", "tabulate"],
        ),
        ("editors: {rome: {learning_rate: 0.9}}", []),  # not among the compared
    ],
)
def test_a_changed_section_reruns_exactly_what_depends_on_it(chain, section, rules):
    (chain.folder / "other.yaml").write_text(section + "\n")
    assert planned(chain, "--configfile", "chain.yaml", "other.yaml") == rules


def test_a_wrong_date_reruns_nothing(chain):
    for name, days in (("locality", 1), ("benchmark", -1)):
        when = time.time() + days * 86400
        os.utime(chain.folder / f"results/faults/tiny/{name}.parquet", (when, when))
    assert planned(chain) == []


def test_comments_and_docstrings_rerun_nothing(chain):
    change(chain, "src/vitedit/model/descent.py", '"""', '"""Reworded. ')
    change(chain, "src/vitedit/model/descent.py", "import torch\n", "import torch  # a comment\n\n\n")
    change(chain, "src/vitedit/stages/meta_train.py", "    made = ", "    # a comment\n    made = ")
    change(chain, "workflow/rules/where.smk", "rule meta_train:\n", "# a comment\nrule meta_train:\n")
    assert planned(chain) == []


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("learned/statistics.py", ["collect_statistics", "edit_groups", "tabulate"]),
        ("measure/specificity.py", ["specificity", "tabulate"]),
    ],
)
def test_changed_code_reruns_what_uses_it(chain, file, rules):
    change(chain, f"src/vitedit/{file}", "\n\n\n", "\n\n\nCONSTANT = 2\n\n\n")
    assert planned(chain) == rules
