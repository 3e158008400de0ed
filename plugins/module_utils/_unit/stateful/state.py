# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the spec and the record of a stateful unit, and chooses what a start does. Runs no command, changes nothing."""

from __future__ import annotations

import glob
import json
import math
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths, temporary_path
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    ImageError,
    read_inventory,
    read_tasks,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    DIGEST_LABEL,
    last_path,
    mark_path,
    spec_path,
)

VERSION = 1
# Nobody waits longer for the end of a container; systemd's times are limited, too.
LONGEST_STOP = 365 * 24 * 3600
# What a start or stop may have done. After the first two the checkpoint in place is the last state of the container.
KEPT_STATE = ("dumped", "refused")
ACTIONS = (*KEPT_STATE, "clean_stop", "restored", "fresh")


@dataclass(frozen=True)
class Spec:
    """The spec that container_unit writes. ``digest`` covers everything that the container is made from.

    ``former_digest`` is the digest that earlier releases gave such a container.
    """

    name: str
    create: tuple[str, ...]
    digest: str
    conmon_pid_file: str
    stop_timeout: int = 10
    tcp_established: bool = False
    file_locks: bool = False
    on_restore_failure: str = "fresh"
    former_digest: str = ""

    @property
    def options(self) -> Options:
        return Options(tcp_established=self.tcp_established, file_locks=self.file_locks)


@dataclass(frozen=True)
class Last:
    """The record of the last start or stop. ``stamp`` identifies the checkpoint that was made, ``id`` its container.

    ``action``: dumped, clean_stop; restored, fresh, refused.
    """

    action: str
    began: float
    seconds: float = 0.0
    boot_id: str = ""
    id: str = ""
    stamp: str = ""
    size_bytes: int | None = None
    label_proof: str | None = None
    labels: list[dict[str, Any]] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    aside: str | None = None
    why: str | None = None
    reason: str | None = None
    previous: dict[str, Any] | None = None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_maybe_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    """Returns whether it is a number that can be calculated with; a clock may have been before 1970 or after 2100."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 1 << 62


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_path(value: Any) -> bool:
    return _is_text(value) and value.startswith("/")


SPEC_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "create": lambda value: isinstance(value, list) and bool(value) and all(_is_text(word) for word in value),
    "digest": lambda value: _is_text(value) and bool(value),
    "former_digest": _is_text,
    "conmon_pid_file": _is_path,
    "stop_timeout": lambda value: _is_count(value) and value <= LONGEST_STOP,
    "tcp_established": _is_flag,
    "file_locks": _is_flag,
    "on_restore_failure": lambda value: value in ("fresh", "refuse"),
}
LAST_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "action": lambda value: value in ACTIONS,
    "began": _is_number,
    "seconds": _is_number,
    "boot_id": _is_text,
    "id": _is_text,
    "stamp": _is_text,
    "size_bytes": lambda value: value is None or _is_count(value),
    "label_proof": _is_maybe_text,
    "labels": lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value),
    "statistics": lambda value: isinstance(value, dict),
    "aside": _is_maybe_text,
    "why": _is_maybe_text,
    "reason": _is_maybe_text,
    "previous": lambda value: value is None or isinstance(value, dict),
}


def right_fields(text: str | None, fields: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """Returns those fields of a JSON object whose values are of the right kind; none if it is no object."""
    try:
        entries = parse_object(text)
    except ValueError:
        return {}
    return {key: entries[key] for key, is_right in fields.items() if key in entries and is_right(entries[key])}


def parse_spec(text: str, name: str, path: str) -> Spec:
    """Returns the spec of a unit.

    Raises:
        CheckpointError: unit_spec_invalid.
    """
    try:
        entries = parse_object(text)
        if (entries.get("version"), entries.get("name")) != (VERSION, name):
            raise ValueError("its version or name differs")
        for key, is_right in SPEC_FIELDS.items():
            if key in entries and not is_right(entries[key]):
                raise ValueError(f"{key} has a value of a wrong kind")
        known = {key: entries[key] for key in SPEC_FIELDS if key in entries}
        return Spec(**{**known, "create": tuple(known["create"])})
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error}. Let container_unit write it again.",
            reason="unit_spec_invalid",
        ) from error


def read_spec(paths: Paths, name: str) -> Spec | None:
    """Reads the spec of the unit; None if there is none, as during its removal.

    Raises:
        CheckpointError: unit_spec_invalid.
    """
    path = spec_path(paths, name)
    try:
        text = read_text(path)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error.strerror}. Let container_unit write it again.", reason="unit_spec_invalid"
        ) from error
    return None if text is None else parse_spec(text, name, path)


def render_last(last: Last) -> str:
    return json.dumps(asdict(last), indent=1, sort_keys=True) + "\n"


def parse_last(text: str | None) -> Last | None:
    """Returns the record; None if there is none that this release understands. A wrong detail is left out."""
    known = right_fields(text, LAST_FIELDS)
    return Last(**known) if "action" in known and "began" in known else None


def read_last(paths: Paths, name: str) -> Last | None:
    """Reads the record of the last start or stop; None if there is none that can be read."""
    return parse_last(read_text(last_path(paths, name), may_fail=True))


def known_of(images: str, container: Container, last: Last | None) -> Last | None:
    """Returns what is known of the checkpoint in place: the unit's record, or the mark among its images.

    A stop leaves the mark for the case that the record could not be written, or was lost. It goes with the images, and
    names the checkpoint that it was written for. A record of the same checkpoint is newer than the mark.
    """
    mark = parse_last(read_text(mark_path(images), may_fail=True)) if container.stamp else None
    if mark is None or (mark.id, mark.stamp) != (container.id, container.stamp):
        return last
    if last is not None and (last.stamp == container.stamp or last.action == "clean_stop"):
        return last
    return mark


def before(last: Last | None) -> dict[str, Any] | None:
    """Returns the record as the next one keeps it: without its own predecessor."""
    return None if last is None else {**asdict(last), "previous": None}


def unit_cgroup(paths: Paths, name: str) -> str:
    """Returns our own cgroup if it is that of the unit; empty if a person or a different service has called us.

    systemd puts an underscore before a name that is a word of the kernel's own.
    """
    own = cgroup_of(paths, "self")
    folder, dummy, leaf = own.rpartition("/")
    ours = leaf in (f"{name}.service", f"_{name}.service") and "/user.slice/" not in f"{folder}/"
    return own if ours else ""


def processes_of(paths: Paths, name: str, cgroups: tuple[str, ...]) -> list[int]:
    """Returns the processes in the cgroup of the unit, if we are in it, and in these cgroups of the container."""
    own, found = unit_cgroup(paths, name), []
    folders = [f"{paths.cgroups}{own}"] if own else []
    for base in (*folders, *(f"{paths.cgroups}/{one}" for one in cgroups)):
        for path in glob.glob(f"{base}/**/cgroup.procs", recursive=True):
            found += [int(word) for word in (read_text(path) or "").split() if word.isdigit()]
    return found


def is_same(spec: Spec, container: Container) -> bool:
    """Returns whether the container is made from this spec."""
    known = container.labels.get(DIGEST_LABEL, "")
    return bool(known) and known in (spec.digest, spec.former_digest)


def unusable(container: Container, record: Record | None, last: Last | None) -> str | None:
    """Returns why the checkpoint of the container is not its last state; None if it is.

    After a boot podman no longer knows that a container was checkpointed, and a checkpoint that left the container
    running looks like any other. So the unit's own record decides. A checkpoint that a user made counts while podman
    knows it.
    """
    if container.checkpointed and (record is None or record.stamp == container.stamp):
        return None
    if last is None or last.action not in KEPT_STATE:
        return "the container kept running after it was made"
    if (last.id, last.stamp) != (container.id, container.stamp):
        return "it is not the one that the last stop of the unit made"
    return None


def half_started(container: Container, last: Last | None) -> bool:
    """Returns whether the container was restored by a start that did not come to its end: its labels are not proved.

    It runs, and the checkpoint that it was restored from is still there, unused as far as the unit knows.
    """
    if not container.alive or not container.stamp or last is None:
        return False
    return last.action in KEPT_STATE and (last.id, last.stamp) == (container.id, container.stamp)


def images_bytes(images: str) -> int:
    """Returns the bytes of the images of a checkpoint, without the unit's own mark among them, complete or not."""
    own = 0
    for path in (mark_path(images), temporary_path(mark_path(images))):
        try:
            own += os.stat(path).st_size
        except OSError:
            continue
    return folder_bytes(images) - own


def damage(images: str, container: Container, last: Last | None) -> str | None:
    """Returns the damage of the images of a checkpoint; None if there is none. CRIU may hang on truncated images."""
    size = images_bytes(images)
    if last is not None and last.stamp == container.stamp and last.size_bytes not in (None, size):
        return f"their size was {last.size_bytes} bytes and is {size}"
    try:
        read_inventory(images)
        read_tasks(images)
    except (ImageError, OSError) as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Choice:
    """The action of a start: running, prove, create, replace, start or restore; and why, if it needs a line.

    ``reason`` is that of the failure of the last stop, if that is why.
    """

    action: str
    why: str | None = None
    reason: str | None = None


def _without_checkpoint(container: Container, last: Last | None) -> Choice:
    """Returns the choice of a start that finds no checkpoint, with what the last stop says about that."""
    if last is not None and last.action == "clean_stop" and last.id == container.id and last.why:
        return Choice("start", f"the last stop made no checkpoint: {last.why}", last.reason)
    return Choice("start", "there was no checkpoint")


def choose(spec: Spec, container: Container | None, record: Record | None, last: Last | None) -> Choice:
    """Returns the action of a start for the container that it finds."""
    if container is None:
        return Choice("create", "there was no container yet")
    if not is_same(spec, container):
        return Choice("replace", "the description of the container has changed")
    if container.status == "removing":
        return Choice("replace", "its removal was cut off")
    if container.alive:
        return Choice("prove" if half_started(container, last) else "running")
    if not container.stamp:
        return _without_checkpoint(container, last)
    why = unusable(container, record, last)
    return Choice("restore") if why is None else Choice("start", f"the checkpoint was not used: {why}")
