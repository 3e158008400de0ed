# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names, lists and finds the checkpoints in a store: STORE/containers/NAME/ID, and processes likewise.

A checkpoint is a folder with its manifest and its parts. A pre-checkpoint has such a folder, too, but nothing is
restored from it alone. Until it is whole it is named .part-ID, so that whatever has the name of an id was complete
once; each reader checks that it still is.
"""

from __future__ import annotations

import os
import re
import stat
import time
from calendar import timegm
from dataclasses import dataclass, replace
from typing import Iterable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import others_write
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID, Manifest, parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own

KINDS = {"container": "containers", "process": "processes"}
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
PINNED = "pinned"
LATEST = "latest"
PART = ".part-"
_TIME, _TIME_LENGTH = "%Y%m%dT%H%M%SZ", len("20261130T164500Z")
_ID = re.compile(ID)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,1023}")


@dataclass(frozen=True)
class Stored:
    """A checkpoint in a store. ``fault`` says why it cannot be used; without a manifest there always is one.

    ``parents`` are those that it is built on, the nearest first; none of one with a fault.
    """

    path: str
    kind: str
    name: str
    id: str
    manifest: Manifest | None
    fault: str = ""
    pinned: bool = False
    signed: bool = False
    parents: tuple[Stored, ...] = ()

    @property
    def pre_dump(self) -> bool:
        """Whether it holds memory only, so that nothing is restored from it alone."""
        return self.manifest is not None and self.manifest.record.get("pre_dump") is True

    def part(self, name: str) -> str:
        """Returns the path of a part."""
        return os.path.join(self.path, name)


def new_id(now: float, chance: bytes) -> str:
    """Returns the id of a checkpoint made at ``now`` (seconds since 1970), with the first 4 bytes of ``chance``."""
    return f"{time.strftime(_TIME, time.gmtime(now))}-{chance[:4].hex()}"


def next_id(store: str, kind: str, name: str, now: float, chance: bytes) -> str:
    """Returns an id that sorts after all others of the container or process.

    After another of the same second, or with a clock that was set back, its time is a second after the last one.
    """
    last = max(names_in(name_path(store, kind, name), _ID), default="")[:_TIME_LENGTH]
    made = new_id(now, chance)
    if made[:_TIME_LENGTH] > last:
        return made
    try:
        after = new_id(timegm(time.strptime(last, _TIME)) + 1, chance)
    except (ValueError, OverflowError):  # an id that names no time
        return made
    return after if _ID.fullmatch(after) else made  # there is no id after the year 9999


def name_path(store: str, kind: str, name: str) -> str:
    """Returns the folder of all checkpoints of one container or process."""
    return os.path.join(store, KINDS[kind], name)


def stored_path(store: str, kind: str, name: str, identity: str) -> str:
    """Returns the folder of a whole checkpoint."""
    return os.path.join(name_path(store, kind, name), identity)


def part_path(store: str, kind: str, name: str, identity: str) -> str:
    """Returns the folder of a checkpoint while it is made."""
    return os.path.join(name_path(store, kind, name), f"{PART}{identity}")


def list_stored(store: str, kind: str | None = None, name: str | None = None) -> list[Stored]:
    """Returns the checkpoints in a store, of one kind or one name if given: newest first; none if there is no store.

    A damaged one is in the list, with its fault, and so is one that is built on such a one. Digests are not computed.

    Raises:
        CheckpointError: store_unreadable.
    """
    found = [
        read_stored(store, one, below, identity)
        for one in (KINDS if kind is None else (kind,))
        for below in stored_names(store, one, name)
        for identity in names_in(name_path(store, one, below), _ID)
    ]
    # A stable order for two of the same second, too.
    return sorted(with_parents(found), key=lambda one: (one.id, one.kind, one.name), reverse=True)


def with_parents(found: Iterable[Stored]) -> list[Stored]:
    """Returns these checkpoints with those that they are built on, or with the fault that one of these gives them."""
    known: dict[tuple[str, str, str], Stored] = {}
    broken: dict[tuple[str, str, str], str] = {}
    # A parent has to be older than its child, so no chain leads back to where it began.
    for one in sorted(found, key=lambda one: one.id):
        key, wanted = (one.kind, one.name, one.id), one.manifest.parent if one.manifest is not None else ""
        above = (one.kind, one.name, wanted)
        parent = known.get(above)
        if one.fault:
            broken[key] = f"it is built on the checkpoint {one.id!r}, which cannot be used: {one.fault}"
        elif wanted:
            fault = broken.get(above) or _misfit(one, wanted, parent)
            one = replace(one, fault=fault, parents=() if fault or parent is None else (parent, *parent.parents))
            broken.update({key: fault} if fault else {})
        known[key] = one
    return list(known.values())


def _misfit(one: Stored, wanted: str, parent: Stored | None) -> str:
    """Returns why a checkpoint cannot be built on this parent; empty if it can."""
    on = f"it is built on the checkpoint {wanted!r}, which"
    if parent is None:
        return f"{on} is missing" if wanted < one.id else f"{on} is not older"
    child, record = (each.manifest.record if each.manifest is not None else {} for each in (one, parent))
    same = child.get("parent_inventory") == record.get("inventory")
    return "" if same else f"{on} does not have the images that it was made on"


def stored_names(store: str, kind: str, name: str | None = None) -> Iterator[str]:
    """Yields the names of all containers or processes in a store; or only ``name``, if a container can have it."""
    if name is None:
        yield from names_in(os.path.join(store, KINDS[kind]), _NAME)
    elif _NAME.fullmatch(name):
        yield name


def names_in(folder: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yields the entries of a folder of a store that have the whole pattern; none if there is no such folder.

    Raises:
        CheckpointError: store_unreadable.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CheckpointError(
            f"Cannot read the store's folder {folder!r}: {error.strerror}. Run the task as a user who may read it.",
            reason="store_unreadable",
            path=folder,
        ) from error
    yield from (name for name in names if pattern.fullmatch(name))


def read_stored(store: str, kind: str, name: str, identity: str) -> Stored:
    """Returns the checkpoint with its manifest, or with its fault."""
    path = stored_path(store, kind, name, identity)
    manifest, fault = None, ""
    try:
        _check_folder(path)
        data = read_own(os.path.join(path, MANIFEST))
        if data is None:
            raise ValueError(f"it has no {MANIFEST}")
        manifest = _parse(data)
        if (manifest.kind, manifest.name, manifest.id) != (kind, name, identity):
            raise ValueError(f"its {MANIFEST} is of the {manifest.kind} checkpoint {manifest.name}/{manifest.id}")
        _check_parts(path, manifest)
    except OSError as error:
        fault = f"it cannot be read ({error.strerror})"
    except ValueError as error:
        fault = str(error)
    pinned, signed = (os.path.lexists(os.path.join(path, one)) for one in (PINNED, SIGNATURE))
    return Stored(path, kind, name, identity, manifest, fault, pinned, signed)


def _parse(data: bytes) -> Manifest:
    try:
        return parse_manifest(data)
    except ValueError as error:
        raise ValueError(f"its {MANIFEST} cannot be used: {error}") from error


def _check_folder(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError("it is not a folder")
    if others_write(status):
        raise ValueError("users other than root may write to it")


def _check_parts(path: str, manifest: Manifest) -> None:
    """Checks that each part is there with its size.

    Raises:
        ValueError: with the reason.
    """
    for part in manifest.parts:
        try:
            status = os.lstat(os.path.join(path, part.name))
        except FileNotFoundError:
            raise ValueError(f"its part {part.name!r} is missing") from None
        if not stat.S_ISREG(status.st_mode) or others_write(status):
            raise ValueError(f"its part {part.name!r} is not a file that only root may write to")
        if status.st_size != part.size_bytes:
            raise ValueError(
                f"its part {part.name!r} has {status.st_size} bytes and its {MANIFEST} says {part.size_bytes}"
            )


def damaged(what: str, why: str, advice: str, **facts: str) -> CheckpointError:
    """Returns the failure of the work ``what`` on a checkpoint that is not what its manifest says."""
    return CheckpointError(f"Cannot {what}: {why}. {advice}", reason="checkpoint_damaged", **facts)


def unusable(path: str, why: str, advice: str = "Use another checkpoint, or copy this one again.") -> CheckpointError:
    """Returns the refusal to use a checkpoint, or a part of it."""
    return damaged(f"use the checkpoint {path!r}", why, advice, path=path)


def passed_over(one: Stored, fault: str) -> str:
    """Returns the warning about a checkpoint that is newer than the one that a task uses, and damaged."""
    return f"The checkpoint {one.path!r} cannot be used: {fault}. Look at it, and remove its folder."


def newest_whole(store: str, kind: str, name: str) -> Stored | None:
    """Returns the newest checkpoint without a fault that can be restored."""
    return next((one for one in list_stored(store, kind, name) if not one.fault and not one.pre_dump), None)


def find_stored(store: str, kind: str, name: str, wanted: str) -> Stored:
    """Returns the checkpoint with the id ``wanted``, or for "latest" the newest that has no fault and can be restored.

    Raises:
        CheckpointError: checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    return find_and_warn(store, kind, name, wanted)[0]


def find_and_warn(store: str, kind: str, name: str, wanted: str) -> tuple[Stored, tuple[str, ...]]:
    """Returns the same, with a warning about each newer one that "latest" passes over since it is damaged.

    Raises:
        CheckpointError: as ``find_stored``.
    """
    listed = list_stored(store, kind, name)
    found = [one for one in listed if wanted == one.id or (wanted == LATEST and not one.pre_dump)]
    if not found:
        which = "has no checkpoint" if wanted == LATEST else f"has no checkpoint {wanted!r}"
        raise CheckpointError(
            f"Cannot use a checkpoint of {kind} {name!r}: the store {store!r} {which} of it. "
            f"Make one with {kind}_checkpoint, or see checkpoint_info for those that it has.",
            reason="checkpoint_missing",
            path=store,
        )
    whole = next((one for one in found if not one.fault), None)
    if whole is None:
        raise unusable(found[0].path, found[0].fault)
    return whole, tuple(passed_over(one, one.fault) for one in found[: found.index(whole)])
