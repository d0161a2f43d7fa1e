"""The commands behind `vitedit edit`, `apply`, `train-hypernet` and the others: each returns what is to be said."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.models.vision_transformer import VisionTransformer

from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.about import Way
from vitedit.model.patch import Patch
from vitedit.model.sites import Part
from vitedit.tool import text
from vitedit.tool.asked import Given, check_files, check_form, check_output
from vitedit.tool.choosing import MIN_LOCALITY, Bounds, Task, edit_best, edit_once
from vitedit.tool.comparing import overlap
from vitedit.tool.earlier import apply_all, on_top, patched, read_chain, remember, revert_all
from vitedit.tool.editing import Ground, Outcome
from vitedit.tool.hypernets import open_photographs, settings_of, train
from vitedit.tool.labels import class_list
from vitedit.tool.methods import Method, cut_at, cut_model
from vitedit.tool.models import arguments, open_model, save_model
from vitedit.tool.pictures import left_out, stand_in
from vitedit.tool.reporting import Gallery, samples_of, write_report
from vitedit.tool.samples_text import of_remembered
from vitedit.tool.ways import choose_way

AUTO = "auto"


def edit(
    *,
    model: str,
    architecture: list[str] | None,
    image: Sequence[Path],
    label: str | None,
    failures: Path | None,
    way: Way | None,
    after: Sequence[Path],
    classes: Path | None,
    method: str | None,
    setting: list[str],
    sparsity: str | None,
    min_success: float,
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
    check_files([Path(model), *after], output, edited, force)
    check_form(image, label, failures, neighbours)
    auto = sparsity == AUTO
    bounds = Bounds(min_success, MIN_LOCALITY if auto and min_locality is None else min_locality, anyway)
    bounds.check()
    trained = artifact | ({"hypernet": hypernet} if hypernet else {})
    asked = Method.of(method, arguments(setting, "--set"), trained)
    asked = asked if auto or sparsity is None else asked.under(_number(sparsity))
    chain, vit = read_chain(after, edited), open_model(model, architecture, device)
    given = Given(patched(vit, chain), image, label, failures, class_list(classes, vit.num_classes))
    wrong, said = given.read()
    chosen = choose_way(way, asked, wrong.labels.tolist())
    near, far = wrong.sets(neighbours, locality)
    said += left_out(near, far)
    far = far or stand_in(wrong.vit, wrong.transform)
    cut = cut_model(vit, asked, part, blocks)
    task = Task(wrong, asked, Ground.of(wrong.vit, cut), chosen, near, far)
    if auto:
        why, outcome = edit_best(task, bounds)
        said.append(why)
    else:
        outcome = edit_once(task, bounds)
    said.append(text.of_edit(outcome, wrong.classes))
    outcome = on_top(outcome, chain, vit)
    if chain:
        folders = [*given.folders, Path()]
        said.append(of_remembered(remember(outcome.patch, wrong.vit, after, chain, folders), wrong.classes))
    return "\n\n".join([*said, _written(wrong.vit, outcome, output, edited, _kept(model, after))])


def _kept(model: str, after: Sequence[Path]) -> str:
    """That the model is not written to, and what the patch goes on top of."""
    below = f" The patch goes on top of {', '.join(map(str, after))}." if after else ""
    return f"{model} stays as it is.{below}"


def _written(vit: VisionTransformer, outcome: Outcome, output: Path, edited: Path | None, kept: str) -> str:
    """Writes the patch, and the edited weights where they are asked for; says what is where."""
    patch = outcome.patch
    patch.save(output)
    said = f"{output}: {output.stat().st_size / 1000:,.0f} kB. {kept}"
    if not edited:
        return said
    try:
        weights = patch.apply(vit.state_dict())
    except ArtifactError as error:
        raise ArtifactError(f"{output} is written, but {edited} is not: {error}") from None
    save_model(edited, weights, patch.about.model, patch.history)
    return f"{said}\n{edited}: the edited model. `vitedit revert` takes the edit out again."


def apply(
    *,
    patch: Sequence[Path],
    model: str,
    architecture: list[str] | None,
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Writes the weights of the edited model; of several patches that with all of them.

    Raises:
        ArtifactError: A patch or the weights cannot be read, or do not belong together.
    """
    check_output(output, force)
    chain, weights = _opened(patch, model, architecture, device)
    last = chain[-1]
    save_model(output, apply_all(chain, weights), last.about.model, last.history)
    edits = "edit" if len(chain) == 1 else "edits"
    return f"{output}: the edited model, sha256 {text.short(last.edited)}. `vitedit revert` takes the {edits} out again."


def revert(
    *,
    patch: Sequence[Path],
    model: str,
    architecture: list[str] | None,
    output: Path,
    force: bool,
    device: torch.device,
) -> str:
    """Writes the weights of the base model, bit for bit; of several patches that of the first.

    Raises:
        ArtifactError: A patch or the weights cannot be read, or do not belong together.
    """
    check_output(output, force)
    chain, weights = _opened(patch, model, architecture, device)
    first = chain[0]
    save_model(output, revert_all(chain, weights), first.about.model, first.about.after)
    again = f"the model that {patch[0]} was made on" if first.about.after else "the base model again"
    return f"{output}: {again}, sha256 {text.short(first.base)}, bit for bit."


def _opened(
    paths: Sequence[Path], model: str, architecture: list[str] | None, device: torch.device
) -> tuple[list[Patch], dict[str, torch.Tensor]]:
    """Patches in order, and the weights of a model that they may say the architecture of."""
    chain = read_chain(paths)
    return chain, open_model(model, architecture, device, chain[0].about.model).state_dict()


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
    after: Sequence[Path],
    classes: Path | None,
    image: Sequence[Path],
    failures: Path | None,
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
    chain, read = read_chain(after), Patch.load(patch)
    vit = patched(open_model(model, architecture, device, read.about.model), chain)
    gallery = Gallery(read, vit, class_list(classes, vit.num_classes))
    write_report(output, gallery, samples_of(gallery, image, failures), neighbours, locality)
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


def _number(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1:
        raise ConfigError(f"--sparsity {text}: a share, from 0 to below 1, as 0.95, or `{AUTO}`.")
    return share
