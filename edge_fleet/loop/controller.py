"""Conducts one loop: gathers alerts, does what is due, and tells the machine what came of it.

All that it decides is the machine's; all that it does can be looked up, or done again without harm. What cannot be done
now is said once and tried again at every turn, for as long as the settings have patience, and then the run has failed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_contract.command_end import explained
from edge_contract.errors import EdgewiseError, GateRefusedError, TrustError
from edge_contract.visible import visible
from edge_fleet.loop import events, field, machine
from edge_fleet.loop.actions.outcome import Action, Broken, Made, Refused, Request
from edge_fleet.loop.decide import Labels
from edge_fleet.loop.events import Event, Terms
from edge_fleet.loop.machine import Due, Work
from edge_fleet.loop.release import ReleaseRoad, expected_of
from edge_fleet.loop.settings import LoopSettings
from edge_fleet.loop.state import ATTEMPTS, Clearing, Run, State
from edge_fleet.loop.store import Firing, LoopStore

_GRACE_S: Final = 600.0
"""After its time is up, until a training that should have ended itself is ended from here."""
_REMOTE_S: Final = 30.0
"""Between two looks at a training that runs elsewhere."""
_GATHERED: Final = 10
"""Times the patience after the last alert: so long after the first they are looked at, whatever goes on to come."""
_STEPS: Final = 100
"""Of one turn: what a person has to decide, and what takes time, ends a turn earlier."""


class Controller:
    """One model's."""

    def __init__(
        self,
        settings: LoopSettings,
        store: LoopStore,
        action: Action,
        road: ReleaseRoad,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`say` is called with a sentence for the operator's log; `now`: seconds since 1970."""
        self._settings, self._store, self._action, self._road = settings, store, action, road
        self._say, self._now = say, now
        self._said = ""
        self._looked = 0.0
        """At a training that runs elsewhere."""

    @property
    def state(self) -> State:
        """As it is kept."""
        return self._store.state(self._settings.model)

    def turn(self) -> State:
        """Do all that can be done now; the state afterwards."""
        state = self._look(self.state)
        for _ in range(_STEPS):
            due = machine.due(state)
            if due is None:
                break
            event = self._done(due)
            if event is None:
                break
            state = self._step(event)
        return state

    def _look(self, state: State) -> State:
        """Let the machine look at the alerts until nothing more comes of it."""
        now, model = self._now(), self._settings.model
        firing = self._store.firing(model, now)
        if not firing and not state.handled:
            return state
        if self._gathers([each for each in firing if each.alert.fingerprint not in state.handled], now):
            return state
        models = {each.alert.model for each in firing}
        labels = labels_of(self._settings, lambda model: expected_of(self._road.releases, model), models)
        alerts = tuple(each.alert for each in firing)
        for _ in range(_STEPS):
            after = self._step(events.Looked(alerts, labels, terms(self._settings), now))
            if after == state:
                break
            state = after
        by_hand = [each.alert.fingerprint for each in firing if each.by_hand]
        self._store.forget(model, [each for each in by_hand if each in state.handled])
        return state

    def _gathers(self, news: list[Firing], now: float) -> bool:
        """Whether more may come of what has just begun; of what never ends to come, not for long."""
        patience = self._settings.limits.gather_s
        received = [each.received for each in news]
        return bool(news) and 0 <= now - max(received) < patience and now - min(received) < _GATHERED * patience

    def _done(self, due: Due) -> Event | None:
        """Do one piece of work; None where nothing came of it yet."""
        run = due.run
        try:
            event = self._work(due)
        except GateRefusedError as error:
            return events.GateRefused(run.id, (error.problem,), self._now()) if isinstance(run, Run) else None
        except Exception as error:
            known = explained(error)
            if known is None:
                raise
            return self._not_now(due, known)
        if event is not None:
            self._said = ""
        return event

    def _work(self, due: Due) -> Event | None:
        run, now = due.run, self._now()
        if isinstance(run, Clearing):
            self._action.end(run.run)
            return events.Cleared(run.run, f"Nothing of its training runs. {self._road.abort(run)}", now)
        match due.work:
            case Work.TRAIN:
                return self._train(run, begin=due.begin)
            case Work.CHECK:
                if run.release is None or run.release.name != self._settings.model:
                    raise TrustError("the training made a package of another model", remedy="look at its log")
                self._road.package(run)
                return events.Checked(run.id, now)
            case Work.REGISTER:
                return events.Registered(run.id, self._road.register(run), now)
            case Work.ROLL_OUT:
                return events.RolloutStarted(run.id, self._road.roll_out(run), now)
            case Work.WATCH:
                standing, text = self._road.standing(run.rollout)
                known = {"waits": "approval", "runs": "rolling-out"}.get(standing)
                return None if known == run.phase else events.RolloutSeen(run.id, standing, text, now)
            case Work.PROMOTE:
                return events.Promoted(run.id, self._road.promote(run), now)
        return None

    def _train(self, run: Run, *, begin: bool) -> Event | None:
        now = self._now()
        if run.attempts and 0 <= now - self._looked < min(_REMOTE_S, self._action.settle_s):
            return None
        self._looked = now
        settings = self._settings
        request = Request(run.id, run.augmentation, str(settings.labels.field or ""))
        found = self._action.look(request)
        match found:
            case "running":
                if run.attempts and now - run.attempts[-1] > settings.training.hours * 3600 + _GRACE_S:
                    return events.Failed(run.id, f"It took longer than {settings.training.hours:g} h", now)
                return None
            case "absent":
                return self._begin(run, request, now) if begin else None
            case Made(package, release, measured):
                return events.Trained(run.id, str(Path(package).absolute()), release, measured, now)
            case Refused(reasons):
                return events.GateRefused(run.id, reasons, now)
            case Broken(why):
                return events.Failed(run.id, why, now, ended=True)
        return None

    def _begin(self, run: Run, request: Request, now: float) -> Event | None:
        """Begin it where it was not begun, or was lost; noted before, so that it is begun no more often than that."""
        if run.attempts and 0 <= now - run.attempts[-1] < self._action.settle_s:
            return None
        if len(run.attempts) >= ATTEMPTS:
            why = f" ({self._said})" if self._said else ""
            return events.Failed(run.id, f"The training was lost or not begun {ATTEMPTS} times{why}", now)
        after = self._step(events.Attempted(run.id, now))
        if after.current is not None and after.current.id == run.id:  # else a person has just stopped it
            self._action.begin(request)
        return None

    def _not_now(self, due: Due, error: EdgewiseError) -> Event | None:
        """What failed is tried again, unless it cannot become right or has been tried for long enough."""
        now, run = self._now(), due.run
        if str(error) != self._said:
            self._said = str(error)
            self._say(f"{run.id if isinstance(run, Run) else run.run}, to {due.work}: {error}")
        if isinstance(run, Clearing):
            return None  # nothing may begin before it is done
        patience = self._settings.limits.patience_hours * 3600
        waits = due.work is Work.WATCH or (due.work is Work.TRAIN and bool(run.attempts))
        since = run.attempts[-1] + self._settings.training.hours * 3600 if waits and run.attempts else run.since
        if isinstance(error, TrustError) or (due.work is not Work.WATCH and now - since > patience):
            return events.Failed(run.id, str(error), now)
        return None

    def _step(self, event: Event) -> State:
        model = self._settings.model
        after, entries = self._store.transition(model, event, self._now())
        for entry in entries:
            self._say(visible(f"{entry.run or model}, {entry.action}: {entry.text}"))
        return after


def terms(settings: LoopSettings) -> Terms:
    """What the settings allow."""
    limits = settings.limits
    return Terms(
        trainings_per_week=limits.trainings_per_week,
        cooldown=limits.cooldown_hours * 3600,
        lasting=limits.lasting_hours * 3600,
        dry_run=settings.dry_run,
    )


def labels_of(settings: LoopSettings, expected: Callable[[str], float | None], models: set[str]) -> dict[str, Labels]:
    """What labels from the field say of releases NAME-RELEASE. `expected`: the accuracy that is held against them."""
    wanted = settings.labels
    if wanted.field is None:
        return {model: Labels(wanted=wanted.enough, problem="no folder of labels is set") for model in models}
    found = field.read(wanted.field)
    return {
        model: field.facts(
            found,
            model,
            wanted=wanted.enough,
            device_share=wanted.device_share,
            expected=wanted.expected or expected(model),
        )
        for model in models
    }
