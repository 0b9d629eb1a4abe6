"""Which devices a command means: by name, or by a pattern such as `attic-*`. Pure.

A name is meant: one that is not there, or is still online, ends the command before anything is done. A pattern is a
description: what it matches and is online is left, and said.
"""

import fnmatch
from collections.abc import Iterable, Mapping

from edge_contract import topics
from edge_contract.errors import UsageError
from edge_fleet.devices.view import Device


def is_pattern(text: str) -> bool:
    """Whether it describes devices instead of naming one."""
    return any(each in text for each in "*?[")


def chosen_to_forget(named: Iterable[str], known: Mapping[str, Device]) -> tuple[list[str], list[str]]:
    """The devices to forget, and those that a pattern matched and that are online.

    Raises:
        UsageError: a name or a pattern means no device, or a named one is online.
    """
    chosen: set[str] = set()
    online: set[str] = set()
    for each in named:
        if is_pattern(each):
            found = fnmatch.filter(known, each)
            if not found:
                raise UsageError(f"no device matches {each!r}", remedy="see `edgewise fleet ls` for those that are")
            online.update(one for one in found if known[one].online)
            chosen.update(one for one in found if not known[one].online)
            continue
        topics.checked_id(each, "device id")
        if each not in known:
            raise UsageError(
                f"no device {each} is known on this broker", remedy="see `edgewise fleet ls` for those that are"
            )
        if known[each].online:
            raise UsageError(f"{each} is online and would be back at once", remedy="stop its agent first")
        chosen.add(each)
    if not chosen:
        raise UsageError(
            "every device that matches is online and would be back at once", remedy="stop their agents first"
        )
    return sorted(chosen), sorted(online)
