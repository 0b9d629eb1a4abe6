"""When the device's certificate ends: as the library that made it says, also after it was renewed; never an error."""

import base64
import contextlib
import datetime
import logging
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mqtt.certificate import CertificateEnd, end_of
from edge_agent.mqtt.settings import BrokerSettings

KEY = rsa.generate_private_key(65537, 2048)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cam-1")])
UTC = datetime.UTC


def issued(ends: datetime.datetime) -> bytes:
    """A certificate in PEM that ends then."""
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2001, 2, 3, tzinfo=UTC))
        .not_valid_after(ends)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


PEM = issued(datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC))


@pytest.mark.parametrize("year", [2002, 2049, 2050, 9999])  # from 2050 on a date is written with four digits
def test_the_end_is_the_one_that_the_certificate_was_made_with(year: int) -> None:
    ends = datetime.datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert end_of(issued(ends)) == ends.timestamp()


def test_of_a_chain_the_first_counts_whatever_stands_before_it() -> None:
    chain = b"Subject: CN=cam-1\n" + PEM + issued(datetime.datetime(2040, 1, 1, tzinfo=UTC))
    assert end_of(chain) == datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()


@given(st.data())
def test_a_damaged_certificate_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    der = bytearray(x509.load_pem_x509_certificate(PEM).public_bytes(serialization.Encoding.DER))
    for at in data.draw(st.lists(st.integers(0, 150), min_size=1, max_size=4)):
        der[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(der), 4, 60, 150]))
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der[:cut]) + b"\n-----END CERTIFICATE-----\n"
    with contextlib.suppress(ValueError):
        assert -(2**53) < end_of(text) < 2**53


def test_a_renewed_certificate_is_read_and_one_that_cannot_be_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cam-1.crt"
    path.write_bytes(PEM)
    watched = CertificateEnd(BrokerSettings(tls=True, certificate=path, key=tmp_path / "cam-1.key"))
    first = watched.read()
    assert first == watched.read() == datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()
    fresh = tmp_path / "fresh"
    fresh.write_bytes(issued(datetime.datetime(2033, 1, 1, tzinfo=UTC)))
    fresh.replace(path)
    assert watched.read() == datetime.datetime(2033, 1, 1, tzinfo=UTC).timestamp()
    path.unlink()
    assert watched.read() == datetime.datetime(2033, 1, 1, tzinfo=UTC).timestamp()  # being replaced
    path.write_text("no certificate")
    with caplog.at_level(logging.WARNING):
        assert watched.read() is watched.read() is None
    assert len(caplog.records) == 1


def test_without_a_certificate_there_is_nothing_that_ends() -> None:
    assert CertificateEnd(BrokerSettings()).read() is None
    assert CertificateEnd(BrokerSettings(tls=True)).read() is None
