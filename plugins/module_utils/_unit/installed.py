# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the unit of a container: its files, and its state in systemd."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import main_pid, show

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# Podman's rule for containers, volumes, networks and secrets.
PODMAN_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
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
GENERATOR = "/usr/lib/systemd/system-generators/podman-system-generator"


def check_name(name: str) -> None:
    """Refuses a name that podman would refuse for a container, or that would become no file of a unit.

    Raises:
        CheckpointError: name_invalid.
    """
    if not re.match(rf"{PODMAN_NAME}\Z", name) or name.endswith(".service"):
        raise CheckpointError(
            f"Cannot use the name {name!r}: a container's name has letters, digits, '_', '.' and '-', starts with a "
            "letter or digit, and does not end with '.service', which the unit adds. Give such a name.",
            reason="name_invalid",
        )


@dataclass(frozen=True)
class UnitPaths:
    """The places of units on a host."""

    paths: Paths = field(default_factory=Paths)

    @property
    def generator(self) -> str:
        return self.paths.below(GENERATOR)

    @property
    def quadlets(self) -> str:
        return self.paths.below("/etc/containers/systemd")

    @property
    def units(self) -> str:
        return self.paths.below("/etc/systemd/system")

    @property
    def specs(self) -> str:
        return self.paths.below("/etc/criu-hosts/units")

    def quadlet(self, name: str) -> str:
        return f"{self.quadlets}/{name}.container"

    def unit(self, name: str) -> str:
        return f"{self.units}/{name}.service"

    def environment(self, name: str) -> str:
        return f"{self.specs}/{name}.env"

    def spec(self, name: str) -> str:
        return f"{self.specs}/{name}.json"

    def restart_marker(self, name: str) -> str:
        """Returns the file that exists from a change of a unit to its restart, or to a boot, which starts the unit."""
        return f"{self.paths.run}/units/{name}.restart"

    def state(self, name: str) -> str:
        """Returns the folder of what a stateful unit records."""
        return f"{self.paths.state}/units/{name}"


@dataclass(frozen=True)
class Current:
    """The unit ``name`` as it is. Texts are None for files that do not exist."""

    name: str
    quadlet: str | None = None
    plain: str | None = None
    environment: str | None = field(default=None, repr=False)
    spec: str | None = field(default=None, repr=False)
    restart_due: bool = False
    shown: Mapping[str, str] = field(default_factory=dict)
    places: UnitPaths = field(default_factory=UnitPaths)

    @property
    def kind(self) -> str | None:
        return "quadlet" if self.quadlet is not None else "plain" if self.plain is not None else None

    @property
    def text(self) -> str | None:
        return self.plain if self.quadlet is None else self.quadlet

    @property
    def path(self) -> str | None:
        paths = {"quadlet": self.places.quadlet(self.name), "plain": self.places.unit(self.name)}
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
        return main_pid(self.shown) or None

    @property
    def reload_due(self) -> bool:
        """Whether systemd has not read the files as they are, because an earlier task was interrupted."""
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


def _text(name: str, path: str) -> str | None:
    try:
        return read_text(path)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {path!r} of the unit '{name}.service': {error.strerror}. Remove it, or give another name.",
            reason="file_failed",
            path=path,
        ) from error


def read_current(ctx: Context, name: str) -> Current:
    """Reads the files of the unit ``name``, and its state in systemd.

    Raises:
        CheckpointError: file_failed.
    """
    places = UnitPaths(ctx.paths)
    return Current(
        name,
        quadlet=_text(name, places.quadlet(name)),
        plain=_text(name, places.unit(name)),
        environment=_text(name, places.environment(name)),
        spec=_text(name, places.spec(name)),
        restart_due=os.path.exists(places.restart_marker(name)),
        shown=show(ctx.runner, f"{name}.service", PROPERTIES),
        places=places,
    )


def refuse_foreign(current: Current) -> None:
    """Refuses a name that a unit has which this module did not make.

    Raises:
        CheckpointError: unit_foreign.
    """
    where = ""
    for text, path in (
        (current.quadlet, current.places.quadlet(current.name)),
        (current.plain, current.places.unit(current.name)),
    ):
        if text is not None and not text.startswith(HEADER):
            where = path
    if not where and not current.there and current.shown.get("LoadState", "not-found") != "not-found":
        # A unit that was just removed may still be loaded, from a file that no longer exists.
        found = current.shown.get("SourcePath") or current.shown.get("FragmentPath") or "systemd's memory"
        where = found if os.path.lexists(found) or current.running else ""
    if where:
        raise CheckpointError(
            f"Cannot manage the unit '{current.name}.service': this module did not make {where!r}. Give another name, "
            "or remove that file first.",
            reason="unit_foreign",
            path=where,
        )
