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
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import Parent
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Streamed
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage

# The options that decide what an archive holds; another value makes another archive.
CONTENT_OPTIONS = ("ignore_rootfs", "ignore_volumes", "compression")


def content_options(options: Options) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if key in CONTENT_OPTIONS}


@dataclass
class RecordWriter:
    """Makes the record. ``stamp`` is that of the checkpoint that the plan has made, ``streamed`` its archive.

    ``image`` is the image that the plan has made, ``old_image`` the id of the one that has its name before.
    ``network_lock``: how CRIU has locked the network for one in a store, which only the images say. ``parent`` is the
    pre-checkpoint that it is made on, if any.
    """

    engine: Engine
    desired: Desired
    container: Container
    selinux: Selinux
    criu: str
    labels: list[dict[str, Any]]
    traces: dict[str, Any]
    parent: Parent | None = None
    stamp: str = ""
    network_lock: str = ""
    written: Record | None = None
    streamed: Streamed | None = None
    image: CheckpointImage | None = None
    old_image: str = ""

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
            ports=box.ports,
            networks=dict(box.networks),
            health={"command": list(box.health.command), "interval": box.health.interval} if box.health else {},
            criu=self.criu,
            options=content_options(self.desired.options),
            selinux=self.selinux.mode,
            labels=self.labels,
            traces=self.traces,
            ran_on=self.desired.options.runs_on,
            pre_dump=self.desired.options.pre_checkpoint,
            parent=self.parent.relative if self.parent is not None else "",
            parent_sha256=self.parent.sha256 if self.parent is not None else "",
        )

    def facts(self) -> dict[str, Any]:
        """Returns what identifies the container and this checkpoint of it, and what a restore of it has to know."""
        desired, box, options = self.desired, self.container, self.desired.options
        return {
            "id": box.id,
            "run": box.run,
            "stamp": box.stamp,
            "archive_path": desired.archive_path or "",
            "image": desired.image or "",
            "old_image": self.old_image,
            "leave_running": options.leave_running,
            "parent": self.parent.path if self.parent is not None else "",
            "chain": options.pre_checkpoint or options.with_previous,
            "tcp_established": options.tcp_established,
            "file_locks": options.file_locks,
        }

    def look(self) -> None:
        """Notices which checkpoint the plan has made."""
        if self.desired.options.pre_checkpoint:
            self.stamp = self.engine.pre_dump_stamp(self.container)
            return
        self.stamp = self.engine.stamp(self.container)
        if self.desired.store is not None:
            # Few tasks have a store: the others need not compile this.
            from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import lock_of

            self.network_lock = lock_of(self.engine.images_dir(self.container))

    def text(self) -> str:
        """Renders the record of the checkpoint that is there now; the archive still has its partial name."""
        if self.written is None:
            path = self.desired.archive_path
            size, digest = self._archive(partial_path(path)) if path is not None else (0, "")
            if self.image is not None:
                size, digest = self.image.size_bytes, self.image.id
            self.written = replace(
                self.known(),
                stamp=self.stamp,
                checkpointed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                size_bytes=size,
                sha256=digest,
            )
        return render_record(self.written)

    def streamed_text(self, streamed: Streamed) -> str:
        """Renders the record of an archive that is complete, before anybody has looked at the container."""
        return render_record(replace(self.known(), size_bytes=streamed.size_bytes, sha256=streamed.sha256))

    def take(self, streamed: Streamed) -> None:
        """Notices what was written as the archive."""
        self.streamed = streamed

    def _archive(self, path: str) -> tuple[int, str]:
        if self.streamed is not None:
            return self.streamed.size_bytes, self.streamed.sha256
        return os.stat(path).st_size, file_sha256(path)
