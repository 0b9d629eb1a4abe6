"""Trainings as a GitHub workflow: started by `workflow_dispatch`, found again by their run id, polled, fetched.

The workflow has the inputs `cause`, `field` and `run`, and `run-name: retrain ${{ inputs.run }}`: the API that starts
one does not say which it began, so the name is how a run is found, by this process or the next. What it made is an
artifact called `retrain` that holds `result.json` and the package; where the gate refused, `result.json` alone.

Written after https://docs.github.com/rest/actions; tested against a server of our own that speaks it, and never run
against GitHub itself.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge_contract.errors import EdgewiseError, MessageError
from edge_contract.visible import visible
from edge_fleet.loop.actions import fetched
from edge_fleet.loop.actions.outcome import Broken, Outcome, Progress, Request
from edge_fleet.loop.actions.rest import Service

ARTIFACT: Final = "retrain"
_PAGES: Final = 3
"""Of a hundred runs each, the newest first."""


class GithubAction:
    """One workflow of one repository."""

    settle_s = 120.0

    def __init__(self, api: str, repository: str, workflow: str, ref: str, token: str, work: Path) -> None:
        """`work`: where packages that were fetched are kept."""
        headers = {
            "Accept": "application/vnd.github+json", "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "edgewise",
        }  # fmt: skip
        self._service = Service(api, headers, "GitHub")
        self._repository = f"/repos/{repository}"
        self._workflow = f"{self._repository}/actions/workflows/{workflow}"
        self._ref, self._work = ref, work

    def look(self, request: Request) -> Progress:
        """How the newest workflow run of this id stands.

        Raises:
            EdgewiseError: GitHub cannot tell.
        """
        found = next(self._runs(request.run), None)
        if found is None:
            return "absent"
        if found.get("status") != "completed":
            return "running"
        return self._result(found, request.run)

    def begin(self, request: Request) -> None:
        """Dispatch the workflow.

        Raises:
            EdgewiseError: GitHub refuses or cannot be reached.
        """
        inputs = {"cause": request.cause, "field": request.field, "run": request.run}
        body = json.dumps({"ref": self._ref, "inputs": inputs}).encode()
        self._service.ask(
            f"{self._workflow}/dispatches", method="POST", body=body, headers={"Content-Type": "application/json"}
        )

    def end(self, run: str) -> None:
        """Cancel the workflow runs of this id that go on.

        Raises:
            EdgewiseError: GitHub refuses or cannot be reached.
        """
        for found in self._runs(run):
            if found.get("status") != "completed":
                self._service.ask(f"{self._repository}/actions/runs/{_number(found)}/cancel", method="POST", body=b"")

    def _runs(self, run: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _PAGES + 1):
            path = f"{self._workflow}/runs?event=workflow_dispatch&per_page=100&page={page}"
            listed = _list(self._service.ask(path).document(), "workflow_runs")
            yield from (each for each in listed if run in str(each.get("display_title", "")).split())
            if len(listed) < 100:
                return

    def _result(self, found: dict[str, Any], run: str) -> Outcome:
        where = visible(str(found.get("html_url", "GitHub")))[:200]
        conclusion = visible(str(found.get("conclusion")))[:40]
        path = f"{self._repository}/actions/runs/{_number(found)}/artifacts?name={ARTIFACT}&per_page=100"
        artifacts = _list(self._service.ask(path).document(), "artifacts")
        kept = next((each for each in artifacts if each.get("name") == ARTIFACT and not each.get("expired")), None)
        if kept is None:
            return Broken(f"the workflow ended with {conclusion} and left no artifact {ARTIFACT}; see {where}")
        answer = self._service.ask(
            f"{self._repository}/actions/artifacts/{_number(kept)}/zip", at_most=fetched.ARCHIVE_BYTES
        )
        data = self._service.fetch(answer.location, fetched.ARCHIVE_BYTES) if answer.location else answer.body
        try:
            archive = fetched.Archive(data)
            return fetched.keep(archive.line(), archive.file, self._work / run)
        except MessageError as error:
            return Broken(f"{error.problem}; see {where}")


def _list(document: Any, key: str) -> list[dict[str, Any]]:
    listed = document.get(key) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise EdgewiseError(f"GitHub answers without {key}", remedy="check github.api")
    return [each for each in listed if isinstance(each, dict)]


def _number(found: dict[str, Any]) -> int:
    number = found.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise EdgewiseError("GitHub answers without an id", remedy="check github.api")
    return number
