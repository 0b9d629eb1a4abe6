"""The answer to a camera's "401 Unauthorized": Digest (RFC 7616) where offered, which sends no password, or Basic.

Pure, but for the number that is used once.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_SCHEME: Final = re.compile(r"(?:^|,\s*)(Basic|Digest)\b", re.IGNORECASE)
_FIELD: Final = re.compile(r'([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\s,"]+))')
_HASHES: Final = {"SHA-256": "sha256", "MD5": "md5"}  # the better first


class Account(NamedTuple):
    """Who asks."""

    user: str
    password: str


def authorization(
    challenges: Sequence[str],
    account: Account,
    method: str,
    target: str,
    once: Callable[[], str] = lambda: secrets.token_hex(8),
) -> str:
    """The value of the Authorization header for the `WWW-Authenticate` headers of an answer; Basic where none is known.

    `target`: path and query as they stand in the request. `once`: a number that is used once.
    """
    offered = [fields for text in challenges for fields in _digests(text)]
    for name, function in _HASHES.items():
        for fields in offered:
            if fields.get("algorithm", "MD5").upper().removesuffix("-SESS") == name and "nonce" in fields:
                return _digest(fields, function, account, method, target, once())
    return f"Basic {base64.b64encode(f'{account.user}:{account.password}'.encode()).decode()}"


def _digests(text: str) -> list[dict[str, str]]:
    """The fields of each Digest challenge of one header, which may hold several challenges."""
    starts = list(_SCHEME.finditer(text))
    ends = [*(found.start() for found in starts[1:]), len(text)]
    return [
        {name.lower(): _plain(quoted, bare) for name, quoted, bare in _FIELD.findall(text[found.end() : end])}
        for found, end in zip(starts, ends, strict=False)  # an end more where there is no start
        if found[1].lower() == "digest"
    ]


def _plain(quoted: str, bare: str) -> str:
    return bare or re.sub(r"\\(.)", r"\1", quoted)


def _digest(fields: dict[str, str], function: str, account: Account, method: str, target: str, once: str) -> str:
    def hashed(text: str) -> str:
        return hashlib.new(function, text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce = fields.get("realm", ""), fields["nonce"]
    secret = hashed(f"{account.user}:{realm}:{account.password}")
    if fields.get("algorithm", "").upper().endswith("-SESS"):
        secret = hashed(f"{secret}:{nonce}:{once}")
    action = hashed(f"{method}:{target}")
    answer = {"username": account.user, "realm": realm, "nonce": nonce, "uri": target}
    bare: dict[str, str] = {}
    if "auth" in re.split(r"[\s,]+", fields.get("qop", "")):
        bare = {"qop": "auth", "nc": "00000001"}
        answer |= {"cnonce": once, "response": hashed(f"{secret}:{nonce}:00000001:{once}:auth:{action}")}
    else:
        answer["response"] = hashed(f"{secret}:{nonce}:{action}")
        answer |= {"cnonce": once} if fields.get("algorithm", "").upper().endswith("-SESS") else {}
    if "opaque" in fields:
        answer["opaque"] = fields["opaque"]
    if "algorithm" in fields:
        bare["algorithm"] = fields["algorithm"]
    quoted = [f'{name}="{_escaped(value)}"' for name, value in answer.items()]
    return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
