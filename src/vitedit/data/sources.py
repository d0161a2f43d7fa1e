"""Where the bytes of images come from: a folder or a zip file, both read in place."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol, runtime_checkable
from zipfile import BadZipFile, ZipFile

from vitedit.config import ImagesConfig
from vitedit.errors import ImageError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@runtime_checkable
class Source(Protocol):
    """Names and bytes of files below one place; names use `/` and are relative to it."""

    def names(self) -> list[str]:
        """Names of all images, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Content of one file. Raises OSError or BadZipFile if it is missing or damaged."""
        ...


def open_source(name: str, config: ImagesConfig) -> Source:
    """The folder or zip file of the image set `name`.

    Raises:
        ImageError: Nothing at the path, a damaged archive, or one with a member that climbs out of it.
    """
    if not is_inside(config.folder):
        raise ImageError(
            f"images.{name}.folder: '{config.folder}' leaves {config.path}; name a folder inside it."
        )
    if config.path.is_dir():
        return Folder(config.path / config.folder)
    try:
        return Archive(config.path, config.folder)
    except FileNotFoundError:
        raise ImageError(f"images.{name}: nothing at {config.path}. {remedy(config.path)}") from None
    except (OSError, BadZipFile) as error:
        raise ImageError(
            f"images.{name}: {config.path} is no readable folder or zip file ({error}). {remedy(config.path)}"
        ) from error


def remedy(path: Path) -> str:
    """What to do about images that are not where the configuration says."""
    if Path(path).parts[:1] == ("data",):
        return "`dvc pull` fetches the released data."
    return "Put or link the images there, or change the configuration."


def is_inside(name: str) -> bool:
    """Whether a relative name stays below the folder it is taken from."""
    path = PureWindowsPath(name)  # knows both separators and drive letters
    return not path.anchor and ".." not in path.parts


def _is_image(name: str) -> bool:
    """Whether a name is that of an image; hidden files and a Mac's resource forks are none."""
    parts = PurePosixPath(name)
    return parts.suffix.lower() in SUFFIXES and not any(
        part.startswith((".", "__MACOSX")) for part in parts.parts
    )


@dataclass(frozen=True)
class Folder:
    """Images in a folder and its subfolders; links to folders are followed, each folder is visited once."""

    path: Path

    def names(self) -> list[str]:
        """Names of all images, sorted."""
        return sorted(filter(_is_image, self._walk()))

    def read(self, name: str) -> bytes:
        """Content of one file."""
        if not is_inside(name):
            raise OSError("the name leaves the folder")
        return (self.path / name).read_bytes()

    def _walk(self) -> Iterator[str]:
        visited: set[str] = set()
        for folder, below, files in os.walk(self.path, followlinks=True):
            visited.add(os.path.realpath(folder))
            below[:] = [
                name for name in sorted(below) if os.path.realpath(os.path.join(folder, name)) not in visited
            ]
            yield from ((Path(folder) / name).relative_to(self.path).as_posix() for name in files)


class Archive:
    """Images in a zip file. Threads may read at once; a forked process opens the file anew."""

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path = Path(path)
        self.prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._zip, self._owner = ZipFile(self.path), os.getpid()
        climbing = [name for name in self._zip.namelist() if not is_inside(name)]
        if climbing:
            raise BadZipFile(f"its member '{climbing[0]}' climbs out of the archive")

    def names(self) -> list[str]:
        """Names of all images below the folder, sorted."""
        members = {
            name.removeprefix(self.prefix) for name in self._zip.namelist() if name.startswith(self.prefix)
        }
        return sorted(filter(_is_image, members))

    def read(self, name: str) -> bytes:
        """Content of one member."""
        try:
            return self._archive().read(self.prefix + name)
        except (
            KeyError,
            RuntimeError,
            NotImplementedError,
        ) as error:  # absent; encrypted; unknown compression
            raise OSError(*error.args) from None

    def _archive(self) -> ZipFile:
        # Parent and child would share one file position, guarded by a lock of each.
        if self._owner != os.getpid():
            self._zip, self._owner = ZipFile(self.path), os.getpid()
        return self._zip
