# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of checkpoint_schedule, and holds them as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._container.prune import rules_of
from ansible_collections.criu.hosts.plugins.module_utils._core.durations import parse_duration
from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import FIELDS, FLAGS, Schedule


@dataclass(frozen=True)
class Request:
    """The schedule, its calendar, and by how many seconds each run may be later than that."""

    schedule: Schedule
    calendar: str
    random_delay: int


def request_of(params: Mapping[str, Any]) -> Request:
    """Returns the options of a task as one value.

    Raises:
        CheckpointError: option_invalid.
    """
    delay = parse_duration(params["random_delay"])
    if delay is None:
        raise option_invalid("random_delay", params["random_delay"], "it is no duration", "Give one such as 15m.")
    given: dict[str, Any] = {
        key: params[key] for key in ("name", "engine", *FLAGS, "compression", "max_load", "min_free_bytes")
    }
    paths: dict[str, Any] = {key: params[key] or "" for key in ("store", "metrics_dir")}
    schedule = Schedule(**given, **paths, rules=rules_of(params))
    for option, is_right in FIELDS.items():
        if not is_right(getattr(schedule, option)):
            advice = "Give an absolute path." if option in paths else "Give a number above zero."
            raise option_invalid(option, getattr(schedule, option), "it cannot have this value", advice)
    return Request(schedule, params["calendar"], delay)
