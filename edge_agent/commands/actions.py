"""What each signed command does. Who may give one, and that it is done once, is `commands`' to hold."""

import logging
from collections.abc import Callable, Mapping

from edge_agent.commands.receiver import Action, Arguments
from edge_agent.models import selftest
from edge_agent.settings_file import SettingsFile
from edge_agent.system.systemd import ServiceManager
from edge_agent.update.updater import ModelUpdates
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.messages import Info

_log = logging.getLogger(__name__)


class Actions:
    """The agent, as far as commands reach it."""

    def __init__(
        self,
        info: Info,
        models: ModelUpdates,
        *,
        manager: ServiceManager,
        stop: Callable[[], None],
        reload: Callable[[], None],
        file: SettingsFile | None,
    ) -> None:
        """`stop` and `reload` act on the agent; `file` is what `set-config` overrides."""
        self._info, self._models, self._manager = info, models, manager
        self._stop, self._reload, self._file = stop, reload, file

    def by_name(self) -> Mapping[str, Action]:
        """All of them, by the command's name."""
        return {
            "identify": self._identify,
            "selftest": self._self_test,
            "rollback": self._roll_back,
            "restart": self._restart,
            "set-config": self._set_config,
        }

    def _identify(self, _arguments: Arguments) -> str:
        info = self._info
        _log.warning("somebody asks which device this is: %s at %s", info.device, info.site)
        return f"{info.device} at {info.site}: {info.board}, {info.os}, looking through {info.camera}."

    def _self_test(self, _arguments: Arguments) -> str:
        model = self._models.active()
        if model is None:
            raise EdgewiseError("there is no model to test; push a release.")
        verdict = selftest.run_unstaged(model)
        told = selftest.in_words(model, verdict)
        if not verdict.passed:
            raise EdgewiseError(told)
        return told

    def _roll_back(self, arguments: Arguments) -> str:
        self._models.roll_back(str(arguments.get("reason", "a signed command asked for it.")))
        return "going back to the model before; the reported state says how it ends."

    def _restart(self, _arguments: Arguments) -> str:
        if not self._manager.present:
            raise EdgewiseError("nobody would start this agent again: it does not run under a service manager.")
        self._stop()
        return "ending; the service manager starts it again."

    def _set_config(self, arguments: Arguments) -> str:
        if self._file is None or not arguments:
            raise UsageError("set-config needs at least one key and its value.")
        self._file.override(arguments)
        self._reload()
        return f"set {', '.join(sorted(arguments))}."
