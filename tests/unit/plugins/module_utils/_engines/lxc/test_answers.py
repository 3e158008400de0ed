# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the parsers of what lxc-info prints."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc import answers
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import Entry
from ansible_collections.criu.hosts.tests.unit.lxc_host import recorded

STATES = [
    pytest.param("running", "RUNNING", "none", "0", "", id="running"),
    pytest.param("frozen", "FROZEN", "none", "0", "", id="frozen"),
    pytest.param("stopped", "STOPPED", "none", "0", "", id="stopped"),
    pytest.param("default", "RUNNING", "", "5", "generated", id="as-a-template-makes-it"),
]


@pytest.mark.parametrize(("name", "state", "console", "terminals", "profile"), STATES)
def test_state_and_settings(name: str, state: str, console: str, terminals: str, profile: str) -> None:
    found = answers.parse_info(recorded(f"info-{name}.txt"))
    assert found.state == state and (found.pid > 0) is (state != "STOPPED")
    assert (found.settings[answers.CONSOLE], found.settings[answers.TTYS]) == (console, terminals)
    assert found.settings[answers.APPARMOR] == profile
    assert set(found.settings) == set(answers.KEYS)


def test_lists_have_a_line_for_each_value() -> None:
    found = answers.parse_info(recorded("info-unprivileged.txt")).settings
    assert found[answers.IDMAP].splitlines() == ["u 0 100000 65536", "g 0 100000 65536"]
    assert found[answers.NETWORKS].splitlines() == ["empty"]
    assert found[answers.LIMITS] == ""
    assert answers.parse_info(recorded("info-running.txt")).settings[answers.NETWORKS] == "veth"


def test_answer_without_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match="no state"):
        answers.parse_info(recorded("info-missing.txt"))


def test_bind_mounts_only() -> None:
    found = answers.parse_mounts(answers.parse_info(recorded("info-busybox.txt")).settings[answers.MOUNTS])
    assert [(one.source, one.target) for one in found] == [
        ("/lib", "lib"),
        ("/usr/lib", "usr/lib"),
        ("/lib64", "lib64"),
        ("/usr/lib64", "usr/lib64"),
        ("/sys/kernel/security", "sys/kernel/security"),
    ]
    assert [one.optional for one in found] == [False] * 4 + [True]


def test_escapes_of_fstab() -> None:
    assert answers.parse_mounts(r"/srv/a\040b mnt none rbind 0 0") == (Entry("/srv/a b", "mnt", optional=False),)
    assert answers.parse_mounts("/srv") == answers.parse_mounts("") == ()


TARGETS = [
    pytest.param("sys/kernel", "/sys/kernel", id="below-the-root-file-system"),
    pytest.param("/var/lib/lxc/web/rootfs/mnt", "/mnt", id="with-the-root-file-system"),
    pytest.param("/mnt/../etc", "/etc", id="normal"),
    pytest.param("/", "/", id="root"),
]


@pytest.mark.parametrize(("target", "expected"), TARGETS)
def test_target(target: str, expected: str) -> None:
    assert answers.target_of(Entry("/a", target, optional=False), "/var/lib/lxc/web/rootfs") == expected


def test_limits_in_their_order() -> None:
    found = answers.parse_limits(answers.parse_info(recorded("info-running.txt")).settings[answers.LIMITS])
    assert found[:3] == (("devices.deny", "a"), ("devices.allow", "c *:* m"), ("devices.allow", "b *:* m"))
    assert len(found) == 13 and found[-1] == ("devices.allow", "c 10:229 rwm")
    assert answers.parse_limits("") == ()
