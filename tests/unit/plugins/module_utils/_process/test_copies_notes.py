# SPDX-License-Identifier: GPL-3.0-or-later
"""The note on the process that was restored from images: with it a second copy is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import find_copy
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, read_images
from ansible_collections.criu.hosts.tests.unit.processes import BOOT, PID, ProcessWorld, process_world
from ansible_collections.criu.hosts.tests.unit.unusable_files import UNUSABLE


def noted(made: ProcessWorld, **changes: Any) -> Images:
    made.dumped()
    made.process()
    images = read_images(str(made.images))
    assert images is not None
    made.work.mkdir(mode=0o700)
    known = {"pid": PID, "start": "8421", "boot": BOOT, "inventory": images.digest}
    (made.work / "restored.json").write_text(json.dumps({**known, **changes}))
    return images


def test_note_on_a_process_that_runs(tmp_path: Path) -> None:
    made = process_world(tmp_path)
    found = find_copy(made.base.paths, noted(made), root=True)
    assert found is not None and found.process.pid == PID


@pytest.mark.parametrize("changes", [{"start": "9"}, {"boot": "0"}, {"inventory": "0" * 64}, {"pid": 0, "start": ""}])
def test_note_on_another_process(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = process_world(tmp_path)
    assert find_copy(made.base.paths, noted(made, **changes), root=True) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": "1463"},
        {"pid": True},
        {"pid": -1},
        {"pid": 10**30},
        {"pid": "../1"},
        {"start": 8421},
        {"boot": None},
        {"boot": "a\nb"},
        {"inventory": ["0"]},
        {"inventory": "0"},
    ],
)
def test_note_with_other_types(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The process may be running: a second copy must not."""
    made = process_world(tmp_path)
    images = noted(made, **changes)
    with pytest.raises(CheckpointError) as caught:
        find_copy(made.base.paths, images, root=True)
    assert caught.value.reason == "images_invalid"


@pytest.mark.parametrize("damage", list(UNUSABLE))
def test_note_that_cannot_be_used(tmp_path: Path, damage: str) -> None:
    made = process_world(tmp_path)
    images = noted(made)
    (made.work / "restored.json").unlink()
    UNUSABLE[damage](made.work / "restored.json")
    with pytest.raises(CheckpointError) as caught:
        find_copy(made.base.paths, images, root=True)
    assert caught.value.reason == "images_invalid" and len(caught.value.message.splitlines()) == 1
