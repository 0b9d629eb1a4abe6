"""What settings of several roles may be: a type with its range, and where that is a pattern, with the rule in words.

A range is no advice: it holds what the program works with, so that no value that is taken ends in a crash, hangs or
does nothing.
"""

from typing import Annotated

from msgspec import Meta

from edge_contract.topics import ID_PATTERN

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="1 to 64 small letters a-z, digits and hyphens")]
"""Of a device, site, group, model or client: it stands in topics."""

Text = Annotated[
    str,
    Meta(pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,4096}\Z", description="one line of text of 1 to 4096 characters"),
]
"""A name, an address, or a path that stays as it is written."""

TextOrNone = Annotated[
    str,
    Meta(pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]{0,4096}\Z", description="one line of text, at most 4096 characters"),
]
"""The same, empty where there is none."""

Prose = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]{0,20000}\Z", description="a text of at most 20000 characters"
    ),
]
"""What people read, such as a caveat; empty where there is none."""

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
Strength = Annotated[float, Meta(ge=0, le=1000)]
"""A weight of one thing beside others; 0 is off."""

Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""Of every generator of random numbers in use: some take no larger one."""

Threads = Annotated[int, Meta(ge=0, le=4096)]
"""0 leaves the number to the library."""
