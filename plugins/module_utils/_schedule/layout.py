# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the files and units of schedules. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths

PROGRAM = "/usr/local/libexec/criu-hosts/checkpoint.pyz"
# Python alone, without site packages: that is faster, and no other package can change the program.
PYTHON = "/usr/bin/python3 -IS"
# The exit statuses of the program: a guard has skipped the checkpoint (EX_TEMPFAIL of sysexits.h), or it has failed.
SKIPPED, FAILED = 75, 1
HEADER = "# Made by criu.hosts.checkpoint_schedule: what is changed here is lost."
# The service of each container is an instance of one template.
SERVICE = "criu-hosts-checkpoint@.service"


def timer_name(name: str) -> str:
    """Returns the timer of a container."""
    return f"criu-hosts-checkpoint@{name}.timer"


def service_name(name: str) -> str:
    """Returns the service of a container."""
    return f"criu-hosts-checkpoint@{name}.service"


@dataclass(frozen=True)
class Places:
    """The places of schedules on a host."""

    paths: Paths = field(default_factory=Paths)

    @property
    def program(self) -> str:
        return self.paths.below(PROGRAM)

    @property
    def units(self) -> str:
        return self.paths.below("/etc/systemd/system")

    @property
    def configs(self) -> str:
        return self.paths.below("/etc/criu-hosts/schedules")

    @property
    def service(self) -> str:
        return f"{self.units}/{SERVICE}"

    def timer(self, name: str) -> str:
        return f"{self.units}/{timer_name(name)}"

    def stamp(self, name: str) -> str:
        """Returns the file in which systemd keeps the time of the last run (Persistent=)."""
        return self.paths.below(f"/var/lib/systemd/timers/stamp-{timer_name(name)}")

    def config(self, name: str) -> str:
        return f"{self.configs}/{name}.json"

    def metrics(self, folder: str, name: str) -> str:
        """Returns the file of the metrics of a container; its folder is that of the textfile collector."""
        return f"{self.paths.below(folder)}/criu_hosts_checkpoint_{name}.prom"
