# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of checkpoint_schedule on a host whose systemd knows the timer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._schedule import program
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import parse_schedule
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Rules
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, put_host

TIMER = "criu-hosts-checkpoint@web.timer"
PROGRAM = "usr/local/libexec/criu-hosts/checkpoint.pyz"
UNITS = "etc/systemd/system"
CONFIG = "etc/criu-hosts/schedules/web.json"


@dataclass
class SystemdHost(Host):
    """Knows the states of one timer. ``stale``: its files are newer than systemd's memory."""

    folder: Path = field(default_factory=Path)
    active: bool = False
    enabled: bool = False
    stale: bool = False
    loaded: bool = False

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        self.ran.append(args)
        self.environments.append(options.get("environ_update") or {})
        there = (self.folder / UNITS / TIMER).exists()
        if args[:2] == ["systemctl", "show"]:
            state = "loaded" if there and self.loaded else "not-found"
            return (
                0,
                f"LoadState={state}\nActiveState={'active' if self.active else 'inactive'}\n"
                f"UnitFileState={'enabled' if self.enabled else 'disabled' if there else ''}\n"
                f"NeedDaemonReload={'yes' if self.stale else 'no'}\n",
                "",
            )
        if args[:2] == ["systemd-analyze", "calendar"]:
            wrong = f"Failed to parse calendar specification '{args[-1]}': Invalid argument\n"
            return (1, "", wrong) if args[-1] == "soon" else (0, "Normalized form: *-*-* 00:00:00\n", "")
        self.wrote.append(args)
        verb = args[1]
        if verb == "daemon-reload":
            self.loaded, self.stale = there, False
        else:
            assert args == ["systemctl", verb, TIMER] and self.loaded
            self.enabled = {"enable": True, "disable": False}.get(verb, self.enabled)
            self.active = {"start": True, "stop": False}.get(verb, self.active)
        return 0, "", ""


def host_in(folder: Path) -> SystemdHost:
    put_host(folder, 0)
    (folder / UNITS).mkdir(parents=True)
    return SystemdHost(folder=folder)


GIVEN = {"name": "web", "store": "/var/lib/checkpoints", "calendar": "*-*-* 03:00", "keep_daily": 7}


def fresh(folder: Path) -> tuple[dict[str, Any], Host]:
    return dict(GIVEN), host_in(folder)


def absent(folder: Path) -> tuple[dict[str, Any], Host]:
    return {"name": "web", "state": "absent"}, host_in(folder)


def interrupted(folder: Path) -> tuple[dict[str, Any], Host]:
    """Returns a host on which a task has ended before it started the timer; its own files are those of another."""
    params, host = fresh(folder)
    (folder / UNITS / TIMER).write_text(f"{HEADER}\nold\n")
    return params, host


CONTRACT_CASES = [
    Case("fresh", fresh),
    Case("interrupted", interrupted),
    Case("absent", absent, changed=False),
]


def test_it_installs_the_program_the_timer_and_the_configuration(module: Any, tmp_path: Path) -> None:
    host = host_in(tmp_path)
    more = {"max_age": "30d", "max_total_bytes": "50G", "max_load": 1.5, "min_free_bytes": "1G", "random_delay": "30m"}
    ran = module("checkpoint_schedule", {**GIVEN, **more, "metrics_dir": "/m", "tcp_established": True}, host=host)
    assert ran.result["schedule"] == {"name": "web", "state": "present", "enabled": True, "timer": TIMER}
    assert host.wrote == [["systemctl", "daemon-reload"], ["systemctl", "enable", TIMER], ["systemctl", "start", TIMER]]
    schedule = parse_schedule((tmp_path / CONFIG).read_text(), "web", "")
    assert schedule.rules == Rules(keep_daily=7, max_age=30 * 86400, max_total_bytes=50 << 30)
    assert (schedule.max_load, schedule.min_free_bytes, schedule.metrics_dir) == (1.5, 1 << 30, "/m")
    assert schedule.tcp_established and schedule.options.leave_running
    timer = (tmp_path / UNITS / TIMER).read_text()
    assert "OnCalendar=*-*-* 03:00\nRandomizedDelaySec=1800\n" in timer
    assert (tmp_path / PROGRAM).read_bytes() == program.schedule_program()
    modes = {one: oct((tmp_path / one).stat().st_mode & 0o777) for one in (PROGRAM, CONFIG, f"{UNITS}/{TIMER}")}
    assert modes == {PROGRAM: "0o755", CONFIG: "0o600", f"{UNITS}/{TIMER}": "0o644"}


def test_another_time_needs_a_reload_and_another_rule_does_not(module: Any, tmp_path: Path) -> None:
    host = host_in(tmp_path)
    module("checkpoint_schedule", dict(GIVEN), host=host)
    host.wrote.clear()
    assert module("checkpoint_schedule", {**GIVEN, "keep_daily": 3}, host=host).result["changed"] and not host.wrote
    ran = module("checkpoint_schedule", {**GIVEN, "keep_daily": 3, "calendar": "hourly"}, host=host)
    assert host.wrote == [["systemctl", "daemon-reload"]]
    assert "OnCalendar=hourly" in ran.result["diff"]["after"]["timer"]
    host.wrote.clear()
    host.active = False
    module("checkpoint_schedule", {**GIVEN, "keep_daily": 3, "calendar": "hourly"}, host=host)
    assert host.wrote == [["systemctl", "start", TIMER]], "somebody has stopped it"


def test_a_program_of_another_release_is_replaced(module: Any, tmp_path: Path) -> None:
    host = host_in(tmp_path)
    module("checkpoint_schedule", dict(GIVEN), host=host)
    (tmp_path / PROGRAM).write_bytes(b"old")
    assert module("checkpoint_schedule", dict(GIVEN), host=host).result["changed"]
    assert (tmp_path / PROGRAM).read_bytes() == program.schedule_program()


@pytest.mark.parametrize("new", ["/n", None])
def test_the_metrics_of_another_folder_go(module: Any, tmp_path: Path, new: str | None) -> None:
    """They would be collected for ever."""
    host = host_in(tmp_path)
    for folder in ("m", "n"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "m/criu_hosts_checkpoint_web.prom"
    module("checkpoint_schedule", {**GIVEN, "metrics_dir": "/m"}, host=host)
    file.touch()
    module("checkpoint_schedule", {**GIVEN, "metrics_dir": "/m", "keep_daily": 3}, host=host)
    assert file.exists(), "the folder is the same"
    given = {**GIVEN, "metrics_dir": new}
    predicted = module("checkpoint_schedule", given, host=host, check=True).result
    assert predicted["changed"] and file.exists()
    assert module("checkpoint_schedule", given, host=host).result["changed"] and not file.exists()
    assert not module("checkpoint_schedule", given, host=host).result["changed"]


@pytest.mark.parametrize("others", [False, True])
def test_the_removal_leaves_what_other_schedules_use(module: Any, tmp_path: Path, others: bool) -> None:
    host = host_in(tmp_path)
    (tmp_path / "m").mkdir()
    module("checkpoint_schedule", {**GIVEN, "metrics_dir": "/m"}, host=host)
    (tmp_path / "m/criu_hosts_checkpoint_web.prom").touch()
    stamp = tmp_path / f"var/lib/systemd/timers/stamp-{TIMER}"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    if others:
        (tmp_path / "etc/criu-hosts/schedules/db.json").touch()
    host.wrote.clear()
    ran = module("checkpoint_schedule", {"name": "web", "state": "absent"}, host=host)
    assert ran.result["schedule"] == {"name": "web", "state": "absent", "enabled": False, "timer": TIMER}
    assert host.wrote == [["systemctl", "stop", TIMER], ["systemctl", "disable", TIMER], ["systemctl", "daemon-reload"]]
    assert not (tmp_path / UNITS / TIMER).exists() and not (tmp_path / CONFIG).exists()
    assert list((tmp_path / "m").iterdir()) == [] and not stamp.exists()
    assert (tmp_path / PROGRAM).exists() is others
    assert (tmp_path / UNITS / "criu-hosts-checkpoint@.service").exists() is others
    assert module("checkpoint_schedule", {"name": "web", "state": "absent"}, host=host).result["changed"] is False


@pytest.mark.parametrize("unit", [TIMER, "criu-hosts-checkpoint@.service"])
def test_a_unit_of_somebody_else_stays(module: Any, tmp_path: Path, unit: str) -> None:
    host = host_in(tmp_path)
    (tmp_path / UNITS / unit).write_text("[Unit]\n")
    for params in (dict(GIVEN), {"name": "web", "state": "absent"}):
        ran = module("checkpoint_schedule", params, host=host)
        assert ran.result["reason"] == "unit_foreign" and unit in ran.result["path"]
    assert not host.wrote


@pytest.mark.parametrize(
    ("change", "reason", "option"),
    [
        ({"calendar": "soon"}, "option_invalid", "calendar"),
        ({"random_delay": "later"}, "option_invalid", "random_delay"),
        ({"max_load": 0}, "option_invalid", "max_load"),
        ({"keep_last": -1}, "option_invalid", "keep_last"),
        ({"store": "relative"}, "option_invalid", "store"),
        ({"name": "a/b"}, "name_invalid", None),
        ({"name": "-a"}, "name_invalid", None),
        ({"calendar": "daily\nX=1"}, "unit_text_invalid", None),
    ],
)
def test_options_that_cannot_be_used(
    module: Any, tmp_path: Path, change: dict[str, Any], reason: str, option: str | None
) -> None:
    host = host_in(tmp_path)
    ran = module("checkpoint_schedule", {**GIVEN, **change}, host=host)
    assert (ran.result["reason"], ran.result.get("option")) == (reason, option), ran.result["msg"]
    assert not host.wrote and not (tmp_path / CONFIG).exists()


def test_the_configuration_is_no_secret_and_has_all_fields(module: Any, tmp_path: Path) -> None:
    module("checkpoint_schedule", dict(GIVEN), host=host_in(tmp_path))
    entries = json.loads((tmp_path / CONFIG).read_text())
    assert entries["version"] == 1 and set(entries["rules"]) == set(vars(Rules()))
