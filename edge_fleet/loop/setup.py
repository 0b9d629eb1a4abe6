"""From the settings to the parts: where trainings run, by which plan a release is rolled out, which registry it has."""

import time
from collections.abc import Callable, Mapping

from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_contract.settings_file import LARGEST
from edge_fleet.loop.actions.github import GithubAction
from edge_fleet.loop.actions.jenkins import JenkinsAction
from edge_fleet.loop.actions.local import LocalAction
from edge_fleet.loop.actions.outcome import Action
from edge_fleet.loop.release import approved_by_a_person
from edge_fleet.loop.settings import GITHUB_TOKEN, JENKINS_TOKEN, LoopSettings
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.registry import Registry
from edge_fleet.rollout.plans.file import parse_plan
from edge_fleet.rollout.plans.plan import DEFAULT, Plan


def action_of(settings: LoopSettings, environ: Mapping[str, str], say: Callable[[str], None]) -> Action:
    """Where trainings run.

    Raises:
        UsageError: a token is missing.
    """
    training, github, jenkins = settings.training, settings.github, settings.jenkins
    if training.action == "github":
        if github.token is None:
            raise UsageError("a workflow is started with a token", remedy=f"set {GITHUB_TOKEN}")
        return GithubAction(
            github.api, github.repository, github.workflow, github.ref, github.token, training.work.absolute()
        )
    if training.action == "jenkins":
        if jenkins.token is None:
            raise UsageError("a build is started with a token", remedy=f"set {JENKINS_TOKEN}")
        return JenkinsAction(jenkins.url, jenkins.job, jenkins.user, jenkins.token, training.work.absolute())
    if not training.checkout.is_dir():
        raise UsageError(f"training.checkout {training.checkout} is no folder", remedy="name the checkout that trains")
    return LocalAction(
        training.command, training.checkout, training.work.absolute(), training.hours * 3600, environ, say
    )


def plan_of(settings: LoopSettings) -> Plan:
    """How a release is rolled out.

    Raises:
        UsageError: the plan file cannot be used.
    """
    path = settings.rollout.plan
    plan = DEFAULT if path is None else parse_plan(read_file(path, LARGEST), str(path))
    return approved_by_a_person(plan) if settings.rollout.approve else plan


def registry_of(settings: LoopSettings) -> Callable[[], Registry] | None:
    """The registry, opened where it is needed: its libraries take seconds; None where none is configured."""
    if not settings.registry.uri:
        return None
    found: list[Registry] = []

    def opened() -> Registry:
        if not found:
            uri, ledger = settings.registry.uri, Ledger(settings.registry.ledger)
            found.append(Registry(uri, ledger, time.time, actor="loop", asked_again=True))
        return found[0]

    return opened
