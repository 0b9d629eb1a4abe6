"""How the pages look: icon and style sheet."""

import functools
from pathlib import Path
from typing import Final

ICON: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='#4f8cff'/>"
    "<circle cx='16' cy='16' r='8' fill='none' stroke='#fff' stroke-width='3'/>"
    "<circle cx='16' cy='16' r='2.5' fill='#fff'/>"
    "</svg>"
)


@functools.cache
def style() -> str:
    """The style sheet of every page."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
