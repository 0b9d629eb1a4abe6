"""`[update]`: when a new model may take the place of the one that runs."""

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

HOUR: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
Windows = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{HOUR}-{HOUR}(?:, ?{HOUR}-{HOUR}){{0,15}})?\Z",
        description='hours of the day such as "02:00-05:00", several with commas between them, or "" for any time',
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursSettings:
    """`[update]`: a new model is run at these hours alone."""

    window: Windows = ""
    """Hours of the day by local time, such as "02:00-05:00" or "22:30-05:00, 12:00-13:00"; any time when empty. What is
    downloaded and checked outside of them waits; what goes back to the model before does not."""
