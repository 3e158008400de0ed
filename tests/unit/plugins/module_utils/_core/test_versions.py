# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import (
    parse_version,
    version_number,
    version_text,
    version_tuple,
)


@pytest.mark.parametrize(
    ("fixture", "version"),
    [
        ("criu/4.2.1-version.txt", "4.2.1"),
        ("criu/4.1.1-version.txt", "4.1.1"),
        ("crun/1.21-version.txt", "1.21"),
        ("runc/1.1.15-version.txt", "1.1.15"),
        ("podman/5.4.2-version.txt", "5.4.2"),
    ],
)
def test_parse_version(fixture: str, version: str, fixture_text: Callable[[str], str]) -> None:
    assert parse_version(fixture_text(fixture)) == version


@pytest.mark.parametrize(
    ("version", "number"), [("4.2.1", 40201), ("3.17", 31700), ("4.3", 40300), ("", 0), (None, None)], ids=str
)
def test_version_number(version: str | None, number: int | None) -> None:
    assert version_number(version) == number


@pytest.mark.parametrize(
    "text", ["9" * 5000, "1." * 100_000, "\u00b2.\u00b2", "\u0661.\u0662", "\0", "-1.-2", "1" * 5000 + ".2"]
)
def test_what_is_no_version(text: str) -> None:
    assert all(0 <= one < 10**9 for one in version_tuple(text))
    assert (parse_version(text) or "0").isascii()


def test_tuples() -> None:
    assert version_tuple("4.2.1") == (4, 2, 1) and version_text((4, 2, 1)) == "4.2.1"
    assert version_tuple(None) == version_tuple("") == () and parse_version("no version") is None
