"""A server that speaks the documented JSON of GitHub's actions and of Jenkins: enough of both to start, find, stop and
fetch a training. It stands in for the services, which no test can reach, and checks what they would refuse."""

import base64
import io
import json
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a token of the tests"  # noqa: S105
WORKFLOW = "/repos/acme/edgewise/actions/workflows/train.yml"
RUNS = "/repos/acme/edgewise/actions/runs"
ARTIFACTS = "/repos/acme/edgewise/actions/artifacts"
JOB = "/job/models/job/retrain"


@dataclass
class Build:
    """A training as the service keeps it."""

    number: int
    inputs: Mapping[str, str]
    visible: bool = True
    queued: bool = False
    done: bool = False
    result: str = "success"
    files: dict[str, bytes] = field(default_factory=dict)


class CiServer:
    """One server, for both services; a context manager."""

    def __init__(self) -> None:
        self.builds: list[Build] = []
        self.asked: list[tuple[str, str]] = []
        self.broken = ""
        """What every answer is instead, where it is not empty."""
        self.hides_new = False
        """Whether a training that is begun is not listed at first."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "CiServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def begin(self, inputs: Mapping[str, str], *, queued: bool = False) -> None:
        self.builds.insert(0, Build(len(self.builds) + 1, inputs, visible=not self.hides_new, queued=queued))

    def listed(self) -> list[Build]:
        return [each for each in self.builds if each.visible]


def github(server: CiServer, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:
    """GitHub's answer: a document, bytes, a number for a status alone, or (302, address)."""
    if (method, path) == ("POST", f"{WORKFLOW}/dispatches"):
        asked = json.loads(body)
        if set(asked) != {"ref", "inputs"} or not all(isinstance(each, str) for each in asked["inputs"].values()):
            return 422
        server.begin(asked["inputs"])
        return 204
    if (method, path) == ("GET", f"{WORKFLOW}/runs"):
        assert query["event"] == ["workflow_dispatch"]
        size, page = int(query["per_page"][0]), int(query["page"][0])
        runs = [
            {
                "id": each.number, "display_title": f"retrain {each.inputs['run']}", "html_url": f"https://x/{each.number}",
                "status": "completed" if each.done else "in_progress", "conclusion": each.result if each.done else None,
            }
            for each in server.listed()
        ]  # fmt: skip
        return {"total_count": len(runs), "workflow_runs": runs[(page - 1) * size : page * size]}
    for each in server.builds:
        if (method, path) == ("POST", f"{RUNS}/{each.number}/cancel"):
            each.done, each.result = True, "cancelled"
            return 202
        if (method, path) == ("GET", f"{RUNS}/{each.number}/artifacts"):
            kept = [{"id": each.number, "name": "retrain", "expired": False}] if each.files else []
            return {"total_count": len(kept), "artifacts": kept}
        if (method, path) == ("GET", f"{ARTIFACTS}/{each.number}/zip"):
            return 302, f"{server.url}/stored/{each.number}"
    return 404


def jenkins(server: CiServer, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:
    """Jenkins' answer, likewise."""

    def actions(each: Build) -> list[Any]:
        given = [{"name": name, "value": value} for name, value in each.inputs.items()]
        return [{}, {"_class": "hudson.model.ParametersAction", "parameters": given}]

    if path == "/crumbIssuer/api/json":
        return {"crumbRequestField": "Jenkins-Crumb", "crumb": "0a1b"}
    if (method, path) == ("POST", f"{JOB}/buildWithParameters"):
        server.begin(
            {name: each[0] for name, each in parse_qs(body.decode(), keep_blank_values=True).items()}, queued=True
        )
        return 201
    if path == "/queue/api/json":
        waiting = [each for each in server.listed() if each.queued]
        return {
            "items": [{"id": each.number, "task": {"name": "retrain"}, "actions": actions(each)} for each in waiting]
        }
    if path == f"{JOB}/api/json":
        built = [each for each in server.listed() if not each.queued]
        return {
            "builds": [
                {
                    "number": each.number, "url": f"https://x/{each.number}/", "building": not each.done,
                    "result": each.result if each.done else None, "actions": actions(each),
                }
                for each in built
            ]
        }  # fmt: skip
    for each in server.builds:
        if (method, path) == ("POST", f"{JOB}/{each.number}/stop"):
            each.done, each.result = True, "ABORTED"
            return 302, f"{server.url}{JOB}/{each.number}/"
        if (method, path, query.get("id")) == ("POST", "/queue/cancelItem", [str(each.number)]):
            server.builds.remove(each)
            return 204
        if path.startswith(f"{JOB}/{each.number}/artifact/"):
            return each.files.get(path.rpartition("/")[2], 404)
    return 404


def _handler(server: CiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(self._asked("GET"))

        def do_POST(self) -> None:
            self._answer(self._asked("POST"))

        def log_message(self, *_: object) -> None:
            pass

        def _asked(self, method: str) -> Any:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return _asked(server, method, self.path, body, self.headers)

        def _answer(self, answer: Any) -> None:
            location = ""
            if isinstance(answer, tuple):
                answer, location = answer
            if isinstance(answer, int):
                status, data = answer, b""
            else:
                status, data = 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _asked(server: CiServer, method: str, address: str, body: bytes, headers: Message) -> Any:
    parts = urlsplit(address)
    server.asked.append((method, parts.path))
    given = headers.get("Authorization", "")
    if parts.path.startswith("/stored/"):  # another host's, with a signed address: it is shown no token
        assert not given
        return _zipped(next(each for each in server.builds if parts.path.endswith(f"/{each.number}")).files)
    if server.broken:
        return server.broken.encode()
    if given == f"Bearer {TOKEN}":
        return github(server, method, parts.path, parse_qs(parts.query), body)
    if given == f"Basic {base64.b64encode(f'loop:{TOKEN}'.encode()).decode()}":
        if method == "POST" and headers.get("Jenkins-Crumb") != "0a1b":
            return 403
        return jenkins(server, method, parts.path, parse_qs(parts.query), body)
    return 401


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
