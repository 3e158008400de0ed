# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans what runc or crun does for a checkpoint and a restore, and what we note around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.answers import Known, render_known
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import read_config, text_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.places import place_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.reads import container_id

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.reads import Reads
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def flags(options: Options) -> tuple[str, ...]:
    """Returns the flags that a checkpoint and a restore have both."""
    known = [("--tcp-established", options.tcp_established), ("--file-locks", options.file_locks)]
    return tuple(flag for flag, wanted in known if wanted)


def checkpoint_steps(engine: Reads, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
    """Plans a checkpoint in place, and packs it into ``export``."""
    place, why = place_of(engine.paths, container.name), f"checkpoint container {container.name!r}"
    run_on = ("--leave-running",) if options.leave_running else ()
    folders = (f"--image-path={place.images}", f"--work-path={place.work}")
    known = Known(
        container.id,
        container.started_at,
        container.restored_at,
        container.image,
        systemd=bool(container.own["systemd"]),
        ends=not options.leave_running,
    )
    steps: tuple[Step, ...] = (
        MakeDir(place.folder, why="make the folder"),
        *(Remove(one, why="remove the old checkpoint in place") for one in (place.images, place.work)),
        WriteFile(place.note, render_known(known), why="note which container it is in"),
        MakeDir(place.images, why="make the folder"),
        MakeDir(place.work, why="make the folder"),
        Command(
            engine.argv("checkpoint", *folders, *run_on, *flags(options), container.name),
            why=why,
            label="checkpoint",
            finish=True,
        ),
    )
    if export is None:
        return steps
    # A checkpoint in place need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.archive import export_steps

    return (*steps, *export_steps(engine.paths, place, container, export))


def _restore(
    engine: Reads, name: str, images: str, bundle: str, options: Options, *, systemd: bool
) -> tuple[Step, ...]:
    place = place_of(engine.paths, name)
    close = ("--tcp-close",) if options.tcp_close else ()
    folders = (f"--bundle={bundle}", f"--image-path={images}", f"--work-path={place.work}")
    words = ("--detach", *folders, f"--pid-file={place.pid_file}", *flags(options), *close)
    argv = engine.argv("restore", *words, name, systemd=systemd)

    def unknown() -> bool:
        return not engine.has_state(name)

    # The runtime may still know that the container has ended. Without --force, one that has been started since stays.
    delete = Command(engine.argv("delete", name), why=f"remove the ended container {name!r}", unless=unknown)
    return (
        *(() if unknown() else (delete,)),
        Remove(place.pid_file, why="remove the process id of an earlier restore"),
        MakeDir(place.work, why="make the folder"),
        Command(argv, why=f"restore container {name!r}", label="restore", finish=True),
    )


def restore_steps(engine: Reads, container: Container, options: Options) -> tuple[Step, ...]:
    """Plans a restore in place."""
    place, systemd = place_of(engine.paths, container.name), bool(container.own["systemd"])
    used = () if options.keep else (Remove(place.images, why="remove the used checkpoint"),)
    return (*_restore(engine, container.name, place.images, container.image, options, systemd=systemd), *used)


def import_steps(engine: Reads, archive: str, record: Record, options: Options) -> tuple[Step, ...]:
    """Plans a restore from an archive."""
    # A restore in place need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import IMAGES, unpack_steps

    place, bundle = place_of(engine.paths, record.name), record.image
    known = Known(record.id or container_id(record.name, ""), record.run, "", bundle, systemd=False, ends=False)
    # A path of a cgroup with colons is one that systemd makes (runc, docs/systemd.md; crun, crun.1).
    systemd = ":" in text_in(read_config(engine.paths, bundle), "linux", "cgroupsPath")
    return (
        MakeDir(place.folder, why="make the folder"),
        Remove(place.imported, why="remove what an earlier restore has left"),
        *unpack_steps(archive, place.imported),
        WriteFile(place.note, render_known(known), why="note which container it is in"),
        *_restore(engine, record.name, f"{place.imported}/{IMAGES}", bundle, options, systemd=systemd),
    )
