# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every regular expression of the plugins on texts that it nearly matches.

A quadratic one takes minutes for a text of this size and is ended by the kernel, a linear one milliseconds.
"""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.tests.fuzz.limits import failure_in_child
from ansible_collections.criu.hosts.tests.fuzz.patterns import Pattern, attacks, collect, run

SIZE = 1 << 18
PATTERNS = collect()


def test_patterns_of_all_kinds_are_found() -> None:
    texts = {one.text for one in PATTERNS}
    assert {r"A session leader of", r"\.bz2$", r"<id>\s*([A-Za-z0-9_-]+)\s*</id>"} <= texts
    assert len(texts) > 100


@pytest.mark.parametrize("text", ["(a+)+b", "a*a*b", r"\s*x", "<!--.*?-->"])
def test_slow_pattern_is_recognized(text: str) -> None:
    slow = Pattern("here", text, 0, ("search",))
    assert "not finished" in failure_in_child(lambda: [run(slow, one) for one in attacks(slow, SIZE)], seconds=2)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda one: f"{one.place}: {one.text!r}"[:90])
def test_pattern_ends(pattern: Pattern) -> None:
    def work() -> None:
        for text in attacks(pattern, SIZE):
            run(pattern, text)

    assert not failure_in_child(work)
