# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a Nextcloud that runs in a container: its files, podman and occ. Writes nothing."""

from __future__ import annotations

import glob
import json
import os
from dataclasses import dataclass
from typing import Any, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner, check
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


@dataclass(frozen=True)
class Running:
    """The container; ``pid`` is 0 if it is not running."""

    name: str
    image: str
    image_id: str
    pid: int


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


def read_container(runner: Runner, name: str) -> Running | None:
    """Reads the container ``name``; None if there is none."""
    completed = runner.run(["podman", "container", "inspect", name])
    if completed.rc != 0:
        return None
    found = _json(completed, f"inspect container {name!r}")[0]
    return Running(name, found["ImageName"], found["Image"], found["State"]["Pid"])


def read_image(runner: Runner, name: str) -> Image:
    """Reads the image ``name``, with the version in its environment."""
    completed = runner.run(["podman", "image", "inspect", name])
    if completed.rc != 0:
        return Image(name)
    found = _json(completed, f"inspect image {name!r}")[0]
    return Image(name, found["Id"], version_of_environment(found["Config"].get("Env") or []))


def ask_occ(runner: Runner, container: Running, user: str, command: str) -> dict[str, Any]:
    """Runs an occ command and returns the JSON object that it prints."""
    argv = ["podman", "exec", f"--user={user}", container.name, "php", "/var/www/html/occ", command, "--output=json"]
    what = f"run 'occ {command}' in container {container.name!r}"
    answer = _json(check(runner.run(argv), what), what)
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
