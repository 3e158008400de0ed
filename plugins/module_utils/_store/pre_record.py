# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the record of a pre-checkpoint, which lies in the folder of its images, beside the container.

It is written when the pre-checkpoint is complete: CRIU writes its inventory after a failure, too (cr_pre_dump_finish in
criu/cr-dump.c). It goes with the images, and is removed before they are used: the kernel then counts changes from
zero (/proc/PID/clear_refs), so that no second checkpoint could be based on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    NAME,
    SHA256,
    TIME,
    Rule,
    is_path,
    is_text,
    matches,
    parse_fields,
)


@dataclass(frozen=True)
class PreRecord:
    """A pre-checkpoint of the run ``run`` of a container. ``stamp`` is that of its images.

    ``archive_path`` is where its archive is kept, and ``sha256`` the digest of that; empty without one.
    """

    id: str
    run: str
    stamp: str
    made_at: str = ""
    archive_path: str = ""
    sha256: str = ""


RULES: dict[str, Rule] = {
    "id": matches(NAME),
    "run": is_text,
    "stamp": matches(r"[0-9]{1,20}"),
    "made_at": matches(TIME),
    "archive_path": lambda value: value == "" or is_path(value),
    "sha256": matches(SHA256),
}


def parse_pre_record(text: str | bytes | None) -> PreRecord:
    """Returns the record in a file.

    Raises:
        ValueError: with the reason, if a field is missing, of another type, or has a value that none has.
    """
    return PreRecord(**parse_fields(text, PreRecord, RULES))


def read_pre_record(path: str) -> PreRecord | None:
    """Returns the record; None if there is none, or it cannot be used, as one of a different release."""
    try:
        return parse_pre_record(read_own(path))
    except ValueError:
        return None
