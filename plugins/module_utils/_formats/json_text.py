# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses JSON of other origin, with one kind of failure."""

from __future__ import annotations

import json
from typing import Any

# No program that we read nests deeper than this (podman inspect: 7); Python gives up at about 1,000.
DEPTH_LIMIT = 64
# Python takes time that grows with the square of the digits, and newer ones refuse at 4,300. Go's numbers have 20.
DIGITS = 400


def _check(value: Any) -> None:
    """Refuses a parsed value that is nested too deep, or has half a character, which cannot be written again."""
    depth, level = 0, [value]
    while level:
        inner: list[Any] = []
        holders = 0
        for one in level:
            if isinstance(one, (dict, list)):
                holders += 1
                inner.extend(one)
                inner.extend(one.values() if isinstance(one, dict) else ())
            elif isinstance(one, str) and not one.isascii():
                one.encode("utf-8", "surrogateescape")
        depth, level = depth + bool(holders), inner
        if depth > DEPTH_LIMIT:
            raise ValueError("it is nested too deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("it has a number that is too large")
    return number


def parse_json(text: str | bytes | None) -> Any:
    """Returns the value of a JSON text; bytes that are not UTF-8 are kept.

    Raises:
        ValueError: it is no JSON, is nested too deep, or has numbers or text that this program cannot keep. There is
            no other exception, whatever the text is.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text or "", parse_constant=_refuse_constant, parse_int=_whole, parse_float=_fraction)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check(value)
    return value


def text_list(value: Any) -> tuple[str, ...]:
    """Returns the texts of a parsed list.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("it has something else instead of a list of texts")
    return tuple(value)


def parse_object(text: str | bytes | None) -> dict[str, Any]:
    """Returns the object that a JSON text holds.

    Raises:
        ValueError: it holds anything else.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__} instead of an object")
    return value
