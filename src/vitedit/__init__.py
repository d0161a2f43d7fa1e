"""vitedit: edit a Vision Transformer from one image.

Letters, everywhere the same: B images, E edits, n samples of one edit, T tokens (CLS first), D token width,
H hidden units of a site, C classes, S side of the input in pixels.

Words: a *site* is one weight matrix and the axis that runs over its hidden units; a *mask* has one entry a hidden unit,
1 = may change, 0 = frozen; *sparsity* is the share of zeros in all masks together; an *edit* is a set of replaced weight
matrices of an untouched base model. Success, generalization and locality are rates in [0, 1] (docs/glossary.md).

    model = vitedit.load_vit("deit_tiny_patch16_224")
    patch = vitedit.edit(model, "court.jpg", 890)
    with patch.applied(model):
        ...
    patch.save("fix.safetensors")
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "load_vit": "vitedit.tool.models",
    "edit": "vitedit.tool.library",
    "Patch": "vitedit.model.patch",
}
"""What users of the library need -> where it lies, imported when it is asked for: torch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'vitedit' has no attribute '{name}'")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
