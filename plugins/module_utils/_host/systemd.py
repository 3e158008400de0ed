# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the properties of a systemd unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\Z")
UNIT_PROPERTIES = ("LoadState", "ActiveState", "MainPID", "ControlGroup", "FragmentPath")


@dataclass(frozen=True)
class Unit:
    """A systemd service. ``known``: it has a unit file, or one that systemd keeps in memory."""

    name: str
    known: bool
    state: str
    pid: int
    cgroup: str

    @property
    def active(self) -> bool:
        return self.state not in ("inactive", "failed")


def unit_name(name: str) -> str:
    """The name with its type.

    Raises:
        CheckpointError: unit_invalid.
    """
    full = name if name.endswith(".service") else f"{name}.service"
    if not UNIT.match(full) or re.search(r"\.(socket|timer|target|scope|slice|mount|path)\.service\Z", full):
        raise CheckpointError(
            f"Refuse the unit {name!r}: it is not the name of a service. Give one like 'web.service'.",
            reason="unit_invalid",
        )
    return full


def parse_unit(name: str, text: str) -> Unit:
    """Read the output of ``systemctl show``."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pid = found.get("MainPID", "0")
    return Unit(
        name,
        known=bool(found.get("FragmentPath")),
        state=found.get("ActiveState", "inactive"),
        pid=int(pid) if pid.isdigit() else 0,
        cgroup=found.get("ControlGroup", ""),
    )


def read_unit(runner: Runner, name: str) -> Unit:
    """Ask systemd for a service; one that it does not know is inactive."""
    argv = ("systemctl", "show", f"--property={','.join(UNIT_PROPERTIES)}", name)
    return parse_unit(name, check(runner.run(argv), f"ask systemd for the unit {name!r}").out)


def parse_show(text: str) -> dict[str, str]:
    """The output of ``systemctl show``."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
