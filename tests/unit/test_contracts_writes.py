# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that only a plan changes a host: every other file that could is in this table, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.tests.unit.contracts.layout import TREE, place
from ansible_collections.criu.hosts.tests.unit.contracts.writes import writes


@dataclass(frozen=True)
class Writer:
    """A file below plugins that may write, with the functions and the reason."""

    path: str
    functions: str
    reason: str


WRITERS = (
    Writer("_core/apply.py", "os.kill os.rename os.symlink", "carries out the steps of a plan"),
    Writer(
        "_core/files.py",
        "os.fchmod os.fdopen os.mkdir os.mkfifo os.open os.rename os.unlink "
        "os.O_CREAT os.O_EXCL os.O_WRONLY shutil.rmtree",
        "has the functions of apply that write files",
    ),
    Writer(
        "_core/unpack.py",
        "os.O_CREAT os.O_EXCL os.O_WRONLY os.chmod os.fdopen os.open os.symlink os.utime",
        "carries out the step Unpack",
    ),
    Writer(
        "_core/lock.py",
        "os.open os.ftruncate os.pwrite os.O_RDWR os.O_CREAT",
        "makes the locks of things, and writes who holds one",
    ),
    Writer(
        "_core/session.py",
        "subprocess.Popen os.kill os.killpg os.fork os.setsid os.open os.O_RDWR open",
        "runs commands in a session of their own, and ends those that take too long",
    ),
    Writer(
        "_core/feed.py",
        "subprocess.Popen os.fork os.mkfifo os.open os.rename os.unlink os.write os.O_WRONLY tempfile.TemporaryFile "
        "open",
        "decrypts an archive into the pipe that a command of session.py reads",
    ),
    Writer(
        "_core/pipe.py",
        "subprocess.Popen os.fork os.open os.O_WRONLY os.O_TRUNC os.write open tempfile.TemporaryFile",
        "stores what a command of a plan writes into a pipe",
    ),
    Writer("_core/abandoned.py", "os.open os.O_RDWR", "stands at a pipe whose own end was killed"),
    Writer("_core/program.py", "zipfile.ZipFile", "packs the program of stateful units in memory"),
    Writer(
        "_lsm/_selinux/loaded_policy.py",
        "os.O_RDWR os.open os.write",
        "asks the kernel by writing to a file of selinuxfs, which changes nothing",
    ),
    Writer("_core/signals.py", "os.kill", "ends a child that has not executed its program yet as the signal would"),
    Writer("_core/paths.py", "os.open", "opens for reading, with the flags that open() gives it"),
    Writer("_host/paths.py", "os.open", "finds a file below a folder without following links, to read it"),
)


def test_only_these_files_write() -> None:
    """Code that has to write makes a plan instead, or becomes an entry of the table."""
    found = {(place(path), name) for path in TREE.files("plugins") for dummy_line, name in writes(TREE, path)}
    assert found == {(one.path, name) for one in WRITERS for name in one.functions.split()}
