"""The labelling page in a real Chromium, answered with the keyboard; crops come from a broker."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_bridge.labels.accuracy import Accuracy
from edge_bridge.labels.annotations import Progress
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.tables import annotations
from edge_bridge.web.dashboard import label_facts
from edge_simulator.broker import Broker
from tests.bridge.labels.device import CropDevice
from tests.bridge.labels.faces import LABELS, guess, key_file, sealed
from tests.bridge.process import BridgeProcess

browser_tools = pytest.importorskip("tests.bridge.web.browser", reason="playwright is not installed")
from playwright.sync_api import expect  # noqa: E402  # only where the line above did not skip

needs_chromium = pytest.mark.skipif(
    not browser_tools.CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)"
)
CONFIG = '[labels]\nkey = "labelling.pem"\ndatabase = "labels.db"\n'


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("1", Answer("label", "angry")), ("7", Answer("label", "neutral")), ("8", None), ("0", Answer("not-a-face")),
        ("s", Answer("cannot-tell")), ("S", Answer("cannot-tell")), ("z", "undo"), ("m", "model"), ("Enter", None),
        ("", None), ("12", None),
    ],
)  # fmt: skip
def test_a_key_means_one_thing(key: str, meaning: Answer | str | None) -> None:
    assert label_facts.pressed(key, LABELS) == meaning


def test_labels_past_the_ninth_have_a_button_and_no_key() -> None:
    found = label_facts.choices([f"l{number}" for number in range(11)])
    assert [each.key for each in found] == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "", "", "0", "s"]
    assert label_facts.pressed("9", [f"l{number}" for number in range(11)]) == Answer("label", "l8")


def test_sentences_of_the_page_are_whole() -> None:
    assert label_facts.progress_line(Progress(1, 1, 0)) == "1 of 1 crop answered, 0 by you."
    assert label_facts.name_of("  An\x1bn   B " + "x" * 99) == ("An\\x1bn B " + "x" * 99)[:64]


def test_the_first_page_tells_of_the_release_with_most_labels_first() -> None:
    found = {"emotion-4": Accuracy(0.5, 0.4, 0.6, 90, 80.0), "emotion-5": Accuracy(0.75, 0.7, 0.8, 300, 250.0)}
    assert label_facts.accuracy_lines(found)[0] == (
        "emotion-5 was right on 75.0% [70.0%, 80.0%] of faces in the field, by 300 labelled faces of the random "
        "stratum."
    )
    assert len(label_facts.accuracy_lines(found)) == 2


@needs_chromium
def test_one_crop_after_another_is_answered_with_one_key_each(tmp_path: Path) -> None:
    key_file(tmp_path)
    with (
        Broker(tmp_path / "broker") as broker,
        BridgeProcess(tmp_path, broker.port, config=CONFIG) as bridge,
        browser_tools.chromium() as browser,
        CropDevice(broker.port) as device,
    ):
        page, noted = browser_tools.open_page(browser, bridge.url("/label"))
        page.get_by_label("Your name").fill("ann")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Nothing waits to be labelled.")).to_be_visible()
        for number in (1, 2, 3):
            device.send(sealed(sequence=number, champion=guess("happy", share=0.7)))
        device.wait_for(3)
        picture = page.locator("img.crop")
        expect(picture).to_be_visible(timeout=20_000)  # by itself
        expect(page.get_by_text("emotion-4 answered happy, 70%.")).to_have_count(0)
        first = picture.get_attribute("src")
        assert first is not None
        answer = page.request.get(bridge.url(first))
        assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store, private", "image/png")
        assert picture.evaluate("one => one.naturalWidth") == 48
        page.keyboard.press("4")
        expect(page.get_by_text("1 of 3 crops answered, 1 by you.")).to_be_visible()
        expect(picture).not_to_have_attribute("src", first)
        page.get_by_role("button", name="take back").click()  # and the keys go on
        expect(page.get_by_text("0 of 3 crops answered, 0 by you.")).to_be_visible()
        expect(picture).to_have_attribute("src", first)
        page.keyboard.press("m")
        expect(page.get_by_text("emotion-4 answered happy, 70%.")).to_be_visible()
        page.keyboard.press("5")
        expect(page.get_by_text("1 of 3 crops answered, 1 by you.")).to_be_visible()
        expect(page.get_by_text("emotion-4 answered happy, 70%.")).to_have_count(0)
        page.keyboard.press("0")
        expect(page.get_by_text("2 of 3 crops answered, 2 by you.")).to_be_visible()
        page.reload()  # the browser knows who answers
        expect(page.get_by_text("You answer as ann.")).to_be_visible()
        page.keyboard.press("s")
        expect(page.get_by_text("Nothing waits to be labelled.")).to_be_visible()
        assert [each for each in noted if each.startswith("error")] == []
    database = LabelDatabase(tmp_path / "labels.db")
    with database.reading() as connection:
        rows = connection.execute(
            sa.select(annotations.c.annotator, annotations.c.kind, annotations.c.label, annotations.c.shown,
                      annotations.c.guess).order_by(annotations.c.number)
        ).all()  # fmt: skip
    database.close()
    assert [tuple(row) for row in rows] == [
        ("ann", "label", "happy", False, "happy"),
        ("ann", "undo", "", False, "happy"),
        ("ann", "label", "sad", True, "happy"),
        ("ann", "not-a-face", "", False, "happy"),
        ("ann", "cannot-tell", "", False, "happy"),
    ]
