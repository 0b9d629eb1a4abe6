"""Trainings as a Jenkins job with parameters: queued, found again by their run id, polled, fetched.

The job has the parameters RETRAIN_CAUSE, RETRAIN_FIELD and RETRAIN_RUN, by the last of which a build is found, in the
queue or among the builds, by this process or the next. It archives `result.json` and the package. A crumb is fetched
where the server issues them; with an API token it wants none.

Written after https://www.jenkins.io/doc/book/using/remote-access-api; tested against a server of our own that speaks
it, and never run against Jenkins itself.
"""

import base64
import urllib.parse
from pathlib import Path
from typing import Any, Final

from edge_contract import limits
from edge_contract.errors import EdgewiseError, MessageError
from edge_contract.visible import visible
from edge_fleet.loop.actions import fetched
from edge_fleet.loop.actions.outcome import LINE_BYTES, Broken, Outcome, Progress, Request
from edge_fleet.loop.actions.rest import Service

_BUILDS: Final = 100
_PARAMETER: Final = "RETRAIN_RUN"


class JenkinsAction:
    """One job."""

    settle_s = 60.0

    def __init__(self, url: str, job: str, user: str, token: str, work: Path) -> None:
        """`job`: its name, within folders as FOLDER/NAME. `work`: where packages that were fetched are kept."""
        login = base64.b64encode(f"{user}:{token}".encode()).decode()
        self._service = Service(url, {"Authorization": f"Basic {login}", "User-Agent": "edgewise"}, "Jenkins")
        self._name = job.rpartition("/")[2]
        self._job = "".join(f"/job/{urllib.parse.quote(each, safe='')}" for each in job.split("/"))
        self._work = work

    def look(self, request: Request) -> Progress:
        """How the newest build of this id stands.

        Raises:
            EdgewiseError: Jenkins cannot tell.
        """
        if self._queued(request.run):
            return "running"
        found = next(iter(self._builds(request.run)), None)
        if found is None:
            return "absent"
        if found.get("building") or found.get("result") is None:
            return "running"
        return self._result(found, request.run)

    def begin(self, request: Request) -> None:
        """Queue a build.

        Raises:
            EdgewiseError: Jenkins refuses or cannot be reached.
        """
        body = urllib.parse.urlencode(request.environment()).encode()
        self._post(f"{self._job}/buildWithParameters", body)

    def end(self, run: str) -> None:
        """Take it from the queue, and stop builds that go on.

        Raises:
            EdgewiseError: Jenkins refuses or cannot be reached.
        """
        for item in self._queued(run):
            self._post(f"/queue/cancelItem?id={_number(item, 'id')}", b"")
        for found in self._builds(run):
            if found.get("building"):
                self._post(f"{self._job}/{_number(found, 'number')}/stop", b"")

    def _queued(self, run: str) -> list[dict[str, Any]]:
        path = f"/queue/api/json?tree={urllib.parse.quote('items[id,task[name],actions[parameters[name,value]]]')}"
        items = _list(self._service.ask(path).document(), "items")
        return [each for each in items if _name(each) == self._name and _run_of(each) == run]

    def _builds(self, run: str) -> list[dict[str, Any]]:
        tree = f"builds[number,url,building,result,actions[parameters[name,value]]]{{0,{_BUILDS}}}"
        path = f"{self._job}/api/json?tree={urllib.parse.quote(tree)}"
        builds = _list(self._service.ask(path).document(), "builds")
        return [each for each in builds if _run_of(each) == run]

    def _result(self, found: dict[str, Any], run: str) -> Outcome:
        where = visible(str(found.get("url", "Jenkins")))[:200]
        base = f"{self._job}/{_number(found, 'number')}/artifact"
        answer = self._service.ask(f"{base}/{fetched.RESULT}", at_most=LINE_BYTES, missing=True)
        if answer.status != 200:
            ended = visible(str(found.get("result")))[:40]
            return Broken(f"the build ended with {ended} and archived no {fetched.RESULT}; see {where}")

        def file(name: str) -> bytes:
            path = f"{base}/{urllib.parse.quote(name, safe='')}"
            return self._service.ask(path, at_most=limits.PACKAGE_BYTES).body

        try:
            return fetched.keep(answer.body, file, self._work / run)
        except MessageError as error:
            return Broken(f"{error.problem}; see {where}")

    def _post(self, path: str, body: bytes) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._service.ask("/crumbIssuer/api/json", missing=True)
        if answer.status == 200 and isinstance(crumb := answer.document(), dict):
            name, value = str(crumb.get("crumbRequestField", "")), str(crumb.get("crumb", ""))
            if name.replace("-", "").isalnum() and value.isprintable():
                headers[name] = value
        self._service.ask(path, method="POST", body=body, headers=headers)


def _run_of(found: dict[str, Any]) -> str | None:
    for action in found.get("actions") or ():
        for parameter in action.get("parameters") or () if isinstance(action, dict) else ():
            if isinstance(parameter, dict) and parameter.get("name") == _PARAMETER:
                return str(parameter.get("value"))
    return None


def _name(item: dict[str, Any]) -> str:
    task = item.get("task")
    return str(task.get("name")) if isinstance(task, dict) else ""


def _list(document: Any, key: str) -> list[dict[str, Any]]:
    listed = document.get(key) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise EdgewiseError(f"Jenkins answers without {key}", remedy="check jenkins.url")
    return [each for each in listed if isinstance(each, dict)]


def _number(found: dict[str, Any], key: str) -> int:
    number = found.get(key)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise EdgewiseError(f"Jenkins answers without {key}", remedy="check jenkins.url")
    return number
