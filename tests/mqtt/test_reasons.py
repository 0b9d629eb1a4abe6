"""The words for what a broker answers: every code that the standard knows, and any other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_mqtt import reasons, takeover

KINDS = (PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.SUBACK, PacketTypes.DISCONNECT)


def known(kind: int, code: int) -> bool:
    try:
        return ReasonCode(kind, identifier=code).is_failure
    except (KeyError, ValueError):
        return False


def test_every_refusal_of_the_standard_has_words_and_a_remedy() -> None:
    codes = {code for kind in KINDS for code in range(256) if known(kind, code)}
    assert len(codes) > 25
    assert not [code for code in sorted(codes) if "in no standard" in reasons.reason(code).words]


@given(st.integers(0, 255), st.booleans(), st.booleans())
def test_any_code_is_a_sentence_with_a_remedy(code: int, said: bool, admitted: bool) -> None:
    for why in (
        reasons.reason(code),
        reasons.refused_login(code),
        reasons.ended(code, said_by_broker=said, admitted=admitted),
    ):
        assert why.words
        assert why.remedy
        assert not str(why).endswith(".")


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (0x01, "does not speak MQTT 5", "use one that does"),
        (0x84, "does not speak MQTT 5", "use one that does"),
        (0x86, "does not know this user and password", "check user, password"),
        (0x87, "does not admit this account", "check user, password"),
        (0x90, "does not take the topic of this client's last will, its availability", "access rules"),
        (0x9A, "does not retain messages", "enable retained messages"),
    ],
)
def test_what_is_wrong_with_a_login_is_said(code: int, words: str, remedy: str) -> None:
    why = reasons.refused_login(code)
    assert why.words == words
    assert remedy in why.remedy


def test_not_authorised_for_a_topic_is_about_rules_and_not_about_the_account() -> None:
    for code in (0x87, 0x8F, 0x90):  # ejabberd answers with the latter two
        assert "access rules" in reasons.reason(code).remedy


@pytest.mark.parametrize(
    ("retain", "qos", "lacks"), [(1, 2, None), (1, 1, None), (0, 2, "retain"), (1, 0, "acknowledge"), (0, 0, "retain")]
)
def test_a_broker_that_cannot_do_what_is_needed_is_known_by_its_answer(
    retain: int, qos: int, lacks: str | None
) -> None:
    why = reasons.lacking(retain_available=retain, maximum_qos=qos)
    assert (why is None) if lacks is None else (why is not None and lacks in why.words)


def test_two_with_one_id_meet_ever_less_often_where_the_broker_says_so() -> None:
    rival = takeover.Rival()
    pauses = [rival.ended(stood=30.0, taken_over=True, silent=False) for _ in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (takeover.FIRST_S, takeover.LONGEST_S)
    assert rival.ended(stood=5.0, taken_over=False, silent=True) == 0.0
    assert rival.ended(stood=takeover.LONGEST_S + 1, taken_over=True, silent=False) == takeover.FIRST_S


def test_short_connections_that_end_without_a_word_are_a_rival_too_and_a_broker_that_restarts_is_not() -> None:
    rival = takeover.Rival()
    silent = [rival.ended(stood=5.0, taken_over=False, silent=True) for _ in range(4)]
    assert silent == [0.0, 0.0, takeover.FIRST_S, 2 * takeover.FIRST_S]
    for _ in range(5):  # lost, then not there, then back
        assert rival.ended(stood=0.0, taken_over=False, silent=False) == 0.0
        assert rival.ended(stood=5.0, taken_over=False, silent=True) == 0.0
        assert rival.ended(stood=takeover.SHORT_S, taken_over=False, silent=True) == 0.0
