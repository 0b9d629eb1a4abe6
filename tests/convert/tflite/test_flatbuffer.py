"""A TFLite file's structure: its arithmetic counted, and a damaged file refused."""

import pytest

from convert.artifacts import Converted
from convert.tflite.flatbuffer import parse
from edge_contract.errors import UsageError

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


def test_multiply_accumulates_are_counted_by_hand(converted: Converted) -> None:
    # 48 -> 24 -> 12 -> 6 by strides, 3x3 kernels over 1, 8, 16 channels; pooled to 3x3x32; dense 288x32 and 32x7.
    by_hand = 24 * 24 * 8 * 9 * 1 + 12 * 12 * 16 * 9 * 8 + 6 * 6 * 32 * 9 * 16 + 288 * 32 + 32 * 7
    assert parse(converted.int8_model).macs == parse(converted.float_model).macs == by_hand


@pytest.mark.parametrize("cut", [0, 3, 8, 64, 1000, -1000, -40])
def test_a_cut_file_is_one_sentence_never_a_crash(converted: Converted, cut: int) -> None:
    with pytest.raises(UsageError, match=r"TFLite file.*convert"):
        parse(converted.int8_model[:cut], "x.tflite")
