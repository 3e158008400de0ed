# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the files that are kept about a container of LXC, which keeps none about its runs.

They are in the container's own folder, so that lxc-destroy removes them. A hook of the role criu.hosts.lxc_checkpoint
copies /proc/PID/stat of the process that starts the container, which becomes its monitor. Nothing else shows that a
container that has ended has run on after its checkpoint, or that one that runs was started with the role's settings.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import process_start

# What the role installs: see roles/lxc_checkpoint.
HOOK = "/usr/local/libexec/criu-hosts-lxc-run"
RESTORER = "lxc-checkpoint"
IMAGES = "checkpoint"


@dataclass(frozen=True)
class Place:
    """The files of one container, whose own folder is ``home``."""

    home: str

    @property
    def folder(self) -> str:
        """Our folder."""
        return f"{self.home}/criu-hosts"

    @property
    def images(self) -> str:
        return f"{self.folder}/{IMAGES}"

    @property
    def imported(self) -> str:
        """The folder of an archive that a restore has unpacked."""
        return f"{self.folder}/import"

    @property
    def ends(self) -> str:
        """It is there if the checkpoint in place was to end the container."""
        return f"{self.folder}/ends"

    @property
    def options(self) -> str:
        """CRIU's configuration file for a restore; there as long as the restore is not complete."""
        return f"{self.folder}/restore.conf"

    @property
    def freezer(self) -> str:
        """The program that freezes a container before it goes on after a restore."""
        return f"{self.folder}/freeze"

    @property
    def work(self) -> str:
        """The folder of CRIU's statistics."""
        return f"{self.folder}/work"

    @property
    def restore_logs(self) -> tuple[str, str]:
        """CRIU's log of a restore, from an archive or in place."""
        return f"{self.imported}/{IMAGES}/restore.log", f"{self.images}/restore.log"

    @property
    def messages(self) -> str:
        """The log of LXC of a restore."""
        return f"{self.folder}/lxc.log"

    @property
    def run(self) -> str:
        """The file that the hook writes."""
        return f"{self.home}/criu-hosts.run"

    @property
    def stamp(self) -> str:
        """When the images were complete, in nanoseconds since 1970; empty if they are not."""
        return _modified(f"{self.images}/inventory.img")

    def started(self) -> str:
        """Returns when the container was last started or restored; empty if that is not known."""
        return _modified(self.run)

    def starter(self) -> str:
        """Returns the program that did that."""
        return self._monitor()[1]

    def was_started_by(self, paths: Paths, pid: int) -> bool:
        """Returns whether the hook has noted exactly this process, the monitor of a container that runs."""
        noted, dummy, start = self._monitor()
        return bool(start) and noted == str(pid) and start == process_start(paths, pid)

    def _monitor(self) -> tuple[str, str, str]:
        """Returns the id, the name and the start of the process that the hook has noted; empty if it has not."""
        head, dummy, tail = (read_text(self.run, may_fail=True) or "").rpartition(")")
        pid, found, name = head.partition(" (")
        fields = tail.split()
        return (pid, name, fields[19]) if found and len(fields) > 19 else ("", "", "")

    def is_last_state(self) -> bool:
        """Returns whether the container, which does not run, has ended in its checkpoint in place, and not run since.

        A restore that was not completed has let nothing run.
        """
        started = self.started()
        if not self.stamp or not os.path.lexists(self.ends) or not started:
            return False
        tried = self.starter() == RESTORER and os.path.lexists(self.options)
        return tried or int(started) <= int(self.stamp)


def place_of(paths: Paths, root: str, name: str) -> Place:
    return Place(paths.below(f"{root}/{name}"))


def payload(name: str) -> str:
    """Returns the cgroup of a container, unless one of that name is there already (src/lxc/cgroups/cgfsng.c)."""
    return f"/lxc.payload.{name}"


def time_of(nanoseconds: str) -> str:
    """Returns a time as engines print it; empty for none."""
    if not nanoseconds:
        return ""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def _modified(path: str) -> str:
    try:
        return str(os.stat(path).st_mtime_ns)
    except OSError:
        return ""
