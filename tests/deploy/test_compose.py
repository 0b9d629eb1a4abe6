"""compose.yaml and its images: closed as it says, on files that exist; no container is run."""

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from edge_bridge import settings

REPOSITORY: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
IMAGES: Final = sorted((REPOSITORY / "deploy").glob("*/Dockerfile"))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_closed_watched_bounded_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), "a user of its own, by number"
    assert {"test", "interval", "timeout"} <= service["healthcheck"].keys()
    assert service["mem_limit"]
    assert ("build" in service) or re.fullmatch(r"docker\.io/[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_on_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["network_mode"] == "host"
    assert "ports" not in service
    said = yaml.dump([service.get("command"), service.get("environment")])
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.endswith(".conf"):
            said += (REPOSITORY / source).read_text()
    if "build" in service:
        said += (REPOSITORY / service["build"]["dockerfile"]).read_text()
    assert "127.0.0.1" in said
    assert not re.search(r"0\.0\.0\.0|listener \d+$|=:\d", said, re.MULTILINE)


def test_every_file_that_is_mounted_exists_and_every_secret_is_a_file_that_the_script_makes(tmp_path: Path) -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] if not source.startswith("./") else (REPOSITORY / source).exists()
        for value in service.get("environment", {}).values():
            assert "://" not in value or "@" not in value
        wanted = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}
        assert wanted <= COMPOSE["secrets"].keys()
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(REPOSITORY / "deploy" / "compose-secrets", tmp_path / "deploy")
    made = []
    for _ in range(2):
        subprocess.run([script], check=True, timeout=60)
        files = {name: tmp_path / secret["file"] for name, secret in COMPOSE["secrets"].items()}
        made.append({name: file.read_text() for name, file in files.items()})
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])
    assert all(len(value) >= 32 for value in made[0].values())
    assert made[0]["database-password"] in made[0]["database-url"]
    assert (tmp_path / ".local" / "secrets").stat().st_mode & 0o777 == 0o700


def test_the_bridges_settings_are_read_and_name_the_alertmanager_that_runs_beside_it() -> None:
    service = SERVICES["bridge"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}
    named = service["command"][service["command"].index("--config") + 1]
    found = settings.read(REPOSITORY / mounted[named], {})
    assert (
        f"--web.listen-address={found.web.alertmanager.removeprefix('http://')}" in SERVICES["alertmanager"]["command"]
    )


def test_compose_itself_reads_it() -> None:
    plugin = (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False) if _has("docker") else None
    )
    if plugin is not None and plugin.returncode == 0:
        command = ["docker", "compose"]
    elif _has("docker-compose"):
        command = ["docker-compose"]
    else:
        pytest.skip("docker compose is not installed")
    done = subprocess.run([*command, "config", "--quiet"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _has(program: str) -> bool:
    return shutil.which(program) is not None


@pytest.mark.parametrize("recipe", IMAGES, ids=lambda path: path.parent.name)
def test_an_image_is_built_from_pinned_wheels_sends_nothing_else_to_the_builder_and_does_not_run_as_root(
    recipe: Path,
) -> None:
    text = recipe.read_text()
    installs = [step for step in re.split(r"&&|\nRUN", text) if "pip install" in step]
    assert installs
    assert all("--require-hashes" in step for step in installs)
    final = text.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\d+$", final, re.MULTILINE)
    service = next(
        s for s in SERVICES.values() if s.get("build", {}).get("dockerfile") == str(recipe.relative_to(REPOSITORY))
    )
    assert service["user"] == f"{user}:{user}" != "0:0"
    assert "HEALTHCHECK" in final
    sent = recipe.with_name("Dockerfile.dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert sent[0] == "*"
    assert sorted(each for each in sent[1:] if each.startswith("!")) == sorted(f"!{path}" for path in copied)
    assert all((REPOSITORY / path).exists() for path in copied)
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is not None:
        said = subprocess.run([hadolint, recipe], capture_output=True, text=True, check=False, timeout=60)
        assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.slow  # seconds, to load it all without what was compiled before
def test_the_bridge_runs_on_the_folders_that_its_image_copies_alone(tmp_path: Path) -> None:
    recipe = (REPOSITORY / "deploy" / "bridge" / "Dockerfile").read_text()
    for folder in re.findall(r"^COPY (edge_\w+) ", recipe, re.MULTILINE):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    # -S: the checkout itself, which is installed beside the packages, is not seen.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import edge_bridge.bridge, edge_bridge.cli; print(edge_bridge.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{site.getsitepackages()[0]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "edge_bridge" / "__init__.py")


def test_grafana_s_user_reads_the_log_and_writes_nothing(postgresql: str, tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed (psycopg)")
    if not _has("psql"):
        pytest.skip("psql is not installed (apt-get install postgresql-client)")
    with psycopg.connect(postgresql, autocommit=True) as admin:
        admin.execute("CREATE DATABASE compose")
    (tmp_path / "password").write_text("it's \\ secret")
    port = re.search(r":(\d+)/", postgresql)
    assert port is not None
    where = {"PGHOST": "127.0.0.1", "PGPORT": port[1], "POSTGRES_USER": "postgres", "POSTGRES_DB": "compose"}
    script = REPOSITORY / "deploy" / "postgresql" / "reader.sh"
    environment = {**os.environ, **where, "GRAFANA_DATABASE_PASSWORD_FILE": str(tmp_path / "password")}
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    url = postgresql.rsplit("/", 1)[0] + "/compose"
    with psycopg.connect(url, autocommit=True) as bridge:
        bridge.execute("CREATE TABLE predictions (device text)")  # after the script, as the bridge does
        bridge.execute("INSERT INTO predictions VALUES ('cam-1')")
    with psycopg.connect(url.replace("postgres@", "grafana@"), autocommit=True) as grafana:
        assert grafana.execute("SELECT device FROM predictions").fetchall() == [("cam-1",)]
        grafana.execute("SET default_transaction_read_only = off")
        for statement in ("DELETE FROM predictions", "CREATE TABLE t (a int)", "DROP TABLE predictions"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                grafana.execute(statement)
