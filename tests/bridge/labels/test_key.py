"""The labelling key on disk: made once, for its owner alone, and refused in a sentence where it is another file."""

import stat
from pathlib import Path

import pytest

from edge_bridge import cli
from edge_bridge.labels import key
from edge_contract.crop import key_id, read_public_key, seal, unseal
from edge_contract.errors import ExitCode, UsageError
from tests.bridge.labels.faces import PIXELS, crop


def test_the_command_writes_a_pair_that_opens_what_it_sealed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labelling.pem"
    assert cli.main(["labels", "key", str(file)]) == ExitCode.OK
    assert "goes to the devices" in capsys.readouterr().out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    private, public = key.read(file), read_public_key(tmp_path / "labelling.pem.pub")
    assert key_id(private.public_key()) == key_id(public)
    assert unseal(seal(crop(), public), "cam-1", private).pixels == PIXELS


def test_no_key_is_ever_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labelling.pem"
    key.make(file)
    before = file.read_bytes()
    assert cli.main(["labels", "key", str(file)]) == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    assert file.read_bytes() == before
    file.unlink()
    with pytest.raises(UsageError, match=r"labelling\.pem\.pub is there already"):
        key.make(file)
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "cannot be read"),
        (b"nonsense", 0o600, "is no labelling key"),
        (b"", 0o644, "can be read by others; run: chmod 600"),
    ],
)
def test_another_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes | None, mode: int, said: str) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(UsageError, match=said):
        key.read(file)


def test_a_public_half_and_a_key_of_another_kind_open_nothing(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    public = key.make(tmp_path / "a.pem")
    public.chmod(0o600)
    with pytest.raises(UsageError, match="is no labelling key"):
        key.read(public)
    other = tmp_path / "b.pem"
    other.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    other.chmod(0o600)
    with pytest.raises(UsageError, match="another kind"):
        key.read(other)
