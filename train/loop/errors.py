"""Why a training ended before its last epoch."""

from edge_contract.errors import EdgewiseError


class DivergedError(EdgewiseError):
    """The loss stopped being a number."""


class HelperLostError(EdgewiseError):
    """Of several processes that train together, one is gone; the checkpoint of the last whole epoch stands."""


class StoppedError(EdgewiseError):
    """SIGTERM came; the checkpoint of the last whole epoch stands."""


class PrunedError(StoppedError):
    """A search gave this training up: others were better at the same epoch."""
