"""How many cores the server uses: those it may, and in a container those it has a share of."""

from pathlib import Path

import pytest

from edge_serve.cores import usable


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({}, "0::/\n", 4),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 4),
        ({"cpu.max": "200000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "1000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "900000 100000\n"}, "0::/\n", 4),
        ({"system.slice/serve.service/cpu.max": "300000 100000\n"}, "0::/system.slice/serve.service\n", 3),
        ({"cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, "0::/a/b\n", 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/docker\n", 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/docker\n", 3),
        ({"cpu.max": "nonsense"}, "0::/\n", 4),
        ({"cpu.max": "100000 0\n"}, "0::/\n", 4),
        ({"cpu.max": "\xff"}, "0::/../..\n", 4),
    ],
)
def test_cores_are_those_of_the_affinity_or_the_share(
    files: dict[str, str], own: str, expected: int, tmp_path: Path
) -> None:
    for name, text in files.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "own").write_text(own)
    assert usable(4, tmp_path / "groups", tmp_path / "own") == expected


def test_without_control_groups_it_is_the_affinity(tmp_path: Path) -> None:
    assert usable(3, tmp_path / "none", tmp_path / "none") == 3
    assert usable() >= 1
