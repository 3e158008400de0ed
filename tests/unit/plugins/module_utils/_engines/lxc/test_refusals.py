# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which settings of a container of LXC are refused, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc import answers, refusals
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import parse_info
from ansible_collections.criu.hosts.tests.unit.lxc_host import LxcHost, lxc_host, recorded

WHAT = "checkpoint container 'web'"


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> LxcHost:
    return lxc_host(tmp_path)


def settings(name: str = "running", **changes: str) -> dict[str, str]:
    return {**parse_info(recorded(f"info-{name}.txt")).settings, "noted": "yes", **changes}


def refused(made: LxcHost, given: dict[str, str], *, runs: bool = True) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        refusals.require_settings(made.made.paths, given, WHAT, runs=runs)
    return caught.value


CASES = [
    pytest.param({answers.IDMAP: "u 0 100000 65536"}, "rootless_unsupported", "unprivileged", id="unprivileged"),
    pytest.param({answers.EPHEMERAL: "1"}, "ability_missing", "lxc.ephemeral", id="ephemeral"),
    pytest.param({answers.CONSOLE: ""}, "console_needed", "lxc.console.path", id="console"),
    pytest.param({answers.TTYS: "4"}, "console_needed", "lxc.tty.max", id="terminals"),
    pytest.param({answers.HOOKS: "/usr/bin/true"}, "ability_missing", "nothing notes", id="no-hook"),
    pytest.param({"noted": ""}, "ability_missing", "started without the settings", id="not-restarted"),
    pytest.param({answers.APPARMOR: "unconfined"}, "ability_missing", "no AppArmor", id="profile-without-apparmor"),
    pytest.param({answers.SELINUX: "u:r:t:s0"}, "ability_missing", "no SELinux", id="context-without-selinux"),
    pytest.param({answers.ROOTFS: "overlay:/a:/b"}, "ability_missing", "is no folder", id="root-file-system"),
    pytest.param({answers.NETWORKS: "veth\nipvlan"}, "ability_missing", "'ipvlan'", id="network"),
]


@pytest.mark.parametrize(("changes", "reason", "words"), CASES)
def test_refused(made: LxcHost, changes: dict[str, str], reason: str, words: str) -> None:
    error = refused(made, settings(**changes))
    assert error.reason == reason and words in error.message
    assert error.message.startswith("Cannot checkpoint container 'web': ") and error.message.endswith(".")


def test_a_container_of_the_role_is_accepted(made: LxcHost) -> None:
    refusals.require_settings(made.made.paths, settings(), WHAT, runs=True)


def test_a_container_of_a_template_is_told_of_the_role(made: LxcHost) -> None:
    running, stopped = (refused(made, settings("default"), runs=runs) for runs in (True, False))
    assert running.message.endswith("Apply the role criu.hosts.lxc_checkpoint to it, and restart it.")
    assert stopped.message.endswith("Apply the role criu.hosts.lxc_checkpoint to it.")


def test_generated_profile_with_apparmor(made: LxcHost) -> None:
    enabled = made.made.folder / "sys/module/apparmor/parameters/enabled"
    enabled.parent.mkdir(parents=True)
    enabled.write_text("Y\n")
    assert "'generated'" in refused(made, settings(**{answers.APPARMOR: "generated"})).message
    refusals.require_settings(made.made.paths, settings(**{answers.APPARMOR: "unconfined"}), WHAT, runs=True)


def test_control_groups_of_the_first_version(made: LxcHost) -> None:
    (made.made.folder / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert "control groups" in refused(made, settings()).message


def test_cgroup_of_a_different_name() -> None:
    def container(cgroup: str) -> Container:
        entry: dict[str, Any] = {"cgroup": cgroup}
        return Container("web", "web", "running", 1, "", "", "", "", own=entry)

    refusals.require_cgroup(container("/lxc.payload.web"), WHAT)
    with pytest.raises(CheckpointError, match=r"'/lxc\.payload\.web-1'") as caught:
        refusals.require_cgroup(container("/lxc.payload.web-1"), WHAT)
    assert caught.value.reason == "ability_missing"


def test_container_of_a_manager(made: LxcHost) -> None:
    refusals.refuse_managed(made.made.paths, "c1", WHAT)
    (made.made.folder / "var/lib/incus/containers/c1").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="Incus has made it") as caught:
        refusals.refuse_managed(made.made.paths, "c1", WHAT)
    assert caught.value.reason == "engine_mismatch"
