"""What a command line asks for, checked and read before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timm.models.vision_transformer import VisionTransformer

from vitedit.errors import ArtifactError, ConfigError
from vitedit.tool.failures import Failures
from vitedit.tool.layout import few, printable
from vitedit.tool.pictures import NEEDS_TABLE
from vitedit.tool.tables import is_table


@dataclass(frozen=True)
class Given:
    """Where the failures of a model are: in a table, or single images with one label."""

    vit: VisionTransformer
    images: Sequence[Path]
    label: str | None
    table: Path | None
    classes: Sequence[str] | None

    def read(self) -> tuple[Failures, list[str]]:
        """The failures that an edit is made from, and what is to be said of those of a table that are none.

        Raises:
            ViteditError: They cannot be read, or there is nothing to fix.
        """
        if self.table is None:
            failures = Failures.of(self.vit, self.images, [self.label or ""], self.classes)
            failures.refuse_right()
            return failures, []
        failures = Failures.listed(self.vit, self.table, self.classes)
        failures.refuse_right()
        wrong, right = failures.wrong()
        count = (
            f"{len(right)} of {len(failures.samples)} images are left out, for the model is right about them"
        )
        return wrong, [printable(f"{count}: {few(right)}.")] if right else []

    @property
    def folders(self) -> list[Path]:
        """Where the failures lie."""
        return [path.parent for path in ([self.table] if self.table else self.images)]


def check_form(
    images: Sequence[Path], label: str | None, table: Path | None, neighbours: Path | None
) -> None:
    """Refuses what is neither images with their label nor a table, or both.

    Raises:
        ConfigError: With the two forms.
    """
    forms = "give `--image FILE --label CLASS`, or `--failures FILE.csv` with the columns file,label"
    if table is not None and (images or label is not None):
        raise ConfigError(f"--failures and {'--image' if images else '--label'} together; {forms}.")
    if table is None and not images:
        raise ConfigError(f"no failure to edit from; {forms}.")
    if table is None and label is None:
        raise ConfigError(f"--image without its right class; {forms}.")
    if table is not None and neighbours is not None and not is_table(neighbours):
        raise ConfigError(NEEDS_TABLE.format(neighbours))


def check_files(inputs: Sequence[Path], output: Path, edited: Path | None, force: bool) -> None:
    """Refuses to write over what is there or what is read.

    Raises:
        ArtifactError: There is no such folder, or something is there already.
        ConfigError: A file would be read and written, or written twice.
    """
    outputs = [output, *([edited] if edited else [])]
    for path in outputs:
        check_output(path, force)
    if len({path.resolve() for path in outputs} - {path.resolve() for path in inputs}) < len(outputs):
        raise ConfigError("--model, --after, --output and --edited must be different files.")


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
