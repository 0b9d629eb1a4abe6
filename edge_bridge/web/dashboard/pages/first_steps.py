"""What the first page shows while no device has ever connected."""

from typing import Any, Final

from nicegui import ui

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def first_steps(broker: str) -> Any:
    """How to start the first device; `broker`: HOST:PORT."""
    with ui.element("div").classes("panel").style("counter-reset: step").mark("first-steps") as panel:
        ui.label("No device yet").classes("heading")
        ui.label("This page fills by itself as soon as the first one connects.").classes("muted")
        with ui.element("div").classes("stack").style("gap: 18px; margin: 18px 0"):
            for text, words in (
                ("On the device, write the file agent.toml:", _agent_settings(broker)),
                ("See what it lacks, with a remedy for each line:", "edgewise-agent doctor --config agent.toml"),
                ("Start it:", "edgewise-agent run --config agent.toml"),
            ):
                with ui.element("div").classes("step"), ui.element("div").classes("stack"):
                    ui.label(text)
                    ui.label(words).classes("words")
        ui.label("No camera at hand? `make demo` in the checkout runs everything on this machine.").classes("muted")
    return panel


def _agent_settings(broker: str) -> str:
    host, _, port = broker.rpartition(":")
    address = "127.0.0.1  # from another machine: this one's address" if host in _LOOPBACK else host
    name, _, comment = address.partition("  #")
    return (
        '[device]\nid = "cam-1"\nsite = "home"\n\n'
        f'[broker]\nhost = "{name}"{"  #" + comment if comment else ""}\nport = {port}\n\n'
        '[source]\nurl = "0"  # a camera, a file, a folder or an address'
    )
