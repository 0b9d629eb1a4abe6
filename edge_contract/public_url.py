"""What of an address may be shown: scheme, host, port and path, and nothing that can be a secret.

One rule for every address a role is given: cameras, brokers, databases, tracking servers, proxies. It is careful where
an address can be read in two ways: a password with an unescaped `/`, `?` or `#` ends the host for every parser, so an
`@` after that leaves nothing but the scheme. Nothing is connected or refused here.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

_CUT: Final = "…"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]*[^\s\"'<>),.;:]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.-]*)(:\d{0,5})?")
_SECRET_SEGMENT: Final = re.compile(r"[=&:@;]|^(pass|passwd|password|pwd|token|key|apikey|api_key|secret|auth)$", re.I)
"""A part of a path that holds key and value, or after which a secret usually follows."""
_USUAL_KEYS: Final = {
    "pass", "passwd", "password", "pwd", "token", "key", "apikey", "api_key", "secret", "auth",
    "user", "username", "login", "action", "channel", "stream",
}  # fmt: skip
"""Words of a query that stand in ordinary sentences too."""
_SIGNS: Final = re.compile(r"[&;?#/\\=@:\s\"'<>\[\]]")
_SHORTEST: Final = 3
"""Characters of a part of an address that is looked for in a text; shorter ones stand in ordinary words too."""


def public_url(url: str) -> str:
    """The address as it may be shown; "…" stands for what was left out of a path, or could not be told apart."""
    match = _SCHEME.match(url.strip())
    if match is None:
        return _without_query(url.strip())
    scheme, rest = match[1].lower(), url.strip()[match.end() :]
    authority, tail = _split(rest)
    host = authority.rpartition("@")[2]
    if "@" in tail or not _HOST.fullmatch(host):
        return f"{scheme}://{_CUT}"
    return f"{scheme}://{host}{_public_path(tail)}"


def without_secrets(text: str, urls: Iterable[str] = ()) -> str:
    """`text` with every address in it as `public_url` gives it, and without what only `urls` hold.

    Those are addresses that a role was given: their account, query and hidden part of the path are looked for on their
    own too, because a library's error may repeat a piece of an address.
    """
    secrets: set[str] = set()
    for url in filter(None, urls):
        text = text.replace(url, public_url(url))
        secrets |= _secrets(url)
    text = _URL.sub(lambda found: public_url(found[0]), text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _CUT)
    return text


def _split(rest: str) -> tuple[str, str]:
    """What stands before the first `/`, `?` or `#` (or the backslash that browsers take for a slash), and the rest."""
    end = next((at for at, sign in enumerate(rest) if sign in "/?#\\"), len(rest))
    return rest[:end], rest[end:]


def _public_path(tail: str) -> str:
    path = re.split(r"[?#\\]", tail, maxsplit=1)[0]
    segments = path.split("/")
    for at, segment in enumerate(segments):
        plain = unquote(unquote(segment))
        if _SECRET_SEGMENT.search(plain) or not plain.isprintable():
            return "/".join([*segments[:at], _CUT])
    return path


def _without_query(name: str) -> str:
    """A name without a scheme: a file's, or an address whose beginning was forgotten."""
    if "@" in name or "://" in name:
        return _CUT
    shown = _public_path(name)
    return shown if shown.isprintable() else _CUT


def _secrets(url: str) -> set[str]:
    """The pieces of an address that its public form leaves out, as they stand and decoded."""
    match = _SCHEME.match(url.strip())
    rest = url.strip()[match.end() :] if match else url.strip()
    authority, tail = _split(rest)
    account = (rest if "@" in tail else authority).rpartition("@")[0]
    hidden = tail.removeprefix(_public_path(tail).removesuffix(_CUT)) if "@" not in tail else tail
    # A library may have cut the address at any sign that it reads as an end, so the pieces count by themselves: keys
    # too, because a sign in a value looks like one; the usual keys stand in ordinary sentences.
    parts = [part for part in _SIGNS.split(f"{account}/{hidden}") if part.lower() not in _USUAL_KEYS]
    pieces = {account, account.partition(":")[2], hidden.strip("/?#\\"), *parts}
    return {form for piece in pieces for form in (piece, unquote(piece)) if len(form) >= _SHORTEST}
