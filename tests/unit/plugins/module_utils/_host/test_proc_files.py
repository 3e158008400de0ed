# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from /proc of processes, also of real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host import proc_files
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import (
    descends,
    parse_maps,
    parse_status,
    read_sight,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.process import read_pids

MAPS = (
    "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus-daemon\n"
    "00651000-00652000 r--p 00051000 08:02 173521 /usr/bin/dbus-daemon\n"
    "00e03000-00e24000 rw-p 00000000 00:00 0 [heap]\n"
    "7f1995093000-7f1995094000 rw-s 00000000 00:01 3 /SYSV00000000 (deleted)\n"
    "7f1995094000-7f1995095000 rw-s 00000000 00:0e 1036 anon_inode:[io_uring]\n"
    "7f1995095000-7f1995096000 rw-p 00000000 00:00 0 \n"
    "7f1995096000-7f1995097000 r--p 00000000 08:02 9 /a b\\012c\n"
)
PROGRAM = """
import os, sys, time, mmap
deleted = open(sys.argv[1], "w+b")
deleted.write(b"x" * (1 << 20))
deleted.flush()
os.fsync(deleted)
os.unlink(sys.argv[1])
child = os.fork()
if child:
    print(child, deleted.fileno(), flush=True)
time.sleep(60)
"""


@pytest.fixture(name="running")
def running_fixture(tmp_path: Path) -> Iterator[tuple[int, int, int]]:
    """Runs a program with a child that holds a deleted file of 1 MiB; yields both pids and the file descriptor."""
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path / "gone")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        child, descriptor = map(int, program.stdout.readline().split())
        yield program.pid, child, descriptor
        os.kill(child, 9)
        program.kill()


def test_maps_have_the_names_of_map_files() -> None:
    assert list(parse_maps(MAPS)) == [
        ("400000-452000", "/usr/bin/dbus-daemon"),
        ("7f1995093000-7f1995094000", "/SYSV00000000 (deleted)"),
        ("7f1995094000-7f1995095000", "anon_inode:[io_uring]"),
        ("7f1995096000-7f1995097000", "/a b\\012c"),
    ]


def test_status_has_numbers() -> None:
    text = "Name:\tx: 7\nTracerPid:\t77\nUid:\t0\t33\t33\t33\nCapBnd:\t000001ff\nUid:\t1\nvoid\n"
    found = parse_status(text)
    assert (found["TracerPid"], found["Uid"], found["CapBnd"]) == ((77,), (0, 33, 33, 33), (0x1FF,))
    assert "Name" not in found


def test_a_real_process_with_a_deleted_file(running: tuple[int, int, int]) -> None:
    pid, child, descriptor = running
    assert read_pids(Paths(), pid) == [pid, child]
    sight = read_sight(Paths(), child)
    assert sight is not None
    assert (sight.pid, sight.tracer, sight.users) == (child, 0, (os.getuid(), os.geteuid(), os.geteuid()))
    (deleted,) = [file for file in sight.files if file.descriptor == descriptor]
    assert deleted.link.endswith("/gone (deleted)") and deleted.links == 0 and deleted.size > 0
    assert any(file.descriptor == -1 and "python" in file.link for file in sight.files)


def test_descendants_of_a_real_process(running: tuple[int, int, int]) -> None:
    pid, child, dummy_descriptor = running
    assert descends(Paths(), child, pid) and descends(Paths(), pid, pid)
    assert not descends(Paths(), os.getpid(), pid)
    assert descends(Paths(), 1 << 30, pid), "nothing is known about a process that has ended"


def test_a_process_that_has_ended_is_left_out(tmp_path: Path) -> None:
    assert read_sight(Paths(str(tmp_path)), 7) is None
    assert read_pids(Paths(str(tmp_path)), 7) == [7]


def test_a_process_that_ends_while_it_is_read(tmp_path: Path) -> None:
    base = tmp_path / "proc/7"
    (base / "fd").mkdir(parents=True)
    (base / "status").write_text("Name:\ta\n")
    (base / "fd/3").symlink_to(f"{tmp_path}/gone (deleted)")
    (base / "fd/x").symlink_to("/dev/null")
    sight = read_sight(Paths(str(tmp_path)), 7)
    assert sight is not None and [(file.descriptor, file.mode, file.size) for file in sight.files] == [(3, 0, 0)]


def test_limits_end_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "proc/7"
    (base / "fd").mkdir(parents=True)
    (base / "status").write_text("Name:\ta\n")
    for number in range(9):
        (base / f"fd/{number}").symlink_to("pipe:[1]")
    monkeypatch.setattr(proc_files, "DESCRIPTORS", 4)
    sight = read_sight(Paths(str(tmp_path)), 7)
    assert sight is not None and len(sight.files) == 4


def test_a_circle_of_children_ends(tmp_path: Path) -> None:
    for pid, child in ((7, 8), (8, 7)):
        (tmp_path / f"proc/{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/task/{pid}/children").write_text(f"{child} x")
    assert read_pids(Paths(str(tmp_path)), 7) == [7, 8]


def test_the_process_of_a_pidfd(tmp_path: Path) -> None:
    base = tmp_path / "proc/7"
    (base / "fd").mkdir(parents=True)
    (base / "fdinfo").mkdir()
    (base / "status").write_text("Name:\ta\n")
    for number, pid in ((3, "12"), (4, "-1")):
        (base / f"fd/{number}").symlink_to("anon_inode:[pidfd]")
        (base / f"fdinfo/{number}").write_text(f"pos:\t0\nflags:\t02\nPid:\t{pid}\nNSpid:\t{pid}\n")
    sight = read_sight(Paths(str(tmp_path)), 7)
    assert sight is not None and sorted((file.descriptor, file.peer) for file in sight.files) == [(3, 12), (4, 0)]
