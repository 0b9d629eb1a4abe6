"""What a device must not accept, while it runs a good model: each is refused by name, and nothing changes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tuf.api.metadata import TargetFile

from edge_contract import limits, topics
from edge_contract.envelope import seal
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.trust import (
    DESIRED_TYPE,
    Chunks,
    DesiredState,
    Release,
    encode_release,
    model_path,
    pieces,
    release_path,
)
from edge_fleet.link import Arrived
from edge_fleet.releases.desired import LIFE
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually
from tests.mqtt.ejabberd import BROKERS, Ejabberd, account_of

DESIRED = topics.group_desired(GROUP)


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker | Ejabberd]:
    """Whatever broker brings it, what is refused is the same."""
    with request.param(tmp_path_factory.mktemp("refusals") / "broker") as broker:
        yield broker


@pytest.fixture(scope="module")
def side(broker: Broker | Ejabberd, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSide:
    """A release side that pushed tiny 1 and listed tiny 2."""
    folder = tmp_path_factory.mktemp("refusals")
    side = ReleaseSide(folder / "fleet", broker.port, account=account_of(broker, "release"))
    side.releases.add(tiny(2))
    return side


@pytest.fixture(scope="module")
def device(broker: Broker | Ejabberd, side: ReleaseSide) -> Iterator[Device]:
    """A device that runs tiny 1."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        quick_waits(monkeypatch)
        folder, root = side.directory.parent / "device", side.repository.first_root()
        with Device(folder, side.port, root, account=account_of(broker, "camera")) as device:
            side.push(tiny(1))
            device.until("committed")
            yield device


@pytest.fixture(autouse=True)
def unchanged(side: ReleaseSide, device: Device) -> Iterator[None]:
    """Whatever a test said, the model runs on, and the true release side makes all well again."""
    yield
    assert device.running == tiny(1).manifest.digest
    assert device.activated == [tiny(1).manifest.ref]
    assert device.reported.state == "committed"
    with side.publisher() as publisher:
        publisher.heal()
    side.push(tiny(1))
    # The very last revision: what a test says under it must meet a device that has already seen it.
    revision = side.desired.all()[0].state.revision
    eventually(
        lambda: device.reported.revision == revision and not device.reported.reason,
        f"belief in the true release side again; last said {device.reported}",
    )


@pytest.fixture
def impostor(side: ReleaseSide, tmp_path: Path) -> ReleaseSide:
    """Somebody with access to the broker and keys of their own."""
    return ReleaseSide(tmp_path / "impostor", side.port, account=side.account)


def _desired(side: ReleaseSide, **changes: object) -> bytes:
    """A desired state for tiny 2, signed by this side's online key."""
    now = time.time()
    state = DesiredState(
        scope=f"group/{GROUP}", revision=int(now) + 10**6, model=tiny(2).manifest.ref, issued=now, expires=now + 3600
    )
    return seal(replace(state, **changes), DESIRED_TYPE, side.repository.online_signer())


def test_a_desired_state_signed_by_another_key(side: ReleaseSide, device: Device, impostor: ReleaseSide) -> None:
    side.say(DESIRED, _desired(impostor))
    device.until_reason("without the signature of a trusted key")


def test_a_desired_state_signed_by_the_release_key_instead_of_the_online_key(side: ReleaseSide, device: Device) -> None:
    repository = side.repository
    release_key = repository._signer(repository._load().root, "targets")
    now = time.time()
    state = DesiredState(
        scope=f"group/{GROUP}", revision=2**40, model=tiny(2).manifest.ref, issued=now, expires=now + 3600
    )
    side.say(DESIRED, seal(state, DESIRED_TYPE, release_key))
    device.until_reason("without the signature of a trusted key")


def test_an_impostors_whole_release_side(device: Device, impostor: ReleaseSide) -> None:
    impostor.push(tiny(2))
    device.until_reason("without the signatures of trusted keys")


def test_a_new_root_that_the_old_one_did_not_sign(side: ReleaseSide, device: Device, impostor: ReleaseSide) -> None:
    impostor.repository.rotate("online")
    impostor.push(tiny(2))
    device.until_reason("without the signatures of trusted keys")
    side.say(topics.trust("2.root.json"), b"")


def test_an_older_metadata_version(side: ReleaseSide, device: Device) -> None:
    old = side.repository.files()["timestamp.json"]
    side.push(tiny(1))
    side.repository.refresh()
    with side.publisher() as publisher:
        publisher.metadata()
    eventually(lambda: device.updates._tracker.metadata.version > 3, "the newer metadata")
    side.say(topics.trust("timestamp.json"), old)
    device.until_reason("metadata older than what was seen before")


def test_metadata_with_one_byte_changed(side: ReleaseSide, device: Device) -> None:
    side.repository.refresh()
    timestamp = side.repository.files()["timestamp.json"]
    side.say(topics.trust("timestamp.json"), timestamp.replace(b'"version":', b'"version":1', 1))
    device.until_reason("without the signatures of trusted keys")


def test_bytes_that_are_no_metadata(side: ReleaseSide, device: Device) -> None:
    side.say(topics.trust("timestamp.json"), b"\x00" * 100)
    device.until_reason("does not verify")


def test_an_old_desired_state_said_again(side: ReleaseSide, device: Device) -> None:
    old = side.desired.all()[0].envelope
    side.push(tiny(1))
    eventually(lambda: device.reported.revision == side.desired.all()[0].state.revision, "the newer revision")
    side.say(DESIRED, old)
    device.until_reason("which was seen before: refused")


def test_another_desired_state_under_a_revision_already_used(side: ReleaseSide, device: Device) -> None:
    side.say(DESIRED, _desired(side, revision=side.desired.all()[0].state.revision))
    device.until_reason("differs from the one seen before")


def test_a_desired_state_of_another_group(side: ReleaseSide, device: Device) -> None:
    side.say(DESIRED, _desired(side, scope="group/elsewhere"))
    device.until_reason("signed for group/elsewhere arrived for group/shop")


def test_an_expired_desired_state(side: ReleaseSide, device: Device) -> None:
    long_ago = time.time() - LIFE - 10
    side.say(DESIRED, _desired(side, issued=long_ago, expires=long_ago + LIFE))
    device.until_reason("has expired")


def test_a_desired_state_that_is_too_large(side: ReleaseSide, device: Device) -> None:
    side.say(DESIRED, _desired(side) + b" " * limits.MESSAGE_BYTES)
    device.until_reason(f"the desired state of group/{GROUP} has 131")
    assert "bytes, more than the 131,072 it may have: refused." in device.reported.reason


def test_an_envelope_of_another_kind(side: ReleaseSide, device: Device) -> None:
    state = DesiredState(scope=f"group/{GROUP}", revision=2**40, model=tiny(2).manifest.ref, issued=0, expires=2e9)
    side.say(DESIRED, seal(state, "application/vnd.edgewise.command+json", side.repository.online_signer()))
    device.until_reason("where a desired belongs")


@pytest.mark.parametrize(
    "payload", [b"{}", b"[" * 5000, b"\xff\xfe", b'{"payload": 1}'], ids=["empty", "deep", "binary", "partial"]
)
def test_what_is_no_envelope(side: ReleaseSide, device: Device, payload: bytes) -> None:
    side.say(DESIRED, payload)
    device.until_reason("is no signed envelope")


def _rejected(side: ReleaseSide, device: Device, model: ModelRef, reason: str) -> None:
    with side.publisher() as publisher:
        publisher.metadata()
        publisher.states([side.desired.issue(f"group/{GROUP}", model)])
    device.until("rejected", reason)
    side.push(tiny(1))
    device.until("committed")


def test_a_release_that_is_not_listed(side: ReleaseSide, device: Device) -> None:
    _rejected(side, device, replace(tiny(2).manifest.ref, release=9), "is not among the listed releases")


def test_a_withdrawn_release(side: ReleaseSide, device: Device) -> None:
    side.releases.withdraw("tiny", 2)
    _rejected(side, device, tiny(2).manifest.ref, "withdrawn")
    side.releases.add(tiny(2))


def test_a_desired_state_that_names_another_digest(side: ReleaseSide, device: Device) -> None:
    _rejected(side, device, replace(tiny(2).manifest.ref, digest="0" * 64), "names another model than the signed list")


def _list(side: ReleaseSide, ref: ModelRef, model: bytes, described: bytes | None, **custom: object) -> None:
    """Sign and publish what no `edgewise release` would write: a model and a release file under this name."""
    with side.repository.editing() as targets:
        for path, data in ((model_path(ref), model), (release_path(ref), described)):
            targets.pop(path, None)
            if data is not None:
                targets[path] = TargetFile.from_data(path, data, ["sha256"])
        if custom:
            targets[release_path(ref)].unrecognized_fields["custom"] = custom
    if described is not None:
        chunks = enumerate(pieces(described))
        with side.publisher() as publisher:
            publisher.link.publish(
                Arrived(topics.blob(digest_of(described), number), chunk) for number, chunk in chunks
            )


def _unlist(side: ReleaseSide, ref: ModelRef) -> None:
    with side.repository.editing() as targets:
        del targets[model_path(ref)]
        targets.pop(release_path(ref), None)


SPOILT: dict[str, tuple[bytes | None, dict[str, object], str]] = {}
_release = Release(manifest=replace(tiny(2).manifest, release=3), chunks=Chunks.of(tiny(2).model))
for name, (described, custom, reason) in {
    "a manifest of another model": (
        replace(_release, manifest=replace(_release.manifest, digest="0" * 64)), {}, "names another file than the",
    ),
    "a manifest of another size": (
        replace(_release, manifest=replace(_release.manifest, size=1)), {}, "names another file than the",
    ),
    "a manifest of another release": (
        replace(_release, manifest=tiny(2).manifest), {}, "is that of another release",
    ),
    "chunks that do not make up the model": (
        replace(_release, chunks=Chunks(size=65_536, digests=())), {}, "counts its chunks wrong",
    ),
    "no JSON at all": (b"\x00\xff", {}, "cannot be read"),
    "no release file": (None, {}, "without its release file"),
    "chunks that are no chunks": (_release, {"chunks": {"size": 1, "digests": []}}, "cannot be fetched"),
    "the form before": (_release, {"manifest": "{}"}, "cannot be fetched"),
}.items():  # fmt: skip
    SPOILT[name] = (encode_release(described) if isinstance(described, Release) else described, custom, reason)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_signed_release_that_contradicts_itself(side: ReleaseSide, device: Device, spoilt: str) -> None:
    described, custom, reason = SPOILT[spoilt]
    ref = _release.manifest.ref
    _list(side, ref, tiny(2).model, described, **custom)
    with side.publisher() as publisher:
        publisher.metadata()
        publisher.states([side.desired.issue(f"group/{GROUP}", ref)])
    device.until("rejected", reason)
    _unlist(side, ref)
    side.push(tiny(1))
    device.until("committed")


def test_a_release_file_without_its_digest_is_not_read_and_the_right_one_is_waited_for(
    side: ReleaseSide, device: Device
) -> None:
    ref = _release.manifest.ref
    described = encode_release(_release)
    _list(side, ref, tiny(2).model, described)
    side.say(topics.blob(digest_of(described), 0), described.replace(b"tiny", b"tidy", 1))
    with side.publisher() as publisher:
        publisher.metadata()
        publisher.states([side.desired.issue(f"group/{GROUP}", ref)])
    device.until("downloading", "chunk 0 arrived without its digest")
    _unlist(side, ref)
    side.push(tiny(1))
    device.until("committed")
