"""Desired states with a wave: what is kept when they are issued again, and what an earlier reader makes of them."""

from pathlib import Path

import pytest
from msgspec import Struct

from edge_contract.envelope import unseal
from edge_contract.errors import UsageError
from edge_contract.messages import ModelRef, Seconds
from edge_contract.trust import DESIRED_TYPE, DesiredState
from edge_contract.wave import Wave
from edge_fleet.releases.desired import LIFE, DesiredStates
from tests.agent.update.update_bench import ReleaseSide

OLD = ModelRef(name="emotion", release=5, digest="5" * 64)
NEW = ModelRef(name="emotion", release=6, digest="6" * 64)
WAVE = Wave(model=NEW, mode="active", share=0.25, salt=NEW.digest, canaries=("cam-1",))


@pytest.fixture
def side(tmp_path: Path) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", 0)


def kept(desired: DesiredStates) -> DesiredState:
    (one,) = desired.all()
    assert desired.of(one.state.scope) == one
    return one.state


def test_a_wave_is_signed_with_its_state_and_kept_when_that_is_issued_again(side: ReleaseSide) -> None:
    first = side.desired.issue("group/lab", OLD, wave=WAVE).state
    assert (first.model, first.wave) == (OLD, WAVE)
    side.desired.reissue(side.desired.all())
    again = kept(side.desired)
    assert (again.wave, again.revision > first.revision) == (WAVE, True)
    assert side.desired.renew() == []
    side.offset = LIFE * 0.6
    assert [one.state.wave for one in side.desired.renew()] == [WAVE]
    assert kept(side.desired).expires > first.expires


def test_a_state_without_a_wave_ends_it(side: ReleaseSide) -> None:
    side.desired.issue("group/lab", OLD, wave=WAVE)
    side.desired.issue("group/lab", OLD)
    assert kept(side.desired).wave is None


def test_what_a_wave_makes_devices_run_counts_as_desired(side: ReleaseSide) -> None:
    assert side.desired.issue("group/lab", OLD, wave=WAVE).digests == {OLD.digest, NEW.digest}
    assert side.desired.issue("group/lab", OLD).digests == {OLD.digest}


def test_a_device_has_no_wave_of_its_own(side: ReleaseSide) -> None:
    with pytest.raises(UsageError, match="device/cam-1 is one device"):
        side.desired.issue("device/cam-1", OLD, wave=WAVE)
    assert side.desired.all() == []


def test_a_reader_from_before_there_were_waves_runs_the_model(side: ReleaseSide) -> None:
    class Earlier(Struct, frozen=True, kw_only=True):
        scope: str
        revision: int
        model: ModelRef
        issued: Seconds
        expires: Seconds
        follow_group: bool = False
        retry: int = 0

    issued = side.desired.issue("group/lab", OLD, wave=WAVE)
    assert unseal(issued.envelope, DESIRED_TYPE, Earlier, side.repository.online_keys()).model == OLD
