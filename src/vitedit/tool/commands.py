"""The commands behind `vitedit edit`, `apply`, `revert`, `inspect`, `compare` and `report`: each returns what is to be said."""

from collections.abc import Sequence
from pathlib import Path

import torch

from vitedit.data.images import ImageSet
from vitedit.errors import ArtifactError, ConfigError, ViteditError
from vitedit.model.patch import Patch
from vitedit.model.sites import Part
from vitedit.tool import text
from vitedit.tool.choosing import MIN_LOCALITY, check_bound, choose, keeps, make_several
from vitedit.tool.comparing import overlap
from vitedit.tool.editing import Failure, Outcome, failed, make, measure, ready, refuse_right
from vitedit.tool.labels import class_list
from vitedit.tool.methods import Method, cut_model
from vitedit.tool.models import arguments, open_model, save_model
from vitedit.tool.pictures import open_folder, stand_in
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
    set: list[str],
    sparsity: str | None,
    min_locality: float | None,
    blocks: list[int] | None,
    part: Part | None,
    neighbours: Path | None,
    locality: Path | None,
    hypernet: Path | None,
    artifact: dict[str, Path],
    output: Path,
    force: bool,
    anyway: bool,
    device: torch.device,
) -> str:
    """Makes, measures and writes one edit (`vitedit edit --help` says what each flag means).

    Raises:
        ViteditError: A mistake in what is asked, an edit that does not succeed, or one beyond the bound on locality.
    """
    check_output(output, force)
    check_bound(min_locality)
    asked = Method.of(
        method, arguments(set, "--set"), artifact | ({"hypernet": hypernet} if hypernet else {})
    )
    asked = asked if sparsity in (None, AUTO) else asked.under(_number(sparsity))
    vit = open_model(model, architecture, device)
    names = class_list(classes, vit.num_classes)
    failure = Failure.of(vit, image, label, names)
    near = open_folder("neighbours", neighbours, failure.checksums) if neighbours else None
    with ready(vit):
        refuse_right(failure)
        far = _locality_set(failure, locality)
        if sparsity == AUTO:
            return _edit_auto(failure, asked, part, blocks, near, far, min_locality, output, anyway)
        attempt = make(failure, asked, cut_model(vit, asked, part, blocks))
        outcome = measure(failure, [attempt], near, far)[0]
    said = text.of_edit(outcome, names)
    if not keeps(outcome, min_locality) and not anyway:
        raise _refused(outcome, said, min_locality)
    outcome.patch.save(output)
    return f"{said}\n\n{_written(output)}"


def _edit_auto(
    failure: Failure,
    method: Method,
    part: Part | None,
    blocks: Sequence[int] | None,
    near: ImageSet | None,
    far: ImageSet,
    min_locality: float | None,
    output: Path,
    anyway: bool,
) -> str:
    """Edits at several sparsities and writes the one that the bound chooses."""
    bound = MIN_LOCALITY if min_locality is None else min_locality
    outcomes = measure(failure, make_several(failure, method, part, blocks), near, far)
    chosen = choose(outcomes, bound)
    said = text.trade_off(outcomes, chosen)
    if chosen is None:
        if not anyway:
            raise ViteditError(
                f"no sparsity gives an edit that succeeds and keeps {bound:.1%} of the other predictions:\n\n{said}\n\n"
                "Nothing is written. Lower the bound (--min-locality), try another method, or keep the most local edit that "
                "succeeds with --anyway."
            )
        chosen = max(range(len(outcomes)), key=lambda at: _by_locality(outcomes[at]))
    outcomes[chosen].patch.save(output)
    return f"{said}\n\n{text.of_edit(outcomes[chosen], failure.classes)}\n\n{_written(output)}"


def _by_locality(outcome: Outcome) -> tuple[float, float]:
    made = outcome.patch.about.measured
    return made.success, made.locality or 0.0


def _locality_set(failure: Failure, folder: Path | None) -> ImageSet:
    if folder is not None:
        return open_folder("locality", folder, failure.checksums)
    return stand_in(failure.vit, failure.transform)


def _refused(outcome: Outcome, said: str, min_locality: float | None) -> ViteditError:
    if outcome.patch.about.measured.success < 1:
        return ViteditError(f"{failed(outcome)} Nothing is written; --anyway writes it.")
    return ViteditError(
        f"the edit keeps less than {min_locality:.1%} of the other predictions:\n\n{said}\n\nNothing is written. "
        "--sparsity auto looks for an edit that keeps the bound; --anyway writes this one."
    )


def _written(output: Path) -> str:
    return f"{output}: {output.stat().st_size / 1000:,.0f} kB. The model itself is unchanged."


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
    read = Patch.load(patch)
    vit = open_model(model, architecture, device, read.about.model)
    save_model(output, read.apply(vit.state_dict()), read.about.model, read.edited)
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
    read = Patch.load(patch)
    vit = open_model(model, architecture, device, read.about.model)
    save_model(output, read.revert(vit.state_dict()), read.about.model, None)
    return f"{output}: the base model again, sha256 {text.short(read.base)}, bit for bit."


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
