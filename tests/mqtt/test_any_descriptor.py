"""Every role's connection stands whatever else its process has open: paho's own `select` ends at 1,024 descriptors."""

import contextlib
import os
import resource
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_mqtt.any_descriptor import SelectByPoll
from edge_simulator.broker import Broker

MANY = 1100
SCRIPT = """
import os, sys, time
port = int(sys.argv[1])
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(sys.argv[2]))]
from edge_agent.mqtt.link import Link as DeviceLink
from edge_agent.mqtt.settings import BrokerSettings
from edge_bridge.link import Link as BridgeLink
from edge_bridge.settings import BrokerSettings as BridgeSettings
from edge_fleet.link import Arrived, Link as ReleaseLink
from edge_mqtt.address import BrokerAddress

def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "no message came"
        time.sleep(0.02)

seen = {}
device = DeviceLink(BrokerSettings(port=port), "device", clean_start=True)
device.subscribe("t", lambda topic, payload: seen.setdefault("device", payload))
device.start()
settings = BridgeSettings(port=port, client_id="bridge")
bridge = BridgeLink(settings, ["t"], lambda burst: seen.setdefault("bridge", burst))
bridge.start()
until(lambda: device.connected and bridge.connected)
with ReleaseLink(BrokerAddress(port=port)) as link:
    link.publish([Arrived("t", b"x")])
    until(lambda: seen.keys() == {"device", "bridge"})
device.stop()
bridge.stop()
assert max(map(int, os.listdir("/proc/self/fd"))) > 1024
print("delivered")
"""


def test_links_of_all_roles_stand_with_descriptors_past_those_of_select(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < MANY + 200:
        pytest.skip(f"this system allows a process {hard} descriptors")
    with Broker(tmp_path / "broker") as broker:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(broker.port), str(MANY)],
            capture_output=True, text=True, timeout=90, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (MANY + 200, hard)),
        )  # fmt: skip
    assert done.stdout == "delivered\n", done.stderr


@pytest.mark.parametrize("state", ["idle", "readable", "full", "hung up"])
def test_it_says_what_select_says(state: str) -> None:
    near, far = socket.socketpair()
    try:
        for end in (near, far):
            end.setblocking(False)
        if state == "readable":
            far.send(b"x")
        elif state == "full":
            with contextlib.suppress(BlockingIOError):
                while True:
                    near.send(bytes(65536))
        elif state == "hung up":
            far.close()
        asked = ([near], [near], [])
        assert SelectByPoll.select(*asked, 0.0) == select.select(*asked, 0.0)
        assert SelectByPoll.select([near.fileno()], [], [], 0.0)[0] == select.select([near.fileno()], [], [], 0.0)[0]
    finally:
        near.close()
        far.close()


def test_a_closed_descriptor_is_an_error_as_it_is_for_select() -> None:
    near, far = socket.socketpair()
    near.close()
    far.close()
    with pytest.raises(ValueError, match="closed"):
        SelectByPoll.select([near], [], [], 0.0)


def test_it_waits_no_longer_than_it_is_told() -> None:
    reading, writing = os.pipe()
    assert SelectByPoll.select([reading], [], [], 0.01) == ([], [], [])
    os.close(reading)
    os.close(writing)
