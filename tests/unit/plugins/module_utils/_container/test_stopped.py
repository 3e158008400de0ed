# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests when a checkpoint in place is the last state of its container. Times are those that podman 5.4.2 shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import (
    is_in_checkpoint,
    ran_on,
    ran_on_warning,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record

# 20:20:26.8 UTC.
STAMP = "1795983626823733995"
STARTED, BEFORE, LATER = (f"2026-11-29T20:20:{second}.975390031Z" for second in ("25", "26", "29"))
BEFORE = BEFORE.replace("26.9", "26.1")
BOX = Container("i", "web", "exited", 0, "image", "", "runc", "", started_at=STARTED, stamp=STAMP)
RECORD = Record("podman", "i", "web", "image", "", "runc", "", run=STARTED, stamp=STAMP)
RESTORED = replace(RECORD, run=BEFORE)  # it had been restored before this checkpoint


@pytest.mark.parametrize(
    ("box", "record", "expected"),
    [
        pytest.param({"checkpointed": True}, None, True, id="podman-knows"),
        pytest.param({"checkpointed": True, "stamp": ""}, None, False, id="no-checkpoint"),
        pytest.param({"checkpointed": True, "status": "running"}, None, False, id="runs"),
        pytest.param({"status": "paused"}, RECORD, False, id="paused"),
        pytest.param({}, None, False, id="no-record"),
        pytest.param({}, RECORD, True, id="after-a-boot"),
        pytest.param({}, RESTORED, True, id="after-a-boot-and-restored-before"),
        pytest.param({"stamp": "17"}, RECORD, False, id="a-different-checkpoint"),
        pytest.param({"started_at": LATER}, RECORD, False, id="started-since"),
        pytest.param({"restored_at": LATER}, RECORD, False, id="restored-and-kept"),
        pytest.param({}, replace(RECORD, ran_on=True), False, id="left-running-before-a-boot"),
        pytest.param({"started_at": "soon"}, RECORD, False, id="unknown-time"),
    ],
)
def test_stopped_in_its_checkpoint(tmp_path: Path, box: dict[str, Any], record: Record | None, expected: bool) -> None:
    paths = Paths(str(tmp_path))
    if record is not None:
        place = Path(f"{paths.state}/checkpoints/i.json")
        place.parent.mkdir(parents=True, mode=0o700)
        place.write_text(render_record(record))
        place.chmod(0o600)
    assert is_in_checkpoint(paths, replace(BOX, **box)) is expected


def test_a_record_that_is_not_written_yet_counts(tmp_path: Path) -> None:
    assert is_in_checkpoint(Paths(str(tmp_path)), BOX, RECORD)
    assert not is_in_checkpoint(Paths(str(tmp_path)), BOX, replace(RECORD, stamp="17"))


def test_a_container_that_ran_on_is_named() -> None:
    assert not ran_on(BOX, None) and not ran_on(BOX, RECORD) and ran_on_warning(BOX, RECORD) == ()
    (warning,) = ran_on_warning(replace(BOX, started_at=LATER), replace(RECORD, checkpointed_at="2026-11-29T20:20:27Z"))
    assert "'web'" in warning and "2026-11-29T20:20:27Z" in warning
    assert ran_on_warning(BOX, replace(RECORD, ran_on=True)) != ()
    assert ran_on_warning(replace(BOX, checkpointed=True), RECORD) == () == ran_on_warning(None, RECORD)
