"""Signed states and releases: only a trusted key's bytes are ever read as one."""

import json
import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from securesystemslib.signer import CryptoSigner

from edge_contract import envelope, limits, manifest, trust
from edge_contract.errors import TrustError
from edge_contract.wave import ShadowTerms, Wave

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
    return envelope.unseal(data, trust.DESIRED_TYPE, trust.DesiredState, [KEY.public_key])


def test_a_state_signed_by_a_trusted_key_is_read() -> None:
    assert unsealed(envelope.seal(STATE, trust.DESIRED_TYPE, KEY)) == STATE


def test_a_wave_is_read_as_it_was_signed_and_terms_out_of_range_are_refused() -> None:
    ref = MANIFEST.ref
    wave = Wave(
        model=ref, mode="shadow", share=0.5, salt=ref.digest, canaries=("cam-1",), shadow=ShadowTerms(spacing=0)
    )
    state = replace(STATE, wave=wave)
    assert unsealed(envelope.seal(state, trust.DESIRED_TYPE, KEY)) == state
    for terms in (ShadowTerms(spacing=3601), ShadowTerms(slower=0.5), ShadowTerms(unsure=1.5)):
        bad = replace(state, wave=replace(wave, shadow=terms))
        with pytest.raises(TrustError, match="malformed"):
            unsealed(envelope.seal(bad, trust.DESIRED_TYPE, KEY))


def test_the_first_of_two_trusted_keys_is_enough_and_a_threshold_of_two_is_not_met() -> None:
    keys = [KEY.public_key, OTHER.public_key]
    sealed = envelope.seal(STATE, trust.DESIRED_TYPE, KEY)
    assert envelope.unseal(sealed, trust.DESIRED_TYPE, trust.DesiredState, keys) == STATE
    with pytest.raises(TrustError, match="trusted key"):
        envelope.unseal(sealed, trust.DESIRED_TYPE, trust.DesiredState, keys, threshold=2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (envelope.seal(STATE, trust.DESIRED_TYPE, OTHER), "trusted key"),
        (envelope.seal(STATE, trust.COMMAND_TYPE, KEY), "type"),
        (envelope.seal(MANIFEST, trust.DESIRED_TYPE, KEY), "malformed"),
        (b"{}", "no signed envelope"),
        (b"[]", "no signed envelope"),
        (b"null", "no signed envelope"),
        (b"\xff", "no signed envelope"),
        (b"[" * 50_000, "no signed envelope"),
        (b" " * (limits.MESSAGE_BYTES + 1), "limit"),
    ],
    ids=["other key", "other type", "other kind", "no fields", "list", "null", "no JSON", "deep", "large"],
)
def test_anything_else_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(TrustError, match=says):
        unsealed(data)


def test_a_changed_payload_is_refused() -> None:
    sealed = json.loads(envelope.seal(STATE, trust.DESIRED_TYPE, KEY))
    other = json.loads(envelope.seal(msgspec.structs.replace(STATE, revision=5), trust.DESIRED_TYPE, KEY))
    sealed["payload"] = other["payload"]
    with pytest.raises(TrustError, match="trusted key"):
        unsealed(json.dumps(sealed).encode())


envelope_keys = st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid", "x"])
scalars = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(envelope_keys, inner)))
@example({"payloadType": None, "payload": "", "signatures": []})
@example({"payloadType": trust.DESIRED_TYPE, "payload": "", "signatures": [{"keyid": None, "sig": ""}]})
@example({"payloadType": trust.DESIRED_TYPE, "payload": "", "signatures": [{"keyid": [], "sig": ""}]})
def test_any_json_is_refused_and_never_breaks_the_reader(value: object) -> None:
    with pytest.raises(TrustError):
        unsealed(json.dumps(value).encode())


RELEASE = trust.Release(manifest=MANIFEST, chunks=trust.Chunks.of(MODEL), notes="first")
FILE = trust.encode_release(RELEASE)


def listed(file: bytes, **changes: object) -> trust.ListedRelease:
    chunks = trust.Chunks.of(file)
    described = trust.blob_of_target(len(file), {"sha256": manifest.digest_of(file)}, trust.file_custom(chunks))
    return msgspec.structs.replace(
        trust.ListedRelease(model=MANIFEST.digest, size=MANIFEST.size, file=described), **changes
    )


def test_a_release_survives_the_file_that_carries_it() -> None:
    assert trust.decode_release(FILE, MANIFEST.ref, listed(FILE)) == RELEASE


def test_equal_releases_make_equal_files_and_a_small_one_needs_nothing_but_its_digest() -> None:
    assert trust.encode_release(trust.decode_release(FILE, MANIFEST.ref, listed(FILE))) == FILE
    assert trust.file_custom(trust.Chunks.of(FILE)) is None


def test_a_release_file_of_several_chunks_lists_the_digest_of_each() -> None:
    large = bytes(limits.CHUNK_BYTES + 1)
    custom = json.loads(json.dumps(trust.file_custom(trust.Chunks.of(large))))
    blob = trust.blob_of_target(len(large), {"sha256": manifest.digest_of(large)}, custom)
    assert blob.chunks.digests == tuple(map(manifest.digest_of, trust.pieces(large)))


@pytest.mark.parametrize(
    ("length", "hashes", "custom"),
    [
        (10, {}, None),
        (10, {"sha512": "0" * 128}, None),
        (10, {"sha256": "0"}, None),
        (0, {"sha256": "0" * 64}, None),
        (limits.RELEASE_BYTES + 1, {"sha256": "0" * 64}, None),
        (limits.CHUNK_BYTES + 1, {"sha256": "0" * 64}, None),
        (10, {"sha256": "0" * 64}, {"manifest": "the form before"}),
        (10, {"sha256": "0" * 64}, {"chunks": {"size": 65_536, "digests": []}}),
        (10, {"sha256": "0" * 64}, {"chunks": 3}),
        (10, {"sha256": "0" * 64}, 3),
    ],
)
def test_a_signed_file_that_cannot_be_fetched_is_refused(length: int, hashes: dict[str, str], custom: object) -> None:
    with pytest.raises(TrustError, match="refused"):
        trust.blob_of_target(length, hashes, custom)


def _changed(**changes: object) -> bytes:
    return json.dumps(json.loads(FILE) | changes).encode()


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (_changed(manifest={}), "cannot be read"),
        (_changed(chunks={"size": 1}), "cannot be read"),
        (_changed(notes=3), "cannot be read"),
        (_changed(chunks={"size": 65_536, "digests": ["0" * 64]}), "counts its chunks wrong"),
        (_changed(manifest=json.loads(FILE)["manifest"] | {"labels": ["a", "a"]}), "names a label twice"),
        (_changed(manifest=json.loads(FILE)["manifest"] | {"release": 4}), "that of another release"),
        (_changed(manifest=json.loads(FILE)["manifest"] | {"digest": "0" * 64}), "names another file"),
        (_changed(manifest=json.loads(FILE)["manifest"] | {"size": len(MODEL) - 1}), "names another file"),
        (b"[" * 50_000, "cannot be read"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_signed_but_contradictory_release_file_is_refused(file: bytes, says: str) -> None:
    with pytest.raises(TrustError, match=says):
        trust.decode_release(file, MANIFEST.ref, listed(file))


@pytest.mark.parametrize("file", [FILE + b" ", FILE[:-1], FILE.replace(b"first", b"worst")])
def test_a_release_file_without_its_digest_is_not_read(file: bytes) -> None:
    with pytest.raises(TrustError, match="size and digest"):
        trust.decode_release(file, MANIFEST.ref, listed(FILE))


@pytest.mark.parametrize("scope", ["group/", "device/a/b", "device/A", "all", "device/x\n"])
def test_a_scope_outside_the_topic_tree_is_refused(scope: str) -> None:
    sealed = envelope.seal(msgspec.structs.replace(STATE, scope=scope), trust.DESIRED_TYPE, KEY)
    with pytest.raises(TrustError, match=re.escape("$.scope")):
        unsealed(sealed)
