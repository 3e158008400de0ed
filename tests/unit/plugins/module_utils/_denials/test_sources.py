# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the sources of denials, the time range, and the memory that reading needs."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._denials import sources
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.since import parse_record_time, parse_since
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of

LINE = (
    b'type=AVC msg=audit(1795384456.390:184): avc:  denied  { read } for  pid=1 comm="criu" name="x" '
    b"scontext=a:b:c_t:s0 tcontext=a:object_r:d_t:s0 tclass=file permissive=0\n"
)
OTHER = b"type=SYSCALL msg=audit(1795384456.390:184): arch=c000003e syscall=1 success=no exit=-13\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("boot", 5.0, id="boot"),
        pytest.param("90s", 910.0, id="seconds"),
        pytest.param("10m", 400.0, id="minutes"),
        pytest.param("1795384456.39", 1795384456.39, id="epoch"),
        pytest.param("@1795384456", 1795384456.0, id="epoch-as-journalctl-writes-it"),
        pytest.param("2026-11-22T21:54:16Z", 1795384456.0, id="utc"),
        pytest.param("2026-11-22T22:54:16+01:00", 1795384456.0, id="offset"),
        pytest.param("2026-11-22 21:54:16", 1795384456.0, id="without-zone-is-utc"),
    ],
)
def test_parse_since(text: str, expected: float) -> None:
    assert parse_since(text, now=1000.0, boot=5.0) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "5 minutes", "22:54"])
def test_parse_since_refuses(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_since(text, now=0, boot=0)
    assert caught.value.reason == "since_invalid"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checkpointed_at": "soon"}', '{"checkpointed_at": null}'])
def test_record_without_a_time(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_record_time(text, "/x.json")
    assert caught.value.reason == "record_invalid"


def test_rotated_files_oldest_first_without_those_that_are_too_old(tmp_path: Path) -> None:
    for number, name in enumerate(("audit.log.10", "audit.log.2", "audit.log.1", "audit.log")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (100 + number, 100 + number))
    (tmp_path / "audit.log.bak").touch()
    (tmp_path / "other.log.1").touch()
    path = str(tmp_path / "audit.log")
    names = [os.path.basename(file) for file in sources.audit_files(path, 0)]
    assert names == ["audit.log.10", "audit.log.2", "audit.log.1", "audit.log"]
    assert [os.path.basename(file) for file in sources.audit_files(path, 102)] == ["audit.log.1", "audit.log"]


def counted(data: bytes, since: float = 0.0) -> Groups:
    groups = Groups(since)
    assert sources.scan(io.BytesIO(data), groups) == len(data)
    groups.settle_lines({})
    return groups


def test_lines_across_blocks_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", 100)
    groups = counted((OTHER + LINE) * 50 + LINE[:-1])
    assert groups.records == 51
    assert len(groups.groups) == 1


@pytest.mark.parametrize("odd", [b"", b"node=x " + LINE, LINE.replace(b" comm=", b" exe=")])
def test_many_denials_are_counted_as_one_by_one(odd: bytes) -> None:
    kinds = [LINE.replace(b"d_t", b"d%d_t" % number).replace(b"456.390", b"456.%03d" % number) for number in range(7)]
    data = b"".join(kinds[number % 7] for number in range(500)) + odd
    groups = counted(data)
    assert groups.records == 500 + bool(odd)
    by_kind = {type_of(group.record.target): group for group in groups.groups.values()}
    assert by_kind["d0_t"].count == 72 and by_kind["d6_t"].count == 71
    assert by_kind["d3_t"].line == kinds[3][:-1]


def test_since_counts_per_record() -> None:
    late = LINE.replace(b"1795384456", b"1795384999")
    assert counted(LINE + late + LINE, since=1795384900.0).records == 1
    assert counted(late + LINE + late, since=1795384900.0).records == 2


def test_what_is_no_log_is_read_without_being_kept() -> None:
    assert counted(b"\0" * (3 << 20) + b"\n" + LINE).records == 1


def test_memory_does_not_grow_with_the_log() -> None:
    def peak(size: int) -> int:
        block = (OTHER * 20 + LINE) * 100

        class Endless(io.RawIOBase):
            left = size

            def readable(self) -> bool:
                return True

            def readinto(self, view: Any) -> int:
                self.left -= 1
                view[: len(block)] = block
                return len(block) if self.left >= 0 else 0

        groups = Groups()
        tracemalloc.start()
        sources.scan(Endless(), groups)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert groups.records == size * 100
        return found

    assert peak(40) < peak(4) + (1 << 20)


def test_many_kinds_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._denials.groups.GROUPS", 3)
    groups = counted(b"".join(LINE.replace(b"d_t", b"d%d_t" % number) for number in range(10)))
    assert (len(groups.groups), groups.left_out, groups.records) == (3, 7, 10)


def test_kernel_ring_takes_the_kernels_own_words_only(tmp_path: Path) -> None:
    # A file represents the device; each read from the real one returns one record.
    ring = tmp_path / "kmsg"
    message = b"audit: type=1400 audit(1795384456.390:184): " + LINE[LINE.find(b"avc:") :]
    ring.write_bytes(b"5,1,100,-;" + message + b"12,2,200,-;" + message + b"4,3,300,-;something else\n")
    groups = Groups()
    sources.read_kernel(str(ring), groups)
    assert groups.records == 1


def test_unreadable_ring(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sources.read_kernel(str(tmp_path / "none"), Groups())


def test_file_that_is_rotated_away_is_left_out_and_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(LINE)
    groups = Groups()
    sources.read_audit((str(tmp_path / "gone"), str(tmp_path / "audit.log")), groups)
    assert groups.records == 1
    with pytest.raises(IsADirectoryError):
        sources.read_audit((str(tmp_path),), groups)
