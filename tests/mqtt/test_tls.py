"""The one TLS policy: which brokers are refused, and that an unfit file is named."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_contract.errors import UsageError
from edge_mqtt.address import BrokerAddress
from edge_mqtt.tls import tls_context
from tests.bridge.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs the certificates of a test."""
    return Authority(tmp_path / "authority")


@contextmanager
def serving(authority: Authority) -> Iterator[int]:
    """A TLS server on 127.0.0.1 that wants a client's certificate of this authority; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("broker"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return  # the test has ended
                try:
                    with context.wrap_socket(plain, server_side=True) as secured:
                        secured.sendall(b"in")
                except OSError:
                    plain.close()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def knock(address: BrokerAddress, name: str = "127.0.0.1") -> bytes:
    """What the server says to a client that it admits."""
    with (
        socket.create_connection(("127.0.0.1", address.port), timeout=10) as plain,
        tls_context(address).wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.recv(2)


def test_a_broker_and_a_client_of_one_authority_meet(authority: Authority) -> None:
    certificate, key = authority.issue("camera-1")
    with serving(authority) as port:
        address = BrokerAddress(port=port, tls=True, ca=authority.certificate, certificate=certificate, key=key)
        assert knock(address) == b"in"


def test_a_broker_of_another_authority_or_another_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").certificate
    with serving(authority) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            knock(BrokerAddress(port=port, tls=True, ca=other))
        with pytest.raises(ssl.SSLCertVerificationError):
            knock(BrokerAddress(port=port, tls=True))
        with pytest.raises(ssl.SSLCertVerificationError):
            knock(BrokerAddress(port=port, tls=True, ca=authority.certificate), name="broker.example")


def test_nothing_older_than_tls_1_2_is_spoken_and_the_brokers_name_is_checked() -> None:
    context = tls_context(BrokerAddress(tls=True))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize("kind", ["ca", "certificate", "key"])
def test_a_file_that_is_missing_or_is_no_certificate_is_named(authority: Authority, tmp_path: Path, kind: str) -> None:
    certificate, key = authority.issue("camera-1")
    files = {"ca": authority.certificate, "certificate": certificate, "key": key}
    files[kind] = tmp_path / "unfit.pem"
    with pytest.raises(UsageError, match=r"unfit\.pem is missing; put it there or name the right file\."):
        tls_context(BrokerAddress(tls=True, **files))
    files[kind].write_text("unfit")
    with pytest.raises(UsageError, match=r"unfit\.pem.* cannot be used"):
        tls_context(BrokerAddress(tls=True, **files))


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    certificate, _ = authority.issue("camera-1")
    _, key = authority.issue("camera-2")
    with pytest.raises(UsageError, match="check that they are PEM and belong together"):
        tls_context(BrokerAddress(tls=True, ca=authority.certificate, certificate=certificate, key=key))
