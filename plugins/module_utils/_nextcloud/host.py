# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Asks about a Nextcloud that runs in a container: its images, occ, and the size of its volumes. Writes nothing."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Callable, Mapping, TypeVar

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    Image,
    Status,
    parse_enabled,
    parse_status,
    version_of_environment,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

T = TypeVar("T")


def _parse(completed: Completed, parse: Callable[[dict[str, Any]], T], what: str) -> T:
    """Returns what ``parse`` makes of the object that a command printed; it refuses by a ValueError."""
    try:
        return parse(parse_object(completed.out))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot {what}: {completed.argv[0]} printed {completed.last_line[:200]!r}, which is not the expected "
            "JSON. Run the command manually.",
            reason="answer_invalid",
            cmd=list(completed.argv),
        ) from error


def read_image(ctx: Context, engine: Engine, name: str) -> Image:
    """Reads the image ``name`` of the host, with the version in its environment."""
    found = engine.find_image(ctx, name)
    return Image(name) if found is None else Image(name, found.id, version_of_environment(list(found.environment)))


def _environment(found: Mapping[str, Any]) -> list[str]:
    """Returns the environment in the configuration of an image."""
    config = found.get("config") or {}
    environment = (config.get("Env") or []) if isinstance(config, dict) else None
    if not isinstance(environment, list):
        raise ValueError("it is no configuration of an image")
    return [entry for entry in environment if isinstance(entry, str)]


def ask_registry(ctx: Context, name: str) -> Image | str:
    """Reads the image ``name`` in its registry, as a pull would bring it now; or returns why it is not known.

    The id of an image is the SHA-256 of its configuration, the version is in it.
    """
    if ctx.runner.which("skopeo") is None:
        return "skopeo is not installed, which could ask the registry"
    completed = ctx.runner.run(("skopeo", "inspect", "--config", "--raw", f"docker://{name}"))
    if completed.rc != 0:
        return f"the registry does not answer ({completed.last_line[:200].rstrip('.')})"
    try:
        environment = _environment(parse_object(completed.out))
    except ValueError as error:
        return f"the registry's answer is not the configuration of an image ({error})"
    digest = hashlib.sha256(completed.out.encode("utf-8", "surrogateescape")).hexdigest()
    return Image(name, digest, version_of_environment(environment))


def _ask_occ(
    ctx: Context, engine: Engine, where: tuple[str, str], command: str, parse: Callable[[dict[str, Any]], T]
) -> T:
    """Runs an occ command in the container, as the user, of ``where``, and parses the JSON that it prints."""
    name, user = where
    argv = engine.exec_argv(engine.address(ctx, name), user, ("php", "/var/www/html/occ", command, "--output=json"))
    what = f"run 'occ {command}' in container {name!r}"
    return _parse(check(engine.ask(ctx, argv), what), parse, what)


def read_status(ctx: Context, engine: Engine, name: str, user: str) -> Status:
    """Returns what occ reports about the Nextcloud in the running container ``name``."""
    return _ask_occ(ctx, engine, (name, user), "status", parse_status)


def read_enabled(ctx: Context, engine: Engine, name: str, user: str) -> list[str]:
    """Returns the names of the enabled apps in the running container ``name``."""
    return _ask_occ(ctx, engine, (name, user), "app:list", parse_enabled)


def disk_bytes(ctx: Context, path: str) -> int:
    """Returns the space that a copy of a file tree takes, also of files with holes; 0 if the tree does not exist.

    The tree may be nested deeper than Python can follow, so du counts. Files that disappear meanwhile do not count.
    """
    if not os.path.isdir(path):
        return 0
    sizes = []
    for measure in ("--block-size=1", "--bytes"):
        completed = ctx.runner.run(("du", "--summarize", measure, "--", path))
        number = completed.out.partition("\t")[0]
        if not (number.isascii() and number.isdigit()):
            raise CommandError(completed, f"Cannot measure {path!r}: {completed.last_line}")
        sizes.append(int(number))
    return max(sizes)
