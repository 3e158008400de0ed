# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the files that we keep about a container of runc or crun, which keep none themselves.

A checkpoint in place is CRIU's images in a folder of ours. The runtime forgets a container that a checkpoint has
ended; our note beside the images says which one it was. The runtime's pid file says that a restore has succeeded: no
container that was started later has that process.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.answers import Known, parse_known
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own

# As in an archive.
IMAGES = "checkpoint"


def bundles_dir(paths: Paths) -> str:
    """Returns the folder that has one folder for each container."""
    return f"{paths.containers}/bundles"


@dataclass(frozen=True)
class Place:
    """The files about one container."""

    folder: str

    @property
    def images(self) -> str:
        return f"{self.folder}/{IMAGES}"

    @property
    def work(self) -> str:
        """The folder of CRIU's logs and statistics."""
        return f"{self.folder}/work"

    @property
    def imported(self) -> str:
        """The folder of an archive that a restore has unpacked."""
        return f"{self.folder}/import"

    @property
    def note(self) -> str:
        return f"{self.folder}/container.json"

    @property
    def pid_file(self) -> str:
        return f"{self.folder}/restored.pid"

    @property
    def stamp(self) -> str:
        """When the images were complete, in nanoseconds since 1970; empty if they are not."""
        return _modified(f"{self.images}/inventory.img")

    @property
    def restored(self) -> str:
        """When a restore last succeeded, in nanoseconds since 1970; empty if none has."""
        return _modified(self.pid_file)

    def restored_pid(self) -> int:
        """Returns the first process of the last restore; 0 if there was none."""
        text = (read_text(self.pid_file, may_fail=True) or "").strip()
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0

    def known(self) -> Known | None:
        """Returns our note; None if there is none, or none that can be used."""
        try:
            data = read_own(self.note)
            return None if data is None else parse_known(data)
        except ValueError:
            return None


def place_of(paths: Paths, name: str) -> Place:
    return Place(f"{bundles_dir(paths)}/{name}")


def all_known(paths: Paths) -> Iterator[tuple[str, Known]]:
    """Yields each container that we have a note about, by its name."""
    folder = bundles_dir(paths)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        known = place_of(paths, name).known()
        if known is not None:
            yield name, known


def _modified(path: str) -> str:
    try:
        return str(os.stat(path).st_mtime_ns)
    except OSError:
        return ""
