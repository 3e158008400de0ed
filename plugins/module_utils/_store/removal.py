# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans to remove checkpoints from a store, and finds those that a task has begun to use."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from typing import Iterable, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Rename, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, names_in
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import begun_path
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Known
from ansible_collections.criu.hosts.plugins.module_utils._store.working import NEW, read_draft

# A checkpoint that is being removed: a name that nobody lists.
GONE = ".gone-"
_GONE = re.compile(re.escape(GONE) + ID)


def gone_path(path: str) -> str:
    """Returns the path of a checkpoint while it is being removed."""
    return os.path.join(os.path.dirname(path), f"{GONE}{os.path.basename(path)}")


def removal_steps(one: Stored) -> tuple[Step, ...]:
    """Plans to remove a checkpoint. The first step takes all of it from the store, and survives a loss of power."""
    gone = gone_path(one.path)
    return (
        Rename(one.path, gone, why=f"take the checkpoint {one.id} out of the store"),
        Remove(gone, why=f"remove the checkpoint {one.id}"),
    )


def left_steps(folders: Iterable[str]) -> Iterator[Step]:
    """Yields steps that remove what a killed task has left in these folders of checkpoints that it was removing."""
    for folder in folders:
        for entry in sorted(names_in(folder, _GONE)):
            yield Remove(os.path.join(folder, entry), why="remove the rest of a checkpoint")


def made_of(one: Stored) -> float | None:
    """Returns when a checkpoint was made, in seconds since 1970; None if that is not known.

    The manifest has the time of the clock then. An id is later if the clock was set back, so that ids sort by age.
    """
    manifest = one.manifest
    text, form = (manifest.made_at, "%Y-%m-%dT%H:%M:%SZ") if manifest else (one.id.partition("-")[0], "%Y%m%dT%H%M%SZ")
    try:
        return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def tree_bytes(path: str) -> int:
    """Returns the bytes of all files below a folder; a file that is gone meanwhile has none."""
    total = 0
    for folder, dummy, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def known_of(one: Stored, used: Mapping[str, str], pinned: bool) -> Known:
    """Returns a checkpoint as the rules see it. ``used``: who needs one, by its path."""
    manifest = one.manifest
    made = made_of(one)
    return Known(
        one.kind,
        one.name,
        one.id,
        made or 0.0,
        size_bytes=tree_bytes(one.path),
        fault=one.fault,
        parent=manifest.parent if manifest is not None else "",
        pinned=pinned,
        used=used.get(one.path, "its age is not known" if made is None else ""),
        pre_dump=one.pre_dump,
    )


def named_by_restores(paths: Paths, stored: Iterable[Stored]) -> dict[str, str]:
    """Returns why each of these checkpoints is needed from which a task was restoring a process, by its path.

    The task was killed, or is at it: its note is beside the images, and also under their digest, for copies of them.
    """
    named: dict[str, str] = {}
    for one in stored:
        if one.kind != "process":
            continue
        digest = str(one.manifest.record.get("inventory", "")) if one.manifest is not None else ""
        places = [begun_path(one.part("images"))]
        places += [f"{paths.run}/restored/{digest}.begun.json"] if digest.isalnum() else []
        note = next((note for note in map(read_begun, places) if note is not None), None)
        if note is not None:
            named[one.path] = f"a task that began at {note.began} ({note.action} {note.thing!r}) needs it"
    return named


def named_by_drafts(stored: Iterable[Stored]) -> dict[str, str]:
    """Returns why each of these checkpoints is needed on which one is built that is not in its place, by its path.

    A killed task has left that one, and it may be the only copy of a process.
    """
    known = {one.path for one in stored}
    named: dict[str, str] = {}
    for folder in sorted({os.path.dirname(path) for path in known}):
        draft = read_draft(os.path.join(folder, NEW))
        path = os.path.join(folder, draft.parent) if draft is not None and draft.parent else ""
        if path in known:
            named[path] = "a checkpoint that is not complete is built on it"
    return named


def begun_notes(paths: Paths) -> list[Begun]:
    """Returns the notes of all tasks that have begun something with a container."""
    folder = f"{paths.state}/begun"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = [read_begun(os.path.join(folder, name)) for name in names if name.endswith(".json")]
    return [one for one in found if one is not None]


def named_by_notes(notes: Iterable[Begun], stored: Iterable[Stored]) -> dict[str, str]:
    """Returns why each of these checkpoints is needed that a note names, by its path: a task has begun to use it."""
    named: dict[str, str] = {}
    known = {os.path.realpath(one.path): one.path for one in stored}
    for note in notes:
        for value in note.facts.values():
            # The note names a part, or the folder itself.
            places = (value, os.path.dirname(value)) if os.path.isabs(value) else ()
            for place in places:
                path = known.get(os.path.realpath(place))
                if path is not None:
                    named[path] = f"a task that began at {note.began} ({note.action} {note.thing!r}) needs it"
    return named
