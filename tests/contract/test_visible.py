"""What is foreign reaches no terminal as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.visible import visible, visible_json, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("überrascht 😮 日本 e\u0301", "überrascht 😮 日本 e\u0301"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc\x00\x7f", "a\\r\\nb\\tc\\x00\\x7f"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("two\u2028lines", "two\\u2028lines"),
        ("\ud800", "\\ud800"),
        ("[/] [red] \\", "[/] [red] \\"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for shown in (visible(text), *visible_lines(text).split("\n")):
        assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(each) for each in shown}
        assert not {"RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"} & set(
            map(unicodedata.bidirectional, shown)
        )
        assert visible(shown) == shown
        shown.encode()
    assert visible_lines(text).count("\n") == text.count("\n")


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_json_means_the_same(text: str) -> None:
    written = visible_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(written) == [text]
    assert visible(written) == written
