"""Logs: one JSON object a line for programs, short lines for people, and C libraries' words among them."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edge_agent.system import logs
from edge_agent.system.settings import LogSettings
from tests.agent.agent_process import REPOSITORY


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edge_agent")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def test_where_no_person_reads_each_line_is_one_json_object_with_the_traceback_inside() -> None:
    stream = io.StringIO()
    logs.set_up(LogSettings(), stream)
    logger = logging.getLogger("edge_agent.test")
    logger.info("Grüße\nin %d lines", 2)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["level"], first["logger"]) == ("Grüße\nin 2 lines", "info", "edge_agent.test")
    assert "ValueError: broken" in second["error"]


@pytest.mark.parametrize(("settings", "json_lines"), [("auto", False), ("json", True), ("text", False)])
def test_on_a_terminal_lines_are_for_people_unless_asked_otherwise(settings: str, json_lines: bool) -> None:
    stream = Terminal()
    logs.set_up(LogSettings(format=settings), stream)  # type: ignore[arg-type]
    logging.getLogger("edge_agent.test").warning("look here")
    assert stream.getvalue().startswith("{") is json_lines
    assert "look here" in stream.getvalue()


def test_the_level_is_the_agents_own_and_can_change_while_it_runs() -> None:
    stream = io.StringIO()
    logs.set_up(LogSettings(level="warning"), stream)
    logger = logging.getLogger("edge_agent.test")
    logger.info("unheard")
    logs.set_level(LogSettings(level="debug"))
    logger.debug("received")
    logging.getLogger("some.library").info("unheard too")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["received"]


def test_a_password_that_a_c_library_prints_stays_out_of_the_log() -> None:
    script = (
        "import os, time\n"
        "from edge_agent.system import logs, native_output\n"
        "from edge_agent.system.settings import LogSettings\n"
        "from edge_contract.public_url import without_secrets\n"
        "url = 'rtsp://admin:hunter2@127.0.0.1:9/password=hunter2'\n"
        "logs.set_up(LogSettings(format='json'), native_output.capture(lambda line: without_secrets(line, [url])))\n"
        "os.write(2, b'[rtsp @ 0x1] cannot open rtsp://admin:hunter2@127.0.0.1:9/password=hunter2 (hunter2)\\n')\n"
        "time.sleep(0.5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stderr)["message"] == "[rtsp @ 0x1] cannot open rtsp://127.0.0.1:9/… (…)"


def test_what_a_c_library_prints_becomes_a_log_line_and_a_flood_of_it_blocks_nobody() -> None:
    script = (
        "import os, time, sys\n"
        "from edge_agent.system import logs, native_output\n"
        "from edge_agent.system.settings import LogSettings\n"
        "logs.set_up(LogSettings(format='json'), native_output.capture())\n"
        "os.write(2, b'driver: no such sensor\\n')\n"
        "time.sleep(0.5)\n"
        "try:\n"
        "    for _ in range(1000): os.write(2, b'x' * 1000)\n"
        "except BlockingIOError: pass\n"
        "print('python itself', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert json.loads(lines[0])["message"] == "driver: no such sensor"
    assert "python itself" in lines


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "text"])
def test_what_is_foreign_in_a_line_obeys_no_terminal_and_makes_no_second_line(stream: io.StringIO) -> None:
    logs.set_up(LogSettings(), stream)
    logging.getLogger("edge_agent.test").warning(
        "the camera says %s", "\x1b[2J\x9b31m\r\n12:00:00 INFO all is well\x7f"
    )
    (line,) = stream.getvalue().splitlines()
    assert "all is well" in line
    assert line.isprintable()
