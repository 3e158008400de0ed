# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the recorded mounts of a container, with their sources, on a simulated host."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.criu.hosts.tests.unit.containers import World, pid_of, recorded

PID = pid_of("running")


def put_sources(folder: Path) -> None:
    """Makes the sources of the recorded container."""
    for one in ("conf/d", "real", "t/a b"):
        (folder / "srv" / one).mkdir(parents=True)
    for one in ("conf/app.conf", "conf/moved", "t/a b/x"):
        (folder / "srv" / one).write_text("")
    os.symlink("real", folder / "srv/link")
    (folder / "var/lib/containers/storage/volumes/vol/_data").mkdir(parents=True)


def put_mounts(made: World, *, around: str = "host", inside: str = "container", pid: int = PID) -> None:
    """Puts the recorded mounts and configuration on the host."""
    (made.folder / "proc/self/mountinfo").write_text(recorded(f"mountinfo-{around}.txt"))
    (made.folder / f"proc/{pid}").mkdir(parents=True, exist_ok=True)
    (made.folder / f"proc/{pid}/mountinfo").write_text(recorded(f"mountinfo-{inside}.txt"))
    (made.userdata / "config.json").write_text(recorded("oci-binds.json"))
