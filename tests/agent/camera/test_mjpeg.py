"""Motion JPEG as cameras really send it: framings that break the rules, logins, redirects, an own CA, slow answers."""

import hashlib
import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera.http_login import Account, authorization
from edge_agent.camera.multipart import LARGEST, Pictures
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source, SourceError
from tests.agent.camera.conftest import Answer
from tests.agent.camera.test_sources import jpeg, shades, streaming

SHADES = (50, 100, 150)
PICTURES = [jpeg(shade) for shade in SHADES]


def camera(url: str, **fields: object) -> Source:
    return open_source(SourceSettings(**{"url": url, "read_timeout": 0.5, **fields}))  # type: ignore[arg-type]


def framed(body: bytes, *, delimiter: bytes = b"--frame", length: int | None = 0, line: bytes = b"\r\n") -> bytes:
    """One part; `length`: by how much its Content-Length is wrong, None for none."""
    head = delimiter + line + b"Content-Type: image/jpeg" + line
    if length is not None:
        head += b"Content-Length: %d" % (len(body) + length) + line
    return head + line + body + line


@pytest.mark.parametrize(
    "pieces",
    [
        [framed(p) for p in PICTURES],
        [framed(p, length=None) for p in PICTURES],
        [framed(p, length=100) for p in PICTURES],
        [framed(p, length=-4000) for p in PICTURES],
        [framed(p, length=-len(p)) for p in PICTURES],
        [framed(p, delimiter=b"--other") for p in PICTURES],
        [framed(p, delimiter=b"frame") for p in PICTURES],
        [framed(p, line=b"\n") for p in PICTURES],
        [framed(PICTURES[0]).removeprefix(b"--frame\r\n"), *(framed(p) for p in PICTURES[1:])],
        [PICTURES[0] + b"\r\n", *(framed(p) for p in PICTURES[1:])],
        PICTURES,
        [framed(b"", length=None), *(framed(p) for p in PICTURES)],
    ],
    ids=["by the rules", "no lengths", "+100", "-4000", "0", "other delimiter", "no dashes", "bare line feeds",
         "no first delimiter", "picture first", "no framing", "empty part"],
)  # fmt: skip
@pytest.mark.parametrize(
    "kind",
    ["multipart/x-mixed-replace; boundary=frame", "multipart/x-mixed-replace", "multipart/x-mixed-replace;boundary="],
)
def test_what_a_browser_plays_gives_every_picture(
    http_camera: Callable[[Answer], str],
    pieces: list[bytes],
    kind: str,
) -> None:
    assert shades(camera(http_camera(streaming(*pieces, kind=kind)))) == list(SHADES)


JUNK = st.binary(max_size=40).filter(lambda junk: b"\xff" not in junk)


@given(
    junk=st.lists(JUNK, min_size=4, max_size=4),
    wrong=st.none() | st.integers(-5000, 5000),
    delimiter=st.binary(max_size=20).filter(lambda junk: b"\xff" not in junk),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
)
def test_whatever_stands_around_the_pictures_and_however_the_network_cuts_them(
    junk: list[bytes], wrong: int | None, delimiter: bytes, sizes: list[int]
) -> None:
    data = junk[3] + b"".join(
        before + framed(picture, delimiter=delimiter, length=wrong)
        for before, picture in zip(junk[:3], PICTURES, strict=True)
    )
    pictures, found, at, turn = Pictures(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += pictures.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == PICTURES


@given(st.integers(0, len(PICTURES[1])), st.booleans())
def test_a_picture_that_was_cut_off_costs_no_other(cut: int, framing: bool) -> None:
    broken = PICTURES[1][:cut]
    parts = [framed(body) if framing else body for body in (PICTURES[0], broken, PICTURES[2])]
    found = Pictures().feed(b"".join(parts))
    assert found[0] == PICTURES[0]
    if framing:
        assert found[-1] == PICTURES[2]


def test_starts_alone_are_no_pictures_and_a_stream_of_them_ends() -> None:
    pictures = Pictures()
    assert pictures.feed(b"\xff\xd8\xff\xd8") == []
    assert len(pictures.feed(PICTURES[0][2:] + b"\r\n")) == 1
    with pytest.raises(SourceError, match="no MJPEG stream"):
        pictures.feed(b"\xff\xd8" * 20_000)


@settings(max_examples=200)
@given(
    st.lists(
        st.binary(max_size=200) | st.sampled_from([b"\xff\xd8\xff", b"\xff\xda\x00\x02", b"\xff\xd9"]), max_size=12
    )
)
def test_any_bytes_are_pictures_or_refused(pieces: list[bytes]) -> None:
    pictures = Pictures()
    try:
        for piece in pieces:
            for picture in pictures.feed(piece):
                assert picture.startswith(b"\xff\xd8\xff")
    except SourceError:
        pass


def test_a_thumbnail_inside_a_picture_is_no_picture() -> None:
    thumbnail = b"\xff\xe1" + (len(PICTURES[0]) + 2).to_bytes(2, "big") + PICTURES[0]
    whole = PICTURES[1][:2] + thumbnail + PICTURES[1][2:]
    assert Pictures().feed(framed(whole) + framed(PICTURES[2])) == [whole, PICTURES[2]]


def test_a_picture_without_an_end_is_cut_off() -> None:
    pictures = Pictures()
    assert pictures.feed(b"\xff\xd8\xff\xda\x00\x02" + bytes(LARGEST - 100)) == []
    with pytest.raises(SourceError, match="passes the limit"):
        pictures.feed(bytes(200))


# --- logins ---------------------------------------------------------------------------------------------------
def test_the_digest_of_the_standards_own_examples() -> None:
    """RFC 7616, 3.9.1."""
    account = Account("Mufasa", "Circle of Life")
    realm = 'realm="http-auth@example.org", qop="auth, auth-int", '
    end = 'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    once = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    both = [f"Digest {realm}algorithm=SHA-256, {end}", f"Digest {realm}algorithm=MD5, {end}"]
    for challenges, response in (
        (both, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        (both[1:], "8ca523f5e9506fed4657c9700eebdbec"),
        ([f'Basic realm="x", {both[1]}'], "8ca523f5e9506fed4657c9700eebdbec"),
    ):
        said = authorization(challenges, account, "GET", "/dir/index.html", lambda: once)
        assert f'response="{response}"' in said
        assert "Circle" not in said
    assert authorization(['Basic realm="x"'], account, "GET", "/").startswith("Basic ")


@given(st.lists(st.text(max_size=60) | st.text('Digest nonce="",=\\ ', max_size=60), max_size=3))
def test_any_challenge_has_an_answer_of_one_line(challenges: list[str]) -> None:
    assert authorization(challenges, Account("u", "p"), "GET", "/")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_camera_that_wants_digest_gets_it_and_never_the_password(
    http_camera: Callable[[Answer], str],
    algorithm: str,
) -> None:
    said: list[str] = []
    function = {"MD5": "md5", "SHA-256": "sha256"}[algorithm]

    def hashed(text: str) -> str:
        return hashlib.new(function, text.encode()).hexdigest()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers.get("Authorization", "")
        said.append(given)
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        secret, action = hashed("admin:cam:p@ss"), hashed(f"GET:{handler.path}")
        wanted = hashed(f"{secret}:n1:{fields.get('nc')}:{fields.get('cnonce')}:auth:{action}")
        if fields.get("response") != wanted:
            handler.send_response(401)
            handler.send_header(
                "WWW-Authenticate", f'Digest realm="cam", nonce="n1", algorithm={algorithm}, qop="auth"'
            )
            handler.end_headers()
            return
        streaming(*(framed(p) for p in PICTURES))(handler)

    url = http_camera(answer).replace("http://", "http://admin:p%40ss@") + "?x=1&y=%20"
    assert shades(camera(url)) == list(SHADES)
    assert len(said) == 2
    assert not any("Basic" in each or "p@ss" in each for each in said)
    with pytest.raises(SourceError, match="answers 401 Unauthorized; check path and password"):
        camera(url.replace("p%40ss", "wrong")).connect()


def test_a_redirect_on_the_same_host_is_followed_and_another_host_is_not(
    http_camera: Callable[[Answer], str],
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/live":
            streaming(*(framed(p) for p in PICTURES))(handler)
            return
        where = {"/video": "/live", "/away": "http://u:hunter2@127.0.0.2:9/x", "/round": "/round"}[handler.path]
        handler.send_response(302)
        handler.send_header("Location", where)
        handler.end_headers()

    url = http_camera(answer)
    assert shades(camera(url)) == list(SHADES)
    with pytest.raises(SourceError, match=r"redirects to http://127\.0\.0\.2:9/x; set source\.url"):
        camera(url.replace("/video", "/away")).connect()
    with pytest.raises(SourceError, match="in a circle"):
        camera(url.replace("/video", "/round")).connect()


def test_a_camera_that_never_answers_is_given_up_after_the_open_timeout(
    http_camera: Callable[[Answer], str],
) -> None:
    over = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        over.wait(1.0)
        streaming(*(framed(p) for p in PICTURES))(handler)

    url = http_camera(late)
    assert shades(camera(url, read_timeout=0.5, open_timeout=20.0)) == list(SHADES)  # slow to open, as many are
    with pytest.raises(SourceError, match="does not answer"):
        camera(url, read_timeout=20.0, open_timeout=0.2).connect()
    over.set()


def test_an_https_camera_with_a_ca_of_its_own(tmp_path: Path) -> None:
    certificates = pytest.importorskip("tests.bridge.certificates")
    authority = certificates.Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1", "camera")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            streaming(*(framed(p) for p in PICTURES))(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing in the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/video"
        assert shades(camera(url, ca=authority.certificate)) == list(SHADES)
        with pytest.raises(SourceError, match="certificate verify failed"):
            camera(url).connect()
        for ca in (tmp_path / "none.pem", tmp_path):
            with pytest.raises(SourceError, match=r"source\.ca .* cannot be used"):
                camera(url, ca=ca).connect()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
