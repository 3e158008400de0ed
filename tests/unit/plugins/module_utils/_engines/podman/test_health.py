# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks after a restore: what podman shows, and the commands with which it makes them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Health
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import health as module_health
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_health, parse_inspect
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.health import (
    can_check_again,
    health_steps,
    other_interval,
    parse_version,
    update_argv,
)
from ansible_collections.criu.hosts.tests.unit.containers import ID, recorded, world

HEALTH = Health(("CMD", "ls", "/"), 30 * 10**9)
UPDATE = ("podman", "update", "--health-interval=30000000001ns")


def test_health_check_of_the_recorded_container() -> None:
    found = parse_inspect(recorded("inspect-paused.json"))
    assert found.health == Health(("CMD", "sh", "-c", "test -f /x y"), 30 * 10**9)
    assert found.paused and found.alive and not found.running and found.pid > 0
    assert parse_inspect(recorded("inspect-running.json")).health is None


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, None),
        ({"Healthcheck": None}, None),
        # podman 5.4.2: --no-healthcheck, and --health-interval=disable
        ({"Healthcheck": {"Test": ["NONE"]}}, None),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "ls /"], "Timeout": 30000000000, "Retries": 3}}, None),
        ({"Healthcheck": {"Test": ["CMD", "ls", "/"], "Interval": 30000000000}}, HEALTH),
    ],
)
def test_health_check_that_podman_makes_on_its_own(config: dict[str, Any], found: Health | None) -> None:
    assert parse_health(config) == found


@pytest.mark.parametrize("check", ["x", {"Test": "ls"}, {"Test": ["CMD", 1]}, {"Test": ["CMD", "a"], "Interval": "1"}])
def test_what_podman_does_not_print_is_refused(check: Any) -> None:
    with pytest.raises(ValueError, match=r"Healthcheck|text|number|list"):
        parse_health({"Healthcheck": check})


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (("CMD", "ls", "/"), (*UPDATE, "web")),
        (("CMD", "/bin/true"), (*UPDATE, "web")),
        (("CMD-SHELL", "test -f '/a  b'"), (*UPDATE, "web")),
        # podman 5.4.2 splits these words at spaces, unless it gets them again
        (("CMD", "sh", "-c", "test -f /x y"), (*UPDATE, '--health-cmd=["sh", "-c", "test -f /x y"]', "web")),
        (("CMD", "a", ""), (*UPDATE, '--health-cmd=["a", ""]', "web")),
    ],
)
def test_update_makes_the_timer_and_keeps_the_words(command: tuple[str, ...], argv: tuple[str, ...]) -> None:
    assert update_argv("web", Health(command, 30 * 10**9)) == argv


@pytest.mark.parametrize(
    "command", [("CMD", "/opt/a check"), ("CMD", "cmd", "a b"), ("CMD",), ("CMD-SHELL",), ("/bin/ls", "/")]
)
def test_a_check_that_podman_would_change_is_left_alone(command: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="would change"):
        update_argv("web", Health(command, 30 * 10**9))


def test_the_interval_is_another_one_each_time_and_the_same_for_systemd() -> None:
    second = other_interval(30 * 10**9)
    assert (second, other_interval(second)) == (30 * 10**9 + 1, 30 * 10**9)
    assert second // 1000 == 30 * 10**6, "systemd counts microseconds"


@pytest.mark.parametrize(
    ("text", "version", "able"),
    [
        ("podman version 4.3.1", (4, 3), True),
        ("podman version 5.0.3", (5, 0), True),
        ("podman version 5.1.0-rc1", (5, 1), False),
        ("podman version 5.3.2", (5, 3), False),
        ("podman version 5.4.2", (5, 4), True),
        ("podman version 6.0.0-dev", (6, 0), True),
    ],
)
def test_releases_with_a_way(text: str, version: tuple[int, ...], able: bool) -> None:
    assert parse_version(text) == version
    assert can_check_again(version) is able


def ctx(folder: Path, version: str, *, systemd: bool = True) -> Context:
    made = world(folder)
    if systemd:
        Path(made.paths.units).mkdir(parents=True)

    class Runner:
        def run(self, argv: Any, **dummy: Any) -> Any:
            from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed

            assert tuple(argv) == ("podman", "--version")
            return Completed(tuple(argv), 0, version, "")

        def which(self, name: str) -> str:
            return f"/usr/bin/{name}"

    return Context({}, Runner(), False, made.paths, 0)


def argvs(steps: Any) -> list[tuple[str, ...]]:
    return [step.argv for step in steps if isinstance(step, Command)]


def test_old_podman_gets_the_timer_that_it_would_make(tmp_path: Path) -> None:
    # As podman 4.3.1 calls systemd-run in libpod/healthcheck_linux.go, createTimer; it removes a timer of that name.
    made = argvs(health_steps(ctx(tmp_path, "podman version 4.3.1\n"), "web", ID, HEALTH))
    timer = ("--on-unit-inactive=30s", "--timer-property=AccuracySec=1s", "/usr/bin/podman", "healthcheck", "run", ID)
    assert made == [
        ("systemd-run", f"--unit={ID}", *timer),
        ("systemctl", "start", "--no-block", f"{ID}.service"),
    ]


def test_old_podman_cannot_for_an_id_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="for a new name") as raised:
        health_steps(ctx(tmp_path, "podman version 4.3.1\n"), "web", "", HEALTH)
    assert raised.value.reason == "tool_failed"


def test_new_podman_needs_no_id(tmp_path: Path) -> None:
    assert argvs(health_steps(ctx(tmp_path, "podman version 5.4.2\n"), "web", "", HEALTH)) == [(*UPDATE, "web")]


def test_without_systemd_podman_has_no_timers(tmp_path: Path) -> None:
    assert health_steps(ctx(tmp_path, "podman version 5.4.2\n", systemd=False), "web", ID, HEALTH) == ()


def test_words_of_the_check_survive_json() -> None:
    argv = update_argv("web", Health(("CMD", "a", 'b "c"'), 10**9))
    assert json.loads(argv[3].partition("=")[2]) == ["a", 'b "c"']
    assert module_health.duration(10**9) == "1s"
