"""Where the bytes of images come from: a folder, a zip or a tar file, all read in place."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable
from zipfile import BadZipFile, ZipFile

from vitedit.config import ImagesConfig
from vitedit.data.tar import Place, is_inside, read_index
from vitedit.errors import ImageError
from vitedit.zips import read_member

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
MOST_BYTES = 2**28
"""Bytes of one image: as many as the largest that is decoded takes without compression."""


@runtime_checkable
class Source(Protocol):
    """Names and bytes of files below one place; names use `/` and are relative to it."""

    def names(self) -> list[str]:
        """Names of all images, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Content of one file of at most `MOST_BYTES`. Raises OSError if it is missing, of a damaged one almost anything."""
        ...


def open_source(name: str, config: ImagesConfig) -> Source:
    """The folder, zip or tar file of the image set `name`.

    Raises:
        ImageError: Nothing at the path, a damaged archive, or one with a member that climbs out of it.
    """
    path = config.path
    if not is_inside(config.folder):
        raise ImageError(f"images.{name}.folder: '{config.folder}' leaves {path}; name a folder inside it.")
    try:
        return _open(name, path, config.folder)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"images.{name}: nothing at {path}. {remedy(path)}") from None
    except Exception as error:  # of a damaged archive the readers raise almost anything
        kind = "tar" if _is_tar(path) else "zip"
        raise ImageError(
            f"images.{name}: {path} is no readable folder or {kind} file ({error}). {remedy(path)}"
        ) from error


def _open(name: str, path: Path, folder: str) -> Source:
    if path.is_dir():
        return Folder(path / folder)
    if path.name.lower().endswith(COMPRESSED) and path.exists():
        raise ImageError(
            f"images.{name}: {path} is compressed as a whole, so no image in it can be read without all before it. "
            "Unpack it, or decompress it to a .tar file (gunzip, bunzip2, unxz)."
        )
    state = path.stat()
    return _open_archive(path, folder, (state.st_mtime_ns, state.st_size))


def remedy(path: Path) -> str:
    """What to do about images that are not where the configuration says."""
    if Path(path).parts[:1] == ("data",):
        return "`dvc pull` fetches the released data."
    return "Put or link the images there, or change the configuration."


def _is_tar(path: Path) -> bool:
    return path.suffix.lower() == ".tar"


@lru_cache(maxsize=16)
def _open_archive(path: Path, folder: str, state: tuple[int, int]) -> "ZipArchive | TarArchive":
    """An archive as it is now (`state`: time of modification and size): its table of contents takes seconds to read."""
    return TarArchive(path, folder) if _is_tar(path) else ZipArchive(path, folder)


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
        file = self.path / name
        if not file.is_file():  # a pipe would be waited for
            raise OSError("there is no such file")
        _check_size(file.stat().st_size)
        return file.read_bytes()

    def _walk(self) -> Iterator[str]:
        visited: set[str] = set()
        for folder, below, files in os.walk(self.path, followlinks=True):
            visited.add(os.path.realpath(folder))
            below[:] = [
                name for name in sorted(below) if os.path.realpath(os.path.join(folder, name)) not in visited
            ]
            yield from ((Path(folder) / name).relative_to(self.path).as_posix() for name in files)


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise OSError(f"it has {size:,} bytes, of at most {MOST_BYTES:,} that are read")


def _prefix(folder: str) -> str:
    """What the names of all members below a folder of an archive begin with."""
    return f"{folder.strip('/')}/" if folder.strip("/") else ""


class ZipArchive:
    """Images in a zip file. Threads may read at once; a forked process opens the file anew."""

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path, self._prefix = Path(path), _prefix(folder)
        self._zip, self._owner = ZipFile(self.path), os.getpid()
        climbing = [name for name in self._zip.namelist() if not is_inside(name)]
        if climbing:
            raise BadZipFile(f"its member '{climbing[0]}' climbs out of the archive")

    def names(self) -> list[str]:
        """Names of all images below the folder, sorted."""
        names = self._zip.namelist()
        members = {name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)}
        return sorted(filter(_is_image, members))

    def read(self, name: str) -> bytes:
        """Content of one member."""
        try:
            archive = self._archive()
            return read_member(archive, archive.getinfo(self._prefix + name), MOST_BYTES)
        except (KeyError, RuntimeError, NotImplementedError) as error:
            raise OSError(*error.args) from None  # absent; encrypted; unknown compression

    def _archive(self) -> ZipFile:
        # Parent and child would share one file position, guarded by a lock of each.
        if self._owner != os.getpid():
            self._zip, self._owner = ZipFile(self.path), os.getpid()
        return self._zip


class TarArchive:
    """Images in an uncompressed tar file. Every read opens the file anew, so threads and forked processes share nothing."""

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path = Path(path)
        prefix = _prefix(folder)
        self._places: dict[str, Place] = {
            name.removeprefix(prefix): place
            for name, place in read_index(self.path).items()
            if name.startswith(prefix)
        }

    def names(self) -> list[str]:
        """Names of all images below the folder, sorted."""
        return sorted(filter(_is_image, self._places))

    def read(self, name: str) -> bytes:
        """Content of one member."""
        if name not in self._places:
            raise OSError("there is no such member in the archive")
        place = self._places[name]
        _check_size(place.size)
        with self.path.open("rb") as file:
            file.seek(place.offset)
            content = file.read(place.size)
        if len(content) < place.size:
            raise OSError("the archive ends before this member does")
        return content
