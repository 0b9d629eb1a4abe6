"""Who may ask: decided over tables, and once on a real bridge with a password, a token and a proxy's prefix."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from edge_bridge import settings
from edge_bridge.web.access import passwords, rules, sessions
from edge_bridge.web.access.attempts import ALL, EACH, Attempts
from edge_bridge.web.access.proxy import Proxies
from edge_bridge.web.access.rules import Answer
from edge_bridge.web.access.sessions import Sessions
from edge_bridge.web.settings import WebSettings
from edge_contract.errors import UsageError
from edge_simulator.broker import Broker
from tests.bridge.process import REPOSITORY, BridgeProcess

PASSWORD = "correct horse battery"  # noqa: S105  # of this test
TOKEN = "0123456789abcdef-token"  # noqa: S105  # likewise


@pytest.fixture(scope="module")
def hashed() -> str:
    return passwords.hashed(PASSWORD)


def test_a_password_matches_its_hash_and_no_other(hashed: str) -> None:
    assert passwords.matches(PASSWORD, hashed)
    assert not passwords.matches(PASSWORD + " ", hashed)
    assert not passwords.matches("", hashed)
    assert hashed != passwords.hashed(PASSWORD)
    WebSettings(password_hash=hashed)


def test_the_command_prints_what_the_settings_take(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "edge_bridge.cli", "password"],
        input=f"{PASSWORD}\n", capture_output=True, text=True, cwd=REPOSITORY, check=True,
    )  # fmt: skip
    (tmp_path / "bridge.toml").write_text(ended.stdout)
    found = settings.read(tmp_path / "bridge.toml", {}).web.password_hash
    assert found is not None
    assert passwords.matches(PASSWORD, found)
    assert PASSWORD not in ended.stdout + ended.stderr
    short = subprocess.run(
        [sys.executable, "-m", "edge_bridge.cli", "password"], input="short\n", capture_output=True, text=True,
        cwd=REPOSITORY, check=False,
    )  # fmt: skip
    assert (short.returncode, "give one of 8 to 256" in short.stderr) == (2, True)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('listen = "0.0.0.0:9108"', "shows the fleet to every machine"),
        ('listen = "[::]:9108"', "edgewise-bridge password"),
        ('listen = "camera-host:9108"', "listen on 127.0.0.1"),
        ('listen = "0.0.0.0:9108"\n[web]\nmetrics_open = true', "shows the fleet to every machine"),
        ('[web]\nproxy_user_header = "X-User"', "name the proxy's address in web.trusted_proxies"),
        ('[web]\nproxy_user_header = "X User"\ntrusted_proxies = ["127.0.0.1"]', "must be the name of a header"),
        ('[web]\ntrusted_proxies = ["proxy"]', "which is no address and no network"),
        ('[web]\npassword_hash = "secret"', "must be what `edgewise-bridge password` prints"),
        ('[web]\nprefix = "edgewise/"', "must be a path such as /edgewise"),
        ('[web]\nmetrics_token = "0123456789abcdef"', "set $EDGEWISE_METRICS_TOKEN"),
        ('[web]\nalertmanager = "file:///etc/passwd"', "must be an address such as http://127.0.0.1:9093"),
        ('[web]\nalertmanager = "http://user:secret@host"', "without a password"),
    ],
)
def test_what_would_let_strangers_in_is_refused_with_its_remedy(tmp_path: Path, toml: str, said: str) -> None:
    (tmp_path / "bridge.toml").write_text(toml)
    with pytest.raises(UsageError) as refused:
        settings.read(tmp_path / "bridge.toml", {})
    assert said in str(refused.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:9108", "localhost:9108", "[::1]:9108", "127.0.0.7:1"])
def test_this_machine_alone_needs_no_password(listen: str) -> None:
    assert settings.read(None, {}, listen=listen).listen == listen


def test_a_password_or_a_proxy_opens_every_address(hashed: str) -> None:
    for web in (
        WebSettings(password_hash=hashed),
        WebSettings(proxy_user_header="X-User", trusted_proxies=("10.0.0.1",)),
    ):
        assert settings.BridgeSettings(listen="0.0.0.0:9108", web=web).web.guarded


@pytest.mark.parametrize(
    ("fields", "path", "known", "authorization", "answer"),
    [
        ({}, "/", False, "", Answer.GRANTED),
        ({}, "/metrics", False, "", Answer.GRANTED),
        ({"password": 1}, "/", False, "", Answer.LOGIN),
        ({"password": 1}, "/", True, "", Answer.GRANTED),
        ({"password": 1}, "/login", False, "", Answer.GRANTED),
        ({"password": 1}, "/-/ready", False, "", Answer.GRANTED),
        ({"password": 1}, "/metrics", False, "", Answer.TOKEN),
        ({"password": 1}, "/metrics", True, "", Answer.GRANTED),
        ({"password": 1, "metrics_open": True}, "/metrics", False, "", Answer.GRANTED),
        ({"password": 1, "metrics_open": True}, "/devices", False, "", Answer.LOGIN),
        ({"password": 1, "metrics_token": TOKEN}, "/metrics", False, f"Bearer {TOKEN}", Answer.GRANTED),
        ({"password": 1, "metrics_token": TOKEN}, "/metrics", False, f"Bearer {TOKEN}x", Answer.TOKEN),
        ({"password": 1, "metrics_token": TOKEN}, "/metrics", False, f"Basic {TOKEN}", Answer.TOKEN),
        ({"password": 1, "metrics_token": TOKEN}, "/metrics", False, "Bearer é", Answer.TOKEN),
        ({"password": 1, "metrics_token": TOKEN}, "/devices", False, f"Bearer {TOKEN}", Answer.LOGIN),
        ({"password": 1}, "/metrics", False, "Bearer ", Answer.TOKEN),
        ({"proxy_user_header": "X-User", "trusted_proxies": ("10.0.0.1",)}, "/", False, "", Answer.PROXY),
    ],
)
def test_who_sees_what(
    hashed: str, fields: dict[str, object], path: str, known: bool, authorization: str, answer: Answer
) -> None:
    if fields.pop("password", None):
        fields["password_hash"] = hashed
    web = WebSettings(**fields)  # type: ignore[arg-type]  # a table
    assert rules.decide(web, path, known=known, authorization=authorization) is answer


@pytest.mark.parametrize(
    ("target", "followed"),
    [
        ("/device/cam-1?x=1", "/device/cam-1?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_no_other_site(target: str, followed: str) -> None:
    assert rules.local(target) == followed


def test_tries_are_few_for_one_address_and_for_all_of_them() -> None:
    attempts = Attempts()
    assert [attempts.take("a", 0.0) for _ in range(EACH)] == [0.0] * EACH
    assert attempts.take("a", 0.0) == pytest.approx(60 / EACH)
    assert attempts.take("b", 0.0) == 0.0
    assert attempts.take("a", 60 / EACH) == 0.0
    attempts.forgive("b")
    many = Attempts()
    assert [many.take(f"a{number}", 0.0) for number in range(ALL)] == [0.0] * ALL
    assert many.take("another", 0.0) > 0
    assert many.take("another", 60.0) == 0.0


def test_a_session_holds_for_its_time_its_password_and_its_bridge(hashed: str) -> None:
    secret = b"s" * 32
    mine = Sessions(secret, hashed, 3600)
    cookie = mine.issue()
    assert mine.holds(cookie)
    assert Sessions(secret, hashed, 3600).holds(cookie)  # after a restart
    assert not Sessions(secret, hashed[:-1] + "x", 3600).holds(cookie)
    assert not Sessions(b"t" * 32, hashed, 3600).holds(cookie)
    assert not Sessions(secret, hashed, -1).holds(cookie)
    assert not any(map(mine.holds, ("", "in", cookie[:-1], cookie + "x", "é" * 2000)))


def test_the_secret_is_kept_for_its_owner_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = sessions.file_beside(f"sqlite:///{tmp_path}/log.db")
    made = sessions.secret_in(file)
    assert (file.parent, file.stat().st_mode & 0o777, sessions.secret_in(file)) == (tmp_path, 0o600, made)
    file.write_bytes(b"short")
    assert sessions.secret_in(file) != made
    assert sessions.secret_in(tmp_path / "no" / "folder") != sessions.secret_in(tmp_path / "no" / "folder")
    assert "a restart logs every browser out" in caplog.text


def _scope(peer: str, path: str = "/", **headers: str) -> dict[str, object]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": (peer, 1), "path": path, "headers": named}


def test_a_stranger_is_no_proxy() -> None:
    web = WebSettings(proxy_user_header="X-User", trusted_proxies=("10.0.0.0/8",))
    said = {
        "host": "cams.example", "x_user": "admin", "x_forwarded_for": "1.2.3.4", "x_forwarded_host": "evil.example",
        "x_forwarded_prefix": "/evil", "x_forwarded_proto": "https",
    }  # fmt: skip
    read = Proxies(web).read(_scope("192.0.2.1", "/devices", **said))
    assert (read.address, read.host, read.secure, read.prefix, read.user) == (
        "192.0.2.1",
        "cams.example",
        False,
        "",
        "",
    )
    assert read.scope["headers"] == [(b"host", b"cams.example")]
    trusted = Proxies(web).read(_scope("10.1.2.3", "/evil/devices", **said))
    assert (trusted.address, trusted.host, trusted.secure, trusted.prefix, trusted.user, trusted.scope["path"]) == (
        "1.2.3.4", "evil.example", True, "/evil", "admin", "/devices",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "inside"),
    [("/edgewise", "/"), ("/edgewise/", "/"), ("/edgewise/devices", "/devices"), ("/devices", "/devices"),
     ("/edgewisely", "/edgewisely")],
)  # fmt: skip
def test_a_prefix_is_taken_off_whether_or_not_the_proxy_did(path: str, inside: str) -> None:
    read = Proxies(WebSettings(prefix="/edgewise")).read(_scope("127.0.0.1", path, host="x"))
    assert read.scope["path"] == inside
    assert (b"x-forwarded-prefix", b"/edgewise") in read.scope["headers"]


def test_the_address_of_a_browser_is_the_last_that_is_no_proxy() -> None:
    proxies = Proxies(WebSettings(trusted_proxies=("10.0.0.0/8",)))
    for said, address in (
        ("6.6.6.6, 1.2.3.4, 10.0.0.9", "1.2.3.4"), ("1.2.3.4", "1.2.3.4"), ("nonsense", "10.0.0.1"), ("", "10.0.0.1"),
    ):  # fmt: skip
        assert proxies.read(_scope("10.0.0.1", x_forwarded_for=said)).address == address


@pytest.fixture(scope="module")
def guarded(hashed: str, tmp_path_factory: pytest.TempPathFactory, standing_broker: Broker) -> Iterator[BridgeProcess]:
    folder = tmp_path_factory.mktemp("guarded")
    config = f'[web]\npassword_hash = "{hashed}"\nprefix = "/edgewise"\n'
    with BridgeProcess(
        folder, standing_broker.port, config=config, environ={"EDGEWISE_METRICS_TOKEN": TOKEN}
    ) as bridge:
        yield bridge


def _ask(
    bridge: BridgeProcess, method: str, path: str, body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]  # handed on with its answer
    connection.close()
    return answer


def test_a_bridge_with_a_password_shows_nothing_before_it_is_right(guarded: BridgeProcess) -> None:
    asked = _ask(guarded, "GET", "/edgewise/devices?state=offline", Accept="text/html")
    assert (asked.status, asked.getheader("Location")) == (
        303, "/edgewise/login?next=%2Fdevices%3Fstate%3Doffline",
    )  # fmt: skip
    for path in ("/devices", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/predictions.csv"):
        assert _ask(guarded, "GET", path).status == 401
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
               "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    assert _ask(guarded, "GET", "/_nicegui_ws/socket.io/?EIO=4&transport=websocket", **upgrade).status == 403
    assert _ask(guarded, "GET", "/metrics").status == 401
    assert _ask(guarded, "GET", "/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert _ask(guarded, "GET", "/-/ready").status == 200
    page = _ask(guarded, "GET", "/login")
    assert (page.status, "<script" in page.text) == (200, False)  # type: ignore[attr-defined]
    assert "default-src 'none'" in str(page.getheader("Content-Security-Policy"))
    wrong = _ask(guarded, "POST", "/login", urlencode({"password": "wrong horse battery"}))
    assert (wrong.status, wrong.getheader("Set-Cookie")) == (401, None)
    strange = _ask(guarded, "POST", "/login", urlencode({"password": PASSWORD}), Origin="http://evil.example")
    assert strange.status == 403
    right = _ask(guarded, "POST", "/edgewise/login?next=%2Fdevices", urlencode({"password": PASSWORD}))
    assert (right.status, right.getheader("Location")) == (303, "/edgewise/devices")
    cookie = str(right.getheader("Set-Cookie"))
    assert all(each in cookie for each in ("HttpOnly", "SameSite=lax", "Path=/edgewise", "Max-Age="))
    home = _ask(guarded, "GET", "/edgewise/", Cookie=cookie.partition(";")[0])
    assert home.status == 200
    mine, websocket = {"Cookie": cookie.partition(";")[0]}, "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert _ask(guarded, "GET", websocket, Origin="http://evil.example", **mine, **upgrade).status == 403
    assert _ask(guarded, "GET", "/", Host="evil.example", **mine).status == 421
    assert '"/edgewise/_nicegui/' in home.text  # type: ignore[attr-defined]
    assert home.getheader("X-Content-Type-Options") == "nosniff"
    assert "frame-ancestors 'self'" in str(home.getheader("Content-Security-Policy"))


def test_a_password_is_not_guessed_by_trying(guarded: BridgeProcess) -> None:
    tried = [_ask(guarded, "POST", "/login", "password=x" * (number + 1)) for number in range(EACH + 1)]
    assert tried[-1].status == 429
    assert int(str(tried[-1].getheader("Retry-After"))) > 0
    assert PASSWORD not in guarded.log()
