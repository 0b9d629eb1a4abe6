"""Grafana's dashboards: as their code writes them, and every query of every panel has an answer on a fleet that runs.

Grafana itself is not run: what is provisioned is held against the types of its foundation SDK.
"""

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from edge_agent.mqtt.settings import BrokerSettings
from edge_bridge.storage.store import Batch, LoggedPrediction, Store
from edge_contract import topics
from edge_contract.group_status import Behind, GroupStatus, RolloutStatus, StageStatus
from edge_contract.manifest import Accuracy, Reference, Score
from edge_contract.messages import CONFIDENCE_BOUNDS, TrackCounts, encode
from edge_contract.release_card import ReleaseCard
from edge_contract.wave import ShadowTerms
from edge_simulator.fleet import SimulatedFleet
from edge_simulator.mix import sites
from tests.agent.update.update_bench import GROUP, ReleaseSide, tiny
from tests.bridge.publisher import LABELS, MODEL, Publisher, histogram, prediction, telemetry
from tests.bridge.release_side import card
from tests.deploy.conftest import Standing
from tests.deploy.test_rules import series_in, shown_by_the_bridge

GRAFANA: Final = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
BOARDS: Final = sorted((GRAFANA / "dashboards").glob("*.json"))
TOLD: Final = "cam-told"  # says what the simulator does not: its spool, stages of a frame, an error


_SCORE: Final = Score(dataset="d", split="test", label_set="l", n=100, accuracy=0.7, low=0.6, high=0.8)

pytestmark = pytest.mark.xdist_group("watching")


def _targets(kind: str) -> list[tuple[str, str, str]]:
    """Board, panel and query of every target of a data source."""
    return [
        (board.stem, panel["title"], target.get("expr") or target.get("rawSql"))
        for board in BOARDS
        for panel in json.loads(board.read_text())["panels"]
        for target in panel["targets"]
        if target["datasource"]["type"] == kind
    ]


PROMQL: Final = _targets("prometheus")
SQL: Final = _targets("grafana-postgresql-datasource")


def test_the_json_is_what_the_code_writes() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="Grafana's foundation SDK is not installed")
    from deploy.grafana.__main__ import written  # noqa: PLC0415  # only where it is

    stale = [path.name for path, text in written().items() if path.read_text() != text]
    assert stale == [], "run: python -m deploy.grafana"
    assert sorted(written()) == BOARDS


def test_each_dashboard_is_what_grafana_s_types_read_back() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="Grafana's foundation SDK is not installed")
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    for board in BOARDS:
        data = json.loads(board.read_text())
        read = Dashboard.from_json(data)
        assert read.uid == f"edgewise-{board.stem}"
        assert read.panels is not None
        assert len(read.panels) == len(data["panels"]) > 15


def test_panels_have_names_and_ids_of_their_own_and_lie_beside_one_another() -> None:
    for board in BOARDS:
        panels = json.loads(board.read_text())["panels"]
        assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_every_series_of_a_panel_exists() -> None:
    named = {name for _, _, query in PROMQL for name in series_in(query) if ":" not in name}
    assert named - shown_by_the_bridge() == set()


def test_data_sources_are_those_that_are_provisioned_and_no_password_stands_there() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "edgewise.yml").read_text())
    known = {(each["type"], each["uid"]) for each in provisioned["datasources"]}
    for board in BOARDS:
        for panel in json.loads(board.read_text())["panels"]:
            for target in panel["targets"]:
                assert (target["datasource"]["type"], target["datasource"]["uid"]) in known
    assert {each["secureJsonData"]["password"] for each in provisioned["datasources"] if "secureJsonData" in each} == {
        "$__file{/run/secrets/grafana-database-password}"
    }


@pytest.fixture(scope="module")
def fleet(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Simulated devices that run one release and have another in shadow, in a rollout; the id of one of them."""
    folder, port = tmp_path_factory.mktemp("fleet"), standing.watching.ports["broker"]
    side = ReleaseSide(folder / "fleet", port)
    root = (side.directory / "metadata" / "1.root.json").read_bytes()
    chosen = sites(2, GROUP, prefix="seen", faces=20, interval=0.5, seed=1)
    session = int(time.time())
    with (
        SimulatedFleet(chosen, folder / "devices", broker=BrokerSettings(port=port), root=root) as simulated,
        Publisher(port, TOLD, session) as told,
        Publisher(port, "cam-drifts", session) as drifts,
    ):
        simulated.start()
        side.push(tiny(1))
        assert simulated.wait_for(lambda: simulated.running(tiny(1).manifest.digest) == 2, 60)
        side.wave(tiny(1), tiny(2), "shadow", shadow=ShadowTerms(spacing=0.0))
        side.say(topics.group_status(GROUP), encode(_status()))
        side.say(topics.release_card(MODEL.digest), encode(_card()))
        told.say_hello()
        _drift(drifts)
        over = threading.Event()
        telling = threading.Thread(target=_tell, args=(told, over))
        telling.start()
        yield chosen[0].id
        over.set()
        telling.join()


def _card() -> ReleaseCard:
    """Of a release with an accuracy and a reference: nine in ten of its answers were right."""
    by_label, right = (dict.fromkeys(LABELS, (0,) * 7 + (each, 0, 0)) for each in (100, 90))
    reference = Reference(by_label=by_label, right=right, sure_above=0.7)
    return card(accuracy=Accuracy(float=_SCORE, int8=_SCORE), reference=reference)


def _drift(device: Publisher) -> None:
    """Two days of people by the device's clock, on the second of which everybody is sad."""
    device.say_hello()
    counts, windows = dict.fromkeys(LABELS, 0), 400
    for number in range(1, windows + 1):
        for place in range(3):
            counts["sad" if number > windows / 2 else LABELS[(3 * number + place) % len(LABELS)]] += 1
        answers = {label: histogram(len(CONFIDENCE_BOUNDS), 7, count, 0.75) for label, count in counts.items()}
        tracks = TrackCounts(model=MODEL, answers=answers, sure=3 * number)
        key, end = (device.session, number), time.time() - (windows - number) * 432.0
        message = telemetry(
            device.device, key, 150 * number, oldest=(device.session, 1), start=end - 10, end=end, tracks=tracks
        )
        device.send(message, "telemetry")
    device.wait_for_ack((device.session, windows))


def _tell(told: Publisher, over: threading.Event) -> None:
    """A window a second, of counters that move."""
    number = 0
    while not over.wait(1.0):
        number += 1
        now, session = time.time(), told.session
        counters = {"frames": 15 * number, "drops": number, "errors": number, "errors_frame": number}
        gauges = {"spool_messages": 3.0, "spool_rows": 3.0, "spool_bytes": 900.0, "ack_lag_seconds": 0.0}
        key, oldest = (session, number), (session, 1)
        message = telemetry(
            TOLD, key, 15 * number, oldest=oldest, start=now - 1, end=now, counters=counters, gauges=gauges
        )
        told.send(message, "telemetry")


def _status() -> GroupStatus:
    rollout = RolloutStatus(
        id="r-1",
        release=tiny(2).manifest.ref,
        rest=tiny(1).manifest.ref,
        phase="shadow",
        position=0,
        stages=(StageStatus(number=0, mode="shadow", share=1.0, devices=2),),
        running=2,
        started=time.time(),
    )
    behind = (Behind(device="seen-00001", kind="under way", why="It compares."),)
    return GroupStatus(group=GROUP, desired=tiny(1).manifest.ref, rollout=rollout, behind=behind, time=time.time())


@pytest.fixture(scope="module")
def answers(standing: Standing, fleet: str) -> dict[str, Any]:
    """What Prometheus says to each query, once all have series or a minute is over."""
    said: dict[str, Any] = {}
    open_ = {promql for _, _, promql in PROMQL}
    end = time.monotonic() + 60
    while open_ and time.monotonic() < end:
        for promql in sorted(open_):
            asked = promql.replace('="$device"', f'=~"{fleet}|{TOLD}"').replace("$__rate_interval", "30s")
            query = urllib.parse.quote(asked)
            said[promql] = json.loads(standing.watching.get("prometheus", f"/api/v1/query?query={query}") or b"{}")
            if any(each["value"][1] != "NaN" for each in said[promql].get("data", {}).get("result", [])):
                open_.discard(promql)
        time.sleep(0.5)
    return {promql: answer for promql, answer in said.items() if promql in open_}


@pytest.mark.parametrize(("board", "panel", "promql"), PROMQL, ids=lambda text: re.sub(r"\W+", "-", text)[:40])
def test_a_panel_s_query_has_an_answer(answers: dict[str, Any], board: str, panel: str, promql: str) -> None:
    assert promql not in answers, answers[promql]


@pytest.mark.parametrize(("board", "panel", "sql"), SQL, ids=lambda text: re.sub(r"\W+", "-", text)[:40])
def test_a_panel_s_sql_has_rows_on_a_real_prediction_log(postgresql: str, board: str, panel: str, sql: str) -> None:
    import psycopg  # noqa: PLC0415  # only where the fixture above did not skip

    now, name = time.time(), f"panel{abs(hash(panel)) % 10**9}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgresql.rsplit("/", 1)[0] + f"/{name}"
    store = Store(url)
    store.open(now)
    messages = [prediction(device, (5, n), time=now - n) for n in range(1, 4) for device in ("cam-1", "cam-2")]
    store.write(Batch([LoggedPrediction(each, now) for each in messages], {}, {}, {}))
    store.close()
    # What Grafana's macros stand for.
    asked = sql.replace("${device:sqlstring}", "'cam-1'")
    asked = asked.replace('$__unixEpochFilter("time")', f'"time" >= {now - 60:.0f} AND "time" <= {now + 60:.0f}')
    asked = asked.replace('$__unixEpochGroupAlias("time", $__interval)', 'floor("time"/60)*60 AS "time"')
    assert "$" not in asked
    with psycopg.connect(url) as connection:
        found = connection.execute(asked)
        rows = found.fetchall()
        assert found.description is not None
        columns = [each.name for each in found.description]
    assert columns[0] == "time"
    if "metric" in columns:
        assert sum(row[columns.index("value")] for row in rows) == 3
    else:
        assert len(rows) == 3
