"""Whether another client with the same id takes this one's connections, and when to come back then.

The one that comes back ends the other's connection, so two of one id would throw each other out for ever: each does it
ever less often. Brokers end the older connection with a reason code, or, as mosquitto 2.0 does, without a word: then
short connections to a broker that is there and admits this client again at once are the sign. Pure.
"""

from typing import Final

from edge_mqtt.reasons import Reason

SILENT_ENDS: Final = 3
"""Short connections in a row that ended without a word: fewer may be a network's fault."""
SHORT_S: Final = 300.0
FIRST_S: Final = 60.0
LONGEST_S: Final = 3600.0
"""So that of two with one id each loses its connection at most about once an hour."""

LIKELY: Final = Reason(
    "ended this connection again without a word: most likely another client came with the same id",
    "give each its own id: device.id and certificate of a device, client_id of a bridge",
)


class Rival:
    """One client's connections, as they end."""

    def __init__(self) -> None:
        self._silent = self._times = 0

    def ended(self, *, stood: float, taken_over: bool, silent: bool) -> float:
        """The pause, in seconds, that a rival asks for; 0 where there seems to be none.

        `stood`: seconds that the connection stood, 0 where it never did. `taken_over`: the broker said so. `silent`: it
        stood, and ended without a word.
        """
        if stood > LONGEST_S:
            self._times = 0  # no rival came for as long as the longest pause
        self._silent = self._silent + 1 if silent and stood < SHORT_S else 0
        if not taken_over and self._silent < SILENT_ENDS:
            return 0.0
        self._times += 1
        return min(LONGEST_S, FIRST_S * 2.0 ** min(self._times - 1, 16))
