"""Signed states and releases: only a trusted key's bytes are ever read as one."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from edge_contract import limits, manifest, trust
from edge_contract.errors import TrustError

KEY, OTHER = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
MODEL = bytes(200_000)
MANIFEST = manifest.ModelManifest(
    name="tiny",
    release=3,
    digest=manifest.digest_of(MODEL),
    size=len(MODEL),
    labels=("angry", "happy"),
    input=manifest.ImageInput(height=48, width=48, color="gray"),
    crop=manifest.FaceCrop(margin=0.99),
    output=manifest.Output(dtype="uint8", scale=1 / 256),
    quantization="int8",
)
STATE = trust.DesiredState(scope="group/all", revision=4, model=MANIFEST.ref, issued=1.5, expires=2.5)


def unsealed(data: bytes) -> trust.DesiredState:
    return trust.unseal(data, trust.DESIRED_TYPE, trust.DesiredState, [KEY.public_key])


def test_a_state_signed_by_a_trusted_key_is_read() -> None:
    assert unsealed(trust.seal(STATE, trust.DESIRED_TYPE, KEY)) == STATE


def test_the_first_of_two_trusted_keys_is_enough_and_a_threshold_of_two_is_not_met() -> None:
    keys = [KEY.public_key, OTHER.public_key]
    sealed = trust.seal(STATE, trust.DESIRED_TYPE, KEY)
    assert trust.unseal(sealed, trust.DESIRED_TYPE, trust.DesiredState, keys) == STATE
    with pytest.raises(TrustError, match="trusted key"):
        trust.unseal(sealed, trust.DESIRED_TYPE, trust.DesiredState, keys, threshold=2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (trust.seal(STATE, trust.DESIRED_TYPE, OTHER), "trusted key"),
        (trust.seal(STATE, trust.COMMAND_TYPE, KEY), "type"),
        (trust.seal(MANIFEST, trust.DESIRED_TYPE, KEY), "malformed"),
        (b"{}", "no signed envelope"),
        (b"[]", "no signed envelope"),
        (b"null", "no signed envelope"),
        (b"\xff", "no signed envelope"),
        (b"[" * 50_000, "no signed envelope"),
        (b" " * (limits.MESSAGE_BYTES + 1), "limit"),
    ],
)
def test_anything_else_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(TrustError, match=says):
        unsealed(data)


def test_a_changed_payload_is_refused() -> None:
    envelope = json.loads(trust.seal(STATE, trust.DESIRED_TYPE, KEY))
    other = json.loads(trust.seal(msgspec.structs.replace(STATE, revision=5), trust.DESIRED_TYPE, KEY))
    envelope["payload"] = other["payload"]
    with pytest.raises(TrustError, match="trusted key"):
        unsealed(json.dumps(envelope).encode())


envelope_keys = st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid", "x"])
scalars = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(envelope_keys, inner)))
def test_any_json_is_refused_and_never_breaks_the_reader(value: object) -> None:
    with pytest.raises(TrustError):
        unsealed(json.dumps(value).encode())


def a_release() -> trust.ReleaseTarget:
    cut = [MODEL[i : i + 65_536] for i in range(0, len(MODEL), 65_536)]
    chunks = trust.Chunks(size=65_536, digests=tuple(manifest.digest_of(chunk) for chunk in cut))
    return trust.ReleaseTarget(manifest=MANIFEST, chunks=chunks, notes="first")


def test_a_release_survives_the_metadata_that_carries_it() -> None:
    assert trust.release_from_custom(json.loads(json.dumps(trust.release_to_custom(a_release())))) == a_release()


@pytest.mark.parametrize(
    "change", [{"manifest": "{}"}, {"manifest": None}, {"chunks": {"size": 1}}, {"notes": 3},
               {"chunks": {"size": 65_536, "digests": ["0" * 64]}}]
)  # fmt: skip
def test_a_signed_but_malformed_release_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(TrustError, match="refused"):
        trust.release_from_custom(trust.release_to_custom(a_release()) | change)


def test_no_custom_at_all_is_refused() -> None:
    with pytest.raises(TrustError, match="refused"):
        trust.release_from_custom(None)


@pytest.mark.parametrize("scope", ["group/", "device/a/b", "device/A", "all", "device/x\n"])
def test_a_scope_outside_the_topic_tree_is_refused(scope: str) -> None:
    sealed = trust.seal(msgspec.structs.replace(STATE, scope=scope), trust.DESIRED_TYPE, KEY)
    with pytest.raises(TrustError, match=re.escape("$.scope")):
        unsealed(sealed)
