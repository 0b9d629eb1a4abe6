"""The broker's address: what a URL or a settings section may say, and what no text repeats."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.errors import UsageError
from edge_mqtt.address import BrokerAddress

PEM = Path("a.pem")


@pytest.mark.parametrize(
    ("url", "expected", "where"),
    [
        ("mqtt://h", BrokerAddress(host="h", port=1883), "h:1883"),
        ("mqtts://h", BrokerAddress(host="h", port=8883, tls=True), "h:8883"),
        ("mqtt://me@h:99/", BrokerAddress(host="h", port=99, username="me"), "h:99"),
        ("mqtt://me%40home%3A1@h", BrokerAddress(host="h", username="me@home:1"), "h:1883"),
        ("mqtts://[::1]", BrokerAddress(host="::1", port=8883, tls=True), "[::1]:8883"),
        ("mqtt://[fe80::2]:1884", BrokerAddress(host="fe80::2", port=1884), "[fe80::2]:1884"),
    ],
)
def test_an_address_is_read_and_shown(url: str, expected: BrokerAddress, where: str) -> None:
    found = BrokerAddress.parse(url)
    assert (found, found.where) == (expected, where)
    assert BrokerAddress.parse(str(found)) == found


@given(
    host=st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True) | st.sampled_from(["::1", "fe80::2", "192.0.2.7"]),
    port=st.integers(1, 65535),
    tls=st.booleans(),
    username=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
)
def test_every_address_is_read_back_from_its_own_text(host: str, port: int, tls: bool, username: str | None) -> None:
    address = BrokerAddress(host=host, port=port, tls=tls, username=username)
    assert BrokerAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("address", "key"),
    [
        *(({"host": host}, "broker.host") for host in
          ("", "a b", "a\0b", "[::1]", "a/b", "u@h", "a..b", ".a", "a" * 64, "a." * 130, "ü" * 64)),
        *(({"username": name}, "broker.username") for name in ("", "\0", "\ud800", "u" * 65536)),
    ],
)  # fmt: skip
def test_what_no_connection_can_be_made_to_or_with_is_refused_by_its_key(address: dict[str, str], key: str) -> None:
    with pytest.raises(UsageError, match=key):
        BrokerAddress(**address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["h", "broker.local.", "192.0.2.7", "fe80::2%eth0", "bücher.example", "my_broker", "a" * 63]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert BrokerAddress(host=host).host == host


@pytest.mark.parametrize(
    "url",
    ["", "h", "h:1883", "http://h", "mqtt://", "mqtt://u@", "mqtt://h/topic", "mqtt://h?x=1", "mqtt://h#x", "mqtt://h:0",
     "mqtt://h:port", "mqtt://h:99999", "mqtt://[::1", "mqtt:h"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_form_of_one(url: str) -> None:
    with pytest.raises(UsageError, match=r"is no broker address; write it as mqtt://\[USER@\]HOST\[:PORT\]"):
        BrokerAddress.parse(url)


@pytest.mark.parametrize(
    "url",
    ["mqtt://u:hush@h", "http://u:hush@h", "mqtt://u:hush@h:port", "mqtt://u:hush@[bad", "mqtt://u:hu@hush@h:port",
     "mqtt://:hush@h", "mqtt://u:hush@h/a://b", "mqtt://u:a://hush", "mqtt://u:a#hush@h", "mqtt://h?password=hush"],
)  # fmt: skip
def test_a_password_in_an_address_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerAddress.parse(url)
    assert "hush" not in str(caught.value)


def test_the_refusal_of_a_password_names_where_it_belongs() -> None:
    with pytest.raises(UsageError, match=r"set \$EDGEWISE_BROKER_PASSWORD or the systemd credential broker-password\."):
        BrokerAddress.parse("mqtt://u:hush@h")


def test_no_text_of_an_address_shows_its_password() -> None:
    address = BrokerAddress.parse("mqtt://u@h", password="hush")  # noqa: S106  # made up here
    assert address.password == "hush"  # noqa: S105
    assert "hush" not in f"{address} {address!r} {address.where}"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ({"tls": True, "certificate": PEM}, "broker.certificate and broker.key belong together; give both or neither."),
        ({"tls": True, "key": PEM}, "broker.certificate and broker.key belong together; give both or neither."),
        ({"certificate": PEM, "key": PEM}, "need TLS; set broker.tls = true, or write mqtts://HOST."),
        ({"ca": PEM}, "need TLS; set broker.tls = true, or write mqtts://HOST."),
    ],
)
def test_files_that_would_not_protect_the_connection_are_refused(address: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerAddress(**address)  # type: ignore[arg-type]  # fields by name
    assert str(caught.value).endswith(sentence)
    assert BrokerAddress(tls=True, ca=PEM, certificate=PEM, key=PEM).where == "127.0.0.1:1883"
