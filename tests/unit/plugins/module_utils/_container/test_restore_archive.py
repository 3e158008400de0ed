# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed import leaves."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_archive import volume_steps
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def test_only_volumes_that_the_import_has_made_are_removed(tmp_path: Path) -> None:
    volumes = tmp_path / "var/lib/containers/storage/volumes"
    (volumes / "theirs").mkdir(parents=True)
    record = Record("podman", "f00", "web", "img", "1d", "runc", "", volumes=("theirs", "ours", "never"))
    steps = [one for one in volume_steps(Podman(Paths(str(tmp_path))), record) if isinstance(one, Command)]
    assert [one.argv for one in steps] == [("podman", "volume", "rm", name) for name in ("ours", "never")]
    (volumes / "ours").mkdir()
    assert [one.unless is not None and one.unless() for one in steps] == [False, True]
