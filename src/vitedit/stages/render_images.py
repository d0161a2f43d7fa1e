"""Rule render_images: the image sets of the embedded world."""

from pathlib import Path

from vitedit.artifacts import atomic
from vitedit.config import Config
from vitedit.embedded.image_sets import write_image_sets
from vitedit.embedded.render import CLASSES


def render_images(config: Config, *, output: Path) -> None:
    """Writes a zip file a set, the truth about the unlabelled one, and the names of the classes."""
    output.mkdir(parents=True, exist_ok=True)
    write_image_sets(output, config.seed)
    with atomic(output / "classes.txt") as temporary:
        temporary.write_text("\n".join(CLASSES) + "\n")
