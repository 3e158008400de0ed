# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials that people have reported in public threads, in each form that hosts and tools have."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials import sources
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import explain_all
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Groups
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.denial_forms import FORMS, kernel
from ansible_collections.criu.hosts.tests.unit.denials import CORPUS

Row = tuple[str, str, str, str, str]
ROWS: list[Row] = [
    tuple(line.split("\t"))  # type: ignore[misc]
    for line in (CORPUS / "threads.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
NO_POLICY = LoadedPolicy("/nonexistent")


def scanned(*lines: str) -> Groups:
    groups = Groups()
    sources.scan(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), groups)
    return groups


def told(*lines: str) -> list[dict[str, Any]]:
    groups = scanned(*lines)
    assert groups.unread == 0, groups.unread_line
    return explain_all(groups, NO_POLICY)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_explanation_is_the_same_in_each_form(row: Row) -> None:
    dummy_thread, id_, matters, dummy_origin, record = row
    for name, render in FORMS.items():
        (one,) = told(render(record))
        assert (one["id"] or "-", one["matters"]) == (id_, matters), name


def test_text_of_all_is_counted_whole() -> None:
    for render in FORMS.values():
        assert scanned(*(render(row[4]) for row in ROWS)).records == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_one_denial_of_several_transports_is_one(row: Row) -> None:
    transports = ("audit", "journal-of-the-kernel", "short-unix", "dmesg", "ausearch-us", "syslog")
    (one,) = told(*(FORMS[name](row[4]) for name in transports))
    assert one["count"] == 1


def test_transports_count_as_often_as_the_one_that_has_most() -> None:
    record = ROWS[0][4]
    later = [record.replace("799:1167", f"{number}:{number}") for number in (801, 802, 803)]
    both = [render(one) for one in [record, *later] for render in (kernel, FORMS["short-unix"])]
    (one,) = told(*both, kernel(record.replace("799:1167", "900:900")))
    assert one["count"] == 5


def test_many_of_auditd_and_then_the_same_of_the_journal() -> None:
    records = [ROWS[0][4].replace(":1167", f":{number}") for number in range(100)]
    (one,) = told(*records, *(FORMS["short-unix"](record) for record in records))
    assert one["count"] == 100


def test_an_engines_socket_comes_first() -> None:
    found = told(*(row[4] for row in ROWS))
    assert [one["id"] for one in found[:3]] == ["engine_socket"] * 3


def test_a_remedy_speaks_of_a_rule_only_if_there_is_one() -> None:
    for one in told(*(row[4] for row in ROWS)):
        assert ("candidate rule" in one["remedy"]["advice"]) <= (one["candidate_rule"] is not None)


EVENT = (CORPUS / "public-container-selinux-45.txt").read_text(encoding="utf-8").split("\n")[1:3]
# str.splitlines() would end a line where auditd appends the names.
THREADS = (CORPUS / "debian13-bounded-threads.txt").read_text(encoding="utf-8").split("\n")[:2]


@pytest.mark.parametrize("form", ["audit", "kernel", "dmesg", "short-unix", "short", "ausearch-us"])
@pytest.mark.parametrize(
    ("event", "with_call", "without"),
    [(EVENT, ("bounded_exec", "yes"), "yes"), (THREADS, ("bounded_threads", "unknown"), "unrelated")],
    ids=["exec", "threads"],
)
def test_bounded_transition_by_its_system_call(
    form: str, event: list[str], with_call: tuple[str, str], without: str
) -> None:
    lines = [FORMS[form](line.partition("\x1d")[0]) for line in event]
    for order in (lines, lines[::-1]):  # ausearch prints the system call first
        (one,) = told(*order)
        assert (one["id"], one["matters"]) == with_call
    (one,) = told(lines[0])
    assert (one["id"], one["matters"]) == ("bounded_transition", without)
    other = lines[1].replace("subj=", "subj=x").replace(":1559", ":7").replace(":8025", ":7")
    (one,) = told(lines[0], other)
    assert one["id"] == "bounded_transition"


@pytest.mark.parametrize(
    ("line", "unread"),
    [
        pytest.param("AVC avc:  denied  { read } for  pid=1", 1, id="output-cat"),
        pytest.param("nov. 22 21:54:16 host audit[1]: AVC avc:  denied  { read } for  pid=1", 1, id="other-language"),
        pytest.param(ROWS[0][4][:120], 1, id="torn"),
        pytest.param('type=PATH msg=audit(1.0:1): name="SELINUX_ERR"', 0, id="name-of-a-file"),
        pytest.param("Nov 22 21:54:16 host evil[3]: " + ROWS[0][4], 0, id="program-as-auditd"),
        pytest.param("Nov 22 21:54:16 host evil[3]: " + kernel(ROWS[0][4]), 0, id="program-as-kernel"),
        pytest.param("Nov 22 21:54:16 host evil: AVC avc:  denied  { read } for  pid=1", 0, id="program-as-journald"),
        pytest.param("1795384456.390000 host setroubleshoot[1]: avc:  denied  { read }", 0, id="about-a-denial"),
    ],
)
def test_what_is_not_read_is_counted_unless_a_program_said_it(line: str, unread: int) -> None:
    groups = scanned(line)
    assert (groups.records, groups.unread) == (0, unread)
