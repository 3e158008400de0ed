# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a Nextcloud that runs in a container: its files, its image and occ. Writes nothing."""

from __future__ import annotations

import glob
import json
import os
from typing import TYPE_CHECKING, Any, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    AppRange,
    Image,
    parse_app,
    parse_version_file,
    version_of_environment,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def _json(completed: Completed, what: str) -> Any:
    try:
        return json.loads(completed.out)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot {what}: {completed.argv[0]} printed {completed.last_line[:200]!r}, which is not JSON. Run the "
            "command manually.",
            reason="answer_invalid",
            cmd=list(completed.argv),
        ) from error


def read_version(html_path: str) -> Version:
    """Returns the version of the program files.

    Raises:
        CheckpointError: reason version_unknown.
    """
    path = os.path.join(html_path, "version.php")
    version = parse_version_file(read_text(path) or "")
    if version is None:
        raise CheckpointError(
            f"Cannot read the version of Nextcloud: {path!r} is missing or has no version. Give the folder of the "
            "volume /var/www/html.",
            reason="version_unknown",
        )
    return version


def read_image(ctx: Context, engine: Engine, name: str) -> Image:
    """Reads the image ``name``, with the version in its environment."""
    found = engine.find_image(ctx, name)
    return Image(name) if found is None else Image(name, found.id, version_of_environment(list(found.environment)))


def ask_occ(ctx: Context, engine: Engine, name: str, user: str, command: str) -> dict[str, Any]:
    """Runs an occ command in the container ``name`` and returns the JSON object that it prints."""
    argv = engine.exec_argv(name, user, ("php", "/var/www/html/occ", command, "--output=json"))
    what = f"run 'occ {command}' in container {name!r}"
    answer = _json(check(engine.ask(ctx, argv), what), what)
    return answer if isinstance(answer, dict) else {}


def read_apps(paths: Sequence[str]) -> list[AppRange]:
    """Reads the apps in these folders, with the versions that they support."""
    files = [file for path in paths for file in sorted(glob.glob(f"{glob.escape(path)}/*/appinfo/info.xml"))]
    apps = [parse_app(read_text(file) or "") for file in files]
    return [app for app in apps if app is not None]


def disk_bytes(path: str) -> int:
    """Returns the disk space that a file tree takes; 0 if it does not exist."""
    total = 0
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
