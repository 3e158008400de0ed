# SPDX-License-Identifier: GPL-3.0-or-later
"""Paused containers of a unit, stops that were cut off, and health checks after a restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import main
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import BASE_SECONDS
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop, stopped
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.stateful_units import Simulated

IMPROPER = "Error: container state improper\n"


@pytest.fixture(name="paused")
def paused_fixture(tmp_path: Path) -> Simulated:
    made = Simulated(tmp_path)
    made.live("v1")
    made.status = "paused"
    return made


def test_stop_unpauses_and_dumps(paused: Simulated) -> None:
    stop(paused.unit())
    assert paused.happened == ["unpause", "checkpoint"]
    assert paused.kept == {"v1"} and not paused.running


def test_stop_without_a_dump_is_a_clean_stop(paused: Simulated) -> None:
    paused.fails["checkpoint"] = "Error: OCI runtime error: runc: criu failed\n"
    stop(paused.unit())
    assert paused.happened == ["unpause", "checkpoint", "stop"]
    assert not paused.running


def test_stop_during_the_removal_of_the_unit_unpauses_first(paused: Simulated) -> None:
    paused.file.unlink()
    stop(paused.unit())
    assert paused.happened == ["unpause", "stop"]


def test_paused_container_that_outlived_its_unit_is_dumped(paused: Simulated) -> None:
    stopped(paused.unit(), "timeout", "unknown")
    assert paused.happened == ["unpause", "checkpoint"] and paused.kept == {"v1"}


@pytest.mark.parametrize("act", [start, stop], ids=["start", "stop"])
def test_unpause_that_fails_leaves_the_container_paused_and_says_so(paused: Simulated, act: object) -> None:
    paused.fails["unpause"] = "Error: OCI runtime error: cannot resume\n"
    with pytest.raises(CheckpointError, match=r"stays paused.*podman unpause web") as raised:
        act(paused.unit())  # type: ignore[operator]
    assert raised.value.reason == "container_paused"
    assert paused.happened == ["unpause"] and paused.memory == "v1"


def test_unpause_by_somebody_else_is_no_failure(paused: Simulated) -> None:
    paused.fails["unpause"] = IMPROPER
    paused.during["unpause"] = lambda: setattr(paused, "status", "running")
    stop(paused.unit())
    assert paused.kept == {"v1"}


def test_start_unpauses_and_keeps_the_container(paused: Simulated) -> None:
    start(paused.unit())
    assert paused.happened == ["unpause"] and paused.memory == "v1"
    assert any("was paused" in text for dummy, text in paused.said)


def test_start_proves_the_labels_of_a_paused_container_that_was_half_restored(tmp_path: Path) -> None:
    made = Simulated(tmp_path)
    made.live("v1")
    stop(made.unit())
    made.live("v1")
    made.status = "paused"
    made.happened.clear()
    start(made.unit())
    assert made.happened == ["unpause"]
    last = made.unit().last
    assert last is not None and (last.action, last.label_proof) == ("restored", "enforcing")


def test_stop_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    made = Simulated(tmp_path)
    made.live("v1")
    made.status = "stopping"
    stop(made.unit())
    assert made.happened == ["stop"] and not made.running


def test_every_command_of_the_program_has_a_limit_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float | None] = []

    def act(unit: object) -> None:
        found.append(unit.ctx.runner.limit)  # type: ignore[attr-defined]

    monkeypatch.setattr(main, "stop", act)
    monkeypatch.setattr(main, "Unit", lambda name, ctx, *dummy: type("Stub", (), {"ctx": ctx})())
    main.act(["program", "stop", "web"])
    assert found == [float(BASE_SECONDS - main.MARGIN_SECONDS)]
    assert ProgramRunner().limit is None


def test_start_lets_podman_check_the_health_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Simulated(tmp_path)
    made.health = {"Test": ["CMD", "ls", "/"], "Interval": 30000000000}
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    made.answers[("podman", "--version")] = "podman version 5.4.2\n"
    made.answers[("systemctl", "list-units", "--type=timer", "--no-legend", "--plain", f"{ID}*")] = f"{ID}-1.timer\n"
    made.live("v1")
    stop(made.unit())
    made.happened.clear()
    start(made.unit())
    assert made.happened == ["restore", "update"] and made.memory == "v1"
    assert not [text for priority, text in made.said if priority == "warning" and "health" in text]


def test_health_check_that_is_lost_is_a_warning_and_the_container_runs(tmp_path: Path) -> None:
    made = Simulated(tmp_path)
    made.health = {"Test": ["CMD", "ls", "/"], "Interval": 30000000000}
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    made.answers[("podman", "--version")] = "podman version 5.4.2\n"
    made.fails["update"] = "Error: no bus\n"
    made.live("v1")
    stop(made.unit())
    start(made.unit())
    assert made.memory == "v1"
    assert [text for priority, text in made.said if priority == "warning" and "no bus" in text]
