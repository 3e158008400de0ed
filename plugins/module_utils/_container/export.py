# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans how an engine's export becomes an archive: through a pipe, so that all is read and written only once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import place_steps
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakePipe, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdWriter, can_compress
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    archive_place_steps,
    partial_path,
    pipe_path,
    unfinished_record_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def compressor(options: Options) -> Callable[[], Any] | None:
    """Returns what makes the compressor of an archive; None if the engine compresses it, or nobody does.

    An engine that compresses while it reads was faster than libzstd at the other end of the pipe (docs/checkpoints.md),
    but it takes no level.
    """
    level = options.compression_level
    if level is None:
        return None
    if options.compression == "gzip":
        return lambda: _gzip(level)
    return (lambda: ZstdWriter(level)) if can_compress() else None


def _gzip(level: int) -> Any:
    import zlib  # few archives have it

    return zlib.compressobj(level, wbits=31)


def level_warning(engine: Engine, desired: Desired) -> tuple[str, ...]:
    """Warns if the engine has to compress, which takes no level."""
    options = desired.options
    if options.compression_level is None or compressor(options) is not None:
        return ()
    return (
        f"{engine.name} compresses the archive of container {desired.name!r} itself, and compression_level has no "
        "effect: libzstd is not on this host. Install it (Debian: libzstd1, Red Hat: libzstd).",
    )


def export_steps(path: str, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans the export into the file with the partial name of ``path``, which exists."""
    engine, options = writer.engine, desired.options
    if not engine.abilities.pipe:
        return engine.checkpoint_steps(container, options, partial_path(path))
    make, pipe = compressor(options), pipe_path(path)
    proof = (unfinished_record_path(path), writer.streamed_text)
    stream = Stream(pipe, partial_path(path), writer.take, make, proof=proof)
    if desired.encryption is not None:
        # Few tasks encrypt: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.encryption import encryption_failed

        stream = replace(stream, filter=desired.encryption.argv, failed=encryption_failed)
    given = options if make is None else replace(options, compression="none")
    return (
        MakePipe(pipe, why="make the pipe"),
        *(
            replace(one, stream=stream) if isinstance(one, Command) and one.label == "checkpoint" else one
            for one in engine.checkpoint_steps(container, given, pipe)
        ),
        Remove(pipe, why="remove the pipe", always=True),
    )


def begin_archive(path: str, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans what goes before the dump: the record of the archive, and the file with its partial name."""
    return (
        *archive_place_steps(path),
        WriteFile(unfinished_record_path(path), render_record(writer.known()), why="write the record"),
        # Podman writes into an existing file, and would give a new one to other readers for a moment.
        WriteFile(partial_path(path), "", mode=0o600, why="make the file"),
    )


def end_archive(path: str, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans what follows when the archive is complete: its record, and its name."""
    engine = writer.engine
    used = engine.leftovers(container, desired.options) if desired.options.leave_running else ()

    def replaced() -> bool:
        return engine.stamp(container) not in ("", writer.stamp)

    return (
        *(Remove(one, why="remove the checkpoint in place", unless=replaced) for one in used),
        WriteFile(unfinished_record_path(path), writer.text, why="write the record"),
        *place_steps(path),
    )
