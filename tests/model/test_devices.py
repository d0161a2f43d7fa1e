"""The same edits on a GPU as on the CPU, to the tolerance that docs/slurm.md states."""

from copy import deepcopy

import pytest
import torch

from vitedit.config import DescentConfig
from vitedit.editors import editor_class
from vitedit.model.edits import Samples
from vitedit.model.vit import Split

SETTINGS = {"ft": {}, "random_mask": {"sparsity": 0.9}, "lora": {}, "spt": {"sparsity": 0.9}}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", SETTINGS)
def test_edits_agree_across_devices(method, split, samples):
    editor = editor_class(method)(
        descent=DescentConfig(max_steps=25, stop_loss=0.05), learning_rate=3e-3, **SETTINGS[method]
    )
    here = editor.edit(split, samples)
    there = Split(deepcopy(split.vit).to("cuda"), split.sites)
    moved = editor.edit(there, Samples(samples.images.cuda(), samples.labels.cuda(), samples.keys))
    assert torch.equal(here.steps, moved.steps.cpu())
    for name, change in here.changed.items():
        torch.testing.assert_close(moved.changed[name].cpu(), change, rtol=1e-3, atol=2e-4)
