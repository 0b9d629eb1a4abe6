"""Scopes: the one reading and the one spelling of what a desired state is for."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract import topics
from edge_contract.errors import UsageError
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState

ids = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)


@given(ids)
def test_a_scope_is_read_back_as_it_was_written_and_has_the_topic_of_its_desired_state(name: str) -> None:
    assert str(Scope("device", name)) == f"device/{name}"
    assert str(Scope("group", name)) == f"group/{name}"
    for kind, topic in (("device", topics.device(name, "desired")), ("group", topics.group_desired(name))):
        scope = Scope.parse(f"{kind}/{name}")
        assert (scope.kind, scope.name, scope.topic) == (kind, name, topic)


@pytest.mark.parametrize(
    "text", ["", "group", "group/", "fleet/all", "group/all/more", "group/All", "device/a+", "/all", "device/x\n"]
)
def test_what_is_no_scope_is_refused_and_a_signed_state_cannot_carry_it(text: str) -> None:
    with pytest.raises(UsageError):
        Scope.parse(text)
    fields = {
        "scope": text,
        "revision": 1,
        "model": ModelRef(name="m", release=1, digest="0" * 64),
        "issued": 1.0,
        "expires": 2.0,
    }
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(fields), type=DesiredState)
