# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the spec and the record of a stateful unit, and chooses what a start does. Runs no command, changes nothing."""

from __future__ import annotations

import glob
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    ImageError,
    read_inventory,
    read_tasks,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    BASE_SECONDS,
    DIGEST_LABEL,
    last_path,
    spec_path,
)

VERSION = 1
# A slow disk writes or reads so many bytes per second.
BYTES_PER_SECOND = 8 << 20
# Checkpoints that could not be used fill the disk, so only the newest are kept.
KEPT_ASIDE = 3


@dataclass(frozen=True)
class Spec:
    """The spec that container_unit writes. ``digest`` covers everything that the container is made from."""

    name: str
    create: tuple[str, ...]
    digest: str
    conmon_pid_file: str
    stop_timeout: int = 10
    tcp_established: bool = False
    file_locks: bool = False
    on_restore_failure: str = "fresh"

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


def parse_spec(text: str, name: str, path: str) -> Spec:
    """Returns the spec of a unit.

    Raises:
        CheckpointError: unit_spec_invalid.
    """
    try:
        entries = json.loads(text)
        if entries["version"] != VERSION or entries["name"] != name:
            raise ValueError("its version or name differs")
        known = {key: entries[key] for key in Spec.__dataclass_fields__ if key in entries}
        return Spec(**{**known, "create": tuple(str(word) for word in entries["create"])})
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error}. Let container_unit write it again.",
            reason="unit_spec_invalid",
        ) from error


def read_spec(paths: Paths, name: str) -> Spec | None:
    """Reads the spec of the unit; None if there is none, as during its removal."""
    path = spec_path(paths, name)
    text = read_text(path)
    return None if text is None else parse_spec(text, name, path)


def render_last(last: Last) -> str:
    return json.dumps(asdict(last), indent=1, sort_keys=True) + "\n"


def parse_last(text: str | None) -> Last | None:
    """Returns the record; None if there is none that this release understands."""
    try:
        entries = json.loads(text or "")
        return Last(**{key: entries[key] for key in Last.__dataclass_fields__ if key in entries})
    except (ValueError, KeyError, TypeError):
        return None


def read_last(paths: Paths, name: str) -> Last | None:
    return parse_last(read_text(last_path(paths, name)))


def before(last: Last | None) -> dict[str, Any] | None:
    """Returns the record as the next one keeps it: without its own predecessor."""
    return None if last is None else {**asdict(last), "previous": None}


def seconds_for(size: int) -> int:
    """Returns the timeout of a dump or restore of so many bytes."""
    return BASE_SECONDS + size // BYTES_PER_SECOND


def processes_of(paths: Paths, cgroups: tuple[str, ...]) -> list[int]:
    """Returns the processes in our own cgroup, if it is that of a service, and in these cgroups of the container."""
    own, found = cgroup_of(paths, "self"), []
    folders = [f"{paths.cgroups}{own}"] if own.endswith(".service") else []
    for base in (*folders, *(f"{paths.cgroups}/{one}" for one in cgroups)):
        for path in glob.glob(f"{base}/**/cgroup.procs", recursive=True):
            found += [int(word) for word in (read_text(path) or "").split() if word.isdigit()]
    return found


def is_same(spec: Spec, container: Container) -> bool:
    """Returns whether the container is made from this spec."""
    return container.labels.get(DIGEST_LABEL) == spec.digest


def unusable(container: Container, record: Record | None, last: Last | None) -> str | None:
    """Returns why the checkpoint of the container is not its last state; None if it is.

    After a boot podman no longer knows that a container was checkpointed, and a checkpoint that left the container
    running looks like any other. So the unit's own record decides. A checkpoint that a user made counts while podman
    knows it.
    """
    if container.checkpointed and (record is None or record.stamp == container.stamp):
        return None
    if last is None or last.action not in ("dumped", "refused"):
        return "the container kept running after it was made"
    if (last.id, last.stamp) != (container.id, container.stamp):
        return "it is not the one that the last stop of the unit made"
    return None


def damage(images: str, container: Container, last: Last | None) -> str | None:
    """Returns the damage of the images of a checkpoint; None if there is none. CRIU may hang on truncated images."""
    size = folder_bytes(images)
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
    """The action of a start: running, create, replace, start or restore; and the reason, if it is worth a line."""

    action: str
    why: str | None = None


def choose(spec: Spec, container: Container | None, record: Record | None, last: Last | None) -> Choice:
    """Returns the action of a start for the container that it finds."""
    if container is None:
        return Choice("create", "there was no container yet")
    if not is_same(spec, container):
        return Choice("replace", "the description of the container has changed")
    if container.running:
        return Choice("running")
    if not container.stamp:
        return Choice("start", "there was no checkpoint")
    why = unusable(container, record, last)
    return Choice("restore") if why is None else Choice("start", f"the checkpoint was not used: {why}")
