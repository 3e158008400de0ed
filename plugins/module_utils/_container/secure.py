# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Encrypts and signs the checkpoint of a container, and decrypts it for a restore."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakePipe, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.encryption import (
    Encryption,
    check_encryption,
    decrypt_argv,
    decryption_failed,
    encryption_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of, pipe_path
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import (
    check_signing,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def encryption_in(params: Mapping[str, Any]) -> Encryption | None:
    """Returns how the options want the archive encrypted; its name has to say so, since a restore goes by it.

    Raises:
        CheckpointError: option_invalid.
    """
    found = encryption_of(params["encryption"], params["encrypt_to"])
    path, store = params.get("archive_path"), params.get("store")
    if found is None or store or (path and path.endswith(found.suffix)):
        return found
    place = "an image" if params.get("create_image") else "a checkpoint in place"
    why = f"archive_path does not end with {found.suffix}" if path else f"{place} cannot be encrypted"
    advice = f"Let it end with {found.suffix}." if path else "Give store or archive_path."
    raise CheckpointError(
        f"Cannot encrypt the checkpoint of container {params['name']!r}: {why}. {advice}",
        reason="option_invalid",
        option="encrypt_to",
    )


def check_programs(runner: Runner, desired: Desired) -> None:
    """Refuses keys with which the programs cannot encrypt or sign, before anything is dumped.

    Raises:
        CheckpointError: encryption_failed, signing_failed, tool_missing.
    """
    if desired.encryption is not None:
        check_encryption(runner, desired.encryption)
    if desired.signing_key is not None:
        check_signing(runner, desired.signing_key)


def import_steps(engine: Engine, archive: str, runtime: str, desired: Desired) -> tuple[Step, ...]:
    """Plans the import of an encrypted archive: the engine reads it from a pipe, and no file has the plain text."""
    pipe = pipe_path(archive)
    argv = decrypt_argv(kind_of(archive), desired.decryption_key)
    feed = Feed(pipe, archive, argv, partial(decryption_failed, archive))
    return (
        MakePipe(pipe, why="make the pipe"),
        *(
            replace(one, stream=feed) if isinstance(one, Command) and one.label == "restore" else one
            for one in engine.import_steps(pipe, runtime, desired.new_name, desired.options)
        ),
        Remove(pipe, why="remove the pipe", always=True),
    )
