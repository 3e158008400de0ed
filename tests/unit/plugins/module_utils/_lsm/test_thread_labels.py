# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of threads: reading /proc and comparing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.labels import SelinuxLabels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import (
    Thread,
    changed_error,
    compare,
    from_record,
    inner_pid,
    read_threads,
    read_tree,
    summary,
    to_record,
)
from ansible_collections.criu.hosts.tests.unit.containers import LABEL, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE

OTHER = "system_u:system_r:podman_t:s0"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param("Name:\tx\nNSpid:\t1426\t1\n", "1", id="container"),
        pytest.param("NSpid:\t1426\t7\t1\n", "7/1", id="nested"),
        pytest.param("NSpid:\t1426\n", "1426", id="host-pid-namespace"),
        pytest.param("Name:\tx\n", "", id="kernel-without-namespaces"),
        pytest.param("Name:\ta\x1cNSpid:\t1\t9\nNSpid:\t1426\t1\n", "1", id="name-with-a-separator"),
        pytest.param("Name:\ta\u2028NSpid:\t9\nNSpid:\t1426\t1\n", "1", id="name-with-a-line-separator"),
        pytest.param("Name:\ta\x0cNSpid:\t9\nNSpid:\t1426\t1\n", "1", id="name-with-a-form-feed"),
    ],
)
def test_inner_pid(status: str, expected: str) -> None:
    assert inner_pid(status) == expected


def test_children_of_every_thread_are_read_and_ended_ones_left_out(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.process(100, [LABEL, LABEL])
    made.process(200, [OTHER], inner=9)
    (tmp_path / "proc/100/task/101/children").write_text("200 300 ")
    assert [(thread.pid, thread.tid, thread.label) for thread in read_threads(PLACE.paths, 100, SelinuxLabels())] == [
        ("1", "1", LABEL),
        ("1", "6", LABEL),
        ("9", "9", OTHER),
    ]
    assert list(read_tree(PLACE.paths, 100, SelinuxLabels())) == [100, 200]
    assert read_threads(PLACE.paths, 0, SelinuxLabels()) == ()


BEFORE = (Thread("1", "1", "a", LABEL), Thread("1", "6", "a", LABEL), Thread("9", "9", "b", OTHER))


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        pytest.param(BEFORE, 0, id="the-same"),
        pytest.param((*BEFORE[:1], Thread("1", "6", "a", OTHER)), 1, id="one-thread-changed"),
        pytest.param((Thread("9", "9", "b", LABEL),), 1, id="a-foreign-process-changed-to-the-containers"),
        pytest.param((Thread("9", "12", "b", OTHER),), 0, id="a-new-thread-has-its-process-label"),
        pytest.param((Thread("9", "12", "b", LABEL),), 1, id="a-new-thread-has-another"),
        pytest.param((Thread("20", "20", "c", LABEL),), 0, id="a-new-process-has-the-containers"),
        pytest.param((Thread("20", "20", "c", OTHER),), 1, id="a-new-process-has-another"),
    ],
)
def test_compare(after: tuple[Thread, ...], wrong: int) -> None:
    pairs = compare(BEFORE, after, LABEL)
    assert sum(not pair.equal for pair in pairs) == wrong
    assert (changed_error(pairs, "web", "Stopped.") is not None) is bool(wrong)


def test_without_a_record_every_thread_needs_the_label_of_the_container() -> None:
    pairs = compare((), BEFORE, LABEL)
    assert [pair.equal for pair in pairs] == [True, True, False]
    error = changed_error(pairs, "web", "It is stopped.")
    assert error is not None
    assert error.facts["label_after"] == OTHER
    assert "1 of 3 threads" in error.message
    assert [(entry["pid"], entry["threads"]) for entry in summary(pairs)] == [("1", 2), ("9", 1)]


def test_record_keeps_the_threads() -> None:
    assert from_record(to_record(BEFORE)) == BEFORE


@pytest.mark.parametrize("entries", [None, 5, [{"pid": "1"}], ["x"]])
def test_record_that_cannot_be_read_has_no_threads(entries: object) -> None:
    assert from_record(entries) == ()
