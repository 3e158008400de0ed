# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the record of a checkpoint as JSON, and parses it field by field."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from typing import Any, Callable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import has_control

# A record with a different number is not understood by this release.
SCHEMA = 1
# Longer than the longest path.
TEXT_LIMIT = 1 << 14
NUMBER_LIMIT = 1 << 63
# The names of containers and volumes, the ids of containers and images, and the names of engines and runtimes.
NAME = r"([A-Za-z0-9][A-Za-z0-9_.:+-]{0,1023})?"
SHA256 = r"([0-9a-f]{64})?"
TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?"
# Whether a value of JSON is what a field holds.
Rule = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Returns whether the value is one line of text."""
    return isinstance(value, str) and len(value) <= TEXT_LIMIT and not has_control(value)


def is_free_text(value: Any) -> bool:
    """Returns whether the value is a text that a process chose, such as its name: it is only ever shown in quotes."""
    return isinstance(value, str) and len(value) <= TEXT_LIMIT


def is_path(value: Any) -> bool:
    """Returns whether the value is an absolute path that a file can have; any character but zero may be in it."""
    if not is_free_text(value) or not value.startswith("/") or "\0" in value:
        return False
    return not any("\ud800" <= one < "\udc80" or "\udcff" < one <= "\udfff" for one in value)


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any, least: int = 0, below: int = NUMBER_LIMIT) -> bool:
    """Returns whether the value is an integer in a range; JSON's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


def matches(pattern: str) -> Rule:
    """Returns the rule of a text that has the whole pattern."""
    return lambda value: is_text(value) and re.match(rf"(?:{pattern})\Z", value) is not None


def list_of(rule: Rule, most: int) -> Rule:
    """Returns the rule of a list with at most ``most`` entries."""
    return lambda value: isinstance(value, (list, tuple)) and len(value) <= most and all(rule(one) for one in value)


def dict_of(rule: Rule, most: int) -> Rule:
    """Returns the rule of an object with at most ``most`` entries, whose names are any text."""
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= most
        and all(is_free_text(key) for key in value)
        and all(map(rule, value.values()))
    )


def check_fields(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Checks the fields of a record.

    Raises:
        ValueError: with the reason, if a value breaks the rule of its field.
    """
    for name, value in values.items():
        if not rules[name](value):
            raise ValueError(f"its field {name!r} is not what it should be")


def parse_fields(text: str | bytes | None, kind: type, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Returns the fields of a record for the dataclass ``kind``, each as its rule demands.

    Raises:
        ValueError: with the reason, whatever the text is.
    """
    entries = parse_object(text)
    schema = entries.pop("schema", None)
    if not is_number(schema) or schema != SCHEMA:
        raise ValueError("it is not a record that this release understands")
    demand_fields(entries, kind, rules)
    return entries


def demand_fields(entries: Mapping[str, Any], kind: type, rules: Mapping[str, Rule], *, every: bool = False) -> None:
    """Checks that ``entries`` are the fields of the dataclass ``kind``, and each of them by its rule.

    ``every``: no field may be missing, not even one that has a default.

    Raises:
        ValueError: with the reason, if a field is unknown, is missing, or breaks its rule.
    """
    known = {field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)}
    unknown = sorted(set(entries) - set(known))
    missing = sorted(name for name in rules if (every or known[name]) and name not in entries)
    if unknown or missing:
        name, why = (unknown[0], "does not know") if unknown else (missing[0], "misses")
        raise ValueError(f"this release {why} its field {name[:64]!r}")
    check_fields(entries, rules)


def render_record(record: Any) -> str:
    """Returns the text of a record file; ``record`` is a dataclass whose fields JSON can hold."""
    return json.dumps({"schema": SCHEMA, **vars(record)}, indent=1, sort_keys=True) + "\n"
