# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process a restore that was cut off has restored, from images with a pid namespace of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import restored_by, ticks
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, read_images
from ansible_collections.criu.hosts.tests.unit.processes import BOOT, ProcessWorld, process_world

RESTORED = 4711


def own_namespace(made: ProcessWorld) -> Images:
    """The recorded images, as if the first process had the id 1 in a namespace of its own."""
    images = read_images(str(made.dumped()))
    assert images is not None
    first = replace(images.tasks[0], pid=1)
    return replace(images, tasks=(first, *images.tasks[1:]))


def begun(made: ProcessWorld, images: Images, **changes: str) -> Begun:
    made.pid_file.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "pid_file": str(made.pid_file),
        "statistics": str(made.work / "stats-restore"),
        "inventory": images.digest,
        "ticks": "8000",
    }
    return Begun("restoring", str(made.images), BOOT, facts={**facts, **changes})


def inside(made: ProcessWorld, pid: int = RESTORED, start: int = 9000, comm: str = "python3", inner: int = 1) -> None:
    made.process(pid=pid, start=start, comm=comm)
    (made.folder / f"proc/{pid}/status").write_text(f"Name:\t{comm}\nTgid:\t{pid}\nNSpid:\t{pid}\t{inner}\n")


def test_the_pid_file_names_it(tmp_path: Path) -> None:
    made = process_world(tmp_path)
    images = own_namespace(made)
    note = begun(made, images)
    inside(made)
    made.pid_file.write_text(f"{RESTORED}\n")
    found = restored_by(made.base.paths, note, images)
    assert found is not None and found.pid == RESTORED


@pytest.mark.parametrize("torn", [None, "", "47 11"])
def test_without_a_pid_file_no_second_copy_is_made(tmp_path: Path, torn: str | None) -> None:
    made = process_world(tmp_path)
    images = own_namespace(made)
    note = begun(made, images)
    inside(made)
    if torn is not None:
        made.pid_file.write_text(torn)
    with pytest.raises(CheckpointError) as raised:
        restored_by(made.base.paths, note, images)
    assert raised.value.reason == "restore_unclear"
    assert raised.value.facts == {"pid": RESTORED}
    assert "\n" not in raised.value.message


def test_after_success_any_first_process_of_a_namespace_may_be_it(tmp_path: Path) -> None:
    """It may have changed its name and its program since."""
    made = process_world(tmp_path)
    images = own_namespace(made)
    note = begun(made, images)
    inside(made, comm="renamed")
    (tmp_path / f"proc/{RESTORED}/exe").unlink()
    assert restored_by(made.base.paths, note, images) is None
    made.work.mkdir()
    (made.work / "stats-restore").write_bytes(b"")
    with pytest.raises(CheckpointError, match="may be what it restored"):
        restored_by(made.base.paths, note, images)


@pytest.mark.parametrize(
    "other", [{"start": 7999}, {"inner": 5}], ids=["older-than-the-restore", "not-the-first-of-a-namespace"]
)
@pytest.mark.parametrize("named", [True, False])
def test_another_process_is_not_taken_for_it(tmp_path: Path, other: dict[str, int], named: bool) -> None:
    made = process_world(tmp_path)
    images = own_namespace(made)
    note = begun(made, images)
    inside(made, **other)
    if named:
        made.pid_file.write_text(f"{RESTORED}\n")
    assert restored_by(made.base.paths, note, images) is None


@pytest.mark.parametrize("changes", [{"boot": "other"}, {"action": "dumping"}])
def test_a_note_of_another_boot_or_action_names_nobody(tmp_path: Path, changes: dict[str, str]) -> None:
    made = process_world(tmp_path)
    images = own_namespace(made)
    inside(made)
    assert restored_by(made.base.paths, replace(begun(made, images), **changes), images) is None
    assert restored_by(made.base.paths, begun(made, images, inventory="0" * 64), images) is None


@pytest.mark.parametrize(("text", "count"), [("12.34 5.0\n", 1234), ("", 0), ("x\n", 0)])
def test_ticks_since_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    made = process_world(tmp_path)
    (tmp_path / "proc/uptime").write_text(text)
    monkeypatch.setattr("os.sysconf", lambda dummy_name: 100)
    assert ticks(made.base.paths) == count
