# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the start of the time range: a time, a duration, the boot, or a checkpoint."""

from __future__ import annotations

import datetime
import os
import re

from ansible_collections.criu.hosts.plugins.module_utils._core.durations import parse_duration
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import demand_text

# The last second of the year 9999, which is also the last that can be shown.
LAST = 253_402_300_799
# The suffix of a record beside an archive.
SUFFIX = ".json"


def parse_since(text: str, *, now: float, boot: float) -> float:
    """Returns the seconds since 1970 for ``boot``, ``15m``, ``1795384456.39`` or ``2026-11-22T21:38:08Z``.

    Raises:
        CheckpointError: since_invalid.
    """
    if text == "boot":
        return boot
    try:
        seconds = _seconds(text, now)
    except (ValueError, OverflowError):
        raise CheckpointError(
            f"Cannot use {text[:100]!r} as a time. Give 'boot', a duration such as '15m' or '2h', seconds since 1970, "
            "or a time such as '2026-11-22T21:38:08Z'.",
            reason="since_invalid",
        ) from None
    if not 0 <= seconds <= LAST:
        raise CheckpointError(
            f"Cannot use {text[:100]!r} as a time: it is before 1970 or after the year 9999. Give seconds since 1970, "
            "not milliseconds, or a shorter duration.",
            reason="since_invalid",
        )
    return seconds


def _seconds(text: str, now: float) -> float:
    """Returns the seconds since 1970; raises ValueError or OverflowError if the text is no time."""
    # A number without a unit is a time here.
    ago = parse_duration(text) if text[-1:].isalpha() else None
    if ago is not None:
        return now - ago
    if re.fullmatch(r"@?-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return float(text.lstrip("@"))
    moment = datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()


def parse_record_time(text: str | bytes, path: str) -> float:
    """Returns when the checkpoint of a record was made.

    Raises:
        CheckpointError: record_invalid.
    """
    try:
        return parse_since(str(parse_object(text)["checkpointed_at"]), now=0, boot=0)
    except (ValueError, KeyError, CheckpointError):
        raise CheckpointError(
            f"Cannot read {path!r}: it is not the record of a checkpoint. Give the archive, or the record beside it.",
            reason="record_invalid",
        ) from None


def record_path(path: str) -> str:
    """Returns the record of a checkpoint: in a folder of images, the file itself, or beside an archive."""
    if os.path.isdir(path):
        return os.path.join(path, RECORD)
    return path if path.endswith(SUFFIX) else f"{path}{SUFFIX}"


def read_since(since: str | None, checkpoint: str | None, *, now: float, boot: float) -> float:
    """Returns the start of the time range in seconds since 1970; 0 for all denials.

    Raises:
        CheckpointError: since_invalid, record_invalid.
    """
    if since is not None:
        return parse_since(since, now=now, boot=boot)
    if checkpoint is None:
        return 0.0
    path = record_path(checkpoint)
    try:
        text = demand_text(path)
    except (OSError, ValueError) as error:  # ValueError: no file can have that name
        raise CheckpointError(
            f"Cannot read the checkpoint's record {path!r}: {getattr(error, 'strerror', None) or error}. "
            "Give the archive, or the record beside it.",
            reason="record_invalid",
        ) from error
    return parse_record_time(text, path)


def unreadable(error: OSError) -> CheckpointError:
    return CheckpointError(
        f"Cannot read {error.filename or 'the log'!r}: {error.strerror}. Run the task as root (become: true), or "
        "choose a different source.",
        reason="log_unreadable",
    )
