"""The topic tree: every builder's topic parses back, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract import topics
from edge_contract.errors import UsageError

ids = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
sha256s = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@given(ids, st.sampled_from(["desired", "availability", "info", "reported", "telemetry", "prediction", "ack", "need"]))
def test_device_topics_parse_back(device: str, leaf: topics.DeviceLeaf) -> None:
    assert topics.parse(topics.device(device, leaf)) == topics.DeviceTopic(device, leaf)


@given(ids, ids)
def test_commands_and_results_parse_back(device: str, command: str) -> None:
    assert topics.parse(topics.command(device, command)) == topics.DeviceTopic(device, "command", command)
    assert topics.parse(topics.command_result(device, command)) == topics.DeviceTopic(device, "result", command)


@given(ids, sha256s, st.integers(0, 999_999))
def test_group_and_blob_topics_parse_back(group: str, digest: str, chunk: int) -> None:
    assert topics.parse(topics.group_desired(group)) == topics.GroupTopic(group)
    assert topics.parse(topics.group_status(group)) == topics.GroupStatusTopic(group)
    assert topics.parse(topics.release_card(digest)) == topics.ReleaseCardTopic(digest)
    assert topics.parse(topics.blob(digest, chunk)) == topics.BlobTopic(digest, chunk)


@pytest.mark.parametrize(
    "file", ["index.json", "timestamp.json", "1.root.json", "12.snapshot.json", "999.targets.json"]
)
def test_metadata_files_have_topics(file: str) -> None:
    assert topics.parse(topics.trust(file)) == topics.TrustTopic(file)


@pytest.mark.parametrize(
    "file", ["root.json", "0.root.json", "1.timestamp.json", "../1.root.json", "1.root.json\n", ""]
)
def test_other_files_have_no_topic(file: str) -> None:
    with pytest.raises(UsageError):
        topics.trust(file)
    assert topics.parse(f"{topics.PREFIX}/trust/{file}") is None


@given(st.text())
def test_an_id_that_could_widen_a_topic_is_refused(text: str) -> None:
    if text and len(text) <= 64 and set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"):
        assert topics.checked_id(text, "device id") == text
    else:
        with pytest.raises(UsageError, match="device id"):
            topics.checked_id(text, "device id")


@given(st.text() | st.lists(st.text(max_size=8), max_size=6).map(lambda parts: "/".join([topics.PREFIX, *parts])))
def test_any_text_parses_to_a_topic_or_to_nothing(topic: str) -> None:
    topics.parse(topic)


def test_a_filter_matches_one_level_for_the_device() -> None:
    assert topics.all_devices("telemetry") == "edgewise/v1/device/+/telemetry"
