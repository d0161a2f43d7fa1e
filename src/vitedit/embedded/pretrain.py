"""Trains a Vision Transformer of the embedded world, on fresh pictures every epoch.

The state is saved after every epoch, and everything random (weights, pictures, order) is a function of the seed and the
epoch: a run that was stopped and started again ends with the same weights on the same CPU with the same number of threads.
"""

import hashlib
import logging
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from tqdm import tqdm

from vitedit.artifacts import drop_state, provenance
from vitedit.config import ModelConfig, PretrainConfig
from vitedit.embedded.world import Pictures, gather, submit_range
from vitedit.errors import ArtifactError, ConfigError, NumericalError
from vitedit.lineage import code
from vitedit.model.vit import blocks_of, build_vit
from vitedit.tensors import load_state, load_tensors, save_state, save_tensors

log = logging.getLogger(__name__)


def pretrain(
    config: ModelConfig,
    output: Path,
    state: Path,
    *,
    start: Path | None,
    device: torch.device,
    workers: int = 1,
) -> None:
    """Trains one model and writes its weights, under timm's names and with its configuration, to `output`.

    Args:
        config: The model and, in its section `pretrain`, how it is trained.
        output: The checkpoint (.safetensors).
        state: Folder of the resumable state.
        start: Checkpoint of the model that `pretrain.start_from` names.
        device: Where to compute.
        workers: Processes that render.

    Raises:
        ConfigError: The model has no section `pretrain`, or it names a start and none is given.
        ArtifactError: The start is of another architecture.
        NumericalError: The loss is not finite.
    """
    run = _Run(config, state / "state.pt", start, device)
    epochs = tqdm(range(run.epoch, run.settings.epochs), desc=f"epochs of {output.stem}", disable=None)
    # Workers start as new processes: a fork of a process whose torch has running threads can hang.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        coming = _submit(run.settings, run.epoch, executor)
        for epoch in epochs:
            pictures = gather(coming)
            coming = _submit(run.settings, epoch + 1, executor)  # rendered while this epoch trains
            run.train_epoch(pictures)
            run.save()
    save_tensors(output, run.model.state_dict(), provenance("pretrain", run.depends))
    drop_state(run.file)  # a finished state would make the next training end at once


def initial_model(config: ModelConfig, settings: PretrainConfig, start: Path | None) -> VisionTransformer:
    """The model before training: random weights of the configured seed, or the weights of `start`.

    Raises:
        ConfigError: The configuration names a start and none is given.
        ArtifactError: The start is missing, damaged or of another architecture.
    """
    if (start is None) != (settings.start_from is None):
        raise ConfigError(
            f"pretrain.start_from is {settings.start_from}, the start given is {start}: set both or none."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_vit(config)
    if start is not None:
        try:
            model.load_state_dict(load_tensors(start)[0])
        except RuntimeError as error:
            raise ArtifactError(f"{start}: the weights of another architecture ({error}).") from None
    for block in blocks_of(model):  # plain products are faster than the fused kernel on a CPU in bfloat16
        cast("Any", block.attn).fused_attn = False
    return model


def normalise(
    images: UInt8[np.ndarray, "n side side 3"], device: torch.device
) -> Float[Tensor, "n 3 side side"]:
    """Pictures as the model's input: channels first, values in [-1, 1]."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    return pixels.float().div_(127.5).sub_(1.0).contiguous()


def _submit(settings: PretrainConfig, epoch: int, executor: Executor) -> list[Future[Pictures]]:
    """Has the fresh pictures of an epoch rendered; none after the last epoch."""
    begin, end = epoch * settings.images, (epoch + 1) * settings.images
    if epoch >= settings.epochs:
        return []
    return submit_range(executor, settings.seed, "pretrain", begin, end, settings.typical_share)


def _origin(start: Path | None) -> dict[str, str]:
    """Checksum of the weights that a training starts from, so that a state is not resumed from others."""
    return {} if start is None else {"start": hashlib.sha256(start.read_bytes()).hexdigest()}


class _Run:
    """A training under way: the model, the optimiser, the schedule and the number of finished epochs."""

    def __init__(self, config: ModelConfig, file: Path, start: Path | None, device: torch.device) -> None:
        if config.pretrain is None:
            raise ConfigError(f"model '{config.name}' has no section `pretrain`, so it is not trained here.")
        self.settings, self.file, self.device = config.pretrain, file, device
        self.depends = config.model_dump(mode="json", exclude={"checkpoint"}) | _origin(start)
        self.work = self.depends | {"code": code("pretrain")}  # with other code it would be another training
        self.epoch = 0
        self.model = initial_model(config, self.settings, start).to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        steps = self.settings.epochs * -(-self.settings.images // self.settings.batch_size)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            self.settings.learning_rate,
            total_steps=steps,
            pct_start=0.15,
            cycle_momentum=False,
        )
        self._resume()

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimiser": self.optimiser, "schedule": self.schedule}

    def _resume(self) -> None:
        """Goes on from the saved state, if there is one of this configuration."""
        saved = load_state(self.file, self.work)
        if saved is not None:
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.epoch = saved["epoch"]
            log.info("going on after epoch %d of %d, from %s", self.epoch, self.settings.epochs, self.file)

    def save(self) -> None:
        """Keeps the state of the last finished epoch."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        save_state(self.file, {"epoch": self.epoch, **parts}, self.work)

    def train_epoch(self, pictures: Pictures) -> None:
        """One pass over the pictures, and one line in the log."""
        self.model.train()
        begin = time.perf_counter()
        results = [self._step(*batch) for batch in self._batches(pictures)]
        self.epoch += 1
        seconds = time.perf_counter() - begin
        log.info(
            "epoch %d of %d: loss %.3f, accuracy %.1f %%, %.0f images a second, %.0f s left",
            self.epoch,
            self.settings.epochs,
            np.mean([loss for loss, _ in results]),
            100 * sum(right for _, right in results) / len(pictures.labels),
            len(pictures.labels) / seconds,
            (self.settings.epochs - self.epoch) * seconds,
        )

    def _batches(self, pictures: Pictures) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised pictures and labels in the random order of this epoch."""
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(len(pictures.labels))
        for begin in range(0, len(order), self.settings.batch_size):
            chosen = order[begin : begin + self.settings.batch_size]
            labels = torch.from_numpy(pictures.labels[chosen]).to(self.device)
            yield normalise(pictures.images[chosen], self.device), labels

    def _step(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """One descent step; returns the loss and the number of right predictions."""
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(images)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        if not torch.isfinite(loss):
            raise NumericalError(
                f"pretrain: the loss is {loss.item()} at step {self.schedule.last_epoch + 1} "
                f"(epoch {self.epoch + 1}); lower pretrain.learning_rate and delete {self.file}."
            )
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        return loss.item(), int((logits.argmax(1) == labels).sum())
