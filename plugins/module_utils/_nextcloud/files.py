# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what the container of a Nextcloud writes: it chooses the names, the kinds, the sizes and the bytes of files."""

from __future__ import annotations

import os
from itertools import islice

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    AppRange,
    parse_app,
    parse_version_file,
)

# version.php has 500 bytes, the longest info.xml of an app about 20,000. Nextcloud's store has about 500 apps.
VERSION_LIMIT, APP_LIMIT, APPS_LIMIT = 64 << 10, 1 << 20, 5000


def _read(folder: str, name: str, limit: int) -> str | None:
    """Returns the text of a file that the container may have written, with any owner; None if it is absent."""
    try:
        data = read_below(folder, name, limit=limit)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {os.path.join(folder, name)!r}: {error.strerror}. Put a regular file there: the container "
            "can write it, so nothing else is read.",
            reason="file_unreadable",
        ) from error
    return None if data is None else data.decode("utf-8", "surrogateescape")


def find_version(html_path: str) -> Version | None:
    """Returns the version of the program files; None if there are none yet.

    Raises:
        CheckpointError: reasons version_unknown (the file has no version), file_unreadable.
    """
    text = _read(html_path, "version.php", VERSION_LIMIT)
    version = None if text is None else parse_version_file(text)
    if text is not None and version is None:
        raise CheckpointError(
            f"Cannot read the version of Nextcloud: {os.path.join(html_path, 'version.php')!r} has no version. Restore "
            "the file, which belongs to the program.",
            reason="version_unknown",
        )
    return version


def read_version(html_path: str) -> Version:
    """Returns the version of the program files.

    Raises:
        CheckpointError: reasons version_unknown, file_unreadable.
    """
    version = find_version(html_path)
    if version is None:
        raise CheckpointError(
            f"Cannot read the version of Nextcloud: {os.path.join(html_path, 'version.php')!r} is missing. Give the "
            "folder of the volume /var/www/html.",
            reason="version_unknown",
        )
    return version


def _app_names(folder: str) -> list[str]:
    """Returns the names of the folders and links in a folder of apps. Reading through a link fails, and says so."""
    try:
        with os.scandir(folder) as entries:
            found = list(islice(entries, APPS_LIMIT + 1))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(
            f"Cannot read the apps in {folder!r}: {error.strerror}. Give a folder with apps.", reason="file_unreadable"
        ) from error
    if len(found) > APPS_LIMIT:
        raise CheckpointError(
            f"Cannot read the apps in {folder!r}: it has more than {APPS_LIMIT} files and folders. Remove those that "
            "are no apps.",
            reason="file_unreadable",
        )
    return sorted(one.name for one in found if one.is_symlink() or one.is_dir())


def read_apps(folders: list[str]) -> list[AppRange]:
    """Reads the apps in these folders, with the versions that they support.

    Raises:
        CheckpointError: reason file_unreadable.
    """
    texts = [
        _read(folder, f"{name}/appinfo/info.xml", APP_LIMIT) or "" for folder in folders for name in _app_names(folder)
    ]
    apps = [parse_app(text) for text in texts]
    return [app for app in apps if app is not None]
