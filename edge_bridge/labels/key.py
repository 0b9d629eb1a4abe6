"""The labelling key: who holds its private half can open the crops that devices seal to the public one.

Made once, by `edgewise-bridge labels key`. The private half stays on the machine that shows pictures to people; the
public half goes into the settings of every device that samples. A lost private half makes every crop unreadable, which
is what erases them all at once.
"""

import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.durable import sync_directory, write_file
from edge_contract.errors import UsageError

_OTHERS = 0o077


def public_file(file: Path) -> Path:
    """Where the public half of a private key file stands."""
    return file.with_name(f"{file.name}.pub")


def make(file: Path) -> Path:
    """Write a new key pair: the private half to `file`, for its owner alone, the public half beside it. The latter.

    Raises:
        UsageError: one of both is there already; nothing is written.
        OSError: the disk is full or broken, or the folder is missing.
    """
    public = public_file(file)
    for each in (file, public):
        if each.exists() or each.is_symlink():
            raise UsageError(
                f"{each} is there already, and what is sealed to a key can be opened with that key alone",
                remedy="name another file, or move it away",
            )
    key = X25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(file, private, mode=0o600)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        write_file(public, pem, mode=0o644)
    except BaseException:
        file.unlink(missing_ok=True)  # half a pair is none
        sync_directory(file.parent)
        raise
    return public


def read(file: Path) -> X25519PrivateKey:
    """The private half.

    Raises:
        UsageError: it cannot be read, others can read it too, or it is no such key.
    """
    try:
        mode = file.stat().st_mode
        data = read_file(file, limits.SECRET_BYTES)
    except OSError as error:
        raise UsageError(
            f"the labelling key {file} cannot be read ({error.strerror})",
            remedy="name the right file as labels.key, or make one with `edgewise-bridge labels key`",
        ) from error
    if stat.S_IMODE(mode) & _OTHERS:
        raise UsageError(f"the labelling key {file} can be read by others", remedy=f"run: chmod 600 {file}")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{file} is no labelling key", remedy="name the private file that `edgewise-bridge labels key` wrote"
        ) from error
    if not isinstance(key, X25519PrivateKey):
        raise UsageError(
            f"{file} is a key of another kind", remedy="name the private file that `edgewise-bridge labels key` wrote"
        )
    return key
