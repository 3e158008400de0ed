# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write, put_host

FIXTURES = Path(__file__).parents[2] / "fixtures/docker"
INFO = ["docker", "info", "--format", "{{json .}}"]
RESTART = ["systemctl", "restart", "docker.service"]
NO_DAEMON = (FIXTURES / "26.1.5-inspect-no-daemon.txt").read_text().splitlines()[1]


def info(**changes: Any) -> str:
    """Returns the recorded answer of docker info, of a daemon without its experimental features and one container."""
    return json.dumps({**json.loads((FIXTURES / "26.1.5-info.json").read_text()), **changes})


def config(folder: Path) -> Path:
    return folder / "etc/docker/daemon.json"


def world(
    folder: Path, text: str | None, before: dict[str, Any] | None, after: dict[str, Any] | None = None, **restart: Any
) -> Host:
    """A host with this daemon.json, and a daemon that answers so before and after its restart; None: it is down."""
    put_host(folder, 0)
    config(folder).parent.mkdir(parents=True)
    if text is not None:
        config(folder).write_text(text)

    def reply(answer: dict[str, Any] | None, state: str) -> Reply:
        if answer is None:
            return Reply(INFO, err=NO_DAEMON, rc=1, state=state)
        return Reply(INFO, out=info(**answer), state=state)

    return Host(replies=[reply(before, "before"), reply(after, "after"), Write(RESTART, **{"turns": True, **restart})])


IDLE = {"ContainersRunning": 0, "ExperimentalBuild": False}
ON = {"ContainersRunning": 0, "ExperimentalBuild": True}


def case(text: str | None, before: Any, after: Any = None, **params: Any) -> Any:
    return lambda folder: (params, world(folder, text, before, after))


CONTRACT_CASES = [
    Case("no-file", case(None, IDLE, ON)),
    Case("other-keys", case('{"log-level": "warn"}', IDLE, ON)),
    Case("switched-off", case('{"experimental": false}', IDLE, ON)),
    Case("not-restarted-yet", case('{"experimental": true}', IDLE, ON)),
    Case("daemon-stopped", case("{}", None)),
    Case("daemon-stopped-and-right", case('{"experimental": true}', None), changed=False),
    Case("by-command-line", case(None, ON), changed=False),
    Case("right-already", case('{"experimental": true}', ON), changed=False),
    Case("live-restore", case("{}", {"LiveRestoreEnabled": True}, ON)),
    Case("containers-may-end", case("{}", {}, ON, stop_containers=True)),
    Case("absent", case('{"experimental": true, "debug": true}', ON, IDLE, state="absent")),
    Case("absent-alone", case('{"experimental": true}', ON, IDLE, state="absent")),
    Case("absent-already", case('{"debug": true}', IDLE, state="absent"), changed=False),
    Case("absent-by-command-line", case(None, ON, state="absent"), changed=False),
]


def test_other_keys_stay_in_their_order(module: Any, tmp_path: Path) -> None:
    run = module(
        "docker_experimental", {}, host=world(tmp_path, '{"log-level": "warn", "bip": "10.0.0.1/24"}', IDLE, ON)
    )
    assert list(json.loads(config(tmp_path).read_text()).items()) == [
        ("log-level", "warn"),
        ("bip", "10.0.0.1/24"),
        ("experimental", True),
    ]
    assert run.result["docker_experimental"] == {
        "path": str(config(tmp_path)),
        "experimental": True,
        "live_restore": False,
        "containers_running": 0,
    }
    assert run.result["commands"] == [RESTART]
    assert run.result["diff"]["before"] == {"experimental": False, "file": None}
    assert run.result["diff"]["after"] == {"experimental": True, "file": True}


def test_a_file_keeps_its_mode_and_a_new_one_can_be_read(module: Any, tmp_path: Path) -> None:
    host = world(tmp_path, "{}", IDLE, ON)
    config(tmp_path).chmod(0o640)
    module("docker_experimental", {}, host=host)
    assert config(tmp_path).stat().st_mode & 0o777 == 0o640
    config(tmp_path).unlink()
    module("docker_experimental", {}, host=Host(replies=[Reply(INFO, err=NO_DAEMON, rc=1)]))
    assert config(tmp_path).stat().st_mode & 0o777 == 0o644


def test_running_containers_are_not_ended(module: Any, tmp_path: Path) -> None:
    run = module("docker_experimental", {}, host=world(tmp_path, "{}", {}))
    assert run.result["reason"] == "containers_running"
    assert "containers run (1)" in run.result["msg"]
    assert config(tmp_path).read_text() == "{}"
    assert not run.host.wrote


def test_paused_containers_count(module: Any, tmp_path: Path) -> None:
    paused = {"ContainersRunning": 0, "ContainersPaused": 2, "ExperimentalBuild": False}
    run = module("docker_experimental", {}, host=world(tmp_path, "{}", paused), check=True)
    assert run.result["reason"] == "containers_running"
    assert "containers run (2)" in run.result["msg"]


def test_a_daemon_that_does_not_start_gets_its_old_file_back(module: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    def restart() -> None:
        seen.append(config(tmp_path).read_text())

    host = world(
        tmp_path, '{"bip": "10.0.0.1/24"}', IDLE, ON, rc=1, err="Job for docker.service failed.", effect=restart
    )
    run = module("docker_experimental", {}, host=host)
    assert run.result["reason"] == "tool_failed"
    assert run.result["cmd"] == RESTART
    assert [json.loads(text).get("experimental") for text in seen] == [True, None]
    assert config(tmp_path).read_text() == '{"bip": "10.0.0.1/24"}'
    assert run.result["cleanup_failed"] == [
        "Cannot restart Docker with its old settings: Job for docker.service failed."
    ]


def test_a_new_file_is_removed_again(module: Any, tmp_path: Path) -> None:
    run = module("docker_experimental", {}, host=world(tmp_path, None, IDLE, ON, rc=1, err="failed"))
    assert run.result["reason"] == "tool_failed"
    assert not config(tmp_path).exists()


def test_a_daemon_that_does_not_follow_the_file_is_reported(module: Any, tmp_path: Path) -> None:
    run = module("docker_experimental", {}, host=world(tmp_path, "{}", IDLE, IDLE))
    assert run.result["reason"] == "option_ineffective"


BAD = [
    pytest.param("{", "config_broken", id="cut-off"),
    pytest.param("[]", "config_broken", id="list"),
    pytest.param("# comment\n{}", "config_broken", id="comment"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_a_broken_file_is_not_touched(module: Any, tmp_path: Path, text: str, reason: str) -> None:
    run = module("docker_experimental", {}, host=world(tmp_path, text, IDLE))
    assert run.result["reason"] == reason
    assert run.result["path"] == str(config(tmp_path))
    assert config(tmp_path).read_text() == text


def test_a_link_is_not_replaced(module: Any, tmp_path: Path) -> None:
    host = world(tmp_path, None, IDLE)
    config(tmp_path).symlink_to(tmp_path / "elsewhere.json")
    run = module("docker_experimental", {}, host=host)
    assert run.result["reason"] == "config_is_link"
    assert config(tmp_path).is_symlink()


def test_a_folder_is_reported(module: Any, tmp_path: Path) -> None:
    host = world(tmp_path, None, IDLE)
    config(tmp_path).mkdir()
    run = module("docker_experimental", {}, host=host)
    assert run.result["reason"] == "file_failed"


ANSWERS = [
    pytest.param("{}", "engine_mismatch", id="podman"),
    pytest.param("x", "answer_invalid", id="no-json"),
    pytest.param('{"ExperimentalBuild": false, "ContainersRunning": "1"}', "answer_invalid", id="wrong-type"),
]


@pytest.mark.parametrize(("text", "reason"), ANSWERS)
def test_an_answer_of_something_else_is_refused(module: Any, tmp_path: Path, text: str, reason: str) -> None:
    put_host(tmp_path, 0)
    run = module("docker_experimental", {}, commands=[Reply(INFO, out=text)])
    assert run.result["reason"] == reason
