"""Lines of a log: whatever others wrote into a message or an error, it is one line of visible characters."""

import logging
import sys

from edge_contract.log_lines import SERVICE, LogLines


def _line(message: str, *, error: Exception | None = None) -> str:
    try:
        if error is not None:
            raise error
    except Exception:  # noqa: BLE001  # the one that was given
        info = sys.exc_info()
    else:
        info = None
    record = logging.LogRecord("serve", logging.ERROR, "file", 1, message, (), info)
    return LogLines(SERVICE).format(record)


def test_a_message_is_one_line() -> None:
    assert _line("a \x1b[31mred\nline\u202e").endswith(r" ERROR serve: a \x1b[31mred\nline\u202e")


def test_a_traceback_has_its_lines_and_nothing_of_others() -> None:
    lines = _line("it failed", error=ValueError("sent \x1b]0;owned\x07 by a client")).split("\n")
    assert lines[0].endswith("it failed")
    assert lines[-1] == r"ValueError: sent \x1b]0;owned\x07 by a client"
