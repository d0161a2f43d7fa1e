"""`vitedit.edit`: the tool as a function."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.config import Scalar, TransformConfig
from vitedit.errors import ConfigError
from vitedit.model.patch import Patch
from vitedit.model.sites import Part
from vitedit.tool.editing import Failure, failed, make, measure, refuse_right, refuse_training
from vitedit.tool.methods import Method, cut_model
from vitedit.tool.pictures import Given, open_sets

Label = str | int


def edit(
    model: VisionTransformer,
    images: Given | Sequence[Given],
    labels: Label | Sequence[Label],
    *,
    method: str | None = None,
    setting: Mapping[str, Scalar] | None = None,
    artifacts: Mapping[str, str | Path] | None = None,
    blocks: Sequence[int] | None = None,
    part: Part | None = None,
    neighbours: str | Path | None = None,
    locality: str | Path | None = None,
    classes: Sequence[str] | None = None,
    transform: TransformConfig | None = None,
    keep_failed: bool = False,
) -> Patch:
    """Edits a ViT classifier so that it is right about an image, and returns the edit; the model stays as it is.

    Args:
        model: From `load_vit` or `timm.create_model`, in evaluation mode.
        images: One, or several of the same failure: files, Pillow images, or inputs (3, S, S), normalized.
        labels: Their right class, for all or for each: index, or with `classes` a name or WordNet id.
        method: One of `vitedit.editors.EDITORS`; `hypernet` with its artefact, else the default of tool/methods.yaml.
        setting: Hyper-parameters that differ from that file's; `max_steps` and `stop_loss` too.
        artifacts: Files of trained artefacts that the method needs, as `{"hypernet": FILE}`.
        blocks: 0-based blocks that may change; the paper's (7 to 9 of 12) by default. `part`: `mlp` (default) or `attn`.
        neighbours: Folder of more images of the failure, to measure generalization on.
        locality: Folder of other images, to measure locality on.
        classes: Names of the classes, in the order of the model's outputs.
        transform: From image to input, where the model does not say it.
        keep_failed: Return an edit also where the edited model is still wrong.

    Returns:
        The patch; `patch.about.measured` has its rates, in [0, 1].

    Raises:
        ViteditError: Nothing to fix, an unknown label, method or block, an unreadable image, an edit that does not succeed.

    Example:
        >>> patch = vitedit.edit(model, pixels[0], label, method="ft", setting={"learning_rate": 0.003})
        >>> patch.about.method, patch.about.measured.success
        ('ft', 1.0)
        >>> with patch.applied(model):
        ...     bool(model(pixels).argmax() == label)
        True
    """
    given = _listed(images)
    failure = Failure.of(model, given, _one_label(labels, len(given)), classes, transform)
    chosen = Method.of(method, setting, {name: Path(path) for name, path in (artifacts or {}).items()})
    near, far = open_sets(neighbours, locality, failure.checksums)
    refuse_training(model)
    refuse_right(failure)
    made = make(failure, chosen, cut_model(model, chosen, part, blocks))
    (outcome,) = measure(failure, [made], near, far)
    if outcome.patch.about.measured.success < 1 and not keep_failed:
        raise failed(outcome)
    return outcome.patch


def _listed(images: Given | Sequence[Given]) -> list[Given]:
    if isinstance(images, Sequence) and not isinstance(images, str):
        return list(images)
    if isinstance(images, Tensor) and images.dim() == 4:
        return list(images)
    return [images]  # type: ignore[list-item]  # no sequence is left here


def _one_label(labels: Label | Sequence[Label], count: int) -> Label:
    given = [labels] if isinstance(labels, str | int) else list(labels)
    if len(given) not in (1, count) or len(set(given)) != 1:
        raise ConfigError(
            f"labels {given[:4]} for {count} images: an edit is made from images of one class; edit once for each class."
        )
    return given[0]
