# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what an archive of this engine says about its container. Its layout is that of place.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
    CONFIG,
    DUMP_LIMIT,
    SPEC,
    described,
    opened_archive,
    parse_dump,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import ENGINE
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.oci import parse_binds
from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import parse_spec
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, check_record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


def record_in(dumps: dict[str, dict[str, Any]]) -> Record:
    """Returns what the descriptions, by their names, say about the container; raises ValueError."""
    config, spec = dumps[CONFIG], dumps.get(SPEC, {})
    if not inner(config, "containerd"):
        raise ValueError("it is none that this collection has made with containerd")
    record = Record(
        engine=ENGINE,
        id=word(config, "id"),
        name=word(config, "name"),
        image=word(config, "rootfsImageName"),
        image_id=word(config, "rootfsImageID"),
        runtime=word(config, "runtime"),
        process_label=word(config, "ProcessLabel"),
        apparmor_profile=word(inner(spec, "process"), "apparmorProfile"),
        binds=tuple(to_record(parse_binds(spec, lambda dummy: False))),
    )
    check_record(record)
    return record


def read_archive(path: str) -> Record:
    """Reads the container's description out of an archive that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    return described(path, record_in)


def read_description(path: str) -> dict[str, Any]:
    """Returns the description of the container in an archive, whose first file it is.

    It is empty for a pipe, and for an archive that cannot be read, which is a matter of its restore.
    """
    if not os.path.isfile(path):
        return {}
    try:
        with opened_archive(path) as archive:
            for member in archive:
                if "/".join(member.parts) != CONFIG or member.kind != "file":
                    return {}
                return parse_dump(CONFIG, archive.content(DUMP_LIMIT))
    except (StreamError, ZstdError, ValueError, OSError):
        pass
    return {}


def read_spec(container: Container) -> Spec | None:
    """Returns what a container has; None if its configuration cannot be read."""
    known = {"id": container.id, "rootfsImageName": container.image, "ProcessLabel": container.process_label}
    try:
        return parse_spec(known, parse_object(container.own["spec"]))
    except ValueError:
        return None
