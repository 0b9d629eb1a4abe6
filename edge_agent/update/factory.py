"""The factory package, a model that no release side vouches for: self-tested once here before it runs.

What passed is remembered with the runtime it passed under, so that not every start pays for it.
"""

import logging
import sqlite3

from edge_agent.models import selftest
from edge_agent.models.slots import ActiveModel
from edge_agent.update.store import StateStore, TestedFactory
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import digest_of, encode

_REMEDY = "let model.factory name another package, or none"
_log = logging.getLogger(__name__)


def require_tested(model: ActiveModel, store: StateStore, runtime: str) -> None:
    """Run the self-test, unless this very package passed it here before; takes seconds.

    Raises:
        EdgewiseError: it did not pass, or could not be run.
    """
    tested = TestedFactory(digest_of(encode(model.manifest)), runtime)  # the manifest names the model's own digest
    if store.tested_factory() == tested:
        return
    _log.info("self-test of the factory package %s %d …", model.manifest.name, model.manifest.release)
    try:
        verdict = selftest.run_unstaged(model)
    except OSError as error:
        raise EdgewiseError(
            f"the self-test of the factory package cannot be run ({error.strerror or error})",
            remedy="free some space in the temporary folder",
        ) from error
    if not verdict.passed:
        raise EdgewiseError(f"the factory package {selftest.in_words(model, verdict).rstrip('.')}", remedy=_REMEDY)
    try:
        with store.transaction():
            store.save_tested_factory(tested)
    except sqlite3.Error as error:
        _log.warning("the self-test of the factory package is done again at the next start (%s)", error)
