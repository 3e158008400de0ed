# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a schedule: the file that the module writes and the program reads. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    demand_fields,
    is_bool,
    is_number,
    is_path,
    is_text,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Rules

VERSION = 1
FLAGS = ("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes")


@dataclass(frozen=True)
class Schedule:
    """What the program does with the container ``name``.

    ``max_load``: the load average of a minute per processor; ``min_free_bytes``: what has to be free beside the
    memory of the container. Above and below these it skips. ``metrics_dir``: the folder of the textfile collector.
    """

    name: str
    store: str
    engine: str
    tcp_established: bool = False
    file_locks: bool = False
    ignore_rootfs: bool = False
    ignore_volumes: bool = False
    compression: str = "zstd"
    rules: Rules = field(default_factory=Rules)
    max_load: float | None = None
    min_free_bytes: int = 0
    metrics_dir: str = ""

    @property
    def options(self) -> Options:
        flags = {flag: getattr(self, flag) for flag in FLAGS}
        return Options(**flags, leave_running=True, compression=self.compression)


def _is_load(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and _is_positive(value))


def _is_positive(value: float) -> bool:
    return 0 < value < 1e6 if isinstance(value, int) else math.isfinite(value) and 0 < value < 1e6


def _or_none(value: Any) -> bool:
    return value is None or is_number(value)


FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: is_text(value) and bool(value) and "/" not in value,
    "store": is_path,
    "engine": is_text,
    **dict.fromkeys(FLAGS, is_bool),
    "compression": lambda value: value in ("none", "gzip", "zstd"),
    "max_load": _is_load,
    "min_free_bytes": is_number,
    "metrics_dir": lambda value: value == "" or is_path(value),
}
RULES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly"), is_number),
    **dict.fromkeys(("max_age", "max_bytes", "max_total_bytes"), _or_none),
}


def render_schedule(schedule: Schedule) -> str:
    """Returns the text of the configuration."""
    return json.dumps({"version": VERSION, **asdict(schedule)}, indent=1, sort_keys=True) + "\n"


def parse_schedule(text: str | bytes | None, name: str, path: str) -> Schedule:
    """Returns the schedule in a configuration.

    Raises:
        CheckpointError: schedule_invalid.
    """
    try:
        entries = parse_object(text)
        if (entries.pop("version", None), entries.get("name")) != (VERSION, name):
            raise ValueError("its version or name differs")
        rules = entries.pop("rules", None)
        if not isinstance(rules, dict):
            raise ValueError("it has no rules")
        demand_fields(entries, Schedule, FIELDS, every=True)
        demand_fields(rules, Rules, RULES, every=True)
        return Schedule(**entries, rules=Rules(**rules))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error}. Let checkpoint_schedule write it again.",
            reason="schedule_invalid",
            path=path,
        ) from error
