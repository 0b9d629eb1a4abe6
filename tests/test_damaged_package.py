"""A damaged `.ewm`, of every kind: one sentence and its exit code, from every command that takes one."""

import io
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from convert import restore
from edge_agent import cli as agent
from edge_contract import package
from edge_contract.command_end import explained
from edge_contract.errors import EdgewiseError, ExitCode
from edge_fleet.cli import app
from tests.train.pictures_of_shapes import shapes
from train import evaluate, robustness
from train.data.dataset import save

GOOD = (Path(__file__).parent / "fixtures" / "tiny-1.ewm").read_bytes()
NAMES = ("manifest.json", "model.tflite", "MODEL_CARD.md")


def zipped(change: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as good:
        entries = {name: good.read(name) for name in NAMES}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        change(archive, entries)
    return buffer.getvalue()


def written(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, data in entries.items():
        archive.writestr(name, data)


def bomb(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name in entries:
        archive.writestr(name, bytes(40 << 20), zipfile.ZIP_DEFLATED)


def linked(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    entry = zipfile.ZipInfo("model.tflite")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, b"/etc/passwd")
    written(archive, {name: data for name, data in entries.items() if name != "model.tflite"})


def twice(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    written(archive, entries)
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model.tflite", b"other")


def absolute(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    written(archive, {f"/{name}": data for name, data in entries.items()})


def encrypted() -> bytes:
    data = bytearray(GOOD)
    data[6] |= 1  # the flag in the first entry's own header
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


DAMAGED = {
    "empty": b"",
    "text": b"not a package",
    "truncated": GOOD[: len(GOOD) // 2],
    "cut at its end": GOOD[:-10],
    "another zip": zipped(lambda archive, _entries: archive.writestr("x.txt", "x")),
    "bomb": zipped(bomb),
    "symbolic link": zipped(linked),
    "name twice": zipped(twice),
    "absolute names": zipped(absolute),
    "encrypted": encrypted(),
    "manifest is no JSON": zipped(lambda archive, entries: written(archive, {**entries, "manifest.json": b"{"})),
    "manifest is deep": zipped(lambda archive, entries: written(archive, {**entries, "manifest.json": b"[" * 100_000})),
    "another model": zipped(lambda archive, entries: written(archive, {**entries, "model.tflite": b"TFL3" * 999})),
    "card is no text": zipped(lambda archive, entries: written(archive, {**entries, "MODEL_CARD.md": b"\xff"})),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_every_kind_of_damage_is_a_sentence_with_2_or_4(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ewm"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(EdgewiseError) as caught:
        package.read_file(path)
    assert caught.value.exit_code in (ExitCode.USAGE, ExitCode.TRUST_REFUSED)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), bits=st.integers(1, 20), cut=st.integers(0, len(GOOD)))
def test_flipped_bits_and_cuts_are_refused_or_change_nothing_that_is_signed(seed: int, bits: int, cut: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # of a test
    data = bytearray(GOOD[:cut] if seed % 3 == 0 else GOOD)
    for _ in range(bits if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    try:
        found = package.read(bytes(data))
    except EdgewiseError:
        return
    assert found.model == package.read(GOOD).model


@pytest.mark.parametrize("name", ["empty", "truncated", "another model", "bomb"])
def test_every_command_that_takes_a_package_says_it_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.ewm"
    path.write_bytes(DAMAGED[name])
    wanted = ExitCode.TRUST_REFUSED if name == "another model" else ExitCode.USAGE
    (tmp_path / "agent.toml").write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[model]\nfactory = "x.ewm"\n')
    config = ["--config", str(tmp_path / "agent.toml")]
    for arguments in (
        ["selftest", "--package", str(path)],
        ["bench", "--package", str(path)],
        ["look", str(path), "--package", str(path)],
        ["selftest", *config],
        ["bench", *config],
    ):
        assert agent.main(arguments) == wanted, arguments
        said = capsys.readouterr().err
        assert said.startswith("edgewise-agent: ")
        assert said.count("\n") == 1
    (tmp_path / "params.yaml").write_text("evaluate:\n  dataset: dataset.npz\n  output: out\n")
    save(shapes(), tmp_path / "dataset.npz")
    for main, options in (
        (restore.main, ["--package", str(path), "--output", "out"]),
        (evaluate.main, ["--model", str(path)]),
        (robustness.main, ["--model", str(path)]),
    ):
        assert main(options) == wanted, main.__module__
        said = capsys.readouterr().err
        assert str(path) in said
        assert said.count("\n") == 1, said
    for command in (("package", "inspect"), ("release", "add"), ("registry", "register"), ("lineage",)):
        failed = CliRunner().invoke(app, [*command, str(path)]).exception
        known = explained(failed) if failed is not None else None
        assert known is not None, command
    assert not (tmp_path / "fleet").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["agent.toml", "dataset.npz", "params.yaml", "x.ewm"]
