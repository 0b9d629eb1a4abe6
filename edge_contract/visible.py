"""Text from elsewhere, fit for a terminal, a log or a page: nothing in it moves a cursor, recolours or reorders lines.

Devices, cameras, brokers and the authors of packages write texts that people read. Every control character (C0, C1,
DEL), line and paragraph separator, direction override and lone surrogate is written as its escape, such as `\\x1b`.
Letters of all languages, combining marks and emoji stay.
"""

import json
import re
from typing import Final

_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def visible(text: str) -> str:
    """The text as one line."""
    return _UNFIT.sub(_escape, text)


def visible_lines(text: str) -> str:
    """The text with its line breaks: where what is foreign in it is one line by now, or may have lines of its own."""
    return "\n".join(map(visible, text.split("\n")))


def visible_json(text: str) -> str:
    """JSON with the same characters escaped as JSON does; its own line breaks are none."""
    return _UNFIT.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
