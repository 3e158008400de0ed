# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses JSON of other origin, with one kind of failure."""

from __future__ import annotations

import json
from typing import Any

# No program that we read nests deeper than this (podman inspect: 7); Python gives up at about 1,000.
DEPTH_LIMIT = 64


def _depth(value: Any) -> int:
    """Returns how deep lists and dictionaries are nested in a parsed value, without recursion."""
    depth, level = 0, [value]
    while level:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        if not any(isinstance(one, (dict, list)) for one in level):
            break
        depth, level = depth + 1, inner
    return depth


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def parse_json(text: str | bytes | None) -> Any:
    """Returns the value of a JSON text; bytes that are not UTF-8 are kept.

    Raises:
        ValueError: it is no JSON, or nested too deep. There is no other exception, whatever the text is.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text or "", parse_constant=_refuse_constant)
    except RecursionError:
        value = None
        deep = True
    else:
        deep = _depth(value) > DEPTH_LIMIT
    if deep:
        raise ValueError("it is nested too deep")
    return value


def parse_object(text: str | bytes | None) -> dict[str, Any]:
    """Returns the object that a JSON text holds.

    Raises:
        ValueError: it holds anything else.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__} instead of an object")
    return value
