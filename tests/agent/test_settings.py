"""Settings: what is refused by name, where secrets may come from, and what may change while the agent runs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import settings_file
from edge_agent.settings import RELOADABLE, Settings
from edge_contract.errors import UsageError
from edge_mqtt.address import PASSWORD


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return settings_file.load(path, {"STATE_DIRECTORY": str(tmp_path / "state"), **environ}, hostname="Pi_4 Küche")


def test_an_empty_file_gives_the_defaults_with_an_id_from_the_hostname(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.device.id == "pi-4-k-che"
    assert settings.device.state_dir == tmp_path / "state"
    assert settings.broker.host == "127.0.0.1"
    assert not settings.preview.enabled


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[brokr]\nhost = 'x'", "brokr is no setting; write broker if that was meant."),
        ("[broker]\nhots = 'x'", "broker.hots is no setting; write broker.host if that was meant."),
        (
            "[pipeline.consensus]\ntreshold = 0.5",
            "treshold is no setting; write pipeline.consensus.threshold if",
        ),
        ("[zzz]\nq = 1", "zzz is no setting; known here are: broker, device,"),
        ("[broker]\nport = '1883'", "broker.port must be a whole number, not a text; correct this value."),
        ("[broker]\nport = 70000", "broker.port must be a whole number of at most 65535;"),
        ("broker = 3", "broker is a section; write it as [broker]."),
        ("[device]\ngroups = ['a', 'B']", "device.groups[1]"),
        ("[model]\nfactory = 7", "model.factory must be a path, not a whole number;"),
        ("[source]\nfps = 0", "source.fps must be a number more than 0"),
        ("[pipeline]\nmax_faces = 0", "pipeline.max_faces must be a whole number of at least 1"),
        ("[pipeline.consensus]\nthreshold = 1.5", "pipeline.consensus.threshold must be a number of at most 1"),
        (
            "[pipeline.locate.cadence]\ndetect_every = 0",
            "pipeline.locate.cadence.detect_every must be a whole number of at least 1",
        ),
        ("[source]\npace = 'slow'", "source.pace must be one of real-time, fast, not 'slow';"),
        ("[broker]\npassword = 'x'", "broker.password does not belong in a file; set $EDGEWISE_BROKER_PASSWORD"),
        ("[broker]\ncertificate = 'c.pem'\nkey = 'c.key'", "broker.certificate need TLS; set broker.tls = true"),
        ("[broker]\ntls = true\ncertificate = 'c.pem'", "broker.certificate and broker.key belong together"),
        ("[broker]\nca = 'ca.pem'", "need TLS"),
        ("[broker", "is no TOML"),
        ("\x00", "is no TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert sentence in str(caught.value)
    assert "agent.toml" in str(caught.value)


def test_a_missing_file_names_the_example_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"agent\.example\.toml"):
        settings_file.load(tmp_path / "none.toml", {})


def test_the_password_comes_from_the_environment_or_a_credential_and_never_shows(tmp_path: Path) -> None:
    assert load(tmp_path, "", **{PASSWORD.variable: "hush"}).broker.password == "hush"  # noqa: S105
    (tmp_path / "broker-password").write_text("whisper\n")
    settings = load(tmp_path, "", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert settings.broker.password == "whisper"  # noqa: S105
    assert "whisper" not in repr(settings)


def test_a_camera_address_with_a_password_in_it_may_come_from_a_variable_or_a_credential(tmp_path: Path) -> None:
    settings = load(tmp_path, "[source]\nurl = '0'", EDGEWISE_SOURCE_URL="rtsp://user:hush@camera/2")
    assert settings.source.url == "rtsp://user:hush@camera/2"
    (tmp_path / "source-url").write_text("rtsp://user:hush@camera/1\n")
    settings = load(tmp_path, "[source]\nurl = '0'", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert settings.source.url == "rtsp://user:hush@camera/1"


def test_a_credential_of_that_name_wins_over_a_file_beside_the_settings(tmp_path: Path) -> None:
    text = "[broker]\ntls = true\ncertificate = 'device.pem'\nkey = 'device.key'"
    assert load(tmp_path, text).broker.key == tmp_path / "device.key"
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "device.key").write_text("")
    broker = load(tmp_path, text, CREDENTIALS_DIRECTORY=str(credentials)).broker
    assert broker.key == credentials / "device.key"
    assert broker.certificate == tmp_path / "device.pem"


def test_paths_and_a_file_as_source_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(b"")
    settings = load(tmp_path, "[source]\nurl = 'clip.avi'\n[model]\nfactory = '../m.ewm'")
    assert settings.source.url == str(tmp_path / "clip.avi")
    assert settings.model.factory == tmp_path / "../m.ewm"
    assert load(tmp_path, "[source]\nurl = 'http://camera/stream'").source.url == "http://camera/stream"


def test_reload_takes_what_is_safe_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    running = load(tmp_path, "")
    text = "[telemetry]\ninterval_s = 3\n[pipeline.consensus]\nthreshold = 0.7\n[broker]\nport = 1999"
    taken, restart = settings_file.reloaded(running, load(tmp_path, text))
    assert taken.telemetry.interval_s == 3
    assert taken.pipeline.consensus.threshold == 0.7
    assert taken.broker.port == 1883
    assert restart == ("broker.port",)


def test_every_reloadable_key_exists_and_none_reaches_broker_model_source_or_preview() -> None:
    leaves = dict(settings_file._leaves(Settings()))
    assert leaves.keys() >= RELOADABLE
    assert not {key.partition(".")[0] for key in RELOADABLE} & {"broker", "model", "source", "preview", "device"}


def test_set_config_outlives_a_restart_and_can_be_unset(tmp_path: Path) -> None:
    settings = load(tmp_path, "[telemetry]\ninterval_s = 5")
    settings.device.state_dir.mkdir()
    path, state = tmp_path / "agent.toml", settings.device.state_dir
    settings_file.override(state, {"telemetry.interval_s": 2, "log.level": "debug"}, path, {})
    again = load(tmp_path, path.read_text())
    assert (again.telemetry.interval_s, again.log.level) == (2, "debug")
    settings_file.override(state, {"telemetry.interval_s": settings_file.UNSET}, path, {})
    assert load(tmp_path, path.read_text()).telemetry.interval_s == 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"broker.host": "evil"}, "set-config cannot change broker.host; it may change: log.level"),
        ({"telemetry.interval": 3}, "write telemetry.interval_s if that was meant"),
        ({"telemetry.interval_s": "often"}, "telemetry.interval_s must be a number, not a text"),
        ({"telemetry.interval_s": 0.0001}, "telemetry.interval_s must be a number of at least 1"),
    ],
)
def test_set_config_refuses_other_keys_and_bad_values_and_changes_nothing(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    state = load(tmp_path, "").device.state_dir
    state.mkdir()
    with pytest.raises(UsageError, match=sentence.replace("?", r"\?")):
        settings_file.override(state, {"log.level": "debug", **changes}, tmp_path / "agent.toml", {})
    assert list(state.iterdir()) == []


@given(junk=st.binary(max_size=200))
def test_a_damaged_override_file_counts_as_none(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    state = tmp_path_factory.mktemp("state")
    (state / settings_file.OVERRIDES).write_bytes(b"\xff" + junk)
    assert settings_file.read_overrides(state) == {}


def test_overrides_of_keys_that_are_not_reloadable_are_ignored(tmp_path: Path) -> None:
    (tmp_path / settings_file.OVERRIDES).write_text('{"broker.host": "evil", "log.level": "debug"}')
    assert settings_file.read_overrides(tmp_path) == {"log.level": "debug"}
