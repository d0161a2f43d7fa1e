"""How many edits a batch takes, from the model and from what memory is free."""

import logging
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch

from vitedit.config import DescentConfig
from vitedit.editors.ft import FineTune
from vitedit.memory import free_memory
from vitedit.model import room
from vitedit.model.changes import Full, Grown, LowRank, Thin, join
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

MEASURED = pd.read_csv(Path(__file__).parents[2] / "docs/performance/cpu/scaling.csv")
NAMES = {"tiny": "deit_tiny_patch16_224", "small": "deit_small_patch16_224"} | {
    size: f"vit_{size}_patch16_224" for size in ("base", "large")
}


def split_of(name):
    """Its FFNs of blocks 8 to 10 of 12 (or as far from the end), without weights."""
    with torch.device("meta"):
        vit = timm.create_model(name)
    depth = len(vit.blocks)
    return Split(vit, find_sites(vit, "mlp", range(depth - 5, depth - 2)))


def images_of(count, side=224):
    """Of one edit."""
    return torch.empty(1, count, 3, side, side, device="meta")


def lay(root, folder, files):
    """Files of a machine's `proc` or `sys` under a folder."""
    for name, text in files.items():
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("model", NAMES)
def test_an_edit_takes_no_more_than_is_reckoned(model, monkeypatch):
    cut = split_of(NAMES[model])
    for row in MEASURED[(MEASURED["model"] == model) & (MEASURED["edits"] >= 4)].itertuples():
        monkeypatch.setattr(room, "free_bytes", lambda device, mib=row.mib: 2 * mib * 2**20)
        assert room.fitting(cut, images_of(1)) <= row.edits


def test_sizes_follow_the_model_and_the_free_memory(monkeypatch):
    tiny, base = (split_of(NAMES[name]) for name in ("tiny", "base"))
    monkeypatch.setitem(room.BATCH_BYTES, "meta", room.BATCH_BYTES["cpu"])
    assert (room.planned(tiny), room.planned(base)) == (18, 8)
    monkeypatch.setitem(room.BATCH_BYTES, "meta", room.BATCH_BYTES["cuda"])
    assert room.planned(base) == 75
    monkeypatch.setattr(room, "free_bytes", lambda device: 2**32)
    few, many = room.fitting(base, images_of(3)), room.fitting(base, images_of(1))
    assert 1 < few < many < room.fitting(tiny, images_of(1))
    monkeypatch.setattr(room, "free_bytes", lambda device: 0)
    assert room.fitting(tiny, images_of(1)) == 1


def test_free_memory_is_the_least_of_the_machine_and_its_control_groups(tmp_path):
    lay(tmp_path, "proc", {"meminfo": "MemTotal: 99 kB\nMemAvailable:    4000 kB\n"})
    assert free_memory(tmp_path) == 4000 * 1024
    lay(tmp_path, "proc/self", {"cgroup": "0::/slurm/job_7/step_0\n"})
    job = {"memory.max": "1000000\n", "memory.current": "900000\n"}
    stat = "anon 5\nactive_file 100000\ninactive_file 200000\n"
    lay(tmp_path, "sys/fs/cgroup/slurm/job_7", job | {"memory.stat": stat})
    lay(tmp_path, "sys/fs/cgroup/slurm/job_7/step_0", job | {"memory.max": "max\n", "memory.stat": stat})
    assert free_memory(tmp_path) == 1000000 - 900000 + 300000
    lay(tmp_path, "proc/self", {"cgroup": "3:cpuset:/a\n4:memory:/a\n"})
    first = {"memory.limit_in_bytes": "50000\n", "memory.usage_in_bytes": "60000\n"}
    stat = "total_active_file 30000\ninactive_file 7\n"
    lay(tmp_path, "sys/fs/cgroup/memory/a", first | {"memory.stat": stat})
    assert free_memory(tmp_path) == 50000 - 60000 + 30000


def test_without_a_word_of_the_system_all_memory_counts_as_free(tmp_path):
    assert free_memory(tmp_path) > free_memory() > 2**20


def test_too_many_edits_are_made_in_parts_and_said(split, samples, monkeypatch, caplog):
    editor = FineTune(DescentConfig(max_steps=5), learning_rate=3e-3)
    whole = editor.edit(split, samples)
    one = room.matrix_bytes(split) + room.image_bytes(split, 24)
    monkeypatch.setattr(room, "free_bytes", lambda device: 2 * one / room.SHARE)
    with caplog.at_level(logging.INFO):
        parts = editor.edit(split, samples)
    assert "free memory holds 2 of these" in caplog.text
    assert len(parts) == len(whole) and torch.equal(parts.steps, whole.steps)


def test_larger_images_take_more(monkeypatch):
    with torch.device("meta"):
        vit = timm.create_model("deit_tiny_patch16_224", dynamic_img_size=True)
    cut = Split(vit, find_sites(vit, "mlp", [7]))
    assert 3.9 < room.image_bytes(cut, 448) / room.image_bytes(cut, 224) < 4


def test_joined_changes_of_other_forms_are_in_full():
    base = torch.randn(6, 5)
    parts = [Thin(base, 0, torch.tensor([[1, 2]]), torch.randn(1, 2, 5)), Full(base, torch.randn(2, 6, 5))]
    for order in (parts, parts[::-1]):
        joined = join(order)
        assert type(joined) is Full
        torch.testing.assert_close(joined.dense(), torch.cat([part.dense() for part in order]))


@pytest.mark.parametrize("kind", ["thin", "low_rank", "grown"])
def test_joined_changes_are_those_of_each_part(kind):
    base = torch.randn(6, 5)
    makers = {
        "thin": lambda e, k: Thin(
            base, 0, torch.stack([torch.randperm(6)[:k] for _ in range(e)]), torch.randn(e, k, 5)
        ),
        "low_rank": lambda e, k: LowRank(base, torch.randn(e, 6, k), torch.randn(e, k, 5)),
        "grown": lambda e, k: Grown(base, 0, torch.randn(e, 2, 5)),
    }
    parts = [makers[kind](2, 3), makers[kind](1, 2), makers[kind](3, 4)]
    joined = join(parts)
    torch.testing.assert_close(joined.dense(), torch.cat([part.dense() for part in parts]))
    counts = [part.difference().ne(0).flatten(1).sum(1) for part in (joined, *parts)]
    assert torch.equal(counts[0], torch.cat(counts[1:]))
