"""The commands behind `vitedit edit`, `apply`, `train-hypernet` and the others: each returns what is to be said."""

from collections.abc import Sequence
from pathlib import Path

import torch
from timm.models.vision_transformer import VisionTransformer

from vitedit.data.images import ImageSet
from vitedit.errors import ArtifactError, ConfigError, ViteditError
from vitedit.model.patch import Patch
from vitedit.model.sites import Part
from vitedit.model.vit import Split
from vitedit.tool import text
from vitedit.tool.choosing import MIN_LOCALITY, check_bound, choose, keeps, make_several
from vitedit.tool.comparing import overlap
from vitedit.tool.editing import Failure, Outcome, failed, make, measure, refuse_right
from vitedit.tool.hypernets import open_photographs, settings_of, train
from vitedit.tool.labels import class_list
from vitedit.tool.methods import Method, cut_at, cut_model
from vitedit.tool.models import arguments, open_model, save_model
from vitedit.tool.pictures import open_sets, stand_in
from vitedit.tool.reporting import write_report

AUTO = "auto"


def edit(
    *,
    model: str,
    architecture: list[str] | None,
    image: Sequence[Path],
    label: str,
    classes: Path | None,
    method: str | None,
    setting: list[str],
    sparsity: str | None,
    min_locality: float | None,
    blocks: list[int] | None,
    part: Part | None,
    neighbours: Path | None,
    locality: Path | None,
    hypernet: Path | None,
    artifact: dict[str, Path],
    output: Path,
    edited: Path | None,
    force: bool,
    anyway: bool,
    device: torch.device,
) -> str:
    """Makes, measures and writes one edit (`vitedit edit --help` says what each flag means).

    Raises:
        ViteditError: A mistake in what is asked, an edit that does not succeed, or one beyond the bound on locality.
    """
    for path in (output, *([edited] if edited else [])):
        check_output(path, force)
    if len({Path(model).resolve(), output.resolve(), edited and edited.resolve()}) < 3:
        raise ConfigError("--model, --output and --edited must be different files.")
    check_bound(min_locality)
    asked = Method.of(
        method, arguments(setting, "--set"), artifact | ({"hypernet": hypernet} if hypernet else {})
    )
    asked = asked if sparsity in (None, AUTO) else asked.under(_number(sparsity))
    vit = open_model(model, architecture, device)
    failure = Failure.of(vit, image, label, class_list(classes, vit.num_classes))
    near, far = open_sets(neighbours, locality, failure.checksums)
    refuse_right(failure)
    far = far or stand_in(vit, failure.transform)
    base = cut_model(vit, asked, part, blocks)
    if sparsity == AUTO:
        said, outcome = _best(failure, asked, base, near, far, min_locality, anyway)
    else:
        said, outcome = _only(failure, asked, base, near, far, min_locality, anyway)
    return "\n\n".join(
        [*said, text.of_edit(outcome, failure.classes), *_written(vit, outcome, output, edited)]
    )


def _only(
    failure: Failure,
    method: Method,
    base: Split,
    near: ImageSet | None,
    far: ImageSet,
    min_locality: float | None,
    anyway: bool,
) -> tuple[list[str], Outcome]:
    """The one edit that is asked for."""
    outcome = measure(failure, [make(failure, method, base)], near, far)[0]
    if keeps(outcome, min_locality) or anyway:
        return [], outcome
    if outcome.patch.about.measured.success < 1:
        raise ViteditError(f"{failed(outcome)} Nothing is written; --anyway writes it.")
    raise ViteditError(
        f"the edit keeps less than {min_locality:.1%} of the other predictions:\n\n{text.of_edit(outcome, failure.classes)}\n\n"
        "Nothing is written. --sparsity auto looks for an edit that keeps the bound; --anyway writes this one."
    )


def _best(
    failure: Failure,
    method: Method,
    base: Split,
    near: ImageSet | None,
    far: ImageSet,
    min_locality: float | None,
    anyway: bool,
) -> tuple[list[str], Outcome]:
    """The edit that the bound chooses among several sparsities, and the table that shows why."""
    bound = MIN_LOCALITY if min_locality is None else min_locality
    outcomes = measure(failure, make_several(failure, method, base), near, far)
    chosen = choose(outcomes, bound)
    said = text.trade_off(outcomes, chosen)
    if chosen is not None:
        return [said], outcomes[chosen]
    if anyway:
        return [said], max(outcomes, key=_by_locality)
    raise ViteditError(
        f"no sparsity gives an edit that succeeds and keeps {bound:.1%} of the other predictions:\n\n{said}\n\n"
        "Nothing is written. Lower the bound (--min-locality), try another method, or keep the most local edit that succeeds "
        "with --anyway."
    )


def _by_locality(outcome: Outcome) -> tuple[float, float]:
    made = outcome.patch.about.measured
    return made.success, made.locality or 0.0


def _written(vit: VisionTransformer, outcome: Outcome, output: Path, edited: Path | None) -> list[str]:
    """Writes the patch, and the edited weights where they are asked for; says what is where."""
    patch = outcome.patch
    weights = patch.apply(vit.state_dict()) if edited else {}
    patch.save(output)
    said = f"{output}: {output.stat().st_size / 1000:,.0f} kB. The model itself is unchanged."
    if not edited:
        return [said]
    save_model(edited, weights, patch.about.model, patch.edited)
    return [f"{said}\n{edited}: the edited model. `vitedit revert` takes the edit out again."]


def apply(
    *,
    patch: Path,
    model: str,
    architecture: list[str] | None,
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Writes the weights of the edited model.

    Raises:
        ArtifactError: The patch or the weights cannot be read, or do not belong together.
    """
    check_output(output, force)
    read, weights = _opened(patch, model, architecture, device)
    save_model(output, read.apply(weights), read.about.model, read.edited)
    return f"{output}: the edited model, sha256 {text.short(read.edited)}. `vitedit revert` takes the edit out again."


def revert(
    *,
    patch: Path,
    model: str,
    architecture: list[str] | None,
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Writes the weights of the base model, bit for bit.

    Raises:
        ArtifactError: The patch or the weights cannot be read, or do not belong together.
    """
    check_output(output, force)
    read, weights = _opened(patch, model, architecture, device)
    save_model(output, read.revert(weights), read.about.model, None)
    return f"{output}: the base model again, sha256 {text.short(read.base)}, bit for bit."


def _opened(
    patch: Path, model: str, architecture: list[str] | None, device: torch.device
) -> tuple[Patch, dict[str, torch.Tensor]]:
    """A patch, and the weights of a model that it may say the architecture of."""
    read = Patch.load(patch)
    return read, open_model(model, architecture, device, read.about.model).state_dict()


def inspect(*, patch: Path) -> str:
    """What a patch says of itself.

    Raises:
        ArtifactError: It cannot be read.
    """
    return text.of_patch(Patch.load(patch))


def compare(*, first: Path, second: Path) -> str:
    """Rates of two patches beside each other, and where they change the same weights.

    Raises:
        ArtifactError: One cannot be read, or they are of different architectures.
    """
    return text.of_comparison(one := Patch.load(first), other := Patch.load(second), overlap(one, other))


def report(
    *,
    patch: Path,
    model: str,
    architecture: list[str] | None,
    classes: Path | None,
    image: Sequence[Path],
    neighbours: Path | None,
    locality: Path | None,
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Writes a page that shows what a patch does to single images.

    Raises:
        ViteditError: The patch, the weights or an image cannot be read, or do not belong together.
    """
    check_output(output, force)
    read = Patch.load(patch)
    vit = open_model(model, architecture, device, read.about.model)
    write_report(output, read, vit, class_list(classes, vit.num_classes), image, neighbours, locality)
    return f"{output}: open it in a browser."


def train_hypernet(
    *,
    model: str,
    architecture: list[str] | None,
    images: Path,
    blocks: list[int] | None,
    part: Part | None,
    iterations: int | None,
    batch_size: int | None,
    seed: int,
    setting: list[str],
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Meta-trains a hypernetwork for a model and writes it, going on from the state beside the output if there is one.

    Raises:
        ViteditError: A mistake in what is asked, too few images, an unreadable one, or a state of another training.
    """
    check_output(output, force)
    if Path(model).resolve() == output.resolve():
        raise ConfigError("--model and --output must be different files.")
    numbers = {"iterations": iterations, "batch_size": batch_size}
    given = [f"{name}={value}" for name, value in numbers.items() if value is not None]
    settings = settings_of([*given, *setting])
    photographs = open_photographs(images, settings.batch_size)
    base = cut_at(open_model(model, architecture, device), part, blocks)
    log = train(base, photographs, images, settings, seed, output, force)
    place = f"{part or 'mlp'} of the blocks {' '.join(map(str, base.blocks))}"
    return (
        f"{text.of_training(log)}\n\n{output}: a hypernetwork for {place}, from {len(photographs)} images. "
        f"`vitedit edit --hypernet {output}` edits this model by it."
    )


def check_output(output: Path, force: bool) -> None:
    """Refuses to write, before any work is done.

    Raises:
        ArtifactError: There is no such folder, or something is there already.
    """
    if not output.parent.is_dir():
        raise ArtifactError(f"{output}: there is no folder {output.parent}; make it first.")
    if output.is_dir():
        raise ArtifactError(f"{output} is a folder; name a file.")
    if output.exists() and not force:
        raise ArtifactError(f"{output} exists; --force replaces it.")


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise ConfigError(f"--sparsity {text}: a number from 0 to 1, or `{AUTO}`.") from None
