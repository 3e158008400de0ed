# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Where a host tells about itself, and how its small files are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Places:
    """Where things are; the tests point it to a folder of their own."""

    proc: str = "/proc"
    selinuxfs: str = "/sys/fs/selinux"
    state: str = "/var/lib/criu-hosts"
    run: str = "/run/criu-hosts"
    storage: str = "/var/lib/containers/storage"
    cgroups: str = "/sys/fs/cgroup"
    units: str = "/run/systemd/system"
    uid: int | None = None


PLACES = Places()


def read_text(path: str) -> str | None:
    """The content of a small file, None if it is not there (or went while it was read, as in /proc)."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None
