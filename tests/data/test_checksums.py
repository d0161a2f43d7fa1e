"""Checksums of inputs: content of files, names and sizes in folders."""

import hashlib

from vitedit.data.checksums import checksums


def test_files_count_by_content_and_folders_by_names_and_sizes(tmp_path):
    file, folder = tmp_path / "weights.bin", tmp_path / "images"
    file.write_bytes(b"abc")
    for name in ("b/1.jpg", "a/ü.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"12345")
    table = checksums([file, folder])
    assert table["path"].tolist() == [str(file), str(folder)] and table["bytes"].tolist() == [3, 10]
    listed = "a/ü.jpg\t5\nb/1.jpg\t5\n"
    assert table["sha256"].tolist() == [hashlib.sha256(text.encode()).hexdigest() for text in ("abc", listed)]
    assert table["of"].tolist() == ["content", "names and sizes of 2 files"]


def test_other_content_and_other_names_are_told_apart(tmp_path):
    file, folder = tmp_path / "f", tmp_path / "d"
    folder.mkdir()
    seen = set()
    for name, content in (("x", b"1"), ("x", b"22"), ("y", b"22")):
        file.write_bytes(content + name.encode())
        for old in folder.iterdir():
            old.unlink()
        (folder / name).write_bytes(content)
        seen |= set(checksums([file, folder])["sha256"])
    assert len(seen) == 6
