"""Limits both ends of the wire hold: sizes in bytes, counts. What passes one is refused by name."""

from typing import Final

CHUNK_BYTES: Final = 64 * 1024
"""Files travel in chunks of this size: every broker and cloud gateway in use passes it."""

MODEL_BYTES: Final = 32 * 1024 * 1024
"""The largest model file: 512 chunks. Larger networks do not belong on these boards."""

MESSAGE_BYTES: Final = 128 * 1024
"""The largest JSON message: the smallest packet limit met in the field (a cloud's 128 KB)."""

CROP_BYTES: Final = 96 * 1024
"""The largest sealed crop of a face, its topic included."""

MANIFEST_BYTES: Final = 512 * 1024
"""The largest manifest, goldens included."""

PACKAGE_BYTES: Final = MODEL_BYTES + 2 * 1024 * 1024
"""The largest `.ewm`: model, manifest and card."""

RELEASE_BYTES: Final = MANIFEST_BYTES + 64 * 1024
"""The largest release file: the manifest and the digests of the model's chunks."""

METADATA_BYTES: Final = 127_000
"""The largest TUF metadata file: with its topic it passes gateways that take 128 kB a packet, however they count."""

LABELS: Final = 1000
"""The most classes a model may answer with."""

GOLDENS: Final = 64
"""The most golden inputs a manifest may carry."""

DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""The largest file of text or JSON that a stage of the pipeline or a state directory keeps for itself."""

SECRET_BYTES: Final = 64 * 1024
"""The largest file of a password, a passphrase, a key or a certificate."""

CERTIFICATES_BYTES: Final = 4 * 1024 * 1024
"""The largest file of certificates that vouch for others: a system's whole collection has a quarter of a megabyte."""

LEDGER_BYTES: Final = 256 * 1024 * 1024
"""The largest ledger: half a million entries."""

DATASET_BYTES: Final = 256 * 1024 * 1024 * 1024
"""The largest file of training data: what memory holds is checked beside it."""

NETWORK_BYTES: Final = 4 * 1024 * 1024 * 1024
"""The largest file of a network in training, or of the weights it starts from."""

PROBATION_BOOTS: Final = 3
"""A release that has not proved itself after this many starts is rolled back."""
