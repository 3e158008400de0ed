# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a host has of a unit of container_unit: its files, and what systemd says of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import parse_show

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "MainPID",
    "UnitFileState",
    "FragmentPath",
    "SourcePath",
    "NeedDaemonReload",
)
GENERATOR = "usr/lib/systemd/system-generators/podman-system-generator"
# What a start that failed has left in the journal.
JOURNAL_LINES = 40
# Podman's own report of what it did to a container or image: with all labels, and no help here.
EVENT = re.compile(r"\d{4}-\d\d-\d\d .* m=\+[0-9.]+ (container|image|volume|network|secret) ")


@dataclass
class UnitPlaces:
    """Where units are; the tests point it to a folder of their own."""

    root: str = "/"

    def below(self, path: str) -> str:
        return os.path.join(self.root, path)

    @property
    def generator(self) -> str:
        return self.below(GENERATOR)

    @property
    def quadlets(self) -> str:
        return self.below("etc/containers/systemd")

    @property
    def units(self) -> str:
        return self.below("etc/systemd/system")

    @property
    def specs(self) -> str:
        return self.below("etc/criu-hosts/units")

    def quadlet(self, name: str) -> str:
        return f"{self.quadlets}/{name}.container"

    def unit(self, name: str) -> str:
        return f"{self.units}/{name}.service"

    def environment(self, name: str) -> str:
        return f"{self.specs}/{name}.env"

    def spec(self, name: str) -> str:
        return f"{self.specs}/{name}.json"


UNIT_PLACES = UnitPlaces()


def restart_marker(name: str) -> str:
    """There while a unit has been changed and not yet restarted; gone after a boot, which starts it anew."""
    return f"{PLACES.run}/units/{name}.restart"


@dataclass(frozen=True)
class Current:
    """The unit ``name`` as it is. Texts are None for files that are not there."""

    name: str
    quadlet: str | None = None
    plain: str | None = None
    environment: str | None = field(default=None, repr=False)
    spec: str | None = field(default=None, repr=False)
    restart_due: bool = False
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        return "quadlet" if self.quadlet is not None else "plain" if self.plain is not None else None

    @property
    def text(self) -> str | None:
        return self.plain if self.quadlet is None else self.quadlet

    @property
    def path(self) -> str | None:
        paths = {"quadlet": UNIT_PLACES.quadlet(self.name), "plain": UNIT_PLACES.unit(self.name)}
        return paths.get(self.kind or "")

    @property
    def there(self) -> bool:
        return any(one is not None for one in (self.quadlet, self.plain, self.environment, self.spec))

    @property
    def stateful(self) -> bool:
        return self.spec is not None and self.kind == "plain"

    @property
    def state(self) -> str:
        return self.shown.get("ActiveState", "inactive")

    @property
    def running(self) -> bool:
        """Whether systemd has anything to stop."""
        return self.state not in ("inactive", "failed")

    @property
    def enabled(self) -> bool:
        if self.kind == "quadlet":
            return "\nWantedBy=" in (self.quadlet or "")
        return self.shown.get("UnitFileState") == "enabled"

    @property
    def main_pid(self) -> int | None:
        pid = self.shown.get("MainPID", "0")
        return int(pid) if pid.isdigit() and pid != "0" else None

    @property
    def reload_due(self) -> bool:
        """Whether systemd has not read the files as they are: an earlier task was cut off."""
        stale = self.shown.get("NeedDaemonReload") == "yes"
        return stale or (self.kind is not None and self.shown.get("LoadState") == "not-found")

    def view(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": self.path,
            "kind": self.kind,
            "state": self.state,
            "enabled": self.enabled,
            "main_pid": self.main_pid,
            "stateful": self.stateful,
            "container": self.name,
        }


def read_current(runner: Runner, name: str) -> Current:
    """Read files and systemd's state of the unit ``name``."""
    argv = ("systemctl", "show", f"--property={','.join(PROPERTIES)}", f"{name}.service")
    shown = parse_show(check(runner.run(argv), f"ask systemd for the unit '{name}.service'").out)
    return Current(
        name,
        quadlet=read_text(UNIT_PLACES.quadlet(name)),
        plain=read_text(UNIT_PLACES.unit(name)),
        environment=read_text(UNIT_PLACES.environment(name)),
        spec=read_text(UNIT_PLACES.spec(name)),
        restart_due=os.path.exists(restart_marker(name)),
        shown=shown,
    )


def refuse_foreign(current: Current) -> None:
    """Refuse a name that is taken by a unit which this module has not made.

    Raises:
        CheckpointError: unit_foreign.
    """
    where = ""
    for text, path in (
        (current.quadlet, UNIT_PLACES.quadlet(current.name)),
        (current.plain, UNIT_PLACES.unit(current.name)),
    ):
        if text is not None and not text.startswith(HEADER):
            where = path
    if not where and not current.there and current.shown.get("LoadState", "not-found") != "not-found":
        # A unit that we have just removed may still be loaded, from a file that is gone.
        found = current.shown.get("SourcePath") or current.shown.get("FragmentPath") or "systemd's memory"
        where = found if os.path.lexists(found) or current.running else ""
    if where:
        raise CheckpointError(
            f"Refuse to touch the unit '{current.name}.service': {where!r} was not made by this module. Give another "
            "name, or remove that file first.",
            reason="unit_foreign",
            path=where,
        )


def own_units() -> tuple[str, ...]:
    """The names of all containers that have a unit of this module."""
    found = set()
    for folder, suffix in ((UNIT_PLACES.quadlets, ".container"), (UNIT_PLACES.units, ".service")):
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, entry)
            if entry.endswith(suffix) and os.path.isfile(path) and (read_text(path) or "").startswith(HEADER):
                found.add(entry[: -len(suffix)])
    return tuple(sorted(found))


def journal_of(runner: Runner, name: str) -> list[str]:
    """The last lines of systemd, podman and our program about the unit; not its container's, which may hold secrets."""
    unit = f"{name}.service"
    own = [word for comm in ("podman", "python3") for word in ("+", f"_SYSTEMD_UNIT={unit}", f"_COMM={comm}")]
    options = (f"--lines={JOURNAL_LINES}", "--output=cat", "--no-pager", "--quiet")
    argv = ("journalctl", *options, f"UNIT={unit}", *own)
    return [line for line in runner.run(argv).out.splitlines() if line.strip() and not EVENT.match(line)]
