"""What the release side tells of a small fleet, for tests and pictures: releases, a rollout, one that halted."""

import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_contract import messages, topics
from edge_contract.group_status import (
    Behind,
    FindingStatus,
    GroupStatus,
    RolloutStatus,
    ShadowStatus,
    StageStatus,
)
from edge_contract.loop_status import LoopRun, LoopStatus, LoopStep, Phase
from edge_contract.manifest import Accuracy, Lineage, Score
from edge_contract.messages import ModelRef
from edge_contract.release_card import ReleaseCard
from tests.bridge.publisher import LABELS, MODEL
from tests.bridge.release_side import card
from tests.bridge.small_fleet import CANARY


def cards(now: float) -> list[ReleaseCard]:
    """Of the release that the fleet runs, and of the one on trial."""
    return [
        card(model, time=now - age, accuracy=_accuracy(accuracy), lineage=_lineage(model), caveat="names expressions")
        for model, age, accuracy in ((MODEL, 20 * 86400, 0.6712), (CANARY, 86400, 0.6952))
    ]


def _accuracy(share: float) -> Accuracy:
    score = Score(
        dataset="faces", split="public test", label_set="7 labels", n=3589, accuracy=share, low=share - 0.0154,
        high=share + 0.0148,
    )  # fmt: skip
    return Accuracy(float=score, int8=score)


def _lineage(model: ModelRef) -> Lineage:
    return Lineage(
        git_commit=f"9b1f{model.release}c07e5d21", dataset="faces 2026-10", dvc_lock="77aa03", params="5d0e9c",
        mlflow_run=f"run-{model.release}", mlflow_version=str(model.release), trained_on="2 CPU cores",
    )  # fmt: skip


def rolling(now: float) -> GroupStatus:
    """A group whose rollout has reached its second wave."""
    sure = 0.86
    confusion = {
        row: {
            column: round(260 * (sure if row == column else (1 - sure) / 6 * (1 + (len(row) + len(column)) % 3)), 1)
            for column in LABELS
        }
        for row in LABELS
    }
    agreed = sum(confusion[label][label] for label in LABELS)
    looks = sum(sum(row.values()) for row in confusion.values())
    stages = (
        StageStatus(number=0, mode="shadow", share=1.0, devices=6, began=now - 7200),
        StageStatus(number=1, mode="active", share=0.2, devices=1, began=now - 4200),
        StageStatus(number=2, mode="active", share=0.5, devices=3, began=now - 900),
        StageStatus(number=3, mode="active", share=1.0, devices=6),
    )
    findings = (
        FindingStatus(gate="installed", outcome="pass", text="2 of 3 devices run it, at least 1 is wanted."),
        FindingStatus(
            gate="failures", outcome="inconclusive",
            text="1 of 3 devices failed: between 2 % and 74 % of all would (95 %), 30 % are allowed.",
        ),
    )  # fmt: skip
    rollout = RolloutStatus(
        id="all-emotion-3", release=CANARY, rest=MODEL, phase="wave", position=2, stages=stages,
        outcome="inconclusive", findings=findings, waits_for="20 minutes of soak, and 200 faces of each device",
        running=2, failed=1, offline=1, started=now - 7300,
        shadow=ShadowStatus(
            looks=looks, agreed=agreed, failures=3, less_sure=41, more_sure=88, slower=5, confusion=confusion
        ),
    )  # fmt: skip
    behind = (
        Behind(device="shop-2", kind="failed", why="emotion-3 was rejected: its self-test took 131 ms, budget 100 ms."),
        Behind(device="hall", kind="offline", why="it is offline and takes emotion-3 up when it is back."),
    )
    return GroupStatus(group="all", desired=MODEL, rollout=rollout, behind=behind, time=now)


def halted(now: float) -> GroupStatus:
    """A group whose rollout stopped itself."""
    stages = (StageStatus(number=1, mode="active", share=0.1, devices=2, began=now - 90_000),)
    rollout = RolloutStatus(
        id="lab-emotion-3", release=CANARY, rest=MODEL, phase="halted", position=0, stages=stages, outcome="fail",
        reason="2 of 2 devices rolled back: more than the 10 % that are allowed", failed=2, started=now - 90_300,
        ended=now - 88_000,
        findings=(FindingStatus(gate="failures", outcome="fail", text="2 of 2 devices failed, 10 % are allowed."),),
    )  # fmt: skip
    return GroupStatus(group="lab", desired=MODEL, rollout=rollout, time=now)


def looping(now: float) -> LoopStatus:
    """A loop whose training runs, after it declined one."""

    def steps(*told: tuple[Phase, str]) -> tuple[LoopStep, ...]:
        return tuple(
            LoopStep(phase=phase, text=text, time=now - 1000 + 10 * place) for place, (phase, text) in enumerate(told)
        )

    declined = LoopRun(
        id="emotion-run-1", alert="Drift", devices=("yard",), cause="turned", decision="tell", phase="told",
        steps=steps(("told", "A turned camera needs a person: straighten it; no training.")), began=now - 1000,
        ended=now - 1000,
    )  # fmt: skip
    current = LoopRun(
        id="emotion-run-2", alert="Drift", devices=("entrance", "hall"), cause="dark", decision="retrain-augmented",
        phase="approval", release=CANARY, rollout="all-emotion-3", measured={"field_accuracy_after": 0.712},
        steps=steps(("training", "A training is to begin."), ("approval", "all-emotion-3 waits for a person.")),
        began=now - 900,
    )  # fmt: skip
    return LoopStatus(model="emotion", current=current, recent=(declined,), budget_left=1, time=now)


def publish(port: int, now: float | None = None) -> None:
    """Say all of it, retained, as `edgewise fleet serve` and `release add` do."""
    at = time.time() if now is None else now
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "release-side", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    said = [(topics.release_card(each.manifest.digest), messages.encode(each)) for each in cards(at)] + [
        (topics.group_status(each.group), messages.encode(each)) for each in (rolling(at), halted(at))
    ]
    said.append((topics.loop_status("emotion"), messages.encode(looping(at))))
    for topic, payload in said:
        client.publish(topic, payload, qos=1, retain=True).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
