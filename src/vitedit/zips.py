"""Members of zip files, read in bounded memory whatever the archive says of itself."""

from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

READ_IN_STEPS = (ZIP_STORED, ZIP_DEFLATED)
"""Of other methods Python unpacks a whole block of the file at once: four kilobytes may become gigabytes."""

UNREAD = "compressed in a way that is not read; make the archive with `zip`, or unpack it"
MOST_GAIN = 100
"""Times that weights may be larger than their archive. Trained ones hardly shrink; zeros shrink a thousandfold."""


def read_member(archive: ZipFile, member: ZipInfo, most: int) -> bytes:
    """Content of a member of at most `most` bytes.

    Raises:
        BadZipFile: Larger, damaged, or compressed by a method that cannot be read in steps.
        Exception: Almost any other, where the archive is damaged.
    """
    if member.compress_type not in READ_IN_STEPS:
        raise BadZipFile(UNREAD)
    if member.file_size > most:
        raise BadZipFile(f"it unpacks to {member.file_size:,} bytes, of at most {most:,} that are read")
    with archive.open(member) as file:
        content = file.read(member.file_size)  # without a number all is unpacked that lies there
    if len(content) < member.file_size:
        raise BadZipFile("it ends before it should")
    return content


def check_members(archive: ZipFile, size: int) -> None:
    """Refuses an archive of weights that unpacks to much more than its size in bytes.

    Raises:
        BadZipFile: It does, or a member is compressed by a method that cannot be read in steps.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MOST_GAIN * size:
        raise BadZipFile(f"it unpacks to {unpacked:,} bytes from {size:,}, which no weights do")
    if any(member.compress_type not in READ_IN_STEPS for member in archive.infolist()):
        raise BadZipFile(UNREAD)
