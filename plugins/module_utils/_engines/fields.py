# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the fields of JSON that engines print or keep. Others have chosen what is in it: a wrong type is refused."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json, text_list


def word(entry: dict[str, Any], key: str, *, default: str | None = "") -> str:
    """Returns a text without control characters; ``default`` if it is missing or null.

    Raises:
        ValueError: it is something else, or missing without a default.
    """
    value = entry.get(key)
    value = default if value is None else value
    if not isinstance(value, str) or not all(one.isprintable() or "\udc80" <= one <= "\udcff" for one in value):
        raise ValueError(f"{key} is no text")
    return value


def inner(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns an object in an object; empty if it is missing or null."""
    value = entry.get(key)
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ValueError(f"{key} is no object")
    return value


def objects(value: Any, what: str) -> list[dict[str, Any]]:
    """Returns a list of objects; empty for null."""
    listed = [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError(f"{what} is no list of objects")
    return listed


def whole(entry: dict[str, Any], key: str) -> int:
    """Returns a number that is not negative; 0 if it is missing or null."""
    value = entry.get(key)
    value = 0 if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key} is no number of things")
    return value


def words(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    """Returns a list of texts; empty if it is missing or null."""
    value = entry.get(key)
    return text_list([] if value is None else value)


def first(text: str) -> dict[str, Any]:
    """Returns the first object of a list, as an inspection prints it; raises ValueError if there is none."""
    listed = objects(parse_json(text), "the output")
    if not listed:
        raise ValueError("it is empty")
    return listed[0]
