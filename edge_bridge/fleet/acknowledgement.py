"""How far each device's messages are stored, and so what may be acknowledged: pure decisions over keys.

A key is (session, sequence); the sequence grows by one within a device's spool, over sessions. A device deletes what is
acknowledged, so an acknowledgement must never cover a message that may still come and is not stored:

- `oldest`, in every message, says that nothing before it will come; up to there is done.
- Beyond, the mark moves over messages that follow one another. What lies past a gap is remembered, not acknowledged.
- A session lower than the mark's that was never seen is a device that was wiped while its clock was behind: the mark
  starts anew. Lowering it loses nothing; devices only repeat more.
- A lower session whose sequences go on past the mark is a device that kept its spool and lost its sessions while its
  clock was ahead before: the mark follows the sequence.
"""

from typing import Final

from msgspec import Struct

from edge_contract.messages import Count, Key

SESSIONS: Final = 16
"""Sessions remembered, to tell a repeated message from a wiped device."""
AHEAD: Final = 4096
"""Messages remembered past a gap for one device; what comes further ahead is stored but has to be repeated."""


class Progress(Struct, frozen=True, gc=False):
    """Up to and including `mark`, all that a device sent is stored or will never come."""

    mark: Key = (0, 0)
    sessions: tuple[Count, ...] = ()
    """Sessions seen, newest last."""
    ahead: tuple[Key, ...] = ()
    """Stored keys past the first gap, in order."""


def advance(progress: Progress, key: Key, oldest: Key) -> Progress:
    """The progress after storing the message `key`; `oldest`: what its device still held then, at the least."""
    mark, sessions, ahead = progress.mark, progress.sessions, progress.ahead
    if key[0] not in sessions:
        if key[0] < mark[0]:
            mark, ahead = (0, 0), ()
        sessions = (*sessions, key[0])[-SESSIONS:]
    never = (oldest[0], max(0, oldest[1] - 1))  # the greatest key that will not come; sequences begin at 1
    if never[0] < mark[0] and never[1] >= mark[1] and key[1] > mark[1]:
        mark, ahead = never, ()
    mark = max(mark, never)
    if key > mark:
        if key[1] == mark[1] + 1:
            mark = key
        elif len(ahead) < AHEAD:
            ahead = _with(ahead, key)
    if ahead and (ahead[0] <= mark or ahead[0][1] == mark[1] + 1):
        mark, ahead = _closed(mark, ahead)
    return Progress(mark, sessions, ahead)


def _with(ahead: tuple[Key, ...], key: Key) -> tuple[Key, ...]:
    if not ahead or key > ahead[-1]:  # nearly always: messages come in order
        return (*ahead, key)
    return ahead if key in ahead else tuple(sorted((*ahead, key)))


def _closed(mark: Key, ahead: tuple[Key, ...]) -> tuple[Key, tuple[Key, ...]]:
    """Move the mark over what follows it without a gap."""
    for index, key in enumerate(ahead):
        if key <= mark:
            continue
        if key[1] != mark[1] + 1:
            return mark, ahead[index:]
        mark = key
    return mark, ()
