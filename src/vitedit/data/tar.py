"""Where the files of an uncompressed tar archive lie, so that each can be read without those before it."""

import posixpath
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from tarfile import (
    BLOCKSIZE,
    GNUTYPE_LONGLINK,
    GNUTYPE_LONGNAME,
    SOLARIS_XHDTYPE,
    XGLTYPE,
    XHDTYPE,
    ReadError,
    TarFile,
    TarInfo,
)
from typing import Any, NamedTuple

MOST_LINKS = 40
"""Links that lead to each other, as many as Linux follows."""
HEADERS = (XHDTYPE, XGLTYPE, SOLARIS_XHDTYPE, GNUTYPE_LONGNAME, GNUTYPE_LONGLINK)
MOST_HEADER = 2**14
"""Bytes of the header of one member that does not fit into a block: four of the longest paths. Python searches through it in
quadratic time."""


class Place(NamedTuple):
    """Bytes of a file in its archive."""

    offset: int
    size: int


class _Member(TarInfo):
    """A member whose headers are of a size that an honest archive may have."""

    def _proc_member(self, tarfile: TarFile) -> Any:  # made to be overridden, by a comment in `tarfile`
        if self.size < 0 or (self.size > MOST_HEADER and self.type in HEADERS):
            raise ReadError(f"damaged: a member with a header of {self.size:,} bytes")
        return super()._proc_member(tarfile)  # type: ignore[misc]  # not in the stubs


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
    end = 0
    with TarFile.open(path, "r:", tarinfo=_Member) as archive:
        for member in archive:
            if member.size < 0 or archive.offset <= end:  # Python would read it again and again
                raise ReadError(f"damaged: its member '{member.name}' ends before it begins")
            end = archive.offset
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
    name = link
    for _ in range(MOST_LINKS):
        name = links.get(name, name)
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
