"""Packages are deterministic, old ones still open, and a damaged one is refused before anything is loaded."""

import io
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract import limits, manifest, package
from edge_contract.errors import EdgewiseError, TrustError, UsageError

MODEL = bytes(range(256)) * 8


def a_manifest(**changes: object) -> manifest.ModelManifest:
    made = manifest.ModelManifest(
        name="tiny",
        release=1,
        digest=manifest.digest_of(MODEL),
        size=len(MODEL),
        labels=("angry", "happy"),
        input=manifest.ImageInput(height=48, width=48, color="gray"),
        crop=manifest.FaceCrop(),
        output=manifest.Output(dtype="uint8", scale=1 / 256),
        quantization="int8",
        goldens=(manifest.Golden.of(bytes(48 * 48), (12, 244)),),
    )
    return msgspec.structs.replace(made, **changes)


def a_package(**changes: object) -> package.ModelPackage:
    return package.ModelPackage(a_manifest(**changes), MODEL, "# Tiny\n")


def test_what_was_written_is_read_and_writes_the_same_bytes() -> None:
    written = package.write(a_package())
    assert package.read(written) == a_package()
    assert package.write(package.read(written)) == written


def test_the_file_is_named_after_the_model_and_release(tmp_path: Path) -> None:
    assert a_package().file_name == "tiny-1.ewm"
    (tmp_path / "tiny-1.ewm").write_bytes(package.write(a_package()))
    assert package.read_file(tmp_path / "tiny-1.ewm").manifest.ref.release == 1


def test_a_manifest_of_another_size_or_digest_is_not_packaged() -> None:
    with pytest.raises(TrustError, match="bytes"):
        package.write(a_package(size=1))
    with pytest.raises(TrustError, match="digest"):
        package.write(a_package(digest="0" * 64))


def rezipped(changes: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The package's ZIP with some entries replaced, added or (None) left out."""
    with zipfile.ZipFile(io.BytesIO(package.write(a_package()))) as archive:
        entries: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in (entries | changes).items():
            if data is not None:
                archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", UsageError, "damaged"),
        (package.write(a_package())[:-30], UsageError, "damaged"),
        (rezipped({"model.tflite": None}), UsageError, "model.tflite"),
        (rezipped({"extra.bin": b"x"}), UsageError, "more than"),
        (rezipped({"model.tflite": MODEL[:-1] + b"x"}), TrustError, "digest"),
        (rezipped({"model.tflite": MODEL[:-1]}), TrustError, "bytes"),
        (rezipped({"manifest.json": b"{}"}), UsageError, "manifest"),
        (rezipped({"manifest.json": b" " * (limits.MANIFEST_BYTES + 1)}), UsageError, "larger"),
        (rezipped({}, zipfile.ZIP_DEFLATED), UsageError, "compressed"),
        (rezipped({"MODEL_CARD.md": b"\xff"}), UsageError, "UTF-8"),
    ],
)
def test_a_broken_package_is_refused_with_its_reason(data: bytes, error: type[EdgewiseError], says: str) -> None:
    with pytest.raises(error, match=says):
        package.read(data)


@given(st.integers(0, len(package.write(a_package())) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_changes_the_model(position: int, flip: int) -> None:
    data = bytearray(package.write(a_package()))
    data[position] ^= flip
    try:
        read = package.read(bytes(data))
    except EdgewiseError:
        return
    assert read.model == MODEL


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": ("angry", "angry")}, "twice"),
        ({"goldens": (manifest.Golden.of(b"", (1,)),)}, "per label"),
    ],
)
def test_rules_that_span_fields_hold(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        manifest.decode(manifest.encode(a_manifest(**changes)))


@pytest.mark.parametrize("field", ["digest", "labels", "input", "crop", "output", "size", "release"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = msgspec.json.decode(manifest.encode(a_manifest()))
    del fields[field]
    with pytest.raises(UsageError, match=field):
        manifest.decode(msgspec.json.encode(fields))


def test_another_major_format_is_refused() -> None:
    fields = msgspec.json.decode(manifest.encode(a_manifest())) | {"format": 2}
    with pytest.raises(UsageError, match="format"):
        manifest.decode(msgspec.json.encode(fields))


def test_a_golden_unpacks_to_exactly_the_inputs_bytes() -> None:
    golden = manifest.Golden.of(b"\x01" * 2304, (1, 2))
    assert golden.pixels(2304) == b"\x01" * 2304
    for length in (2303, 2305):
        with pytest.raises(UsageError, match="bytes"):
            golden.pixels(length)
    bomb = manifest.Golden.of(bytes(50_000_000), (1, 2))
    with pytest.raises(UsageError, match="bytes"):
        bomb.pixels(2304)
