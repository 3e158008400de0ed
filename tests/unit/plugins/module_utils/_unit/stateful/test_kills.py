# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the program after each of its steps, then what systemd does: the state is restored, or kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful import aside
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop, stopped
from ansible_collections.criu.hosts.tests.unit.stateful_units import Killed, Simulated

# More than any action has steps.
MANY = 60
ERROR = "Error: OCI runtime error: runc: criu failed: type NOTIFY errno 0\n"


def dumped(folder: Path, **spec: Any) -> Simulated:
    """A machine on which the unit was stopped, with the state v1."""
    made = Simulated(folder, **spec)
    made.live("v1")
    stop(made.unit())
    assert not made.running and made.kept == {"v1"}
    made.happened.clear()
    made.said.clear()
    return made


def killed_at(number: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Kills the program after this many steps; returns whether it had so many."""
    count = 0
    real = apply.apply_step

    def counted(runner: Any, step: Any, applied: Any) -> None:
        nonlocal count
        real(runner, step, applied)
        count += 1
        if count == number:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(apply, "apply_step", counted)
        try:
            action()
        except Killed:
            return True
    return False


def ways(name: str) -> Any:
    return pytest.mark.parametrize("then", ["systemd", "by-hand", "power-lost"], ids=lambda then: f"{name}-{then}")


def go_on(made: Simulated, then: str) -> None:
    """What follows: the unit's last command and a start, a start alone, or a boot and its start."""
    if then == "systemd":
        stopped(made.unit(), "signal", "unknown")
    elif then == "power-lost":
        made.boot()
    start(made.unit())


@ways("start")
def test_start_that_is_killed(then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, MANY):
        made = dumped(tmp_path / str(number))
        killed = killed_at(number, partial(start, made.unit()), monkeypatch)
        complete = made.running and not made.images.exists()
        go_on(made, then)
        assert made.running
        if then == "power-lost" and complete:
            assert made.memory == "fresh", "the container had been restored, and was running when the power was lost"
        else:
            assert made.memory == "v1", f"killed after step {number}"
        if not killed:
            return
    raise AssertionError("more steps than MANY")


@ways("stop")
def test_stop_that_is_killed(then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, MANY):
        made = Simulated(tmp_path / str(number))
        made.live("v1")
        killed = killed_at(number, partial(stop, made.unit()), monkeypatch)
        ran_on = made.running
        go_on(made, then)
        if then != "power-lost":
            assert made.memory == "v1", f"killed after step {number}"
        elif not ran_on:
            assert made.memory == "v1" or "v1" in made.kept, f"killed after step {number}"
        if not killed:
            return
    raise AssertionError("more steps than MANY")


@ways("fresh")
def test_start_that_is_killed_while_it_puts_a_checkpoint_aside(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, MANY):
        made = dumped(tmp_path / str(number))
        (made.world.userdata / "network.status").write_text("of v1")
        made.fails["restore"] = ERROR
        killed = killed_at(number, partial(start, made.unit()), monkeypatch)
        go_on(made, then)
        assert made.running
        assert "v1" in made.kept, f"killed after step {number}"
        assert not list(made.aside.glob("*.partial"))
        if not killed:
            assert [path.read_text() for path in made.aside.glob("*/network.status")] == ["of v1"]
            return
    raise AssertionError("more steps than MANY")


@ways("copied")
def test_start_that_is_killed_while_it_copies_a_checkpoint_to_a_different_file_system(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = apply._rename

    def other_file_system(step: Any) -> None:
        if "/userdata/" in step.source and "/aside/" in step.target:
            raise OSError(18, "Invalid cross-device link")
        rename(step)

    monkeypatch.setattr(apply, "_rename", other_file_system)
    for number in range(1, MANY):
        made = dumped(tmp_path / str(number))
        made.fails["restore"] = ERROR
        killed = killed_at(number, partial(start, made.unit()), monkeypatch)
        go_on(made, then)
        assert made.running
        assert "v1" in made.kept, f"killed after step {number}"
        assert not list(made.aside.glob("*.partial"))
        if not killed:
            assert not made.images.exists()
            return
    raise AssertionError("more steps than MANY")


def test_copy_that_does_not_fit_leaves_the_checkpoint_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dumped(tmp_path)
    monkeypatch.setattr(apply, "_rename", _refused)
    made.fails = {"restore": ERROR, "cp": "cp: error writing: No space left on device"}
    with pytest.raises(CheckpointError, match="No space left"):
        start(made.unit())
    assert (made.images / "pages").read_text() == "v1"
    assert not list(made.aside.glob("*/checkpoint")), "half a copy would fill the disk"


def _refused(step: Any) -> None:
    raise OSError(18, "Invalid cross-device link")


@ways("outlived")
def test_start_of_a_container_that_outlived_its_conmon_is_killed(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, MANY):
        made = Simulated(tmp_path / str(number))
        made.live("v1")
        (made.folder / "proc/77").rmdir()
        killed = killed_at(number, partial(start, made.unit()), monkeypatch)
        ran_on = made.running
        go_on(made, then)
        if then != "power-lost":
            assert made.memory == "v1", f"killed after step {number}"
        elif not ran_on:
            assert made.memory == "v1" or "v1" in made.kept, f"killed after step {number}"
        if not killed:
            assert made.happened[:2] == ["checkpoint", "restore"]
            return
    raise AssertionError("more steps than MANY")


def half_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A machine whose start was killed right after podman had restored the container, which has worked since."""
    made = dumped(folder)
    for number in range(1, MANY):
        if made.running:
            break
        killed_at(number, partial(start, made.unit()), monkeypatch)
    assert made.running and made.images.exists()
    made.memory = "v2"
    made.happened.clear()
    return made


@pytest.mark.parametrize("fails", [False, True], ids=["dumped", "dump-fails"])
@ways("half")
def test_last_command_is_killed_after_a_start_that_was(
    then: str, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, MANY):
        made = half_started(tmp_path / str(number), monkeypatch)
        if fails:
            made.fails["checkpoint"] = ERROR
        killed = killed_at(number, partial(stopped, made.unit(), "timeout", "unknown"), monkeypatch)
        assert made.kept & {"v1", "v2"}, "a whole checkpoint exists at each moment"
        go_on(made, then)
        assert made.memory in ("v1", "v2") or made.kept & {"v1", "v2"}, f"killed after step {number}"
        if not killed:
            assert made.memory == ("v1" if fails else "v2")
            return
    raise AssertionError("more steps than MANY")


def test_names_of_what_is_put_aside_sort_by_age_whatever_the_clock_says() -> None:
    names: list[str] = []
    for now in (1_000.0, -5.0, 4_102_444_799.0, 1e18, 1_800_000_000.0, 0.0):
        names.append(aside.next_name(names, now))
    assert names == sorted(names) and len(set(names)) == len(names)
    assert aside.next_name(["2026-11-23T084850Z-13770", "lost+found", "9999-99-99T999999Z"], 0.0) > names[0]
