"""Alertmanager's answers: the worst first, links only to where a browser may go, and a state when there is none."""

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edge_bridge.web import alertmanager
from edge_bridge.web.alertmanager import Alert, Alertmanager
from edge_bridge.web.dashboard import alert_lines
from edge_simulator.broker import free_port

NOW = 1_800_000_000.0


def _alert(name: str, severity: str = "warning", **changed: Any) -> Alert:
    labels = {"alertname": name, "severity": severity, **changed.pop("labels", {})}
    return Alert(labels=labels, **changed)


def test_alerts_stand_worst_first_and_those_sent_to_no_one_last() -> None:
    quiet = _alert("A", "critical")
    quiet.status.silencedBy = ["x"]
    lines = alert_lines.lines([quiet, _alert("C"), _alert("B"), _alert("Z", "critical"), _alert("W", "none")], NOW)
    assert [each.name for each in lines] == ["Z", "B", "C", "W", "A"]
    assert lines[-1].quiet == "silenced"


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        ("https://example.org/runbooks/X", True), ("http://10.0.0.1/x", True), ("javascript:alert(1)", False),
        ("//example.org", False), ("", False), ("data:text/html,x", False), ("http://[", False),
    ],
)  # fmt: skip
def test_a_runbook_is_followed_only_to_the_web(address: str, followed: bool) -> None:
    (line,) = alert_lines.lines([_alert("X", annotations={"runbook_url": address})], NOW)
    assert bool(line.runbook) is followed


def test_a_silence_is_for_exactly_this_alert() -> None:
    (line,) = alert_lines.lines([_alert("X", labels={"device": 'a"b\\', "site": "home"})], NOW)
    assert line.silence == (
        "/#/silences/new?filter=%7Balertname%3D%22X%22%2C%20device%3D%22a%5C%22b%5C%5C%22%2C%20"
        "severity%3D%22warning%22%2C%20site%3D%22home%22%7D"
    )
    assert line.device == ""  # no id of a device: no link


class _Answers(http.server.BaseHTTPRequestHandler):
    """A server that answers what the test wants; a real Alertmanager is asked below."""

    body: ClassVar[bytes] = b"[]"
    status: ClassVar[int] = 200
    location: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "location", "said"),
    [
        (503, b"", "", "HTTP 503"),
        (200, b"{}", "", "Expected `array`"),
        (200, b"not json", "", "malformed"),
        (200, b'[{"labels": {"alertname": 3}}]', "", "Expected `str`"),
        (200, b"[" + b" " * (alertmanager.LARGEST + 1) + b"]", "", "larger than 4 MB"),
        (302, b"", "http://127.0.0.1:1/", "HTTP 302"),
    ],
    ids=["down", "no-list", "no-json", "wrong-type", "large", "elsewhere"],
)
def test_what_is_no_answer_is_a_state_and_one_sentence(
    server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    status: int, body: bytes, location: str, said: str,
) -> None:  # fmt: skip
    asked = Alertmanager(f"http://127.0.0.1:{server.server_port}/")
    good = b'[{"labels": {"alertname": "X"}, "startsAt": "2026-11-28T20:30:00.5Z", "generatorURL": "x"}]'
    monkeypatch.setattr(_Answers, "body", good)
    asked.ask()
    assert [each.labels["alertname"] for each in asked.now.alerts] == ["X"]
    for name, value in (("status", status), ("body", body), ("location", location)):
        monkeypatch.setattr(_Answers, name, value)
    asked.ask()
    asked.ask()
    assert said in asked.now.problem
    assert [each.labels["alertname"] for each in asked.now.alerts] == ["X"]  # as it was last
    assert caplog.text.count("does not answer as it should") == 1
    for name, value in (("status", 200), ("body", b"[]"), ("location", "")):
        monkeypatch.setattr(_Answers, name, value)
    asked.ask()
    assert asked.now == alertmanager.Alerts((), "", asked=True)


@pytest.mark.skipif(
    shutil.which("prometheus-alertmanager") is None,
    reason="Alertmanager is not installed (apt-get install prometheus-alertmanager)",
)
def test_what_a_real_alertmanager_holds_is_shown(tmp_path: Path) -> None:
    config, port = tmp_path / "alertmanager.yml", free_port()
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    running = subprocess.Popen(
        ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={tmp_path}",
         "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        asked, deadline = Alertmanager(f"http://127.0.0.1:{port}"), time.monotonic() + 60
        while asked.now.problem or not asked.now.asked:
            assert time.monotonic() < deadline, asked.now.problem
            asked.ask()
            time.sleep(0.05)
        labels = {"alertname": "DeviceDown", "severity": "critical", "device": "cam-1"}
        said = [{"labels": labels, "annotations": {"summary": "cam-1 is down."}}]
        request = urllib.request.Request(  # noqa: S310  # 127.0.0.1
            f"{asked.address}/api/v2/alerts", json.dumps(said).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310  # likewise
        asked.ask()
        (line,) = alert_lines.lines(asked.now.alerts, time.time())
        assert (line.name, line.level, line.device, line.summary) == ("DeviceDown", "bad", "cam-1", "cam-1 is down.")
        assert line.since.startswith("began")
    finally:
        running.terminate()
        running.wait(20)


def test_an_alertmanager_that_is_not_there_is_named_with_its_remedy() -> None:
    asked = Alertmanager("http://127.0.0.1:1")
    asked.ask()
    assert asked.now.problem.endswith("start it, or correct web.alertmanager.")
