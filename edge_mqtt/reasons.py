"""What a broker's reason code means, in words, and what to do about it: one table for every role, without a client.

The codes are those of MQTT 5 (CONNACK, PUBACK, SUBACK and DISCONNECT share them), and the five of an MQTT 3.1.1
CONNACK, which a broker without MQTT 5 answers with.
"""

from typing import Final, NamedTuple


class Reason(NamedTuple):
    """What happened, as the end of "the broker …", and the remedy in the imperative."""

    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.words}; {self.remedy}"


SESSION_TAKEN_OVER: Final = 0x8E
FAILURE: Final = 0x80
"""Codes from here on are refusals."""

_ACCOUNT: Final = "check user, password and certificate of this side, and the broker's list of accounts"
_RULES: Final = "correct the broker's access rules (deploy/mosquitto/acl is an example)"
_LIMITS: Final = "raise the broker's limits"
_LATER: Final = "wait, and look into the broker's log if it lasts"
_VERSION: Final = Reason(
    "does not speak MQTT 5", "use one that does (mosquitto 1.6 or newer, EMQX, HiveMQ, VerneMQ), with MQTT 5 enabled"
)
_REPORT: Final = "look into the broker's log, and report this if the client is to blame"
_NO_RETAIN: Final = Reason(
    "does not retain messages", "enable retained messages there (mosquitto: retain_available true)"
)
_NO_QOS: Final = Reason("does not acknowledge messages (QoS 0 only)", "allow QoS 1 there (mosquitto: max_qos 2)")

_REASONS: Final = {
    0x01: _VERSION,
    0x02: Reason("does not take this client id", "use an id of the letters a-z, digits and hyphens"),
    0x03: Reason("is not available now", _LATER),
    0x04: Reason("does not know this user and password", _ACCOUNT),
    0x05: Reason("does not permit this", _ACCOUNT),
    0x80: Reason("gives no reason", "look into the broker's log"),
    0x81: Reason("could not read a packet", _REPORT),
    0x82: Reason("complains of a protocol error", _REPORT),
    0x83: Reason("refuses for reasons of its own", "look into the broker's log"),
    0x84: _VERSION,
    0x85: Reason("does not take this client id", "use an id of the letters a-z, digits and hyphens"),
    0x86: Reason("does not know this user and password", _ACCOUNT),
    0x87: Reason("does not permit this", _RULES),
    0x88: Reason("is not available now", _LATER),
    0x89: Reason("is busy", _LATER),
    0x8A: Reason("has banned this client", "lift the ban there"),
    0x8B: Reason("is shutting down", "start it again"),
    0x8C: Reason("knows no such way of logging in", "use a user name and password, or a certificate"),
    0x8D: Reason("received nothing for too long", "check the network, or set a longer broker.keepalive_s"),
    SESSION_TAKEN_OVER: Reason(
        "ended this connection because another client came with the same id",
        "give each its own id: device.id and certificate of a device, client_id of a bridge",
    ),
    0x8F: Reason("does not take this topic filter", f"{_RULES}, and allow wildcard subscriptions there"),
    0x90: Reason("does not take this topic", _RULES),
    0x91: Reason("has this packet number in use", _REPORT),
    0x92: Reason("does not know this packet number", _REPORT),
    0x93: Reason("was sent too much at once", _LIMITS),
    0x94: Reason("does not take this topic alias", _REPORT),
    0x95: Reason("takes no packets of this size", "raise its maximum packet size (mosquitto: max_packet_size)"),
    0x96: Reason("was sent messages too fast", _LIMITS),
    0x97: Reason("has a quota, and it is used up", _LIMITS),
    0x98: Reason("was told by its operator to end this connection", "ask the operator"),
    0x99: Reason("does not take this kind of payload", _REPORT),
    0x9A: _NO_RETAIN,
    0x9B: _NO_QOS,
    0x9C: Reason("wants another server to be used", "name that one in the settings"),
    0x9D: Reason("has moved", "name its new address in the settings"),
    0x9E: Reason("has no shared subscriptions", "enable them there"),
    0x9F: Reason("receives connections too fast", _LATER),
    0xA0: Reason("ends connections after a time", _LIMITS),
    0xA1: Reason("has no subscription identifiers", "enable them there"),
    0xA2: Reason("has no wildcard subscriptions", "enable them there"),
}


def reason(code: int) -> Reason:
    """What a refusal with this code means; one that no standard names is given by its number."""
    return _REASONS.get(code) or Reason(f"refuses with code {code}, which is in no standard", "look into its log")


_AT_LOGIN: Final = {
    0x05: Reason("does not admit this account", _ACCOUNT),
    0x87: Reason("does not admit this account", _ACCOUNT),
    0x90: Reason("does not take the topic of this client's last will, its availability", _RULES),
    0x99: Reason("does not take the payload of this client's last will", _REPORT),
}


def refused_login(code: int) -> Reason:
    """What a CONNACK with this code means: "not authorised" is about the account there, and topics are the will's."""
    return _AT_LOGIN.get(code) or reason(code)


_BY_LIBRARY: Final = {
    0x82: Reason("sent what is no MQTT 5", "look into its log, and at what stands between (a proxy, a firewall)"),
    0x8D: Reason("no longer answers", "check the network, and that the broker runs"),
}


def stated(code: int, *, said_by_broker: bool) -> Reason | None:
    """Why a connection that stood is gone, where that is known; None where the other side closed it without a word.

    `said_by_broker`: the code came in a packet, and not from the client's own library.
    """
    return reason(code) if said_by_broker else _BY_LIBRARY.get(code)


def ended(code: int, *, said_by_broker: bool, admitted: bool) -> Reason:
    """Why a connection is gone.

    `said_by_broker`: as above. `admitted`: the broker had accepted the connection; one that ends it before that, or
    answers in another protocol, most likely has no MQTT 5.
    """
    if said_by_broker or admitted:
        gone = Reason("is no longer connected", "check the network, and that the broker runs")
        return stated(code, said_by_broker=said_by_broker) or gone
    return Reason(
        "ended the connection without an answer in MQTT 5",
        "check address and port, that TLS is meant on both sides or on neither, and that the broker has MQTT 5",
    )


def lacking(*, retain_available: int, maximum_qos: int) -> Reason | None:
    """What a broker that accepts the connection says it cannot do and Edgewise needs; None when all is there."""
    if not retain_available:
        return _NO_RETAIN
    return None if maximum_qos else _NO_QOS
