"""Lines that repeat themselves: a webcam with stray bytes prints one with every frame."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.system.repeats import Repeats


def test_a_day_of_a_webcam_with_stray_bytes_is_a_few_dozen_lines() -> None:
    repeats, said = Repeats(), []
    frames = range(86_400)
    for frame in frames:
        line = f"Corrupt JPEG data: {frame % 7} extraneous bytes before marker 0xd{frame % 8}"
        if admitted := repeats.admit(line, float(frame)):
            said.append(admitted)
    assert 2 < len(said) < 50
    assert said[0] == "Corrupt JPEG data: 0 extraneous bytes before marker 0xd0"
    left_out = [int(line.rpartition("(and ")[2].split()[0]) for line in said[1:]]
    assert sum(left_out) + len(said) <= len(frames)
    assert left_out == sorted(left_out)


def test_other_lines_are_said_beside_it_and_a_flood_of_all_kinds_is_limited() -> None:
    repeats = Repeats()
    assert repeats.admit("no such sensor", 0.0) == "no such sensor"
    assert repeats.admit("no such sensor", 1.0) is None
    assert repeats.admit("out of memory", 1.0) == "out of memory"
    letters = "abcdefghij"
    said = [repeats.admit("".join(letters[int(each)] for each in str(number)) + "!", 2.0) for number in range(5000)]
    assert sum(line is not None for line in said) < 40
    assert repeats.admit("again", 100.0) is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5000)), max_size=80))
def test_every_line_is_said_or_counted(lines: list[tuple[str, float]]) -> None:
    repeats, now, said, counted = Repeats(), 0.0, 0, 0
    for line, later in lines:
        now += later
        if admitted := repeats.admit(line, now):
            said += 1
            counted += int(admitted.rpartition("(and ")[2].split()[0]) if "(and " in admitted else 0
    assert said + counted <= len(lines)
