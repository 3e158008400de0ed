# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what is planned around CRIU and LXC: their options, and what LXC does not restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc import restore
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import LIMITS, parse_info
from ansible_collections.criu.hosts.tests.unit.lxc_host import lxc_host, recorded

HIERARCHIES = "2:cpuacct:/\n1:name=systemd:/init.scope\n0::/system.slice/ssh.service\n"
OPTIONS = [
    pytest.param("0::/a\n", False, ["cgroup-root :/lxc.payload.web", "work-dir /w"], id="one-hierarchy"),
    pytest.param(
        HIERARCHIES,
        True,
        [
            "cgroup-root cpuacct:/",
            "cgroup-root name=systemd:/init.scope",
            "cgroup-root :/lxc.payload.web",
            "work-dir /w",
            "mntns-compat-mode",
        ],
        id="first-version-too-and-a-link",
    ),
    pytest.param("1:cpu:/a b\n2:x:/#\n3\n", False, ["cgroup-root :/lxc.payload.web", "work-dir /w"], id="no-words"),
]


@pytest.mark.parametrize(("hierarchies", "links", "expected"), OPTIONS)
def test_options_of_criu(hierarchies: str, links: bool, expected: list[str]) -> None:
    found = restore.render_options(hierarchies, "/lxc.payload.web", "/w", links=links)
    assert found.splitlines() == expected and found.endswith("\n")


def test_limits_that_criu_restores_are_left_out() -> None:
    setting = "lxc.cgroup2.memory.max = 1G\nlxc.cgroup2.cgroup.max.descendants = 7\nlxc.cgroup2.devices.deny = a"
    assert restore.wanted_limits({LIMITS: setting}) == (("memory.max", "1G"), ("devices.deny", "a"))


def test_a_container_without_limits_is_not_frozen(tmp_path: Path) -> None:
    made = lxc_host(tmp_path)
    made.runs()
    limits = {True: recorded("info-running.txt"), False: recorded("info-busybox.txt")}
    for limited, text in limits.items():
        settings = parse_info(text).settings
        container = container_of(settings)
        steps = restore.restore_steps(made.engine, container, "/images")
        programs = [one.argv[0] for one in steps if isinstance(one, Command)]
        expected = ["env", *(["lxc-cgroup"] * 13 + ["lxc-freeze", "lxc-unfreeze"] if limited else [])]
        assert programs == expected
        first = next(one for one in steps if isinstance(one, Command))
        assert any(one.startswith("--action-script=") for one in first.argv) is limited


def container_of(settings: dict[str, str]) -> Container:
    return Container("web", "web", "exited", 0, "", "", "", "", own={**settings, "cgroup": ""})
