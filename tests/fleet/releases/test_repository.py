"""The TUF repository and the keys on disk: what is written, in which order, and what a damaged disk must not become."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from edge_contract import durable
from edge_contract.durable import write_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_fleet.releases import lock
from edge_fleet.releases.keys import KeyStore, read_passphrase
from edge_fleet.releases.repository import ONLINE_LIFE, Repository


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


class FolderFetcher(FetcherInterface):
    """Files straight from a repository's `files()`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def _fetch(self, url):  # type: ignore[no-untyped-def]
        name = url.rpartition("/")[2]
        if name not in self._files:
            raise DownloadHTTPError(name, 404)
        return iter((self._files[name],))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> Repository:
    made = Repository(tmp_path / "fleet", KeyStore((tmp_path / "fleet" / "keys",)), clock)
    made.create(root_keys=3, threshold=2)
    return made


def accepted(repository: Repository, folder: Path, root: bytes) -> int:
    """Let a real TUF client walk from its first root; the version of root it arrives at."""
    folder.mkdir(exist_ok=True)
    updater = Updater(str(folder), "x:", fetcher=FolderFetcher(repository.files()), bootstrap=root)
    updater.refresh()
    return int(updater._trusted_set.root.version)


def test_a_tuf_client_accepts_what_is_written(tmp_path: Path, repository: Repository) -> None:
    assert accepted(repository, tmp_path / "client", repository.first_root()) == 1


def test_a_client_installed_long_ago_walks_through_every_rotation(tmp_path: Path, repository: Repository) -> None:
    first = repository.first_root()
    for number, role in enumerate(("online", "release", "root", "online"), start=2):
        assert repository.rotate(role) == number  # type: ignore[arg-type]
    assert accepted(repository, tmp_path / "client", first) == 5


def test_a_root_is_signed_by_the_threshold_and_not_by_fewer(tmp_path: Path, repository: Repository) -> None:
    first = repository.first_root()
    keys = [path for name, _, path in repository.key_files() if name == "root" and path is not None]
    keys[0].rename(tmp_path / keys[0].name)
    assert repository.rotate("release") == 2  # two of three
    keys[1].rename(tmp_path / keys[1].name)
    with pytest.raises(EdgewiseError, match="1 of the 2 root keys"):
        repository.rotate("release")
    assert accepted(repository, tmp_path / "client", first) == 2
    with_stick = Repository(repository.directory, KeyStore((repository.directory / "keys", tmp_path)), Clock())
    assert with_stick.rotate("release") == 3


def test_a_key_that_was_rotated_away_signs_nothing_any_more(tmp_path: Path, repository: Repository) -> None:
    first = repository.first_root()
    old = repository.files()
    repository.rotate("online")
    stale = repository.files() | {"timestamp.json": old["timestamp.json"]}
    updater = Updater(str(tmp_path), "x:", fetcher=FolderFetcher(stale), bootstrap=first)
    with pytest.raises(RepositoryError):
        updater.refresh()


def test_a_repository_is_made_once(repository: Repository) -> None:
    before = {path: path.read_bytes() for path in repository.directory.rglob("*.*")}
    with pytest.raises(UsageError, match="holds keys and releases already"):
        repository.create(root_keys=3, threshold=2)
    assert {path: path.read_bytes() for path in repository.directory.rglob("*.*")} == before


@pytest.mark.parametrize(("root_keys", "threshold"), [(2, 3), (0, 0), (3, 0), (10, 2)])
def test_an_impossible_threshold_makes_nothing(tmp_path: Path, root_keys: int, threshold: int) -> None:
    with pytest.raises(UsageError):
        Repository(tmp_path / "f", KeyStore((tmp_path / "k",)), Clock()).create(
            root_keys=root_keys, threshold=threshold
        )
    assert not (tmp_path / "k").exists()


def test_a_change_that_was_killed_is_not_there_and_is_written_over(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def failing(path: Path, data: bytes, *, mode: int, parents: bool) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(path.name)
        write_file(path, data, mode=mode, parents=parents)

    before = repository.files()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", failing)
        repository.refresh()
        with pytest.raises(OSError, match="No space"):
            repository.refresh()
    assert written == ["2.snapshot.json", "timestamp.json"]
    assert repository.listed() == {}
    repository.refresh()
    assert accepted(repository, tmp_path / "client", repository.first_root()) == 1
    assert repository.files().keys() != before.keys()


def test_the_timestamp_is_written_after_everything_it_names(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noting(path: Path, data: bytes, *, mode: int, parents: bool) -> None:
        order.append(path.name)
        write_file(path, data, mode=mode, parents=parents)

    monkeypatch.setattr(durable, "write_file", noting)
    with repository.editing():
        pass
    assert order == ["2.targets.json", "2.snapshot.json", "timestamp.json"]


def test_an_edit_that_fails_changes_nothing(repository: Repository) -> None:
    before = repository.files()
    with pytest.raises(KeyError), repository.editing() as targets:
        del targets["absent"]
    assert repository.files() == before


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_damaged_metadata_are_not_signed_again(repository: Repository, name: str) -> None:
    path = repository.directory / "metadata" / name
    path.write_bytes(path.read_bytes().replace(b'"expires":"2', b'"expires":"3'))
    with pytest.raises(TrustError, match=r"restore it from a backup"):
        repository.refresh()


def test_two_commands_do_not_work_on_one_repository_at_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.1)
    with repository.editing():
        other = Repository(repository.directory, KeyStore((repository.directory / "keys",)), Clock())
        with pytest.raises(EdgewiseError, match="another command"):
            other.refresh()


def test_refresh_renews_only_what_is_due(repository: Repository, clock: Clock) -> None:
    assert not repository.refresh(only_when_due=True)
    clock.time += ONLINE_LIFE / 2 + timedelta(hours=1)
    assert repository.refresh(only_when_due=True)
    assert repository.expiries()["timestamp"] == clock.time + ONLINE_LIFE


def test_targets_are_renewed_before_they_expire(repository: Repository, clock: Clock) -> None:
    clock.time += timedelta(days=360)
    repository = left_alone(repository, clock)
    repository.refresh()
    assert repository.expiries()["targets"] > clock.time + timedelta(days=300)


def left_alone(repository: Repository, clock: Clock) -> Repository:
    """The same one, opened by somebody who looked at the clock."""
    return Repository(repository.directory, KeyStore((repository.directory / "keys",)), clock, clock_is_right=True)


SIGNING = {
    "refresh": lambda repository: repository.refresh(),
    "a desired state or a command": lambda repository: repository.online_signer(),
    "release": lambda repository: repository.editing().__enter__(),
    "rotate release": lambda repository: repository.rotate("release"),
    "rotate root": lambda repository: repository.rotate("root"),
}


@pytest.mark.parametrize("signing", SIGNING)
def test_nothing_is_signed_by_a_clock_that_contradicts_what_was_signed_last(
    repository: Repository, clock: Clock, signing: str
) -> None:
    before = repository.files()
    clock.time -= timedelta(days=1, minutes=1)
    with pytest.raises(
        EdgewiseError, match=r"2026-11-22 11:59 UTC, and .* at 2026-11-23 12:00, which is later; set the"
    ):
        SIGNING[signing](repository)
    clock.time += timedelta(days=61, minutes=2)
    with pytest.raises(EdgewiseError, match=r"last signed at 2026-11-23 12:00, 60 days before; .* --clock-is-right"):
        SIGNING[signing](repository)
    clock.time = Clock().time
    assert repository.files() == before


@pytest.mark.parametrize("apart", [timedelta(hours=-23), timedelta(), timedelta(days=59)])
def test_a_clock_that_can_be_right_is_not_asked_about(repository: Repository, clock: Clock, apart: timedelta) -> None:
    clock.time += apart
    repository.refresh()


def test_a_fleet_left_alone_for_long_is_confirmed_once(repository: Repository, clock: Clock) -> None:
    clock.time += timedelta(days=200)
    left_alone(repository, clock).refresh()
    repository.refresh()


def test_a_new_online_key_is_the_way_out_of_a_clock_that_was_ahead(repository: Repository, clock: Clock) -> None:
    clock.time += timedelta(days=200)
    left_alone(repository, clock).refresh()
    clock.time -= timedelta(days=200)
    assert repository.rotate("online") == 2
    repository.refresh()


def test_each_expired_role_names_its_own_way_out_and_that_is_one(repository: Repository, clock: Clock) -> None:
    clock.time += ONLINE_LIFE
    with pytest.raises(TrustError, match="release refresh"):
        repository.files()
    repository.refresh()
    clock.time += timedelta(days=800)
    repository = left_alone(repository, clock)
    repository.refresh()
    with pytest.raises(
        TrustError, match=r"the root metadata .* expired on 2028-11-22.* run `edgewise keys rotate root`"
    ):
        repository.files()
    repository.rotate("root")
    assert "2.root.json" in repository.files()


@pytest.mark.parametrize("name", ["online", "release"])
def test_a_missing_key_is_named_with_what_replaces_it_before_a_root_is_written(
    repository: Repository, name: str
) -> None:
    for path in (repository.directory / "keys").glob(f"{name}-*"):
        path.unlink()
    missing = f"the {name} key .* replace it .`edgewise keys rotate {name}`"
    with pytest.raises(EdgewiseError, match=missing), repository.editing():
        pass
    with pytest.raises(EdgewiseError, match=f"the {name} key .* is not here"):
        repository.rotate("root")
    assert repository.version("root") == 1
    assert repository.rotate(name) == 2  # type: ignore[arg-type]
    with repository.editing():
        pass


def test_private_keys_are_their_owners_alone(repository: Repository) -> None:
    for path in (repository.directory / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (repository.directory / "keys").stat().st_mode & 0o777 == 0o700


def test_a_key_that_others_can_read_is_not_used(repository: Repository) -> None:
    for path in (repository.directory / "keys").glob("online-*"):
        path.chmod(0o644)
    with pytest.raises(EdgewiseError, match="chmod 600"):
        repository.refresh()


def test_encrypted_keys_need_their_passphrase(tmp_path: Path) -> None:
    keys, folder = tmp_path / "keys", tmp_path / "fleet"
    Repository(folder, KeyStore((keys,), b"horse"), Clock()).create(root_keys=1, threshold=1)
    assert all(b"ENCRYPTED" in path.read_bytes() for path in keys.iterdir())
    with pytest.raises(EdgewiseError, match="EDGEWISE_PASSPHRASE"):
        Repository(folder, KeyStore((keys,)), Clock()).refresh()
    with pytest.raises(EdgewiseError, match="the passphrase is wrong"):
        Repository(folder, KeyStore((keys,), b"donkey"), Clock()).refresh()
    Repository(folder, KeyStore((keys,), b"horse"), Clock()).refresh()


def test_a_passphrase_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("horse\nsecond line\n")
    assert read_passphrase(file, {}) == b"horse"
    assert read_passphrase(None, {"EDGEWISE_PASSPHRASE": "horse"}) == b"horse"
    assert read_passphrase(None, {}) is None
    with pytest.raises(UsageError, match="empty"):
        read_passphrase(None, {"EDGEWISE_PASSPHRASE": ""})
    with pytest.raises(UsageError, match="cannot be read"):
        read_passphrase(tmp_path / "absent", {})
