# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.runtimes import judge_crun, judge_runc, load_library


def test_judge_crun(fixture_text: Callable[[str], str]) -> None:
    output = fixture_text("crun/1.21-version.txt")
    assert judge_crun(output, "/usr/sbin/criu", None) is None
    assert judge_crun(output, None, None) == "criu is not in PATH"
    assert "libcriu2 (Debian)" in str(judge_crun(output, "/usr/sbin/criu", "cannot open shared object file"))
    assert "without CRIU" in str(judge_crun(output.replace("+CRIU ", ""), "/usr/sbin/criu", None))
    assert judge_crun(None, "/usr/sbin/criu", None) == "crun is not installed"


@pytest.mark.parametrize(
    ("version", "path", "why"),
    [
        ("1.1.15", "/usr/sbin/criu", None),
        ("1.1.15", None, "criu is not in PATH"),
        (None, None, "runc is not installed"),
    ],
)
def test_judge_runc(version: str | None, path: str | None, why: str | None) -> None:
    assert judge_runc(version, path) == why


def test_load_library_returns_the_loaders_message() -> None:
    assert load_library("libc.so.6") is None
    assert "cannot open shared object" in str(load_library("libnot-there.so.9"))
