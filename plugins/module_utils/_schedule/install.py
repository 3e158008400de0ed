# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Installs and removes a schedule: its configuration, its timer, and what all schedules share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Outcome,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_bytes, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import show
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import Schedule, render_schedule
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import (
    HEADER,
    SERVICE,
    Places,
    timer_name,
)
from ansible_collections.criu.hosts.plugins.module_utils._schedule.units import SERVICE_TEXT, render_timer

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")
RELOAD = Command(("systemctl", "daemon-reload"), why="let systemd read its units again")


@dataclass(frozen=True)
class Current:
    """A schedule as it is. Texts are None for files that do not exist; ``others``: whether there are more schedules."""

    name: str
    places: Places
    config: str | None
    timer: str | None
    service: str | None
    program: bytes | None
    shown: Mapping[str, str]
    others: bool

    @property
    def active(self) -> bool:
        return self.shown.get("ActiveState") == "active"

    @property
    def enabled(self) -> bool:
        return self.shown.get("UnitFileState") == "enabled"

    @property
    def reload_due(self) -> bool:
        """Whether systemd has not read the files as they are, because an earlier task was interrupted."""
        unread = self.timer is not None and self.shown.get("LoadState") == "not-found"
        return unread or self.shown.get("NeedDaemonReload") == "yes"

    def view(self) -> dict[str, Any]:
        there = self.config is not None and self.timer is not None
        return {"name": self.name, "state": "present" if there else "absent", "enabled": self.enabled and self.active}


def read_current(ctx: Context, name: str) -> Current:
    """Reads the schedule of a container.

    Raises:
        CheckpointError: file_failed, unit_foreign, systemd_missing, tool_failed.
    """
    places = Places(ctx.paths)
    names = os.listdir(places.configs) if os.path.isdir(places.configs) else []
    try:
        current = Current(
            name,
            places,
            config=read_text(places.config(name)),
            timer=read_text(places.timer(name)),
            service=read_text(places.service),
            program=read_bytes(places.program),
            shown=show(ctx.runner, timer_name(name), PROPERTIES),
            others=any(one.endswith(".json") and one != f"{name}.json" for one in names if one[:1] != "."),
        )
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {error.filename!r} of the schedule of container {name!r}: {error.strerror}. Remove it.",
            reason="file_failed",
            path=str(error.filename),
        ) from error
    for text, path in ((current.timer, places.timer(name)), (current.service, places.service)):
        if text is not None and not text.startswith(HEADER):
            raise CheckpointError(
                f"Cannot manage the schedule of container {name!r}: this module did not make {path!r}. Remove that "
                "file first.",
                reason="unit_foreign",
                path=path,
            )
    return current


def check_calendar(ctx: Context, calendar: str) -> None:
    """Refuses a calendar that systemd does not understand.

    Raises:
        CheckpointError: option_invalid.
    """
    completed = ctx.runner.run(("systemd-analyze", "calendar", "--", calendar))
    if completed.rc != 0:
        raise CheckpointError(
            f"Cannot use calendar {calendar[:100]!r}: {completed.last_line.rstrip('.')}. Give one such as daily, "
            "hourly or 'Mon..Fri 03:00' (see systemd.time(7)).",
            reason="option_invalid",
            option="calendar",
        )


def ensure(ctx: Context, schedule: Schedule, calendar: str, random_delay: int) -> Outcome:
    """Installs the schedule."""
    timer = render_timer(schedule.name, calendar, random_delay)
    current = read_current(ctx, schedule.name)
    if current.timer != timer:
        check_calendar(ctx, calendar)
    # Ansible sends all files that the program consists of.
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.program import schedule_program

    steps = tuple(_present_steps(current, render_schedule(schedule), timer, schedule_program()))
    after = {"name": schedule.name, "state": "present", "enabled": True}
    texts = {"config": render_schedule(schedule), "timer": timer}
    plan = Plan({**current.view(), "config": current.config, "timer": current.timer}, {**after, **texts}, steps)
    ctx.apply(plan)
    return Outcome("schedule", {**after, "timer": timer_name(schedule.name)}, plan)


def _present_steps(current: Current, config: str, timer: str, program: bytes) -> Iterator[Step]:
    """Yields steps. The timer comes last: it starts a service whose program and configuration are there."""
    places, name = current.places, current.name
    if current.program != program:
        yield MakeDir(os.path.dirname(places.program), 0o755, why="make the folder of the program")
        yield WriteFile(places.program, lambda: program, 0o755, why="write the program of schedules")
    for path in _metrics_files(current, config):
        if os.path.lexists(path):
            yield Remove(path, why="remove the old metrics")
    if current.config != config:
        yield MakeDir(places.configs, 0o700, why="make the folder of the schedules")
        yield WriteFile(places.config(name), config, 0o600, why="write the schedule")
    if current.service != SERVICE_TEXT:
        yield WriteFile(places.service, SERVICE_TEXT, 0o644, why="write the service of schedules")
    if current.timer != timer:
        yield WriteFile(places.timer(name), timer, 0o644, why="write the timer")
    if current.service != SERVICE_TEXT or current.timer != timer or current.reload_due:
        yield RELOAD
    if not current.enabled:
        yield _systemctl("enable", name)
    # An active timer computes its next time again at the reload (seen with systemd 257).
    if not current.active:
        yield _systemctl("start", name)


def _systemctl(verb: str, name: str) -> Command:
    timer = timer_name(name)
    return Command(("systemctl", verb, timer), why=f"{verb} the timer {timer!r}")


def remove(ctx: Context, name: str) -> Outcome:
    """Removes the schedule of a container, and after the last one what they share. Checkpoints stay."""
    current = read_current(ctx, name)
    plan = Plan(current.view(), {"name": name, "state": "absent", "enabled": False}, tuple(_absent_steps(current)))
    ctx.apply(plan)
    value = {"name": name, "state": "absent", "enabled": False, "timer": timer_name(name)}
    return Outcome("schedule", value, plan)


def _absent_steps(current: Current) -> Iterator[Step]:
    places, name = current.places, current.name
    if current.timer is not None and current.active:
        yield _systemctl("stop", name)
    if current.timer is not None and current.enabled:
        yield _systemctl("disable", name)
    units = [places.timer(name)] if current.timer is not None else []
    if current.service is not None and not current.others:
        units.append(places.service)
    yield from (Remove(path, why="remove the unit") for path in units)
    if units or current.reload_due:
        yield RELOAD
    for path in _rests(current):
        yield Remove(path, why="remove a rest of the schedule")
    if current.program is not None and not current.others:
        yield Remove(places.program, why="remove the program of schedules")
    if current.config is not None:
        yield Remove(places.config(name), why="remove the schedule")


def _rests(current: Current) -> list[str]:
    """Returns systemd's time of the last run, and the metrics, which would be collected for ever."""
    stamp = current.places.stamp(current.name)
    return [path for path in (stamp, *_metrics_files(current)) if os.path.lexists(path)]


def _metrics_files(current: Current, config: str | None = None) -> list[str]:
    """Returns the file of the metrics, unless the new configuration ``config`` has it, too."""
    found = _metrics_file(current, current.config)
    return [found] if found and (config is None or found != _metrics_file(current, config)) else []


def _metrics_file(current: Current, config: str | None) -> str:
    """Returns the file of the metrics: the configuration knows where it is."""
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import parse_schedule

    try:
        schedule = parse_schedule(config, current.name, current.places.config(current.name))
    except CheckpointError:
        return ""
    return current.places.metrics(schedule.metrics_dir, current.name) if schedule.metrics_dir else ""


def check_name(name: str) -> None:
    """Refuses a name that no container has.

    Raises:
        CheckpointError: name_invalid.
    """
    if not re.match(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}\Z", name):
        raise CheckpointError(
            f"Refuse name {name[:100]!r}: a container's name has letters, digits, '_', '.' and '-', and starts with a "
            "letter or digit. Give such a name.",
            reason="name_invalid",
        )


def run(ctx: Context) -> Outcome:
    """Does the work of checkpoint_schedule."""
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.request import request_of

    name = ctx.params["name"]
    check_name(name)
    with ctx.hold("unit", SERVICE):
        if ctx.params["state"] == "absent":
            return remove(ctx, name)
        request = request_of(ctx.params)
        return ensure(ctx, request.schedule, request.calendar, request.random_delay)
