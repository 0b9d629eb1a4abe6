"""`edgewise labels` as it is typed: figures, files out and in, and an erasure that exports learn of."""

import contextlib
import csv
import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_bridge.commands.labels import app
from edge_bridge.labels import annotations, answer_csv, label_studio
from edge_bridge.labels.answers import Answer
from edge_contract.errors import UsageError
from tests.bridge.labels.faces import NOW, PIXELS, guess, key_file, opened, sealed, store

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with six crops, four of which two people answered; what it printed."""
    monkeypatch.chdir(tmp_path)
    key_file(tmp_path)
    database = opened(tmp_path)
    strata = ("random", "random", "random", "uncertain", "disagreement", "random")
    sent = [
        ("cam-1" if n < 6 else "cam-2", sealed("cam-1" if n < 6 else "cam-2", n, stratum=stratum,
                                               challenger=guess("sad", 5) if n in {1, 5} else None))
        for n, stratum in enumerate(strata, 1)
    ]  # fmt: skip
    store(database, sent)
    happy, sad = Answer("label", "happy"), Answer("label", "sad")
    said = [
        (1, "ann", sad), (1, "bob", sad), (2, "ann", happy), (2, "bob", happy), (3, "ann", happy), (3, "bob", sad),
        (4, "ann", Answer("not-a-face")), (5, "ann", sad), (5, "bob", Answer("cannot-tell")),
    ]  # fmt: skip
    with database.transaction() as connection:
        for crop, who, answer in said:
            annotations.add(connection, crop, who, answer, NOW + crop, shown=False)
    database.close()

    def running(*arguments: str) -> str:
        capsys.readouterr()
        app([*arguments], standalone_mode=False)
        out = capsys.readouterr()
        return out.out + out.err

    return running


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def test_status_counts_and_says_how_people_agree_and_how_right_models_are(run: Run) -> None:
    text = run("status")
    assert text.splitlines()[1].split() == ["random", "4", "3", "2"]
    for line in (
        "Answers: 2 with a label, 2 no majority, 1 not a face.",
        "Annotators: ann 5, bob 4.",
        "Agreement: ann and bob on 2 of 3 crops, kappa 0.40.",
        "Accuracy: emotion-4 50.0% [",
        "Accuracy: emotion-5 100.0% [",
    ):
        assert line in text
    found = json.loads(run("status", "--json"))
    assert found["labelled"] == {"emotion-4": {"random": 2}}
    assert found["accuracy"]["emotion-5"]["crops"] == 1


def test_two_releases_are_compared_where_they_differ(run: Run) -> None:
    text = run("compare", "emotion-4", "emotion-5")
    assert "On 1 faces that both answered: 0 both right, 0 both wrong, 0 only emotion-4, 1 only emotion-5." in text
    assert "emotion-5 is ahead" in text
    with pytest.raises(UsageError, match="no labelled crop was answered by emotion-9; known are emotion-4, emotion-5"):
        run("compare", "emotion-4", "emotion-9")


def test_a_folder_holds_what_most_agree_on_in_the_clear_and_says_so(run: Run, tmp_path: Path) -> None:
    text = run("export", "--folder", "field", "--key", "labelling.pem")
    assert "2 labelled pictures written to field." in text
    assert "are not sealed" in text
    assert "Left out: 2 no majority, 1 not a face." in text
    rows = table(tmp_path / "field" / "labels.csv")
    assert rows[0] == {
        "picture": "cam-1-5-1", "label": "sad", "device": "cam-1", "taken": repr(NOW - 999), "track": "1",
        "stratum": "random", "inclusion": "0.01", "model": "emotion-4", "answer": "happy", "annotators": "2",
    }  # fmt: skip
    pictures = sorted(each.name for each in (tmp_path / "field" / "pictures").iterdir())
    assert pictures == ["cam-1-5-1.png", "cam-1-5-2.png"]
    assert Image.open(tmp_path / "field" / "pictures" / "cam-1-5-1.png").tobytes() == PIXELS
    assert (tmp_path / "field" / "tombstones.csv").read_text() == "device,from,until\n"
    assert stat.S_IMODE((tmp_path / "field").stat().st_mode) == 0o700


def test_an_export_replaces_an_earlier_one_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="photos is no earlier export of labels; name a new folder"):
        run("export", "--folder", "photos", "--key", "labelling.pem")
    assert (tmp_path / "photos" / "mine.png").read_bytes() == b"x"
    for _ in range(2):
        run("export", "--folder", "field", "--key", "labelling.pem")
    run("erase", "--device", "cam-1", "--from", "2026-01-01")
    run("export", "--folder", "field", "--key", "labelling.pem")
    assert table(tmp_path / "field" / "labels.csv") == []
    assert list((tmp_path / "field" / "pictures").iterdir()) == []
    (stone,) = table(tmp_path / "field" / "tombstones.csv")
    assert stone["device"] == "cam-1"
    assert float(stone["until"]) > NOW - 900
    run("tombstones", "stones.csv")
    assert table(tmp_path / "stones.csv") == [stone]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".field")]


def test_answers_go_out_as_csv_and_come_in_once(run: Run, tmp_path: Path) -> None:
    assert run("export", "--csv", "answers.csv").startswith("9 answers written")
    rows = table(tmp_path / "answers.csv")
    assert rows[0]["crop"] == "cam-1-5-1"
    assert run("import", "--csv", "answers.csv") == "0 answers added; 9 known already, 0 of crops that are not here.\n"
    (tmp_path / "more.csv").write_text(
        "crop,annotator,kind,label,time\n"
        "cam-2-5-6,'=cid,label,happy,2026-11-01T10:00:00Z\n"
        "cam-1-5-3,cid,cannot-tell,,1790000000\n"
        "cam-9-1-1,cid,label,happy,1790000000\n"
    )
    assert run("import", "--csv", "more.csv") == "2 answers added; 0 known already, 1 of crops that are not here.\n"
    assert json.loads(run("status", "--json"))["annotators"] == {"=cid": 1, "ann": 5, "bob": 4, "cid": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crop,annotator\n", "has no column kind, label, time"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,ann,happy,,1\n", "line 2: the kind is not one of label"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,ann,label,,1\n", "line 2: there is a label exactly where"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,ann,not-a-face,,soon\n", "line 2: the time is none"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,ann,not-a-face,,2026-01-01\n", "line 2: the time has no zone"),
        ("crop,annotator,kind,label,time\ncam-1-5-2,cid,label,sad,1\ncam-1-5-1,cid,label,merry,2\n",
         "no model answers the crop cam-1-5-1 with 'merry'; known are angry"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,a\x1bb,not-a-face,,1\n", "the annotator"),
        ("crop,annotator,kind,label,time\ncam-1-5-1,cid,not-a-face,,nan\n", "no time that can be"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_adds_nothing(run: Run, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(UsageError) as error:
        run("import", "--csv", "bad.csv")
    assert said in str(error.value)
    assert json.loads(run("status", "--json"))["annotators"] == {"ann": 5, "bob": 4}


def test_label_studio_takes_tasks_and_gives_answers_back(run: Run, tmp_path: Path) -> None:
    text = run("export", "--label-studio", "tasks.json", "--key", "labelling.pem", "--limit", "2")
    assert "2 tasks written" in text
    assert "Left out: 4 past --limit." in text
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[0]["data"]["crop"] == "cam-2-5-6"  # nobody has answered it
    assert tasks[0]["data"]["image"].startswith("data:image/png;base64,")
    assert "predictions" not in tasks[0]
    done = [
        {
            "id": 9, "project": 1, "data": tasks[0]["data"],
            "annotations": [{
                "id": 1, "completed_by": {"id": 3, "email": "dora@example.org"}, "was_cancelled": False,
                "created_at": "2026-11-20T10:00:00.123456Z", "lead_time": 2.5,
                "result": [{"from_name": "answer", "to_name": "image", "type": "choices", "id": "x",
                            "value": {"choices": ["fear"]}}],
            }, {"completed_by": 4, "was_cancelled": True, "result": []}],
            "predictions": [],
        },
        {
            "id": 10, "data": tasks[1]["data"],
            "annotations": [{"completed_by": 4, "created_at": "2026-11-20T10:00:00Z", "result": [
                {"type": "choices", "value": {"choices": ["not a face"]}}]}],
        },
    ]  # fmt: skip
    (tmp_path / "done.json").write_text(json.dumps(done))
    assert run("import", "--label-studio", "done.json").startswith("2 answers added; 0 known already")
    assert run("import", "--label-studio", "done.json").startswith("0 answers added; 2 known already")
    found = json.loads(run("status", "--json"))["annotators"]
    assert (found["dora@example.org"], found["label-studio-4"]) == (1, 1)
    for text in ("[", "{}", '[{"data":{}, "annotations":[{"result":[{}]}]}]', "[" * 100_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UsageError, match=r"bad\.json"):
            run("import", "--label-studio", "bad.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export",), "an export is one thing"),
        (("export", "--csv", "a", "--folder", "b"), "an export is one thing"),
        (("import",), "an import is one file"),
        (("import", "--csv", "none.csv"), "none.csv cannot be read"),
        (("export", "--folder", "field"), "labels.key names no key; make one with `edgewise-bridge labels key FILE`"),
        (("status", "--database", "none.db"), "there are no labels in none.db; start the bridge with labels.key"),
        (("erase", "--device", "Cam 1"), "--device 'Cam 1' is not usable"),
        (("erase", "--device", "cam-1", "--from", "2h", "--to", "3h"), "--from is not before --to"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as error:
        run(*arguments)
    assert said in str(error.value)


def test_listing_the_nouns_of_edgewise_loads_no_database_and_no_cryptography() -> None:
    code = "import sys, edge_bridge.commands.labels; assert not {'sqlalchemy', 'PIL', 'nicegui'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=60)
@given(noise=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(noise=b"crop,annotator,kind,label,time\n\0,,,,\n")
@example(noise=b'crop,annotator,kind,label,time,time\n"a","b",label,c,1e999,2,3\n')
@example(noise=b'[{"data":{"crop":"a"},"annotations":[{"completed_by":1,"created_at":"9","result":[{}]}]}]')
def test_any_file_is_read_or_refused_in_a_sentence(noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any-file"
    file.write_bytes(noise)
    for read in (answer_csv.read_csv, label_studio.read_tasks):
        with contextlib.suppress(UsageError):
            assert isinstance(read(file), list)
