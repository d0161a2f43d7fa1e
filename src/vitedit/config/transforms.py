"""From a decoded image to a model's input: written out, or named by a word."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from vitedit.config.section import Lax, Positive, Rate, Scalar, Section

FILTERS = ("bilinear", "bicubic")


class TransformConfig(Section):
    """From a decoded RGB image to the model's input."""

    resize: Positive | None = None
    """Length of the shorter side after resizing, in pixels; null resizes to the input size itself."""
    size: Positive
    """Side of the square input, in pixels; the centre is cropped."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Resampling filter. The published code uses torchvision's default, bilinear."""
    mean: Annotated[tuple[float, float, float], Lax] = (0.5, 0.5, 0.5)
    """Subtracted from each channel of an image in [0, 1]."""
    std: Annotated[tuple[Rate, Rate, Rate], Lax] = (0.5, 0.5, 0.5)
    """Each channel is divided by it."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "TransformConfig":
        if self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"a centre of {self.size} pixels cannot be cropped after `resize: {self.resize}`"
            )
        return self


PUBLISHED = TransformConfig(resize=256, size=224)
"""The published code's transform: shorter side 256, bilinear, centre 224, mean and deviation 0.5."""


def timm_transform(name: str, architecture: Mapping[str, Scalar] | None = None) -> TransformConfig:
    """The transform that timm evaluates a model with; `architecture` may ask for another input size (`img_size`).

    Raises:
        ValueError: timm does not know the name, or evaluates the model other than on the centre of a resized image.
    """
    from timm.models import get_pretrained_cfg  # seconds, and torch with it, that no other run needs

    try:
        known = get_pretrained_cfg(name)
    except RuntimeError:  # a known model with an unknown tag
        known = None
    if known is None:
        raise ValueError(
            f"`timm` asks timm for the transform of '{name}', which is no model of timm; correct `name`"
        )
    square = known.input_size[1] == known.input_size[2]
    if known.crop_mode != "center" or known.interpolation not in FILTERS or not square:
        raise ValueError(
            f"timm evaluates '{name}' with crop mode '{known.crop_mode}', filter '{known.interpolation}' and input "
            f"{known.input_size}; supported are 'center', {' or '.join(FILTERS)} and squares; write the section out"
        )
    size = int((architecture or {}).get("img_size", known.input_size[-1]))
    values = {"size": size, "resize": math.floor(size / known.crop_pct), "interpolation": known.interpolation}
    return TransformConfig.model_validate(values | {"mean": known.mean, "std": known.std})


def _written_out(value: Any, info: Any) -> Any:
    """The section that a word stands for; a section stays as it is. `info` is pydantic's `ValidationInfo`."""
    match value:
        case "published":
            return PUBLISHED
        case "timm" if isinstance(name := info.data.get("name"), str):
            return timm_transform(name, info.data.get("architecture"))
        case str():
            raise ValueError(f"'{value}' is no transform; write a section, `timm` or `published`")
        case _:
            return value


Transform = Annotated[
    TransformConfig,
    BeforeValidator(_written_out, json_schema_input_type=TransformConfig | Literal["timm", "published"]),
]
"""A `TransformConfig`, which a configuration may also name: `timm` or `published`."""
