"""Settings and the command line: each mistake gets a sentence that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_bridge import cli, settings
from edge_bridge.settings import BridgeSettings
from edge_contract.errors import UsageError


def _file(folder: Path, text: str) -> Path:
    path = folder / "bridge.toml"
    path.write_text(text)
    return path


def test_without_anything_the_defaults_hold() -> None:
    found = settings.read(None, {})
    assert (found.broker.host, found.broker.port, found.listen_address) == ("127.0.0.1", 1883, ("127.0.0.1", 9108))


def test_options_win_over_the_file_and_leave_its_other_keys(tmp_path: Path) -> None:
    file = _file(tmp_path, 'listen = "127.0.0.1:1"\n[broker]\nurl = "mqtt://a"\nkeepalive_s = 60\n')
    found = settings.read(file, {}, broker="mqtt://b:1884", listen="[::1]:9109")
    assert (found.broker.host, found.broker.port, found.broker.keepalive_s) == ("b", 1884, 60)
    assert found.listen_address == ("::1", 9109)


def test_files_whose_end_is_watched_lie_beside_the_settings(tmp_path: Path) -> None:
    found = settings.read(_file(tmp_path, '[metrics]\nexpiring = ["server.crt", "/etc/crl.pem"]\n'), {})
    assert found.metrics.expiring == (tmp_path / "server.crt", Path("/etc/crl.pem"))


@pytest.mark.parametrize(
    ("variable", "credential", "kept"),
    [
        ("EDGEWISE_BROKER_PASSWORD", "broker-password", lambda found: found.broker.password),
        ("EDGEWISE_LABELS_PASSWORD", "labels-password", lambda found: found.labels.password),
        ("EDGEWISE_METRICS_TOKEN", "metrics-token", lambda found: found.web.metrics_token),
        ("EDGEWISE_DATABASE", "database-url", lambda found: found.database),
    ],
)
def test_each_secret_has_its_own_variable_and_credential(
    variable: str, credential: str, kept: Callable[[BridgeSettings], str | None], tmp_path: Path
) -> None:
    usual = kept(settings.read(None, {}))
    given = "postgresql://bridge:secret@db/log"  # a password too, of more than sixteen characters
    assert kept(settings.read(None, {variable: given})) == given != usual
    (tmp_path / credential).write_text(given)
    assert kept(settings.read(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})) == given
    for other in ("EDGEWISE_PASSWORD", "EDGEWISE_TOKEN", f"{variable}_X"):
        assert kept(settings.read(None, {other: given})) == usual


def test_secrets_come_from_the_environment_or_from_credentials(tmp_path: Path) -> None:
    (tmp_path / "broker-password").write_text("from-file\n")
    (tmp_path / "database-url").write_text("postgresql://u:p@h/d\n")
    found = settings.read(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (found.broker.password, found.database) == ("from-file", "postgresql://u:p@h/d")
    found = settings.read(None, {"CREDENTIALS_DIRECTORY": str(tmp_path), "EDGEWISE_BROKER_PASSWORD": "from-variable"})
    assert found.broker.password == "from-variable"  # noqa: S105  # made up here
    assert "from-variable" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen = '127.0.0.1:1'", "bridge.toml: lisen is no setting; write listen if that was meant."),
        (
            "[broker]\nkeepalives = 3",
            "bridge.toml: broker.keepalives is no setting; write broker.keepalive_s if",
        ),
        ("broker = 3", "bridge.toml: broker is a section; write it as [broker]."),
        ("[broker]\nport = 'x'", "bridge.toml: broker.port must be a whole number, not a text; correct this value."),
        ("[broker]\nkeepalive_s = 1", "bridge.toml: broker.keepalive_s must be a whole number of at least 5"),
        (
            "[broker]\npassword = 'x'",
            "bridge.toml: broker.password does not belong in a file; set $EDGEWISE_BROKER",
        ),
        ("[broker]\nurl = 'http://h'", "bridge.toml: 'http://h' is no broker address; write it as mqtt://"),
        ("[broker]\nurl = 3", "bridge.toml: '3' is no broker address"),
        ("[log]\nretention_days = 0", "bridge.toml: log.retention_days must be a number more than 0"),
        ("database = 'mysql://h/d'", "bridge.toml: database is one of mysql; give a URL of sqlite or postgresql."),
        ("database = 'nonsense'", "bridge.toml: database is no URL; give one such as sqlite:///"),
        ("database = 7", "bridge.toml: database must be a text, not a whole number"),
        (
            "database = 'postgresql://u:p@h/d'",
            "bridge.toml: a database URL with a password belongs in no file or option",
        ),
        (
            "database = 'postgresql://h/d?user=u&password=p'",
            "bridge.toml: a database URL with a password belongs in no file or option",
        ),
        ("listen = '9108'", "bridge.toml: listen '9108' is no address; give HOST:PORT"),
        ("listen = '127.0.0.1:99999'", "give HOST:PORT"),
        ("[broker]\nca = '/x'", "bridge.toml: broker.ca and broker.certificate need TLS; set broker.tls = true"),
        (
            "[broker]\ntls = true\nkey = '/x'",
            "broker.certificate and broker.key belong together; give both",
        ),
        ("= 3", "bridge.toml is no TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        settings.read(_file(tmp_path, text), {})
    assert said in str(error.value)


@pytest.mark.parametrize("url", ["http://h", "mqtt://", "mqtt://u:p@h", "mqtt://h:port", "mqtt://h/topic", "h:1883"])
def test_an_address_that_is_none_or_tells_a_secret_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        settings.read(None, {}, broker=url)


def test_the_command_says_one_sentence_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--database", "mysql://h/d"]) == 2
    assert (
        capsys.readouterr().err.strip().splitlines()[-1].startswith("edgewise-bridge: database is one of mysql; give")
    )


def test_a_database_that_cannot_be_opened_is_named_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--database", f"sqlite:///{tmp_path}/absent/x.db"]) == 1
    assert "absent/x.db" in capsys.readouterr().err


def test_a_taken_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status = cli.main(["run", "--database", f"sqlite:///{tmp_path}/x.db", "--listen", f"127.0.0.1:{port}"])
    assert status == 2
    assert f"127.0.0.1:{port} is in use or not of this machine" in capsys.readouterr().err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert all(option in said for option in ("--broker", "--listen", "--database", "--config", "EDGEWISE_DATABASE"))
