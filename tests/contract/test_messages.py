"""The JSON on the wire: what is written is read back, newer senders are understood, broken ones are refused by name."""

import contextlib
import math
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract import limits, messages
from edge_contract.errors import MessageError

GOLDEN = Path(__file__).parent / "golden_messages"
MODEL = messages.ModelRef(name="emotion", release=2, digest="ab" * 32)

SAMPLES: dict[str, messages.Message] = {
    "availability": messages.Availability(state="online", session=1_790_000_000),
    "info": messages.Info(
        device="pi-1", site="lab", groups=("all",), session=7, agent="0.1.0", board="Raspberry Pi 4", os="Debian 12",
        python="3.11.2", runtime="litert 2.3.0", camera="/dev/video0", started=1_790_000_000.25,
    ),
    "reported": messages.Reported(
        device="pi-1", session=7, active=MODEL, state="downloading", target=MODEL, revision=3, progress=0.5, time=1.5
    ),
    "telemetry": messages.Telemetry(
        device="pi-1", site="lab", session=7, sequence=12, oldest=(7, 3), start=1.0, end=11.0, model=MODEL,
        counters={"frames": 300, "drops": 1}, emotions={"happy": 4},
        stages={"whole": messages.Histogram(counts=(0, 3, 1), sum=0.0011)},
        confidence=messages.Histogram(counts=(0, 4), sum=3.1), gauges={"fps": 29.97},
    ),
    "prediction": messages.Prediction(
        device="pi-1", site="lab", session=7, sequence=13, oldest=(7, 3), time=2.5, track=1, label="happy",
        confidence=0.75, probabilities=(0.25, 0.75), box=(0.1, 0.2, 0.3, 0.4), model=MODEL, latency=0.004,
    ),
    "ack": messages.Ack(session=7, sequence=13),
    "need": messages.Need(device="pi-1", digest="ab" * 32, missing="AAE="),
    "command": messages.Command(name="set-config", arguments={"telemetry.seconds": 5}),
    "command_result": messages.CommandResult(ok=True, detail="done"),
    "trust_index": messages.TrustIndex(root=1, snapshot=4, targets=3),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_messages_of_the_first_release_still_read(name: str) -> None:
    """The files under golden_messages are what 0.1.0 wrote; never regenerate them, add beside them."""
    written = (GOLDEN / f"0.1.0-{name}.json").read_bytes()
    assert messages.decode(written, type(SAMPLES[name])) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_field_of_a_newer_sender_is_ignored(name: str) -> None:
    fields = msgspec.json.decode(messages.encode(SAMPLES[name])) | {"from_the_future": {"a": [1]}}
    assert messages.decode(msgspec.json.encode(fields), type(SAMPLES[name])) == SAMPLES[name]


@pytest.mark.parametrize(
    ("kind", "data", "names"),
    [
        (messages.Ack, b'{"session": 1}', "sequence"),
        (messages.Ack, b'{"session": 1, "sequence": -1}', "sequence"),
        (messages.Ack, b'{"session": "1", "sequence": 1}', "session"),
        (messages.Availability, b'{"state": "away", "session": 1}', "state"),
        (messages.Need, b'{"device": "pi/1", "digest": "%s", "missing": ""}' % (b"ab" * 32), "device"),
        (messages.Need, b'{"device": "pi-1\\n", "digest": "%s", "missing": ""}' % (b"ab" * 32), "device"),
        (messages.Ack, b"", "Ack"),
        (messages.Ack, b"[" * 100_000, "Ack"),
        (messages.Ack, b"\xff\xfe", "Ack"),
        (messages.Ack, b" " * (limits.MESSAGE_BYTES + 1), "limit"),
    ],
)
def test_a_broken_message_is_refused_and_the_field_is_named(
    kind: type[messages.Message], data: bytes, names: str
) -> None:
    with pytest.raises(MessageError, match=names):
        messages.decode(data, kind)


def test_a_message_past_the_limit_is_not_sent() -> None:
    huge = messages.CommandResult(ok=False, detail="x" * limits.MESSAGE_BYTES)
    with pytest.raises(MessageError, match="limit"):
        messages.encode(huge)


@given(st.binary(max_size=300), st.sampled_from([type(sample) for sample in SAMPLES.values()]))
def test_any_bytes_give_a_message_or_a_message_error(data: bytes, kind: type[messages.Message]) -> None:
    with contextlib.suppress(MessageError):
        messages.decode(data, kind)


NO_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("wrong", NO_NUMBERS)
@pytest.mark.parametrize(
    ("name", "changes", "place"),
    [
        ("telemetry", lambda wrong: {"gauges": {"fps": 1.0, "temperature": wrong}}, "gauges.temperature"),
        ("telemetry", lambda wrong: {"confidence": messages.Histogram(counts=(1,), sum=wrong)}, "confidence.sum"),
        ("telemetry", lambda wrong: {"model": None, "end": wrong}, "end"),
        ("prediction", lambda wrong: {"probabilities": (0.5, wrong)}, "probabilities[1]"),
        ("prediction", lambda wrong: {"box": (0.0, 0.0, wrong, 0.1)}, "box[2]"),
        ("reported", lambda wrong: {"progress": wrong}, "progress"),
        ("command", lambda wrong: {"arguments": {"telemetry.seconds": wrong}}, "arguments.telemetry.seconds"),
    ],
)
def test_what_is_no_finite_number_is_refused_and_never_becomes_null(
    name: str, changes: Callable[[float], dict[str, object]], place: str, wrong: float
) -> None:
    message = msgspec.structs.replace(SAMPLES[name], **changes(wrong))
    with pytest.raises(MessageError, match=f"^{re.escape(place)} of a .* message is no finite number"):
        messages.encode(message)


def test_a_field_that_may_be_empty_and_a_text_that_says_null_are_sent() -> None:
    empty = msgspec.structs.replace(SAMPLES["reported"], active=None, target=None, reason="null is not NaN")
    assert messages.decode(messages.encode(empty), messages.Reported) == empty


def test_no_message_has_a_field_that_holds_bytes() -> None:
    """A picture cannot leave the device by accident: nothing on the wire takes bytes."""
    kinds = [*messages.Message.__subclasses__(), messages.Telemetry, messages.Prediction]
    of_devices = [each for each in kinds if each.__module__ == messages.__name__]  # others may be imported by now
    assert len(of_devices) == len(SAMPLES) + 2  # the bodies of the last two
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            assert "bytes" not in str(field.type), f"{kind.__name__}.{field.name}"
