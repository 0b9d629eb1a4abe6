"""TLS of a client: an authority of one's own may sign as people do at home, on every Python."""

import ssl
from pathlib import Path

import pytest

from edge_contract.tls_client import client_context
from tests.bridge.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """One that writes no key identifiers, as of most that are made at home."""
    return Authority(tmp_path)


def _handshake(context: ssl.SSLContext, authority: Authority) -> str:
    """Of a client with a server of this authority's, in memory; what goes wrong, or nothing."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("broker"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return error.reason or str(error)
    return ""


def test_what_an_authority_at_home_signs_is_taken_and_what_another_signs_is_not(
    authority: Authority, tmp_path: Path
) -> None:
    assert _handshake(client_context(authority.certificate), authority) == ""
    for others in (None, Authority(tmp_path / "others").certificate):
        assert _handshake(client_context(others), authority) == "CERTIFICATE_VERIFY_FAILED"


def test_names_dates_and_versions_are_checked_as_ever(authority: Authority) -> None:
    for given in (authority.certificate, None):
        context, usual = client_context(given), ssl.create_default_context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        strict = usual.verify_flags & ssl.VERIFY_X509_STRICT if given is None else 0
        assert context.verify_flags & ssl.VERIFY_X509_STRICT == strict


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for path in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        with pytest.raises(OSError, match=r"certificate|No such file"):
            client_context(path)
