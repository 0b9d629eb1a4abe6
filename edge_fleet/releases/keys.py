"""The signing keys on the release side's disk: made, found by key id, never printed.

A key is one PEM file `NAME-KEYID.pem` (Ed25519, PKCS#8), readable by its owner alone and encrypted when a passphrase
is given. Which key serves which role stands in the signed root metadata, not in a file name, so a rotation is one new
file and one new root. Root keys belong offline: their files are moved away after `keys init` and named by `--keys` when
the root must be signed again.
"""

import os
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
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from edge_contract.durable import sync_directory
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
        path = folder / _file_name(name, signer.public_key)
        # O_EXCL: a key is never overwritten; the mode holds from the first byte on.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(folder)
        return signer

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
            raise EdgewiseError(
                f"the {name} key {_file_name(name, key)} is not here",
                remedy="name the folder that holds it with --keys",
            )
        if path.stat().st_mode & 0o077:
            raise EdgewiseError(f"{path} can be read by others than its owner", remedy=f"run `chmod 600 {path}`")
        pem = path.read_bytes()[:_LONGEST_PEM]
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
        if not isinstance(private, Ed25519PrivateKey) or not isinstance(key, SSlibKey):
            raise EdgewiseError(f"{path} holds no Ed25519 key", remedy="restore it from your backup")
        try:
            signer = CryptoSigner(private)
        except ValueError as error:
            raise EdgewiseError(
                f"{path} holds no usable key ({error})", remedy="restore it from your backup"
            ) from error
        if signer.public_key.keyid != key.keyid:
            raise EdgewiseError(f"{path} holds another key than its name says", remedy="restore it from your backup")
        return signer


def read_passphrase(file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The passphrase from a file's first line or from the environment; None when neither is given.

    Raises:
        UsageError: the file cannot be read, or the passphrase is empty.
    """
    if file is not None:
        try:
            text = file.read_text().partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the passphrase file {file} cannot be read ({error})", remedy="name another with --passphrase-file"
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
