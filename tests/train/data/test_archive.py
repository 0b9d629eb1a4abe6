"""Archives as sources: read as what lies in them, and refused where they are no such thing. Real zip and tar files."""

import contextlib
import random
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_contract.errors import UsageError
from tests.train.data.test_class_folders import write_tree
from tests.train.data.test_csv_file import write_csv
from train.data import archive
from train.data.read import read_source
from train.data.rows import PictureFormat

FORM = PictureFormat()
ROW = " ".join(str(i % 256) for i in range(48 * 48))


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens, nothing stays in the temporary folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    yield
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("ending", ["zip", "tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("within", ["", "faces", "a/b"])
def test_folders_in_an_archive_are_read_as_the_folders_are(ending: str, within: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    beside = write_tree(tree / within, {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    (tree / "__MACOSX" / "train").mkdir(parents=True)
    (tree / "__MACOSX" / "train" / "._0.png").write_bytes(b"resource fork")
    (beside / ".DS_Store").write_bytes(b"finder")
    made = shutil.make_archive(str(tmp_path / "faces"), ending, tree)
    found, expected = read_source(made, "", FORM, 1), read_source(str(beside), "", FORM, 1)
    assert found.digest == expected.digest
    assert (found.places, found.label_names, found.problems) == (expected.places, expected.label_names, [])
    assert (found.images == expected.images).all()


def test_the_csv_file_in_an_archive_is_read_with_the_votes_beside_the_archive(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "fer2013.csv", [f"{i % 7},{ROW},Training" for i in range(7)])
    made = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(table, "fer2013/fer2013.csv")
        packed.writestr("fer2013/README", "notes")
    assert read_source(str(made), "", FORM, 1).digest == read_source(str(table), "", FORM, 1).digest


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, content in entries:
            packed.writestr(name, content)
    return path


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("../outside.png", "leads outside"),
        ("/etc/outside.png", "leads outside"),
        ("a/../../outside.png", "leads outside"),
        ("a\\..\\..\\outside.png", "leads outside"),
        ("\\outside.png", "leads outside"),
        ("C:\\outside.png", "leads outside"),
        ("C:outside.png", "leads outside"),
        ("a\\0.png", "twice"),
        (linked("a/link.png"), "no regular file"),
        ("a//0.png", "twice"),
        ("a/0.png/1.png", "cannot be unpacked"),
    ],
)
def test_an_entry_that_is_no_file_inside_is_refused(entry: str | zipfile.ZipInfo, said: str, tmp_path: Path) -> None:
    made = zipped(tmp_path / "x.zip", ("a/0.png", b"1"), (entry, b"/etc/passwd"))
    with pytest.raises(UsageError, match=said) as refused:
        read_source(str(made), "", FORM, 1)
    assert "unpack it" in refused.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work", "x.zip"]


def test_a_zip_that_windows_packed_with_backslashes_is_read_as_the_folders_are(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    files = [(path.relative_to(tmp_path).as_posix(), path) for path in tree.rglob("*")]
    made = zipped(
        tmp_path / "x.zip",
        *((name.replace("/", "\\") + "\\" * path.is_dir(), b"" if path.is_dir() else path.read_bytes())
          for name, path in files),
    )  # fmt: skip
    found, expected = read_source(str(made), "", FORM, 1), read_source(str(tree), "", FORM, 1)
    assert (found.digest, found.places) == (expected.digest, expected.places)


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("before", [b"", tarfile.TarInfo("a/0.png").tobuf()], ids=["first", "later"])
@pytest.mark.parametrize("packing", ["w", "w:gz"])
def test_a_tar_whose_headers_would_fill_the_memory_is_refused_unread(
    kind: bytes, before: bytes, packing: str, tmp_path: Path
) -> None:
    made = tmp_path / "x.tar"
    with tarfile.open(made, packing) as packed:
        assert packed.fileobj is not None
        packed.fileobj.write(before + header(kind, 3 << 30) + bytes(4096))
    with pytest.raises(UsageError, match="headers are larger than any tool makes them"):
        read_source(str(made), "", FORM, 1)


def test_many_headers_of_a_tar_are_bounded_in_all(tmp_path: Path) -> None:
    made = tmp_path / "x.tar.gz"
    filler = b"1000000 comment=" + b"x" * (1_000_000 - 17) + b"\n"
    with tarfile.open(made, "w:gz") as packed:
        assert packed.fileobj is not None
        for number in range(40):
            packed.fileobj.write(header(tarfile.XHDTYPE, len(filler)) + filler + bytes(-len(filler) % 512))
            packed.fileobj.write(tarfile.TarInfo(f"a/{number}.png").tobuf())
    with pytest.raises(UsageError, match="headers are larger than any tool makes them"):
        read_source(str(made), "", FORM, 1)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        info = tarfile.TarInfo("a/0.png")
        info.type, info.linkname = kind, "/etc/passwd"
        packed.addfile(info)
    with pytest.raises(UsageError, match="no regular file"):
        read_source(str(tmp_path / "x.tar.gz"), "", FORM, 1)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    made = zipped(tmp_path / "x.zip", ("a/0.png", bytes(1 << 20)), method=zipfile.ZIP_DEFLATED)
    data = bytearray(made.read_bytes())
    for mark, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = data.index(mark) + place
        data[at : at + 4] = (3 * 2**30).to_bytes(4, "little")
    made.write_bytes(data)
    with pytest.raises(UsageError, match="too many for an archive of its size"):
        read_source(str(made), "", FORM, 1)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        info = tarfile.TarInfo("a/0.png")
        info.size = 3 * 2**30
        packed.fileobj.write(info.tobuf())
    with pytest.raises(UsageError, match="too many for an archive of its size"):
        read_source(str(tmp_path / "x.tar.gz"), "", FORM, 1)


def test_too_many_entries_and_too_little_room_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = zipped(tmp_path / "x.zip", ("a/0.png", b"1"), ("b/0.png", b"2"))
    monkeypatch.setattr(archive, "MOST_ENTRIES", 1)
    with pytest.raises(UsageError, match="more than 1 files"):
        read_source(str(made), "", FORM, 1)
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UsageError, match="has room for 1; let TMPDIR"):
        read_source(str(made), "", FORM, 1)


def test_an_encrypted_zip_is_said_to_be(tmp_path: Path) -> None:
    made = zipped(tmp_path / "x.zip", ("a/0.png", b"1"))
    data = bytearray(made.read_bytes())
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        data[data.index(mark) + place] |= 1
    made.write_bytes(data)
    with pytest.raises(UsageError, match="is encrypted"):
        read_source(str(made), "", FORM, 1)


def test_an_archive_of_neither_folders_nor_a_table_and_errors_of_what_is_inside_name_the_archive(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=r"x\.zip holds neither"):
        read_source(str(zipped(tmp_path / "x.zip", ("notes.txt", b"1"))), "", FORM, 1)
    made = zipped(tmp_path / "y.zip", ("a/0.png", b"no picture"), ("b/0.png", b"no picture"))
    with pytest.raises(UsageError, match=r"y\.zip/a has no usable picture"):
        read_source(str(made), "", FORM, 1)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_archive_is_one_sentence(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311  # where it is damaged
    tree = write_tree(tmp_path / "tree", {"a": 2, "b": 2})
    made = Path(shutil.make_archive(str(tmp_path / "x"), chance.choice(["zip", "gztar", "xztar"]), tree))
    data = bytearray(made.read_bytes())
    for _ in range(chance.randint(1, 20)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    made.write_bytes(data[: chance.choice([len(data), chance.randrange(1, len(data))])])
    with contextlib.suppress(UsageError):  # whatever it is, no other error and nothing left behind
        read_source(str(made), "", FORM, 1)
