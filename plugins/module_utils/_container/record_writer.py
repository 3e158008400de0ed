# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes the record of a checkpoint: most of it before the dump, the rest when the checkpoint is complete."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options, to_record
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# The options that decide what an archive holds; another value makes another archive.
CONTENT_OPTIONS = ("ignore_rootfs", "ignore_volumes", "compression")


def content_options(options: Options) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if key in CONTENT_OPTIONS}


@dataclass
class RecordWriter:
    """Makes the record. ``stamp`` is that of the checkpoint that the plan has made."""

    engine: Engine
    desired: Desired
    container: Container
    selinux: Selinux
    criu: str
    labels: list[dict[str, Any]]
    traces: dict[str, Any]
    stamp: str = ""
    written: Record | None = None

    def known(self) -> Record:
        """Returns what is known before the dump."""
        box = self.container
        same = {
            key: getattr(box, key) for key in ("id", "name", "image", "image_id", "runtime", "process_label", "run")
        }
        return Record(
            engine=self.engine.name,
            **same,
            volumes=box.volumes,
            binds=tuple(to_record(self.engine.binds(box))),
            health={"command": list(box.health.command), "interval": box.health.interval} if box.health else {},
            criu=self.criu,
            options=content_options(self.desired.options),
            selinux=self.selinux.mode,
            labels=self.labels,
            traces=self.traces,
            ran_on=self.desired.options.leave_running,
        )

    def look(self) -> None:
        """Notices which checkpoint the plan has made."""
        self.stamp = self.engine.stamp(self.container)

    def text(self) -> str:
        """Renders the record of the checkpoint that is there now; the archive still has its partial name."""
        if self.written is None:
            path = self.desired.archive_path
            archive = partial_path(path) if path is not None else None
            self.written = replace(
                self.known(),
                stamp=self.stamp,
                checkpointed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                size_bytes=os.stat(archive).st_size if archive else 0,
                sha256=file_sha256(archive) if archive else "",
            )
        return render_record(self.written)
