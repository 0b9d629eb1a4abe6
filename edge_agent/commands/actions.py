"""What each signed command does. Who may give one, and that it is done once, is `receiver`'s to hold."""

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
    """The commands that this agent knows."""

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
        """`stop` and `reload` act on the agent; `file`: the settings that `set-config` overrides."""
        self._info, self._models, self._manager = info, models, manager
        self._stop, self._reload, self._file = stop, reload, file

    def by_name(self) -> Mapping[str, Action]:
        """What to call for each command's name."""
        return {
            "identify": self._identify,
            "selftest": self._self_test,
            "rollback": self._roll_back,
            "restart": self._restart,
            "set-config": self._set_config,
        }

    def _identify(self, _arguments: Arguments) -> str:
        info = self._info
        _log.warning("asked to identify itself: this is %s at %s", info.device, info.site)
        return f"{info.device} at {info.site}: {info.board}, {info.os}, looking through {info.camera}."

    def _self_test(self, _arguments: Arguments) -> str:
        model = self._models.active()
        if model is None:
            raise EdgewiseError("there is no model to test", remedy="push a release")
        verdict = selftest.run_unstaged(model)
        sentence = selftest.in_words(model, verdict)
        if not verdict.passed:
            raise EdgewiseError(sentence)
        return sentence

    def _roll_back(self, arguments: Arguments) -> str:
        self._models.roll_back(str(arguments.get("reason", "a signed command asked for it.")))
        return "going back to the model before; the reported state says how it ends."

    def _restart(self, _arguments: Arguments) -> str:
        if not self._manager.present:
            raise EdgewiseError(
                "this agent does not run under a service manager, which would start it again",
                remedy="restart it on the device",
            )
        self._stop()
        return "ending; the service manager starts it again."

    def _set_config(self, arguments: Arguments) -> str:
        if self._file is None or not arguments:
            raise UsageError("set-config has nothing to set here", remedy="give at least one KEY=VALUE")
        self._file.override(arguments)
        self._reload()
        return f"set {', '.join(sorted(arguments))}."
