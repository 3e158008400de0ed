# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman's recorded answers."""

from __future__ import annotations

import json

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import (
    Podman,
    parse_inspect,
    parse_statistics,
)
from ansible_collections.criu.hosts.tests.unit.containers import recorded


@pytest.mark.parametrize(
    ("case", "status", "checkpointed", "restored"),
    [
        pytest.param("running", "running", False, False, id="running"),
        pytest.param("checkpointed", "exited", True, False, id="checkpointed"),
        pytest.param("checkpointed-archive", "exited", True, False, id="checkpointed-to-an-archive"),
        pytest.param("restored", "running", False, True, id="restored"),
        pytest.param("after-disk-full", "exited", False, True, id="archive-not-written"),
    ],
)
def test_inspect(case: str, status: str, checkpointed: bool, restored: bool) -> None:
    found = parse_inspect(recorded(f"inspect-{case}.json"))
    assert (found.name, found.runtime, found.status, found.checkpointed) == ("web", "runc", status, checkpointed)
    assert bool(found.restored_at) is restored
    assert bool(found.pid) is found.running
    assert found.run == (found.restored_at or found.started_at)
    assert found.process_label.startswith("system_u:system_r:container_t:s0:c")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[{}]", '[{"State": 5}]'])
def test_inspect_of_something_else(text: str) -> None:
    with pytest.raises(CheckpointError):
        parse_inspect(text)


def test_statistics_carry_units() -> None:
    assert parse_statistics(recorded("checkpoint-in-place.json")) == {
        "engine_microseconds": 5510116,
        "runtime_microseconds": 4289443,
        "freezing_microseconds": 118723,
        "frozen_microseconds": 1323983,
        "memory_dump_microseconds": 48445,
        "memory_write_microseconds": 28688,
        "scanned_pages": 1481,
        "written_pages": 1405,
    }
    assert parse_statistics(recorded("restore-in-place.json"))["restored_pages"] == 1405


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("[1]", {}, id="a-list"),
        pytest.param(
            json.dumps({"podman_restore_duration": 5, "container_statistics": None}),
            {"engine_microseconds": 5},
            id="failed",
        ),
    ],
)
def test_statistics_of_something_else(text: str, expected: dict[str, int]) -> None:
    assert parse_statistics(text) == expected


def test_flags_that_only_archives_know_are_left_out_in_place() -> None:
    found = parse_inspect(recorded("inspect-running.json"))
    options = Options(True, True, True, True, True, True, "gzip")
    common = ("podman", "container", "checkpoint", "--print-stats", "--keep", "--tcp-established", "--file-locks")
    (place,) = Podman().checkpoint_steps(found, options, None)
    assert isinstance(place, Command) and place.argv == (*common, "--leave-running", "web")
    (export,) = Podman().checkpoint_steps(found, options, "/a/.x.partial")
    assert isinstance(export, Command) and export.finish and export.creates_partial is None
    assert export.argv == (
        *common,
        "--ignore-rootfs",
        "--ignore-volumes",
        "--leave-running",
        "--export=/a/.x.partial",
        "--compress=gzip",
        "web",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("import-truncated", "archive_invalid", id="truncated"),
        pytest.param("import-image-missing", "image_missing", id="image"),
        pytest.param("import-volume-exists", "volume_exists", id="volume"),
        pytest.param("checkpoint-auto-remove", "tool_failed", id="unknown"),
    ],
)
def test_cause(name: str, reason: str) -> None:
    cause = Podman().cause(Completed(("podman",), 125, "", recorded(f"{name}.txt")))
    assert cause.reason == reason
    assert "Error:" not in cause.why


def test_nothing_cuts_off_what_podman_changes() -> None:
    """Neither a signal to the task nor its end: each of these commands runs to its own end."""
    box, engine, options = parse_inspect(recorded("inspect-running.json")), Podman(), Options()
    steps = (
        *engine.checkpoint_steps(box, options, None),
        *engine.checkpoint_steps(box, options, "/a/.x.partial"),
        *engine.restore_steps(box, options),
        *engine.import_steps("/a/x", "runc", "web2", options),
        *engine.start_steps("web"),
        *engine.stop_steps("web", "stop"),
        *engine.remove_steps("web", "remove"),
        *engine.remove_volume_steps("data", "remove"),
    )
    assert [getattr(step, "finish", False) for step in steps] == [True] * 8
    assert not any(getattr(step, "creates_partial", None) for step in steps)
