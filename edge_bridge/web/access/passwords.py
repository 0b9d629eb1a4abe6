"""The dashboard's password as a hash that may stand in a settings file: scrypt (RFC 7914), of Python's own library.

    scrypt:LOG2_N:R:P:SALT:KEY    with salt and key in base64url without padding

OWASP's parameters of 2026 (N = 2^15, r = 8, p = 3): 32 MB and about 0.2 s for each guess.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

SHORTEST: Final = 8
"""Characters; the dashboard also limits how often a password may be tried."""
LONGEST: Final = 256
_LOG_N, _R, _P = 15, 8, 3
_SALT_BYTES, _KEY_BYTES = 16, 32


def hashed(password: str) -> str:
    """A hash with a salt of its own, as `web.password_hash` takes it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _derived(password, salt, _LOG_N, _R, _P)
    return f"scrypt:{_LOG_N}:{_R}:{_P}:{_text(salt)}:{_text(key)}"


def matches(password: str, hash_: str) -> bool:
    """Whether it is the password of this hash, which is one that the settings took. Takes as long as either way."""
    _, log_n, r, p, salt, key = hash_.split(":")
    found = _derived(password[:LONGEST], _bytes(salt), int(log_n), int(r), int(p))
    return hmac.compare_digest(found, _bytes(key))


def _derived(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    memory = 128 * r * (n + p + 2) + (1 << 20)  # what OpenSSL asks for, and some room
    return hashlib.scrypt(
        password.encode("utf-8", "replace"), salt=salt, n=n, r=r, p=p, dklen=_KEY_BYTES, maxmem=memory
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
