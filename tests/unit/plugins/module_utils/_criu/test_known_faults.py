# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu import known_faults, readiness

SOURCE = re.compile(r"https://github\.com/[\w-]+/[\w-]+/(issues|pull)/\d+")


VDSO = ["vdso: Unexpected rt vDSO area bounds", "vdso: Failed to fill self vdso symtable"]
COMPAT = ["Error: Compatible vdso's size is bigger than reserved buf"]
SIX = (6, 18, 44)


@pytest.mark.parametrize(
    ("kernel", "criu", "passed", "log", "names"),
    [
        ((6, 12, 117), (4, 2, 1), True, [], []),
        ((6, 12, 117), (4, 1, 1), True, [], []),
        ((6, 12, 33), (4, 1), True, [], []),
        ((6, 12, 34), (4, 1), True, [], ["mount_propagation"]),
        ((6, 13), (4, 0), False, VDSO, ["vdso_clock_area"]),
        ((6, 13), (4, 0), False, ["something else"], []),
        ((6, 13), (4, 0), True, [], []),
        ((6, 13), (4, 0), None, [], ["vdso_clock_area"]),
        (SIX, (3, 17, 1), False, VDSO, ["vdso_clock_area", "passcred_restricted", "mount_propagation"]),
        (SIX, (3, 17, 1), False, COMPAT, ["vdso_compat_size", "passcred_restricted", "mount_propagation"]),
        (SIX, (4, 1, 1), True, [], ["passcred_restricted"]),
        ((6, 15, 11), (4, 1, 1), True, [], []),
        ((7, 1), (4, 2), None, [], ["udplite_removed"]),
        ((7, 1), (4, 2), False, ["x"], ["udplite_removed"]),
        ((7, 1), (4, 2, 1), False, ["x"], []),
        ((5, 10, 200), (3, 16, 1), True, [], ["rseq_not_saved"]),
        ((5, 10, 200), (4, 2, 1), True, [], ["rseq_not_reported"]),
        ((5, 14), (3, 19), True, [], []),
        ((), (3, 17), True, [], []),
        (SIX, (), True, [], []),
    ],
)
def test_known_bad(
    kernel: known_faults.Release, criu: known_faults.Release, passed: bool | None, log: list[str], names: list[str]
) -> None:
    assert [one.name for one in known_faults.known_bad(kernel, criu, passed, log)] == names


@pytest.mark.parametrize("entry", known_faults.KNOWN_BAD, ids=lambda entry: entry.name)
def test_entries(entry: known_faults.KnownBad) -> None:
    assert entry.criu[0] < entry.criu[1] and entry.kernels
    assert all(end is None or start < end for start, end in entry.kernels)
    assert SOURCE.fullmatch(entry.source)
    assert entry.blocks or entry.warns
    assert set(entry.blocks + entry.warns) <= set(readiness.INTENTS) and not set(entry.blocks) & set(entry.warns)
    assert not entry.fails.endswith(".")


@pytest.mark.parametrize("limit", known_faults.RUNTIME_LIMITS, ids=lambda limit: limit.name)
def test_limits(limit: known_faults.RuntimeLimit) -> None:
    assert limit.runtime in ("runc", "crun") and SOURCE.fullmatch(limit.source)
    assert limit.intents and set(limit.intents) <= set(readiness.INTENTS)


def test_names_are_given_once_and_everything_is_all_but_rootless() -> None:
    names = [one.name for one in (*known_faults.KNOWN_BAD, *known_faults.RUNTIME_LIMITS)]
    assert len(names) == len(set(names))
    assert set(known_faults.EVERYTHING) == set(readiness.INTENTS) - {"rootless"}
    assert SOURCE.fullmatch(known_faults.ROOTLESS_SOURCE)


def test_runtime_limits() -> None:
    assert [one.name for one in known_faults.runtime_limits("crun", (1, 19, 1))] == ["lock_forced", "no_lazy_pages"]
    assert [one.name for one in known_faults.runtime_limits("crun", (1, 20))] == ["no_lazy_pages"]
    assert known_faults.runtime_limits("runc", (1, 1, 15)) == []
