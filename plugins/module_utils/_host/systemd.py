# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the properties of a systemd unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

# A name that begins with a hyphen would be an option of systemctl.
SERVICE = r"(?!-)[A-Za-z0-9:_.\\@-]{1,247}\.service\Z"
OTHER_TYPE = r"\.(socket|timer|target|scope|slice|mount|path)\.service\Z"


def show(runner: Runner, unit: str, properties: Iterable[str]) -> dict[str, str]:
    """Returns properties of a unit as systemd prints them; for a unit that systemd does not know, the defaults."""
    argv = ("systemctl", "show", f"--property={','.join(properties)}", unit)
    text = check(runner.run(argv), f"read the state of the unit {unit!r}").out
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def main_pid(shown: Mapping[str, str]) -> int:
    """Returns the process id in the property MainPID; 0 if there is none."""
    pid = shown.get("MainPID", "0")
    return int(pid) if pid.isdigit() else 0


@dataclass(frozen=True)
class Unit:
    """A systemd service. ``known``: it has a unit file, or systemd keeps one in memory."""

    name: str
    known: bool
    state: str
    pid: int
    cgroup: str

    @property
    def active(self) -> bool:
        return self.state not in ("inactive", "failed")


def unit_name(name: str) -> str:
    """Returns the name of a service with its suffix.

    Raises:
        CheckpointError: unit_invalid.
    """
    full = name if name.endswith(".service") else f"{name}.service"
    if not re.match(SERVICE, full) or re.search(OTHER_TYPE, full):
        raise CheckpointError(
            f"Cannot use the unit {name!r}: it is not the name of a service. Give a name such as 'web.service'.",
            reason="unit_invalid",
        )
    return full


def read_unit(runner: Runner, name: str) -> Unit:
    """Reads a service; one that systemd does not know is inactive."""
    found = show(runner, name, ("LoadState", "ActiveState", "MainPID", "ControlGroup", "FragmentPath"))
    return Unit(
        name,
        known=bool(found.get("FragmentPath")),
        state=found.get("ActiveState", "inactive"),
        pid=main_pid(found),
        cgroup=found.get("ControlGroup", ""),
    )
