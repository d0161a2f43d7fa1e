"""Patches: one edit of one base model as a value and as a small file, applied and reverted at will."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vitedit.errors import ArtifactError
from vitedit.model.about import About
from vitedit.model.difference import Difference
from vitedit.model.edits import Edits
from vitedit.model.sites import check_names
from vitedit.tensors import load_tensors, save_tensors

FORMAT = 2
"""Of the files. A patch of another format is refused."""
PARTS = ("index", "old", "new")
SHORT = 12
"""Letters of a checksum that tell models apart in a message."""
EARLIER = (
    " It was made on an edited model: give the earlier patches too, in the order in which they were made (`edit` and `report`: "
    "`--after FILE`; from Python `after=[...]`)."
)


def checksum(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a model's state dict: over sorted names, types, shapes and bytes, wherever the tensors lie."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Patch:
    """One edit of one base model: old and new values of what it changed, and where it comes from.

    Both models are known by checksum: a patch is applied to no other model than its base model, and reverted from no other
    than the edited one.

    Example:
        >>> patch.save(folder / "fix.safetensors")
        >>> same = vitedit.Patch.load(folder / "fix.safetensors")
        >>> with same.applied(model):
        ...     after = int(model(pixels).argmax())
        >>> before = int(model(pixels).argmax())
        >>> (before == label, after == label)
        (False, True)
    """

    differences: Mapping[str, Difference]
    """Parameter name -> what changed of it; parameters that stayed as they were are absent."""
    base: str
    """Checksum of the base model (`checksum` of its state dict)."""
    edited: str
    """Checksum of the edited model."""
    about: About
    """Method, samples, measurements, versions."""
    path: Path | None = None
    """File that it was read from."""

    def __repr__(self) -> str:
        about = self.about
        classes = ", ".join(
            f"{index} ({name})" if name else f"{index}" for index, name in self._right().items()
        )
        return (
            f"<Patch by {about.method}, right class {classes}, base model {self.base[:SHORT]}, "
            f"{about.measured.fraction:.2%} of the weights changed>"
        )

    def _right(self) -> dict[int, str | None]:
        """Right classes of the samples, and their names."""
        return {image.label: image.class_name for image in self.about.images}

    @classmethod
    def of(cls, edits: Edits, at: int, model: nn.Module, about: About) -> "Patch":
        """Edit number `at` of a batch of E as a patch.

        Raises:
            ArtifactError: The edit changes nothing.
        """
        base, edited, differences = model.state_dict(), dict(model.state_dict()), {}
        for name, values in edits.changed.items():
            edited[name] = values[at].detach()
            if (change := Difference.between(base[name], edited[name])) is not None:
                differences[name] = change
        if not differences:
            raise ArtifactError("the edit changes no weight, so there is nothing to keep.")
        return cls(differences, checksum(base), checksum(edited), about)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the edit in it, for the length of a `with` block; afterwards it is bit for bit what it was.

        Nothing is written to the model's tensors: edited parameters stand in their place, and parameters that were taken from
        the model before keep the base model's values. Patches may be nested where each was made on top of the one before.

        Raises:
            ArtifactError: The model is not the patch's base model.
        """
        self._require(checksum(model.state_dict()), self.base, self.edited, "applied to")
        check_names(model, self.differences)
        base = {name: model.get_parameter(name) for name in self.differences}
        try:
            for name, parameter in base.items():
                new = self.differences[name].apply(self._fitting(name, base))
                put(model, name, nn.Parameter(new, requires_grad=parameter.requires_grad))
            self._confirm(checksum(model.state_dict()), self.edited)
            yield model
        finally:
            for name, parameter in base.items():
                put(model, name, parameter)

    def apply(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The edited model's state dict from the base model's, which stays as it is.

        Raises:
            ArtifactError: It is another model's, or the edit has added neurons, for which the architecture has no place.
        """
        self._require(checksum(weights), self.base, self.edited, "applied to")
        if self.grows:
            raise ArtifactError(
                f"the patch adds neurons ({', '.join(n for n, one in self.differences.items() if one.grows)} grew), so timm's "
                f"{self.about.model.name} cannot load the edited weights. Use the patch as it is "
                "(`with vitedit.Patch.load(FILE).applied(model): ...`), or edit with a method that keeps the architecture."
            )
        new = {name: one.apply(self._fitting(name, weights)) for name, one in self.differences.items()}
        edited = {**weights, **new}
        self._confirm(checksum(edited), self.edited)
        return edited

    def revert(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base model's state dict, bit for bit, from the edited model's, which stays as it is.

        Raises:
            ArtifactError: It is another model's: not edited, or edited further.
        """
        self._require(checksum(weights), self.edited, self.base, "reverted from")
        old = {name: one.revert(self._fitting(name, weights, True)) for name, one in self.differences.items()}
        base = {**weights, **old}
        self._confirm(checksum(base), self.base)
        return base

    def replaced(self, model: nn.Module) -> dict[str, Tensor]:
        """The changed parameters of the edited model as a batch of one edit, {name: (1, *shape)}.

        Raises:
            ArtifactError: The model is not the patch's base model.
        """
        self._require(checksum(model.state_dict()), self.base, self.edited, "applied to")
        check_names(model, self.differences)
        weights = dict(model.named_parameters())
        return {name: one.apply(self._fitting(name, weights))[None] for name, one in self.differences.items()}

    @property
    def history(self) -> tuple[str, ...]:
        """Base models of the patches that the edited model has in it, in order; its own is the last."""
        return (*self.about.after, self.base)

    @property
    def grows(self) -> bool:
        """Whether the edit has added neurons."""
        return any(change.grows for change in self.differences.values())

    def save(self, path: str | Path) -> None:
        """Writes the patch as one safetensors file, of a size that grows with what was changed.

        Raises:
            ArtifactError: The disk is full or the folder cannot be written.
        """
        tensors = {
            f"{name}/{part}": getattr(change, part)
            for name, change in self.differences.items()
            for part in PARTS
        }
        layouts = {
            name: {"layout": change.layout, "shape": change.shape, "grown": change.grown}
            for name, change in self.differences.items()
        }
        meta = {"patch": FORMAT, "base": self.base, "edited": self.edited, "differences": layouts}
        save_tensors(Path(path), tensors, {**meta, "about": self.about.model_dump(mode="json")})

    @classmethod
    def load(cls, path: str | Path) -> "Patch":
        """Reads a patch; no code in the file is run, and nothing in it is taken on trust.

        Raises:
            ArtifactError: Missing, damaged, no patch, or one of another version of the format.
        """
        path = Path(path)
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file. `vitedit edit ... -o {path}` makes a patch.")
        try:
            tensors, meta = load_tensors(path)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: damaged, or no patch ({error.__cause__}).") from None
        if meta.get("patch") != FORMAT:
            found = f"a patch of format {meta['patch']!r}" if "patch" in meta else "no patch"
            raise ArtifactError(
                f"{path}: {found}; this version reads patches of format {FORMAT}, as `vitedit edit` makes them."
            )
        try:
            return replace(cls._read(tensors, meta), path=path)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ArtifactError(f"{path}: damaged, or no patch (about.{where}: {first['msg']}).") from None
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise ArtifactError(f"{path}: damaged, or no patch ({error}).") from None

    @classmethod
    def _read(cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> "Patch":
        differences = {}
        for name, known in meta["differences"].items():
            shape, grown = (tuple(int(size) for size in known[key]) for key in ("shape", "grown"))
            parts = [tensors[f"{name}/{part}"] for part in PARTS]
            if known["layout"] not in ("rows", "columns", "entries") or parts[0].dtype != torch.int32:
                raise ValueError(f"{name}: no layout that this version knows")
            differences[name] = Difference(known["layout"], shape, grown, *parts)
            differences[name].check()
        if not differences or len(tensors) != len(PARTS) * len(differences):
            raise ValueError("tensors that belong to no difference")
        if not all(isinstance(meta[key], str) for key in ("base", "edited")):
            raise ValueError("no checksums of the models")
        about = About.model_validate_json(json.dumps(meta["about"]))  # only in JSON are lists good for tuples
        return cls(differences, meta["base"], meta["edited"], about)

    def _fitting(self, name: str, weights: Mapping[str, Tensor], edited: bool = False) -> Tensor:
        """The parameter that the change was made for; refuses one that is not there, or of another shape or type."""
        change = self.differences[name]
        if name not in weights:
            raise ArtifactError(f"the patch changes {name}, which the model does not have: it is damaged.")
        tensor = weights[name].detach()
        if (
            tuple(tensor.shape) != (change.grown if edited else change.shape)
            or tensor.dtype != change.new.dtype
        ):
            raise ArtifactError(
                f"the patch's {name} is of another shape or type than the model's: it is damaged."
            )
        return tensor

    def _require(self, found: str, asked: str, other: str, what: str) -> None:
        """Refuses a model of another checksum.

        Raises:
            ArtifactError: With what the model is instead, if it is known.
        """
        if found == asked:
            return
        name = f"the patch {self.path}" if self.path else "the patch"
        if found == other == self.edited:
            raise ArtifactError(
                f"{name} is already applied: the model has this edit in it (checksum {found[:SHORT]}). Leave the patch out, give "
                "the base model, or take the edit out with `vitedit revert`."
            )
        if asked == self.edited and found in (self.base, *self.about.after):
            raise ArtifactError(
                f"{name} is not applied, so there is nothing to revert: the model is without it "
                f"(checksum {found[:SHORT]}). Give the edited model."
            )
        raise ArtifactError(
            f"{name} can be {what} the model with checksum {asked[:SHORT]} only ({self.about.model.name}, edited on "
            f"{self.about.date}), but this model's is {found[:SHORT]}. Give the very weights that it was made for."
            f"{EARLIER if asked == self.base and self.about.after else ''}"
        )

    def _confirm(self, found: str, asked: str) -> None:
        if found != asked:
            raise ArtifactError("the patch does not lead to the model that it names: it is damaged.")


def put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Lets a parameter stand in the place of the one of that name."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, parameter)
