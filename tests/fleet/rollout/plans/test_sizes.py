"""Who takes part in which wave."""

from hypothesis import given
from hypothesis import strategies as st

from edge_contract.messages import ModelRef
from edge_contract.wave import CANARIES, Wave, place
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import DEFAULT, Plan, WaveSize
from edge_fleet.rollout.plans.sizes import sizes

SALT = "5" * 64
KINDS = [Kind(board=f"board-{number}", runtime="litert", camera="v4l2") for number in range(300)]
WAVES = st.lists(st.integers(1, 40).map(lambda devices: WaveSize(devices=devices)), max_size=3).flatmap(
    lambda counts: st.lists(st.floats(0.001, 1).map(lambda share: WaveSize(share=share)), min_size=1, max_size=4).map(
        lambda shares: (
            *sorted(set(counts), key=lambda size: size.devices),
            *sorted(set(shares), key=lambda size: size.share),
        )
    )
)
MEMBERS = st.dictionaries(
    st.integers(0, 9999).map(lambda number: f"cam-{number}"), st.sampled_from(KINDS[:7]), max_size=60
)


@given(WAVES, MEMBERS)
def test_nobody_leaves_and_each_device_decides_the_same_for_itself(
    waves: tuple[WaveSize, ...], members: dict[str, Kind]
) -> None:
    before: set[str] = set()
    for size in sizes(Plan(waves=waves), members, SALT):
        wave = Wave(
            model=ModelRef(name="emotion", release=6, digest=SALT),
            mode="active",
            share=size.share,
            salt=SALT,
            canaries=size.canaries,
        )
        assert {device for device in members if wave.includes(device)} == set(size.devices)
        if size.number:
            assert before <= set(size.devices)
            assert size.added == len(size.devices) - len(before)
            before = set(size.devices)
        assert bool(size.skipped) == (not size.added)


@given(WAVES, MEMBERS)
def test_the_shadow_and_every_wave_that_is_a_share_have_one_device_of_each_kind(
    waves: tuple[WaveSize, ...], members: dict[str, Kind]
) -> None:
    for size in sizes(Plan(waves=waves), members, SALT):
        if not size.number or waves[size.number - 1].share:
            assert {members[device] for device in size.devices} == set(members.values())


def test_a_number_of_devices_is_exactly_that_many_those_with_the_smallest_places() -> None:
    members = {f"cam-{number}": KINDS[number % 3] for number in range(100)}
    order = sorted(members, key=lambda device: place(SALT, device))
    found = sizes(Plan(shadow=None, waves=(WaveSize(devices=1), WaveSize(devices=7))), members, SALT)
    assert [set(size.devices) for size in found] == [set(order[:1]), set(order[:7])]
    assert all(size.share == 0 for size in found)


def test_a_number_after_a_share_counts_those_of_the_share_in() -> None:
    members = {f"cam-{number}": KINDS[0] for number in range(100)}
    share, number = sizes(Plan(shadow=None, waves=(WaveSize(share=0.1), WaveSize(devices=25))), members, SALT)
    assert len(number.devices) == 25
    assert set(share.devices) <= set(number.devices)
    assert number.share == share.share


def test_ten_thousand_devices_of_three_hundred_kinds_pass_no_limit_of_a_message() -> None:
    members = {f"cam-{number}": KINDS[(number * number) % 300] for number in range(10_000)}
    for size in sizes(DEFAULT, members, SALT):
        assert len(size.canaries) <= CANARIES
        assert not size.without


def test_more_kinds_than_can_be_named_are_said_and_come_with_a_larger_share() -> None:
    members = {f"cam-{number}": KINDS[number] for number in range(300)}
    found = sizes(Plan(shadow=None, waves=(WaveSize(share=0.001), WaveSize(share=0.5))), members, SALT)
    assert len(found[0].canaries) == CANARIES
    assert len(found[0].without) == 300 - len(found[0].devices)
    assert not found[1].without


def test_a_wave_that_adds_nobody_is_skipped_and_says_so() -> None:
    found = sizes(DEFAULT, {"hall": KINDS[0], "attic": KINDS[1]}, SALT)
    assert [bool(size.skipped) for size in found] == [False, False, False, True, True, True]
    assert found[3].skipped == "wave 3 is skipped: it adds nobody to the 2 before it."


def test_a_group_without_devices_has_waves_without_devices() -> None:
    assert all(size.skipped and not size.devices for size in sizes(DEFAULT, {}, SALT))


def test_each_release_begins_with_other_devices() -> None:
    members = {f"cam-{number}": KINDS[0] for number in range(1000)}
    first, second = (sizes(DEFAULT, members, salt * 64)[1].devices for salt in "ab")
    assert first != second
