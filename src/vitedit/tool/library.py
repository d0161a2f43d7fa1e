"""`vitedit.edit`: the tool as a function.

Several failures, each with its own right class, become one patch too:

    >>> patch = vitedit.edit(model, failures, labels, way="sequence", method="ft", min_success=0.5)
    >>> patch.about.way, [image.label for image in patch.about.images] == labels
    ('sequence', True)
    >>> patch.about.measured.directly
    1.0
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from timm.models.vision_transformer import VisionTransformer

from vitedit.config import Scalar, TransformConfig
from vitedit.errors import ViteditError
from vitedit.model.about import Way
from vitedit.model.patch import Patch
from vitedit.model.sites import Part
from vitedit.tool import text
from vitedit.tool.checked import classes_of, editable, images_of, labels_of, patches_of
from vitedit.tool.choosing import Bounds, Task
from vitedit.tool.earlier import on_top, patched
from vitedit.tool.editing import Ground, Outcome
from vitedit.tool.failures import Failures
from vitedit.tool.methods import Method, cut_model
from vitedit.tool.pictures import Given
from vitedit.tool.ways import choose_way

Label = str | int
CONTENT = "`min_success` says what is enough; `keep_failed=True` returns it anyway."
"""How to get a patch that is not right about all images."""


def edit(
    model: VisionTransformer,
    images: Given | Sequence[Given],
    labels: Label | Sequence[Label],
    *,
    way: Way | None = None,
    method: str | None = None,
    setting: Mapping[str, Scalar] | None = None,
    artifacts: Mapping[str, str | Path] | None = None,
    blocks: Sequence[int] | None = None,
    part: Part | None = None,
    neighbours: str | Path | None = None,
    locality: str | Path | None = None,
    after: Patch | Sequence[Patch] = (),
    classes: Sequence[str] | None = None,
    transform: TransformConfig | None = None,
    min_success: float = 1.0,
    keep_failed: bool = False,
) -> Patch:
    """Edits a ViT classifier so that it is right about images, and returns the edit; the model stays as it is.

    Args:
        model: From `load_vit` or `timm.create_model`, in evaluation mode.
        images: One, or several, of which at least one is wrong: files, Pillow images, or inputs (3, S, S), normalized.
        labels: Their right class: one for all, or one for each; index, WordNet id or name.
        way: `joint` (default where the method can), `union`, `merge` (else) or `sequence`: see docs/glossary.md.
        method: One of `vitedit.editors.EDITORS`; `hypernet` with its artefact, else the default of tool/methods.yaml.
        setting: Hyper-parameters that differ from that file's, as `{"sparsity": 0.9}`; `max_steps` and `stop_loss` too.
        artifacts: Files of trained artefacts that the method needs, as `{"hypernet": FILE}`.
        blocks: 0-based blocks that may change; the paper's (7 to 9 of 12) by default. `part`: `mlp` (default) or `attn`.
        neighbours: Folder of more images of the failure, or CSV file of file,label, for generalization. `locality`: of others.
        after: Earlier patches of the model, in the order in which they were made; the new one goes on top of them.
        classes: Names, in the order of the outputs (default: ImageNet's for a thousand). `transform`: from image to input.
        min_success: Least share of the images, in [0, 1], to be right (after `merge` often not all are), unless `keep_failed`.

    Returns:
        The patch; `patch.about.measured` has its rates, in [0, 1], and `patch.about.images` what each image was and is taken for.

    Raises:
        ViteditError: Nothing to fix, an unknown label, method or block, an unreadable image, another model's patches, no success.

    Example:
        >>> patch = vitedit.edit(model, pixels[0], label, method="ft", setting={"learning_rate": 0.003})
        >>> patch.about.method, patch.about.measured.success
        ('ft', 1.0)
        >>> with patch.applied(model):
        ...     bool(model(pixels).argmax() == label)
        True
    """
    editable(model, transform)
    chain, names = patches_of(after), classes_of(classes, model.num_classes)
    vit = patched(model, chain)
    failures = Failures.of(vit, images_of(images), labels_of(labels), names, transform)
    chosen = Method.of(method, setting, {name: Path(path) for name, path in (artifacts or {}).items()})
    going = choose_way(way, chosen, failures.labels.tolist())
    Bounds(min_success).check()
    near, far = failures.sets(neighbours, locality)
    failures.refuse_right()
    trained = cut_model(model, chosen, part, blocks)
    (outcome,) = Task(failures, chosen, Ground.of(vit, trained), going, near, far).outcomes([chosen])
    return on_top(outcome if keep_failed else _succeeding(outcome, min_success), chain, model).patch


def _succeeding(outcome: Outcome, least: float) -> Outcome:
    """Refuses an edit that does not get enough images right."""
    if not Bounds(least).succeeds(outcome):
        raise ViteditError(f"{text.failed(outcome)} {CONTENT}")
    return outcome
