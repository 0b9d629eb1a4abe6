"""The one reader of settings files: what it refuses, with which remedy, and where secrets and paths come from."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.settings_file import LARGEST, Secret, check, located, nearest, read_toml

TOKEN = Secret("SECRET_TOKEN", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A section with a secret and a rule that no type holds."""

    width: Annotated[int, Meta(ge=1)] = 80
    token: str | None = field(default=None, repr=False)
    sign: Path | None = None
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """No door is 13 wide."""
        if self.width == 13:
            raise UsageError("door.width brings bad luck", remedy="choose another")


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Settings with a section."""

    name: str = ""
    door: Door = field(default_factory=Door)


def checked(document: dict[str, Any], environ: dict[str, str] | None = None, base: Path = Path("/base")) -> House:
    return check(
        document, House, name=Path("house.toml"), base=base, environ=environ or {}, secrets={"door.token": TOKEN}
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"dor": {}}, "house.toml: dor is no setting; write door if that was meant."),
        ({"door": {"widht": 1}}, "house.toml: door.widht is no setting; write door.width if that was meant."),
        ({"zzz": 1}, "house.toml: zzz is no setting; known here are: door, name."),
        ({"door": 3}, "house.toml: door is a section; write it as [door]."),
        ({"name": 3}, "house.toml: name must be a text, not a whole number; correct this value."),
        ({"door": {"width": 0}}, "house.toml: door.width must be a whole number of at least 1; correct this value."),
        ({"door": {"weights": [1, "x"]}}, "house.toml: door.weights[1] must be a number, not a text;"),
        ({"door": {"sign": 3}}, "house.toml: door.sign must be a path, not a whole number; correct this value."),
        ({"door": {"sign": "~nobody-of-this-name/x"}}, "house.toml: door.sign cannot be used: there is no such home"),
        ({"door": {"width": 13}}, "house.toml: door.width brings bad luck; choose another."),
        ({"door": {"token": "x"}}, "house.toml: door.token does not belong in a file; set $SECRET_TOKEN or"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_by_file_and_key_with_a_remedy(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked(document)
    assert str(caught.value).startswith(sentence)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"= 3", "is no TOML"),
        (b"\xff", "is no TOML"),
        (b"a = " + b"[" * 5000, "is no TOML"),
        (b"#" * (LARGEST + 1), "is larger than a settings file can be; name the right file."),
        (None, "cannot be read (No such file or directory); start from the example."),
    ],
    ids=["broken", "no text", "nested", "large", "missing"],
)
def test_a_file_that_is_no_settings_file_is_named_with_a_remedy(
    tmp_path: Path, data: bytes | None, sentence: str
) -> None:
    path = tmp_path / "house.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_toml(path, remedy="start from the example")
    assert sentence in str(caught.value)
    assert "house.toml" in caught.value.problem
    assert caught.value.remedy


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "house.toml"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):  # whatever else is raised fails
        checked(read_toml(path, remedy="start from the example"))


def test_a_mark_that_editors_on_windows_write_is_no_part_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes("\ufeff[source]\nurl = '0'\n".encode())
    assert read_toml(path, remedy="start from the example") == {"source": {"url": "0"}}


def test_a_secret_comes_from_the_environment_before_a_credential_and_never_shows(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" whisper\n")
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    environments = ({}, {"SECRET_TOKEN": "hush"}, {"SECRET_TOKEN": ""})
    found = [checked({}, {**credentials, **environ}).door.token for environ in environments]
    assert found == ["whisper", "hush", "whisper"]
    assert "whisper" not in repr(checked({}, credentials))
    assert checked({}, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}).door.token is None


def test_a_credential_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"credential token cannot be read .*; check LoadCredential="):
        TOKEN.read({"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_secret_leaves_the_callers_document_as_it_was() -> None:
    document: dict[str, Any] = {"door": {"width": 2}}
    assert checked(document, {"SECRET_TOKEN": "hush"}).door == Door(width=2, token="hush")  # noqa: S106  # made up here
    assert document == {"door": {"width": 2}}


def test_a_path_is_a_credential_of_that_name_or_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "sign").write_text("")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert located("sign", Path("/base"), environ) == tmp_path / "sign"
    assert located("other", Path("/base"), environ) == Path("/base/other")
    assert located("a/sign", Path("/base"), environ) == Path("/base/a/sign")
    assert located("/etc/sign", Path("/base"), environ) == Path("/etc/sign")
    assert checked({"door": {"sign": "x"}}, base=Path()).door.sign == Path.cwd() / "x"


def test_the_nearest_key_is_none_where_no_key_is_similar() -> None:
    assert nearest("keepalives", ["keepalive_s", "key"]) == "keepalive_s"
    assert nearest("zzz", ["keepalive_s", "key"]) is None
