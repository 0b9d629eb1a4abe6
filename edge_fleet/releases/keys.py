"""The signing keys on the release side's disk: made, found by key id, never printed.

A key is one PEM file `NAME-KEYID.pem` (Ed25519, PKCS#8), readable by its owner alone and encrypted when a passphrase
is given. Which key serves which role stands in the signed root metadata, not in a file name, so a rotation is one new
file and one new root. Root keys belong offline: their files are moved away after `keys init` and named by `--keys` when
the root must be signed again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key

from edge_contract import durable, limits
from edge_contract.bounded_read import read_file, read_text
from edge_contract.errors import EdgewiseError, UsageError

PASSPHRASE_VARIABLE: Final = "EDGEWISE_PASSPHRASE"  # noqa: S105  # the variable's name, not a passphrase
_LONGEST_PEM = 64 * 1024  # bytes; an Ed25519 key has about 300


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The folders that hold private keys; new ones are written to the first."""

    directories: tuple[Path, ...]
    passphrase: bytes | None = None

    def create(self, name: str) -> CryptoSigner:
        """Make a key and write it down before anything is signed with it."""
        signer = CryptoSigner.generate_ed25519()
        encryption: KeySerializationEncryption = (
            BestAvailableEncryption(self.passphrase) if self.passphrase else NoEncryption()
        )
        private = load_pem_private_key(signer.private_bytes, None)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        folder = self.directories[0]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its name has the key's id, so no key is overwritten; the mode holds from the first byte on.
        durable.write_file(folder / _file_name(name, signer.public_key), pem, mode=0o600)
        return signer

    def take_up(self, name: str, count: int) -> list[CryptoSigner]:
        """So many keys of this name: those that a killed `keys init` made, and new ones for what it did not come to.

        Raises:
            UsageError: there are more.
            EdgewiseError: one cannot be opened.
        """
        folder = self.directories[0]
        for half in folder.glob(f".{name}-*.new"):
            half.unlink()
        made = sorted(folder.glob(f"{name}-*.pem"))
        if len(made) > count:
            raise UsageError(
                f"{folder} holds {len(made)} {name} keys, more than the {count} asked for",
                remedy="move away those of another fleet, or ask for as many (--root-keys)",
            )
        signers = [self._open(path) for path in made]
        return signers + [self.create(name) for _ in range(count - len(made))]

    def find(self, name: str, key: Key) -> Path | None:
        """The file of this key, or None when it is not on this machine (an offline root key)."""
        candidates = (folder / _file_name(name, key) for folder in self.directories)
        return next((path for path in candidates if path.is_file()), None)

    def signer(self, name: str, key: Key) -> CryptoSigner:
        """The signer for a public key that the root names.

        Raises:
            EdgewiseError: the key is not here, others may read it, or the passphrase does not open it.
        """
        path = self.find(name, key)
        if path is None:
            home = self.directories[0]
            raise EdgewiseError(
                f"the {name} key {_file_name(name, key)} is not here",
                remedy=f"put it into {home} from your backup, or replace it (`edgewise keys rotate {name}`)",
            )
        signer = self._open(path)
        if signer.public_key.keyid != key.keyid:
            raise EdgewiseError(f"{path} holds another key than its name says", remedy="restore it from your backup")
        return signer

    def _open(self, path: Path) -> CryptoSigner:
        if path.stat().st_mode & 0o077:
            raise EdgewiseError(f"{path} can be read by others than its owner", remedy=f"run `chmod 600 {path}`")
        try:
            pem = read_file(path, _LONGEST_PEM)
        except OSError as error:
            raise EdgewiseError(
                f"the key {path} cannot be read ({error.strerror})", remedy="restore it from your backup"
            ) from error
        try:
            private = load_pem_private_key(pem, self.passphrase if b"ENCRYPTED" in pem else None)
        except TypeError as error:
            raise EdgewiseError(
                f"{path} is encrypted", remedy=f"set {PASSPHRASE_VARIABLE} or give --passphrase-file"
            ) from error
        except ValueError as error:
            raise EdgewiseError(
                f"{path} cannot be opened: the passphrase is wrong or the file is damaged",
                remedy="give the right passphrase, or restore the file from your backup",
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise EdgewiseError(f"{path} holds no Ed25519 key", remedy="restore it from your backup")
        try:
            return CryptoSigner(private)
        except ValueError as error:
            raise EdgewiseError(
                f"{path} holds no usable key ({error})", remedy="restore it from your backup"
            ) from error


def read_passphrase(file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The passphrase from a file's first line or from the environment; None when neither is given.

    Raises:
        UsageError: the file cannot be read, or the passphrase is empty.
    """
    if file is not None:
        try:
            text = read_text(file, limits.SECRET_BYTES).partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"  # which would be shown otherwise
            raise UsageError(
                f"the passphrase file {file} cannot be read ({why})", remedy="name another with --passphrase-file"
            ) from error
    elif PASSPHRASE_VARIABLE in environment:
        text = environment[PASSPHRASE_VARIABLE]
    else:
        return None
    if not text:
        raise UsageError("the passphrase is empty", remedy="give one, or unset it to keep the keys unencrypted")
    return text.encode()


def _file_name(name: str, key: Key) -> str:
    return f"{name}-{key.keyid[:12]}.pem"
