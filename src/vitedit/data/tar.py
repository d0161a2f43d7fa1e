"""Where the files of an uncompressed tar archive lie, so that each can be read without those before it."""

import posixpath
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from tarfile import BLOCKSIZE, ReadError, TarFile, TarInfo
from typing import NamedTuple


class Place(NamedTuple):
    """Bytes of a file in its archive."""

    offset: int
    size: int


def is_inside(name: str) -> bool:
    """Whether a relative name stays below the folder it is taken from."""
    path = PureWindowsPath(name)  # knows both separators and drive letters
    return not path.anchor and ".." not in path.parts


def read_index(path: Path) -> dict[str, Place]:
    """Places of all files by name; of members of one name the last counts, and links have the place of what they lead to.

    Raises:
        OSError: Missing.
        ReadError: No tar archive, an incomplete one, or one with a member or link that leads out of it or nowhere.
    """
    places: dict[str, Place] = {}
    links: dict[str, str] = {}
    with TarFile.open(path, "r:") as archive:
        for member in archive:
            if not is_inside(member.name):
                raise ReadError(f"its member '{member.name}' climbs out of the archive")
            name = posixpath.normpath(member.name)
            places.pop(name, None)
            links.pop(name, None)
            if member.issym() or member.islnk():
                links[name] = _target(name, member)
            elif member.isreg():
                places[name] = _place(member)
        _check_end(path, archive.offset)
    return places | {link: _follow(link, places, links) for link in links}


def _place(member: TarInfo) -> Place:
    if member.sparse is not None:
        raise ReadError(f"its member '{member.name}' is stored with holes; make the archive without --sparse")
    return Place(member.offset_data, member.size)


def _target(name: str, link: TarInfo) -> str:
    """Name that a link leads to: hard links count from the top of the archive, symbolic ones from where they lie."""
    start = posixpath.dirname(name) if link.issym() else ""
    target = posixpath.normpath(posixpath.join(start, link.linkname))
    if not is_inside(target):
        raise ReadError(f"its link '{name}' climbs out of the archive")
    return target


def _follow(link: str, places: Mapping[str, Place], links: Mapping[str, str]) -> Place:
    """Place of the file at the end of a chain of links."""
    name, passed = link, set[str]()
    while name in links and name not in passed:
        passed.add(name)
        name = links[name]
    if name not in places:
        raise ReadError(f"its link '{link}' leads to no file in it; unpack it and use the folder")
    return places[name]


def _check_end(path: Path, end: int) -> None:
    """`TarFile` takes a damaged header for the end, which would be a smaller set of images without a word."""
    with path.open("rb") as file:
        file.seek(end)
        if file.read(BLOCKSIZE) != bytes(BLOCKSIZE):
            raise ReadError(
                f"damaged or incomplete: no readable member and no end of archive at byte {end:,}"
            )
