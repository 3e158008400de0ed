# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the parsing of denials in all forms that hosts have."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import parse_head, parse_time
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    Block,
    count_keys,
    find_lines,
    parse_line,
    raw_key,
    syscall_after,
    unhex,
    without_names,
)
from ansible_collections.criu.hosts.tests.unit.denials import corpus, lines

AUDIT = (
    b'type=AVC msg=audit(1795384456.390:184): avc:  denied  { dyntransition } for  pid=1169 comm="thr" '
    b"scontext=u:r:unconfined_t:s0 tcontext=u:r:initrc_t:s0:c1,c2 tclass=process permissive=0"
)
KERNEL = AUDIT.replace(b"type=AVC msg=", b"audit: type=1400 ")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(AUDIT, id="audit"),
        pytest.param(b"node=web1 " + AUDIT, id="audit-with-node"),
        pytest.param(AUDIT + b'\x1dARCH=x86_64 AUID="root"', id="audit-enriched"),
        pytest.param(KERNEL, id="kernel"),
        pytest.param(b"1795384456.391000 host kernel: " + KERNEL, id="journal-from-the-kernel"),
        pytest.param(b"1795384456.390000 host audit[1169]: AVC " + AUDIT[AUDIT.find(b"avc:") :], id="journal"),
    ],
)
def test_one_denial_in_all_forms(line: bytes) -> None:
    record = parse_line(line)
    assert record is not None
    assert (record.kind, record.permissions, record.tclass, record.comm) == (
        "avc",
        ("dyntransition",),
        "process",
        "thr",
    )
    assert (record.source, record.target) == ("u:r:unconfined_t:s0", "u:r:initrc_t:s0:c1,c2")
    assert record.permissive is False
    assert record.time == parse_time(line) == 1795384456.390


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"avc:  denied  { read } for scontext=a:b:c tcontext=a:b:c tclass=file", id="no-record"),
        pytest.param(AUDIT.replace(b"type=AVC", b"type=USER_LOGIN"), id="words-in-a-record-of-another-type"),
        pytest.param(b"1795384456.390000 host audit[1]: USER_CMD avc:  denied  { read }", id="journal-of-another-type"),
        pytest.param(b"1795384456.390000 host evil[1]: AVC avc:  denied  { read }", id="journal-of-a-program"),
        pytest.param(AUDIT[:120], id="cut-off"),
        pytest.param(AUDIT.replace(b"}", b""), id="no-end-of-permissions"),
        pytest.param(b"type=SELINUX_ERR msg=audit(1.0:1): ", id="error-without-operation"),
    ],
)
def test_what_is_no_denial(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("name", corpus())
def test_every_recorded_denial_is_read(name: str) -> None:
    denials = [line for line in lines(name) if b"avc:  denied" in line or b"op=security" in line]
    assert denials
    for line in denials:
        record = parse_line(line)
        assert record is not None and record.source and record.target, line


def test_object_is_readable() -> None:
    record = parse_line(lines("debian13-criu-4.1.1-dump-refused.txt")[0])
    assert record is not None
    assert record.object.startswith("path=@/crtools-pr-4945-")


def test_user_avc_and_a_kernel_that_does_not_tell_the_mode() -> None:
    first, second = (parse_line(line) for line in lines("public-clip-195.txt")[:2])
    assert first is not None and second is not None
    assert (first.kind, first.permissions, first.tclass, first.comm) == ("user_avc", ("start",), "service", "systemd")
    assert (second.permissions, second.permissive) == (("rlimitinh",), None)


def test_selinux_err_with_its_system_call() -> None:
    first, second = lines("public-container-selinux-45.txt")
    record, head = parse_line(first), parse_head(first)
    assert record is not None and head is not None
    assert (record.kind, record.op) == ("selinux_err", "security_bounded_transition")
    assert record.target == "system_u:system_r:spc_t:s0:c0,c1"
    assert syscall_after(b"type=CWD msg=x\n" + second, head.serial)["syscall"] == "59"
    assert syscall_after(second, b"99") == {}


def test_old_kernels_error_without_op() -> None:
    record = parse_line(
        b'type=SELINUX_ERR msg=audit(1.5:2): security_compute_sid:  invalid context "a:b:c:s0" for scontext=d:e:f:s0 '
        b"tcontext=g:h:i:s0 tclass=process"
    )
    assert record is not None
    assert (record.op, record.source, record.target) == ("security_compute_sid", "d:e:f:s0", "g:h:i:s0")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param('"a b"', "a b", id="quoted"),
        pytest.param("2F612062", "/a b", id="hexadecimal"),
        pytest.param("0061", "@a", id="abstract-socket"),
        pytest.param("pipe:[12]", "pipe:[12]", id="bare"),
        pytest.param("ABC", "ABC", id="odd"),
    ],
)
def test_unhex(value: str, expected: str) -> None:
    assert unhex(value) == expected


def test_key_leaves_out_what_differs_from_one_to_the_next() -> None:
    other = AUDIT.replace(b"pid=1169", b"pid=7").replace(b"456.390:184", b"457.111:185")
    assert raw_key(AUDIT) == raw_key(other) == raw_key(other + b"\x1dARCH=x")
    assert raw_key(AUDIT) != raw_key(AUDIT.replace(b"permissive=0", b"permissive=1"))
    assert raw_key(AUDIT) != raw_key(AUDIT.replace(b'"thr"', b'"one"'))
    assert raw_key(b"type=SELINUX_ERR msg=audit(1.0:1): op=x") is None
    assert raw_key(KERNEL) is None


def block_of(*lines: bytes) -> Block:
    data = b"".join(b"\n" + line for line in lines)
    return Block(data, len(data))


def test_many_at_once_have_the_same_keys() -> None:
    other = AUDIT.replace(b"thr", b"one")
    lines = [AUDIT, b"type=CWD msg=audit(1.0:1): cwd=/", AUDIT + b"\x1dARCH=x", other]
    assert without_names(count_keys(block_of(*lines), 3)) == {raw_key(AUDIT): 2, raw_key(other): 1}
    assert count_keys(block_of(*lines, KERNEL), 4) == {}
    assert count_keys(block_of(*lines, AUDIT[:90]), 4) == {}


def test_find_lines() -> None:
    other, last = AUDIT.replace(b"thr", b"one"), AUDIT.replace(b":184", b":200")
    block = block_of(other, AUDIT, last, other)
    keys = [raw_key(line) for line in (AUDIT, other)]
    found = find_lines(block)
    assert set(found) == set(keys)
    assert [[block.part(*block.line(place)) for place in found[key]] for key in keys if key] == [
        [AUDIT, last],
        [other, other],
    ]
    assert len(find_lines(Block(block.data, block.data.index(b"\n", 1)))) == 1
