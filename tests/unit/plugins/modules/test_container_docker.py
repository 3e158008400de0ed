# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints and restores of Docker containers, on a host whose Docker keeps state."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.tests.unit.docker_host import NAME, DockerHost, docker_host
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun

Run = Callable[..., ModuleRun]
WEB = {"name": "web", "engine": "docker"}


@pytest.fixture
def host(tmp_path: Path) -> DockerHost:
    made = docker_host(tmp_path, selinux="disabled")
    # The recorded container has volumes and an annotation, which these tests do not need.
    made.config = {"Mounts": []}
    return made


def verbs(run: ModuleRun) -> list[str]:
    return [" ".join(argv[:2]) for argv in run.result["commands"]]


def test_in_place_and_back(module: Run, host: DockerHost) -> None:
    box = host.add("web", "always")
    checked = module("container_checkpoint", WEB, host=host, check=True)
    run = module("container_checkpoint", WEB, host=host)
    assert not run.failed, run.result
    assert checked.result["commands"] == run.result["commands"]
    assert verbs(run) == ["docker update", "docker pause", "docker checkpoint", "docker kill"]
    # It did not start again by itself, without its state.
    assert (box.status, box.policy) == ("exited", "no")
    assert not module("container_checkpoint", WEB, host=host).result["changed"]
    checked = module("container_restore", WEB, host=host, check=True)
    run = module("container_restore", WEB, host=host)
    assert not run.failed, run.result
    assert checked.result["commands"] == run.result["commands"]
    assert verbs(run) == ["docker start", "docker update"]
    assert (box.status, box.policy) == ("running", "always")
    assert not (host.folder(box) / "checkpoints" / NAME).exists()
    assert not module("container_restore", WEB, host=host).result["changed"]


def test_a_container_that_outlived_its_daemon_is_ended(module: Run, host: DockerHost) -> None:
    """Docker says that its checkpoint has succeeded, and lets it run on."""
    box = host.add("web")
    box.remembered = False
    run = module("container_checkpoint", WEB, host=host)
    assert not run.failed, run.result
    assert box.status == "exited"
    assert ["docker", "kill", box.id] in host.wrote


def test_leave_running(module: Run, host: DockerHost) -> None:
    box = host.add("web", "always")
    run = module("container_checkpoint", {**WEB, "leave_running": True}, host=host)
    assert not run.failed, run.result
    assert verbs(run) == ["docker checkpoint"]
    assert (box.status, box.policy) == ("running", "always")


def test_a_dump_that_fails_changes_nothing(module: Run, host: DockerHost) -> None:
    box = host.add("web", "on-failure:3")
    host.fails["checkpoint create"] = "checkpoint-no-criu.txt"
    run = module("container_checkpoint", WEB, host=host)
    assert run.result["reason"] == "criu_missing"
    assert run.result["container_state"] == "running"
    assert (box.status, box.policy) == ("running", "on-failure:3")


def test_a_restore_that_fails_keeps_the_checkpoint_and_no_policy(module: Run, host: DockerHost) -> None:
    box = host.add("web", "always")
    module("container_checkpoint", WEB, host=host)
    host.fails["start --checkpoint"] = "start-port-in-use.txt"
    run = module("container_restore", WEB, host=host)
    assert run.result["reason"] == "port_in_use"
    assert (box.status, box.policy) == ("exited", "no")
    assert (host.folder(box) / "checkpoints" / NAME / "inventory.img").exists()


REFUSED = [
    pytest.param({"tcp_established": True}, "ability_missing", id="option-of-criu"),
    pytest.param({"create_image": "localhost/web:1"}, "ability_missing", id="image"),
]


@pytest.mark.parametrize(("params", "reason"), REFUSED)
def test_what_docker_cannot_do_is_refused_in_check_mode(
    module: Run, host: DockerHost, params: dict[str, Any], reason: str
) -> None:
    host.add("web")
    for check in (True, False):
        assert module("container_checkpoint", {**WEB, **params}, host=host, check=check).result["reason"] == reason
    assert not host.wrote


def test_a_daemon_without_checkpoints_is_refused(module: Run, host: DockerHost) -> None:
    host.add("web")
    host.experimental = False
    run = module("container_checkpoint", WEB, host=host, check=True)
    assert run.result["reason"] == "ability_missing"
    assert "docker_checkpoint" in run.result["msg"]
