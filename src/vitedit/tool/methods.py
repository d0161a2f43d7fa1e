"""Which method edits, with which hyper-parameters and trained artefacts, and where."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ValidationError
from timm.models.vision_transformer import VisionTransformer

from vitedit.config import DescentConfig, Positive, Scalar, Section
from vitedit.editors import SHARED, check_setting, editor_class
from vitedit.editors.base import Editor
from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.sites import Part, find_sites
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors
from vitedit.yaml_files import read_yaml

PAPER_DEPTH, PAPER_BLOCKS, PAPER_FIRST = 12, 3, 7
"""The paper edits the 8th to 10th FFN of 12 blocks."""
SITE = re.compile(r"blocks\.(\d+)\.(attn|mlp)\.")


class Defaults(Section):
    """Hyper-parameters of a method, and where they come from."""

    source: str
    """In words."""
    setting: dict[str, Scalar]
    """Name -> value."""
    scaled: bool = False
    """Whether the learning rate is for models of the file's width, and another one's is in inverse proportion."""


class MethodsFile(Section):
    """The packaged file of defaults."""

    default: str
    """The method that edits where none is named and no hypernetwork is given."""
    width: Positive
    """Width of the model that scaled learning rates are for."""
    descent: DescentConfig
    """Budget and stop rule."""
    methods: dict[str, Defaults]
    """Every method."""


@dataclass(frozen=True)
class Method:
    """A method as it was asked for: hyper-parameters and files of trained artefacts, not yet read."""

    name: str
    setting: Mapping[str, Scalar]
    descent: DescentConfig
    artifacts: Mapping[str, Path]
    scaled: bool
    """Whether the learning rate is the default one, and not yet for a model's width."""

    @classmethod
    def of(
        cls,
        name: str | None,
        setting: Mapping[str, Scalar] | None = None,
        artifacts: Mapping[str, Path] | None = None,
    ) -> "Method":
        """The packaged defaults under what is asked; `max_steps` and `stop_loss` in a setting are those of the descent.

        Raises:
            UnknownNameError: No such method.
            ConfigError: An unknown or impossible hyper-parameter, or an artefact that is missing or of no use.
        """
        defaults, given = methods_file(), dict(artifacts or {})
        name = name or ("hypernet" if "hypernet" in given else defaults.default)
        editor = editor_class(name)
        if absent := [one for one in editor.artifacts if one not in given]:
            raise ConfigError(
                f"{name} needs training: give its {absent[0]} with `{flag_of(absent[0])}` (docs/edit-your-model.md), or edit "
                f"with a method that needs none, as `--method {defaults.default}`."
            )
        if idle := [one for one in given if one not in editor.artifacts]:
            raise ConfigError(
                f"{name} has no use for {idle[0]}; leave it out, or name the method that it belongs to."
            )
        asked = defaults.methods[name].setting | dict(setting or {})
        descent = {key: asked.pop(key) for key in DescentConfig.model_fields if key in asked}
        if lacking := [one for one in given if not given[one].is_file()]:
            flag = flag_of(lacking[0]).replace("FILE", str(given[lacking[0]]))
            raise ArtifactError(f"{flag}: no such file.")
        _check_names(name, editor, asked)
        check_setting(name, editor, asked)
        scaled = defaults.methods[name].scaled and "learning_rate" not in (setting or {})
        return cls(name, asked, _descent(defaults.descent, descent), given, scaled)

    def under(self, sparsity: float) -> "Method":
        """The same at another sparsity.

        Raises:
            ConfigError: The method has none, or the value is impossible.
        """
        if "sparsity" not in self.setting:
            raise ConfigError(
                f"--sparsity: {self.name} has no sparsity; leave it out, or take a method that has one, as "
                f"{methods_file().default}."
            )
        setting = {**self.setting, "sparsity": sparsity}
        check_setting(self.name, editor_class(self.name), setting)
        return replace(self, setting=setting)

    def uniting(self) -> "Method":
        """The same with the masks of several samples united."""
        return replace(self, setting={**self.setting, "union": True})

    def for_width(self, width: int) -> "Method":
        """The same with the default learning rate for a model of another width.

        RMSprop's steps have about one size for every weight, so what a step does to an output grows with the width.
        """
        if not self.scaled:
            return self
        rate = float(self.setting["learning_rate"]) * methods_file().width / width
        return replace(self, setting={**self.setting, "learning_rate": float(f"{rate:.3g}")}, scaled=False)

    @property
    def hyper_parameters(self) -> dict[str, Scalar]:
        """Those of the method and of its descent, as a patch keeps them."""
        return {**self.setting, **self.descent.model_dump()}

    def build(self, base: Split) -> Editor:
        """The method, with its trained artefacts read for the model.

        Raises:
            ArtifactError: An artefact is missing, damaged, or for other sites or another model.
        """
        cls = editor_class(self.name)
        kinds = get_type_hints(cls)
        read = {name: kinds[name].load(self.artifacts[name], base, None) for name in cls.artifacts}
        make: Any = cls
        return make(descent=self.descent, **self.setting, **read)


@cache
def methods_file() -> MethodsFile:
    """The packaged defaults."""
    return MethodsFile.model_validate(read_yaml(Path(__file__).with_name("methods.yaml")))


def cut_model(
    vit: VisionTransformer, method: Method, part: Part | None = None, blocks: Sequence[int] | None = None
) -> Split:
    """The model cut before the matrices that may be edited: those asked for, a hypernetwork's own, or the paper's.

    Raises:
        UnknownNameError: The model has no such block, or its blocks have no such matrices.
        ArtifactError: The hypernetwork's file is missing or damaged.
    """
    own_part, own_blocks = (
        _of_hypernet(method.artifacts["hypernet"]) if "hypernet" in method.artifacts else (None, None)
    )
    return cut_at(vit, part or own_part, blocks if blocks is not None else own_blocks)


def cut_at(vit: VisionTransformer, part: Part | None, blocks: Sequence[int] | None) -> Split:
    """The model cut before the matrices of a part of some blocks, by default the paper's.

    Raises:
        UnknownNameError: The blocks have no such matrices.
        ConfigError: The model has no such block.
    """
    depth = len(vit.blocks)
    chosen = default_blocks(depth) if blocks is None else blocks
    if not chosen or not all(0 <= block < depth for block in chosen):
        raise ConfigError(
            f"--blocks {' '.join(map(str, chosen))}: the model has the blocks 0 to {depth - 1}."
        )
    return Split(vit, find_sites(vit, part or "mlp", sorted(set(chosen))))


def default_blocks(depth: int) -> list[int]:
    """The paper's three blocks of twelve (0-based 7 to 9), at the same height of a model of another depth."""
    count = min(PAPER_BLOCKS, depth)
    first = min(round(depth * PAPER_FIRST / PAPER_DEPTH), depth - count)
    return list(range(first, first + count))


def _of_hypernet(path: Path) -> tuple[Part | None, list[int] | None]:
    """Part and blocks that a hypernetwork was trained for."""
    sizes = load_tensors(path)[1].get("sizes")
    places = [SITE.match(str(name)) for name in sizes] if isinstance(sizes, dict) else []
    found = [(int(place[1]), place[2]) for place in places if place]
    if not found:
        return None, None
    return "attn" if found[0][1] == "attn" else "mlp", sorted({block for block, _ in found})


def _check_names(name: str, editor: type[Editor], asked: Mapping[str, Scalar]) -> None:
    """Refuses a setting that a method has not.

    Raises:
        ConfigError: With those that it has.
    """
    apart = (*SHARED, *editor.artifacts)
    own = [field.name for field in fields(editor) if field.name not in apart]  # type: ignore[arg-type]
    known = [*own, *DescentConfig.model_fields]
    if unknown := [one for one in asked if one not in known]:
        near = get_close_matches(unknown[0], known)
        similar = f"; similar: {', '.join(near)}" if near else ""
        raise ConfigError(f"--set: {name} has no '{unknown[0]}'. Settings: {', '.join(known)}{similar}.")


def _descent(defaults: DescentConfig, changed: Mapping[str, Scalar]) -> DescentConfig:
    try:
        return DescentConfig.model_validate({**defaults.model_dump(), **changed})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}, got {first['input']!r}.") from None


def flag_of(artifact: str) -> str:
    """How the command line takes the file of a trained artefact."""
    return "--hypernet FILE" if artifact == "hypernet" else f"--artifact {artifact}=FILE"
