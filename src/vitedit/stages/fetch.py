"""Rule fetch: brings the data sets and weights that a run needs, and says what a person has to bring."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vitedit.config import Config, ImagesConfig
from vitedit.data.catalogue import (
    CATALOGUE,
    Dataset,
    absent,
    message,
    needed,
    owner_of,
    read_catalogue,
    with_weights,
)
from vitedit.data.download import download, download_weights, verify
from vitedit.data.sources import open_source
from vitedit.errors import ArtifactError, ImageError, UnknownNameError, ViteditError

log = logging.getLogger(__name__)

COMMAND = "vitedit fetch"


def fetch(config: Config, *, dataset: Sequence[str] = (), catalogue: Path = CATALOGUE) -> None:
    """Downloads what the run needs (or the named data sets only), verifies it, and counts its images.

    All sets are tried before anything is raised.

    Raises:
        UnknownNameError: No data set of that name.
        ViteditError: Something is missing, damaged, or has too few images; the message says what to do for each.
    """
    known = with_weights(config, read_catalogue(catalogue))
    paths = _asked(known, dataset) if dataset else needed(config)
    problems = []
    for name in dict.fromkeys(owner_of(path, known) for path in paths):
        try:
            if name:
                _bring(name, known[name])
        except (ArtifactError, ImageError) as error:
            problems.append(str(error))
    missing = [path for path in absent(paths, known) if not _tried(owner_of(path, known), known)]
    if missing:
        problems.append(f"{len(missing)} to be put in place.\n{message(missing, known, COMMAND)}")
    if problems:
        raise ViteditError("\n".join(problems))
    log.info("all %d files and folders are in place", len(paths))


def _asked(known: Mapping[str, Dataset], names: Sequence[str]) -> list[Path]:
    """Paths of the named sets."""
    if unknown := [name for name in names if name not in known]:
        raise UnknownNameError(f"no data set '{unknown[0]}'. Data sets: {', '.join(known)}.")
    return [known[name].path for name in dict.fromkeys(names)]


def _tried(name: str | None, known: Mapping[str, Dataset]) -> bool:
    """Whether a missing set has been reported already, by its failed download."""
    return name is not None and known[name].automatic


def _bring(name: str, one: Dataset) -> None:
    """One set: downloads it if it is not there, verifies its file, counts its images."""
    file = one.path if one.there or one.archive is None else one.archive
    check = partial(verify, name, one, place=file)
    if file.is_file():
        check(file)
    elif not file.exists() and one.address:
        log.info("%s: downloading %s", name, one.address)
        download(one.address, file, check)
    elif not file.exists() and one.hub:
        log.info("%s: downloading %s", name, one.hub)
        download_weights(one.hub, file, check)
    if one.there and one.images is not None:
        _count(name, one)


def _count(name: str, one: Dataset) -> None:
    """Compares the numbers of images and of their folders with the least that the catalogue says.

    Raises:
        ImageError: Fewer.
    """
    names = open_source(name, ImagesConfig(path=one.path)).names()
    folders = {file.rpartition("/")[0] for file in names}
    for what, found, least in (("images", len(names), one.images), ("folders", len(folders), one.classes)):
        if found < (least := least if isinstance(least, int) else 1):
            raise ImageError(
                f"{name}: {found} {what} at {one.path}, where at least {least} belong ({one.title}). Nothing runs on a "
                f"part of the set: bring what is missing. Its layout: {one.layout}."
            )
    log.info("%s: %d images", name, len(names))
