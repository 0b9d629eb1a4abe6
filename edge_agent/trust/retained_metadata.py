"""Collects the release side's metadata as the broker hands it out, unread, until it is all there or nothing more comes.

The index is an untrusted hint of what is all of it. A forged one can make a device wait for `SILENCE_S`, or hide
news, which withholding messages does too, and which the timestamp's expiry ends.
"""

import threading
from typing import Final

from edge_contract import limits
from edge_contract.errors import MessageError
from edge_contract.messages import TrustIndex, decode
from edge_contract.topics import PREFIX, TrustTopic, parse

FILTER: Final = f"{PREFIX}/trust/+"
SILENCE_S: Final = 5.0
"""How long retained messages may take; a broker hands them out within milliseconds of the subscription."""
_KEPT: Final = 64  # files held at most; a release side publishes its roots and two versions of the rest


class RetainedFiles:
    """What a subscription to `FILTER` delivered."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def receive(self, topic: str, payload: bytes) -> None:
        """A message arrived (on the link's thread)."""
        parsed = parse(topic)
        if not isinstance(parsed, TrustTopic):
            return
        with self._lock:
            if not payload:
                self._files.pop(parsed.file, None)
            elif len(payload) <= limits.METADATA_BYTES and (parsed.file in self._files or len(self._files) < _KEPT):
                self._files[parsed.file] = payload

    def held(self) -> dict[str, bytes]:
        """All of it, by TUF's file names."""
        with self._lock:
            return dict(self._files)

    def complete(self) -> bool:
        """Whether every file is here that the index names."""
        files = self.held()
        try:
            index = decode(files.get("index.json", b""), TrustIndex)
        except MessageError:
            return False
        named = {"timestamp.json", f"{index.snapshot}.snapshot.json", f"{index.targets}.targets.json"}
        roots = {f"{version}.root.json" for version in range(2, min(index.root, _KEPT) + 1)}
        return files.keys() >= named | roots
