"""Signed commands: which are accepted, and that each is done once, also over a restart."""

import time
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from edge_agent.commands.receiver import LONGEST_LIFE_S, Commands, accept
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from edge_contract.envelope import seal, unseal
from edge_contract.errors import TrustError, UsageError
from edge_contract.messages import Command, CommandResult, decode
from edge_contract.trust import COMMAND_TYPE, DESIRED_TYPE, SignedCommand
from edge_simulator.broker import Broker
from tests.agent.agent_process import Subscriber
from tests.eventually import eventually

SIGNER = CryptoSigner.generate_ed25519()
STRANGER = CryptoSigner.generate_ed25519()
NOW = 1_800_000_000.0


def signed(
    *,
    signer: CryptoSigner = SIGNER,
    kind: str = COMMAND_TYPE,
    device: str = "cam-1",
    number: str = "c1",
    issued: float = NOW,
    life: float = 60.0,
) -> bytes:
    command = SignedCommand(
        device=device, id=number, command=Command(name="identify"), issued=issued, expires=issued + life
    )
    return seal(command, kind, signer)


def accepted(payload: bytes, *, threshold: int = 1, done: dict[str, float] | None = None) -> SignedCommand:
    signed = unseal(payload, COMMAND_TYPE, SignedCommand, [SIGNER.public_key], threshold)
    return accept(signed, device="cam-1", command_id="c1", now=NOW + 1, done=done or {})


def test_a_command_signed_for_this_device_and_topic_is_believed() -> None:
    assert accepted(signed()).command.name == "identify"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (signed(signer=STRANGER), "without the signature of a trusted key"),
        (signed(kind=DESIRED_TYPE), "an envelope of type"),
        (signed(device="cam-2"), "for cam-2 arrived as c1 for cam-1"),
        (signed(number="c2"), "command c2 for cam-1 arrived as c1"),
        (signed(issued=NOW - 100), "has expired"),
        (signed(life=LONGEST_LIFE_S + 1), "lives longer than a week"),
        (b"{}", "no signed envelope"),
        (b"\xff" * 100, "no signed envelope"),
        (b"[" * 200_000, "passes the limit"),
    ],
    ids=["stranger", "desired state", "other device", "other number", "late", "long", "no fields", "no JSON", "large"],
)
def test_any_other_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(TrustError, match=reason):
        accepted(payload)


def test_one_signature_is_not_enough_where_two_are_needed() -> None:
    with pytest.raises(TrustError):
        accepted(signed(), threshold=2)


def test_a_command_done_before_is_refused() -> None:
    with pytest.raises(TrustError, match="done before"):
        accepted(signed(), done={"c1": NOW + 60})


class Listener:
    """Commands over a real broker, with actions that remember."""

    def __init__(self, port: int, memory: Path) -> None:
        self.done: list[Any] = []
        self.link = Link(BrokerSettings(port=port), "cam-1", clean_start=True, jitter=lambda: 0.0)
        self.commands = Commands(
            "cam-1",
            self.link,
            unseal=lambda payload: unseal(payload, COMMAND_TYPE, SignedCommand, [SIGNER.public_key]),
            now=time.time,
            actions={"identify": self._act, "rollback": self._refuse},
            memory=memory,
        )
        self.commands.start()
        self.link.start()
        eventually(lambda: self.link.connected)

    def _act(self, arguments: Any) -> str:
        self.done.append(dict(arguments))
        return "done"

    def _refuse(self, _arguments: Any) -> str:
        raise UsageError("there is nothing to go back to.")

    def close(self) -> None:
        self.commands.stop()
        self.link.stop()


def send(subscriber: Subscriber, number: str, name: Any = "identify", **arguments: Any) -> None:
    now = time.time()
    command = Command(name=name, arguments=arguments)
    envelope = SignedCommand(device="cam-1", id=number, command=command, issued=now, expires=now + 60)
    subscriber.link.publish(topics.command("cam-1", number), seal(envelope, COMMAND_TYPE, SIGNER))


def answers(subscriber: Subscriber, number: str) -> list[CommandResult]:
    topic = topics.command_result("cam-1", number)
    return [decode(payload, CommandResult) for said, payload in subscriber.received if said == topic]


def test_each_is_done_once_also_when_it_comes_again_after_a_restart(broker: Broker, tmp_path: Path) -> None:
    subscriber = Subscriber(broker.port)
    listener = Listener(broker.port, tmp_path / "commands.json")
    send(subscriber, "c1", value=3)
    eventually(lambda: answers(subscriber, "c1"))
    listener.close()
    again = Listener(broker.port, tmp_path / "commands.json")
    repeated = next(payload for topic, payload in subscriber.received if topic == topics.command("cam-1", "c1"))
    subscriber.link.publish(topics.command("cam-1", "c1"), repeated)
    send(subscriber, "c2")
    eventually(lambda: answers(subscriber, "c2"))
    again.close()
    subscriber.link.stop()
    assert listener.done == [{"value": 3}]
    assert again.done == [{}]
    assert len(answers(subscriber, "c1")) == 1


def test_what_goes_wrong_and_what_is_unknown_is_answered_with_a_sentence(broker: Broker, tmp_path: Path) -> None:
    subscriber, listener = Subscriber(broker.port), Listener(broker.port, tmp_path / "commands.json")
    send(subscriber, "c1", "rollback")
    send(subscriber, "c2", "restart")
    eventually(lambda: answers(subscriber, "c2"))
    listener.close()
    subscriber.link.stop()
    assert answers(subscriber, "c1") == [CommandResult(ok=False, detail="there is nothing to go back to.")]
    assert answers(subscriber, "c2") == [CommandResult(ok=False, detail="this agent has no command restart.")]


def test_a_memory_that_cannot_be_written_means_that_nothing_is_done(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a replay after the restart would be done again. Sent once more, it is done."""
    subscriber, listener = Subscriber(broker.port), Listener(broker.port, tmp_path / "missing" / "commands.json")
    send(subscriber, "c1")
    eventually(lambda: "No such file" in caplog.text)
    assert listener.done == []
    (tmp_path / "missing").mkdir()
    send(subscriber, "c1")
    eventually(lambda: answers(subscriber, "c1"))
    listener.close()
    subscriber.link.stop()
    assert listener.done == [{}]


def test_a_flood_of_unsigned_commands_starts_few_checks_and_ends_politely(broker: Broker, tmp_path: Path) -> None:
    checked: list[bytes] = []

    def unseal_counting(payload: bytes) -> SignedCommand:
        checked.append(payload)
        return unseal(payload, COMMAND_TYPE, SignedCommand, [SIGNER.public_key], 1)

    link = Link(BrokerSettings(port=broker.port), "cam-1", clean_start=True)
    commands = Commands(
        "cam-1", link, unseal=unseal_counting, now=lambda: NOW + 1, actions={"identify": lambda _: "here"},
        memory=tmp_path / "commands.json",
    )  # fmt: skip
    forged = signed(signer=STRANGER)
    for number in range(200):
        commands._received(topics.command("cam-1", "c1"), forged)  # one, again and again
        commands._received(topics.command("cam-1", f"x{number % 3}"), forged + b" " * number)
    commands._received(topics.command("cam-1", "c1"), forged)
    commands.start()
    eventually(lambda: bool(checked))
    commands.stop()  # although the queue is full and the thread pauses
    commands._thread.join(30)
    assert not commands._thread.is_alive()
    assert checked.count(forged) <= 1
    assert len(checked) <= 4
