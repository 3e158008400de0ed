# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the folder in which a checkpoint is made until it is whole, and gives it its place in the store.

There is one for each container or process, since its lock lets only one task work there: .part-new. So the commands of
a task do not depend on the id, and the next task finds what a killed one has left. The draft of the manifest is written
before anything else, with the id.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Rename, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import KINDS, MANIFEST, PART, name_path
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import (
    Manifest,
    Part,
    parse_manifest,
    render_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import SUFFIXES, partial_path

NEW = f"{PART}new"
ARCHIVES = {"none": "archive.tar", "gzip": "archive.tar.gz", "zstd": "archive.tar.zst"}
# All names that an archive in a store may have.
NAMES = tuple(f"{name}{suffix}" for name in ARCHIVES.values() for suffix in ("", *SUFFIXES.values()))
_PLACEHOLDER = Part("draft", 0, "0" * 64)


def archive_part(manifest: Manifest | None) -> Part | None:
    """Returns the part that is the archive of a container; None if there is none that this release knows."""
    return next((part for part in manifest.parts if part.name in NAMES), None) if manifest is not None else None


def working_folder(store: str, kind: str, name: str) -> str:
    """Returns the folder of the checkpoint that is being made."""
    return os.path.join(name_path(store, kind, name), NEW)


def is_working(path: str) -> bool:
    """Returns whether the path is that of the archive of a checkpoint that is being made."""
    folder, name = os.path.split(path)
    kind = os.path.basename(os.path.dirname(os.path.dirname(folder)))
    return os.path.basename(folder) == NEW and name in NAMES and kind in KINDS.values()


def final_folder(working: str, identity: str) -> str:
    """Returns the folder that the checkpoint gets when it is whole."""
    return os.path.join(os.path.dirname(working), identity)


def draft_path(working: str) -> str:
    return partial_path(os.path.join(working, MANIFEST))


def draft_steps(working: str, draft: Manifest) -> tuple[Step, ...]:
    """Plans the folder with the draft of the manifest, which knows no part yet."""
    text = render_manifest(replace(draft, parts=(_PLACEHOLDER,)))
    return (
        Remove(working, why="remove what is left of an earlier task in"),
        MakeDir(working, why="make the folder"),
        WriteFile(draft_path(working), text, why="write the draft of the manifest"),
    )


def read_draft(working: str) -> Manifest | None:
    """Returns the manifest, which may be signed already, or its draft; None if there is none that can be used."""
    for path in (os.path.join(working, MANIFEST), draft_path(working)):
        try:
            return parse_manifest(read_own(path))
        except ValueError:
            continue
    return None


def finish_steps(
    working: str, identity: str, text: str | Callable[[], str], key_path: str | None = None
) -> tuple[Step, ...]:
    """Plans to write the manifest, whose ``text`` may be a function, and to give the whole checkpoint its name.

    ``key_path``: the key that signs the manifest, if any. All files are fsynced before the checkpoint has its name.
    """
    sign: tuple[Step, ...] = ()
    if key_path is not None:
        # Few checkpoints are signed: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.signature import sign_steps

        sign = sign_steps(os.path.join(working, MANIFEST), key_path)
    return (
        WriteFile(os.path.join(working, MANIFEST), text, why="write the manifest"),
        *sign,
        Remove(draft_path(working), why="remove the draft of the manifest"),
        Rename(working, final_folder(working, identity), mode=0o600, why="put the checkpoint in place at"),
    )
