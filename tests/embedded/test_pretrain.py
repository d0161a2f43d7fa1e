"""Training the embedded ViTs: resumable to the bit, and loud when something is wrong."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vitedit.config import ModelConfig
from vitedit.embedded import evaluate
from vitedit.embedded import pretrain as pretrain_module
from vitedit.embedded.evaluate import evaluate_world
from vitedit.embedded.pretrain import initial_model, normalise, pretrain
from vitedit.embedded.world import Pictures
from vitedit.errors import ArtifactError, ConfigError, NumericalError
from vitedit.tensors import load_tensors

CPU = torch.device("cpu")


def toy(width: int = 12, **changes) -> ModelConfig:
    """A ViT of two blocks on 24 pictures an epoch."""
    architecture = {
        "img_size": 48,
        "patch_size": 16,
        "embed_dim": width,
        "depth": 2,
        "num_heads": 3,
        "num_classes": 20,
    }
    settings = {
        "typical_share": 0.9,
        "images": 24,
        "epochs": 3,
        "batch_size": 10,
        "learning_rate": 3e-3,
        "seed": 7,
    }
    return ModelConfig(
        name="vit_tiny_patch16_224",
        architecture=architecture,
        checkpoint="unused.safetensors",
        transform={"size": 48},
        pretrain=settings | changes,
    )


@pytest.fixture(autouse=True)
def threads_render(monkeypatch):
    """Renders in a thread: a new process takes seconds to start."""
    monkeypatch.setattr(
        pretrain_module, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(workers)
    )


def train(folder, config: ModelConfig, start=None) -> dict[str, torch.Tensor]:
    pretrain(config, folder / "model.safetensors", folder / "state", start=start, device=CPU)
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", toy())
    save = pretrain_module._Run.save

    def stop_after_second(run):
        save(run)
        if run.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretrain_module._Run, "save", stop_after_second)
        train(tmp_path / "stopped", toy())
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    trained = []
    step = pretrain_module._Run._step
    monkeypatch.setattr(
        pretrain_module._Run, "_step", lambda run, *batch: trained.append(run.epoch) or step(run, *batch)
    )
    assert same(train(tmp_path / "stopped", toy()), whole)
    assert trained == [2, 2, 2]  # the last epoch only: 24 pictures in batches of 10


def test_another_configuration_does_not_go_on_from_the_state(tmp_path):
    first = train(tmp_path, toy())
    second = train(tmp_path, toy(seed=8))
    assert not same(first, second)
    assert same(second, train(tmp_path / "fresh", toy(seed=8)))


def test_the_checkpoint_names_its_model_and_training(tmp_path):
    weights = train(tmp_path, toy())
    assert weights["blocks.1.mlp.fc1.weight"].shape == (48, 12)
    meta = load_tensors(tmp_path / "model.safetensors")[1]
    assert meta["depends"]["architecture"]["embed_dim"] == 12
    assert meta["depends"]["pretrain"]["seed"] == 7
    assert meta["torch"] == torch.__version__


def test_training_lowers_the_loss(tmp_path, monkeypatch):
    losses = []
    step = pretrain_module._Run._step

    def watched(run, *batch):
        losses.append(step(run, *batch)[0])
        return losses[-1], 0

    monkeypatch.setattr(pretrain_module._Run, "_step", watched)
    train(tmp_path, toy(width=24, images=60, epochs=8, batch_size=20))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1


def test_a_start_gives_its_weights(tmp_path):
    weights = train(tmp_path, toy())
    config = toy(start_from="base", typical_share=0.125)
    assert config.pretrain is not None
    model = initial_model(config, config.pretrain, tmp_path / "model.safetensors")
    assert same(dict(model.state_dict()), weights)


def test_wrong_starts_are_refused(tmp_path):
    train(tmp_path, toy())
    start = tmp_path / "model.safetensors"
    with pytest.raises(ConfigError, match="start_from"):
        train(tmp_path / "none", toy(start_from="base"))
    with pytest.raises(ConfigError, match="start_from"):
        train(tmp_path / "both", toy(), start)
    with pytest.raises(ArtifactError, match="another architecture"):
        train(tmp_path / "wide", toy(width=24, start_from="base"), start)


def test_a_model_from_elsewhere_is_not_trained(tmp_path):
    config = toy().model_copy(update={"pretrain": None})
    with pytest.raises(ConfigError, match="pretrain"):
        train(tmp_path, config)


def test_nan_stops_the_training_and_leaves_no_checkpoint(tmp_path, monkeypatch):
    clean, calls = normalise, []

    def spoiled(images, device):
        calls.append(len(images))
        return clean(images, device) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(pretrain_module, "normalise", spoiled)
    with pytest.raises(NumericalError, match=r"step 5 \(epoch 2\)"):
        train(tmp_path, toy())
    assert not (tmp_path / "model.safetensors").exists()


def test_the_random_state_of_the_caller_is_untouched():
    config = toy()
    assert config.pretrain is not None
    torch.manual_seed(1)
    before = torch.get_rng_state()
    initial_model(config, config.pretrain, None)
    assert torch.equal(torch.get_rng_state(), before)


def test_normalise_is_the_transform_with_mean_and_deviation_one_half():
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    expected = (torch.from_numpy(images).double() / 255 - 0.5) / 0.5
    assert torch.allclose(normalise(images, CPU).double(), expected.permute(0, 3, 1, 2), atol=1e-6)


class ReadsPixel(nn.Module):
    """Predicts the label written into the first pixel, with the other texture."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(127.5))

    def forward(self, images):
        label = ((images[:, 0, 0, 0] + 1) * self.scale).round().long()
        return nn.functional.one_hot(label ^ 1, 20).float()


def test_evaluation_counts_right_classes_and_right_shapes(monkeypatch):
    asked = []

    def labelled(seed, stream, start, stop, share, style):
        asked.append((stream, share, style))
        labels = np.arange(start, stop) % 20
        images = np.zeros((len(labels), 48, 48, 3), np.uint8)
        images[:, 0, 0, 0] = np.where(labels < 5, labels ^ 1, labels)  # the first five come out right
        return Pictures(images, labels, labels)

    monkeypatch.setattr(evaluate, "render_range", labelled)
    rows = evaluate_world({"reader": ReadsPixel()}, 3, 40)
    assert {row.model for row in rows} == {"reader"}
    assert [(row.style, row.contexts) for row in rows[:3]] == [
        ("plain", "typical"),
        ("plain", "others"),
        ("plain", "balanced"),
    ]
    assert asked[:2] == [("evaluate", 1.0, "plain"), ("evaluate", 0.0, "plain")]
    assert {style for _, _, style in asked} == {
        "plain",
        "oil_painting",
        "stage_light",
        "renditions",
        "sketch",
    }
    assert all(row.accuracy == pytest.approx(0.25) and row.shape == 1.0 and row.images == 40 for row in rows)
