# SPDX-License-Identifier: GPL-3.0-or-later
"""Only a plan changes a host: every other place that could is in this table, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.tests.unit.contracts.layout import TREE, place
from ansible_collections.criu.hosts.tests.unit.contracts.writes import writes


@dataclass(frozen=True)
class Writer:
    """Files of module_utils that may write: with these functions, for this reason."""

    paths: str
    functions: str
    reason: str


WRITERS = (
    Writer(
        "_core/apply.py _core/files.py",
        "os.chmod os.fdopen os.mkdir os.rename os.symlink os.unlink shutil.rmtree tempfile.mkstemp",
        "carries out the steps of a plan",
    ),
    Writer(
        "_core/apply.py _core/signals.py",
        "signal.raise_signal",
        "a stop that had to wait for the end of a step is sent again",
    ),
    Writer(
        "_core/unpack.py",
        "os.O_CREAT os.O_EXCL os.O_WRONLY os.chmod os.fdopen os.open os.symlink os.utime shutil.copyfileobj",
        "carries out the step Unpack",
    ),
    Writer("_core/command.py", "subprocess.Popen os.killpg", "runs commands, and ends those that take too long"),
    Writer(
        "_lsm/_selinux/loaded_policy.py",
        "os.O_RDWR os.open os.write",
        "a question to the kernel is written to a file of selinuxfs, and changes nothing",
    ),
    Writer(
        "_core/program.py _unit/stateful/program.py",
        "zipfile.ZipFile python-in-a-string",
        "packs the program of stateful units in memory",
    ),
    Writer("_unit/stateful/run.py", "os.kill", "ends what a restore that hung has left; it is no step of a plan yet"),
    Writer("_process/restore.py", "python-in-a-string", "a step of a plan ends processes with a wrong label"),
)


def test_only_these_files_write() -> None:
    """Whoever needs to write makes a plan instead, or becomes an entry of the table."""
    found = {(place(path), name) for path in TREE.files("plugins") for dummy_line, name in writes(TREE, path)}
    allowed = {(path, name) for one in WRITERS for path in one.paths.split() for name in one.functions.split()}
    assert found - allowed == set()
    written = {name for dummy_path, name in found}
    for one in WRITERS:
        assert set(one.functions.split()) <= written, f"out of date: {one.paths}"
