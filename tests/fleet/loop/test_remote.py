"""Trainings on GitHub and Jenkins, against a real HTTP server that speaks their documented JSON; not against them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_contract.errors import EdgewiseError, MessageError
from edge_fleet.loop.actions import fetched
from edge_fleet.loop.actions.fetched import Archive
from edge_fleet.loop.actions.github import GithubAction
from edge_fleet.loop.actions.jenkins import JenkinsAction
from edge_fleet.loop.actions.outcome import Broken, Made, Refused, Request
from tests.agent.update.update_bench import FIXTURES, tiny
from tests.fleet.loop.ci_server import TOKEN, CiServer, _zipped

REQUEST = Request("tiny-run-1", "dark", "/field")
REF = tiny(2).manifest.ref
LINE = json.dumps(
    {"package": "out/tiny-2.ewm", "name": "tiny", "release": 2, "digest": REF.digest, "measured": {"n": 1}}
).encode()
PACKAGE = (FIXTURES / "tiny-2.ewm").read_bytes()
Remote = GithubAction | JenkinsAction


@pytest.fixture
def server() -> Iterator[CiServer]:
    with CiServer() as running:
        yield running


def made(kind: str, server: CiServer, work: Path, token: str = TOKEN) -> Remote:
    if kind == "github":
        return GithubAction(server.url, "acme/edgewise", "train.yml", "main", token, work)
    return JenkinsAction(server.url, "models/retrain", "loop", token, work)


@pytest.fixture(params=["github", "jenkins"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def action(kind: str, server: CiServer, tmp_path: Path) -> Remote:
    return made(kind, server, tmp_path / "loop")


def test_a_training_is_begun_found_by_its_run_and_its_package_fetched(
    action: Remote, kind: str, server: CiServer, tmp_path: Path
) -> None:
    assert action.look(REQUEST) == "absent"
    action.begin(REQUEST)
    (build,) = server.builds
    names = ("cause", "field", "run") if kind == "github" else ("RETRAIN_CAUSE", "RETRAIN_FIELD", "RETRAIN_RUN")
    assert dict(build.inputs) == dict(zip(names, ("dark", "/field", "tiny-run-1"), strict=True))
    again = made(kind, server, tmp_path / "loop")  # as after a restart
    assert again.look(REQUEST) == "running"
    build.queued = False
    assert again.look(REQUEST) == "running"
    assert again.look(REQUEST._replace(run="tiny-run-11")) == "absent"
    build.done, build.files = True, {"result.json": b"noise\n" + LINE + b"\n", "tiny-2.ewm": PACKAGE}
    assert again.look(REQUEST) == Made(str(tmp_path / "loop" / "tiny-run-1" / "tiny-2.ewm"), REF, {"n": 1.0})
    assert (tmp_path / "loop" / "tiny-run-1" / "tiny-2.ewm").read_bytes() == PACKAGE


def test_a_refusal_of_the_gate_comes_with_its_reasons(action: Remote, server: CiServer) -> None:
    action.begin(REQUEST)
    (build,) = server.builds
    build.queued, build.done, build.result = False, True, "failure"
    build.files = {"result.json": b'{"reasons": ["it lost 3 points"]}'}
    assert action.look(REQUEST) == Refused(("it lost 3 points",))


def test_a_training_that_left_nothing_has_failed_and_says_where(action: Remote, server: CiServer) -> None:
    action.begin(REQUEST)
    (build,) = server.builds
    build.queued, build.done, build.result = False, True, "failure"
    found = action.look(REQUEST)
    assert isinstance(found, Broken)
    assert "https://x/1" in found.why


def test_a_result_that_is_none_has_failed(action: Remote, server: CiServer) -> None:
    action.begin(REQUEST)
    (build,) = server.builds
    build.queued, build.done, build.files = False, True, {"result.json": b"{}"}
    assert isinstance(action.look(REQUEST), Broken)


def test_what_goes_on_is_ended(action: Remote, server: CiServer) -> None:
    action.begin(REQUEST)
    server.builds[0].queued = False
    action.end(REQUEST.run)
    assert (server.builds[0].done, server.builds[0].result.lower()[:6]) in {(True, "cancel"), (True, "aborte")}
    action.begin(REQUEST._replace(run="tiny-run-2"))
    action.end("tiny-run-2")
    assert action.look(REQUEST._replace(run="tiny-run-2")) != "running"
    action.end("tiny-run-2")


def test_another_token_is_a_sentence_that_does_not_show_it(kind: str, server: CiServer, tmp_path: Path) -> None:
    action = made(kind, server, tmp_path, token="of-somebody-else")  # noqa: S106
    with pytest.raises(EdgewiseError, match=r"refuses with 401 .*check the token") as error:
        action.begin(REQUEST)
    assert "of-somebody-else" not in str(error.value)


@pytest.mark.parametrize("answer", ["no json", "[]", "{}", "null", '{"workflow_runs": 3, "items": 3}', "[" * 5000])
def test_a_service_that_answers_otherwise_is_a_sentence(action: Remote, server: CiServer, answer: str) -> None:
    server.broken = answer
    with pytest.raises(EdgewiseError):
        action.look(REQUEST)


def test_a_service_that_is_away_is_a_sentence(kind: str, server: CiServer, tmp_path: Path) -> None:
    server.url = "http://127.0.0.1:1"
    with pytest.raises(EdgewiseError, match="cannot be reached"):
        made(kind, server, tmp_path).look(REQUEST)


def test_an_archive_is_bounded_and_a_bad_one_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"", b"PK\x03\x04" + b"\0" * 100, _zipped({f"{n}": b"" for n in range(100)})):
        with pytest.raises(MessageError, match="archive"):
            Archive(data)
    bomb = _zipped({"result.json": b" " * 1_000_000, "../../etc/x.ewm": b"x"})
    with pytest.raises(MessageError, match="larger"):
        Archive(bomb).line()
    monkeypatch.setattr(fetched.limits, "PACKAGE_BYTES", 10)
    assert Archive(bomb).file("x.ewm") == b"x"
    with pytest.raises(EdgewiseError, match="has no file"):
        Archive(bomb).file("y.ewm")


def test_a_package_is_kept_in_the_runs_folder_whatever_it_is_called(tmp_path: Path) -> None:
    line = LINE.replace(b"out/tiny-2.ewm", b"../../../etc/tiny-2.ewm")
    found = fetched.keep(line, lambda name: {"tiny-2.ewm": PACKAGE}[name], tmp_path / "run")
    assert isinstance(found, Made)
    assert found.package == str(tmp_path / "run" / "tiny-2.ewm")
