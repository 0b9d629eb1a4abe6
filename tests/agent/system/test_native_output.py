"""What C libraries print on standard error in a command of a person: shown, without what is secret in it."""

import subprocess
import sys

import pytest

CODE = """
import os, sys
from edge_agent.system import native_output
from edge_contract.public_url import without_secrets
url = "rtsp://me:hush-hush@camera/x?token=whisper"
with native_output.cleaned(lambda line: without_secrets(line, [url])):
    os.write(2, f"[rtsp @ 0x1] {url}: refused\\n".encode())
    os.write(2, b"no user me:hush-hush here\\xff\\n")
    print("of Python: whisper", file=sys.stderr)
    os.write(2, b"without an end")
    if sys.argv[1:]:
        raise SystemExit(3)
os.write(2, b"\\nafterwards\\n")
"""


@pytest.mark.parametrize("early", [False, True])
def test_every_line_is_shown_without_the_secrets_of_the_address_also_when_the_command_fails(early: bool) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *["early"] * early], capture_output=True, text=True, check=False)
    assert done.returncode == (3 if early else 0)
    lines = done.stderr.splitlines()
    assert lines[0] == "[rtsp @ 0x1] rtsp://camera/x: refused"
    assert "hush" not in done.stderr
    assert "whisper" not in done.stderr
    assert "without an end" in lines
    assert ("afterwards" in lines) is not early
