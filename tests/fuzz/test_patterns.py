# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every regular expression of the plugins on texts that it nearly matches.

A quadratic one takes minutes for a text of this size and is ended by the kernel, a linear one milliseconds.
"""

from __future__ import annotations

from functools import partial

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu.causes import pattern_of
from ansible_collections.criu.hosts.tests.fuzz.limits import LONG, SECONDS, failures_in_child
from ansible_collections.criu.hosts.tests.fuzz.patterns import Pattern, attacks, collect, run

# Of a text in bytes, and of the processor for all texts of a pattern.
SIZE, LIMIT = (1 << 18, SECONDS) if LONG else (1 << 15, 5)
PATTERNS = collect()


def attack(pattern: Pattern) -> None:
    """Uses a pattern on each text that it nearly matches."""
    for text in attacks(pattern, SIZE):
        run(pattern, text)


def test_patterns_of_all_kinds_are_found() -> None:
    texts = {str(one.text) for one in PATTERNS}
    assert {pattern_of("Can't create link remap for {path}. Use link-remap option"), r"\.bz2$"} <= texts
    assert any(text.startswith("<id>") for text in texts), "a pattern that is made of others is missing"
    assert len(texts) > 100


@pytest.mark.parametrize("text", ["(a+)+b", "a*a*b", r"\s*x", "<!--.*?-->"])
def test_slow_pattern_is_recognized(text: str) -> None:
    slow = Pattern("here", text, 0, ("search",))
    found = failures_in_child([("slow", partial(attack, slow)), ("fast", partial(run, slow, ""))], seconds=2)
    assert set(found) == {"slow"}
    assert "not finished" in found["slow"]


def test_patterns_end() -> None:
    works = [(f"{pattern.place}: {pattern.text!r}", partial(attack, pattern)) for pattern in PATTERNS]
    assert not failures_in_child(works, LIMIT)
