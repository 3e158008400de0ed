# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds work that grows faster than the input: by counting lines of Python, and by inputs that would take minutes."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, Callable, Iterator

import pytest

from ansible_collections.criu.hosts.tests.fuzz.limits import LONG, failures_in_child
from ansible_collections.criu.hosts.tests.fuzz.strategies import REPEATED, as_text, repeated
from ansible_collections.criu.hosts.tests.fuzz.targets import CASES, Target, label

# In bytes; MANY for what Python's own code in C does, whose work nothing counts.
FEW, MANY = 1 << 10, 1 << (17 if LONG else 14)
# Own inputs of a target are about what only a large log shows.
LARGE = 1 << 22
REPEATING = [target for target in CASES if target.repeats]
HOSTILE = [target for target in CASES if target.hostile]


def inputs_of(target: Target, size: int) -> Iterator[tuple[str, Any]]:
    """Yields hostile inputs of about this size for a target, with their names."""
    converts: dict[str, Callable[[bytes], Any]] = {
        "bytes": bytes,
        "text": as_text,
        "lines": lambda data: as_text(data).splitlines(),
    }
    convert = converts[target.repeats]
    for token in REPEATED:
        yield repr(token), convert(repeated(token)(size))


def work_of(call: Callable[[], Any]) -> int:
    """Returns how many lines of Python a call carries out."""
    lines = 0

    def count(dummy_frame: Any, event: str, dummy_value: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.long_run
@pytest.mark.parametrize("target", REPEATING, ids=label)
def test_four_times_the_input_is_at_most_six_times_the_work(target: Target) -> None:
    target.call(next(inputs_of(target, 1))[1])  # what is imported, or made once
    slow = {}
    larger = dict(inputs_of(target, 4 * FEW))
    for name, small in inputs_of(target, FEW):
        one, four = (work_of(lambda given=given: target.call(given)) for given in (small, larger[name]))  # type: ignore[misc]
        if four > 6 * one + 100:
            slow[name] = (one, four)
    assert not slow


def test_hostile_repetitions_end() -> None:
    def feed(target: Target) -> None:
        for dummy_name, given in inputs_of(target, MANY):
            target.call(given)

    assert not failures_in_child((label(target), partial(feed, target)) for target in REPEATING)


@pytest.mark.long_run
def test_own_hostile_inputs_end() -> None:
    assert not failures_in_child(
        (f"{label(target)}: {number}", lambda target=target, made=made: target.call(made(LARGE)))  # type: ignore[misc]
        for target in HOSTILE
        for number, made in enumerate(target.hostile)
    )
