# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes of operators get one clear line and a stable reason, and do no harm, with the real podman and CRIU."""

from __future__ import annotations

from typing import Any, Callable

import pytest

REASONS = {
    "no-such-container": "container_missing",
    "container-not-running": "container_not_running",
    "auto-remove-in-place": "auto_remove",
    "disk-full": "disk_full",
    "unsafe-folder": "archive_path_unsafe",
    "archive-missing": "archive_missing",
    "archive-truncated": "archive_invalid",
    "archive-truncated-no-record": "archive_invalid",
    "archive-not-ours": "archive_invalid",
    "nothing-to-restore": "container_missing",
    "not-checkpointed": "not_checkpointed",
    "rootless": "rootless_unsupported",
}


@pytest.fixture(scope="module")
def answers(host: Any, seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The answers of the modules to bad input."""
    if host.backend.get_hostname() != "node-trixie":
        pytest.skip("to save time, mistakes are made on Debian 13 only")
    return seen_by("../plain_hosts/bad_input.yml")


@pytest.mark.parametrize("case", REASONS)
def test_reason(answers: dict[str, Any], case: str) -> None:
    assert answers["answers"][case]["reason"] == REASONS[case], answers["answers"][case]["msg"]


@pytest.mark.parametrize("case", REASONS)
def test_message_is_one_clear_line(answers: dict[str, Any], case: str) -> None:
    message = answers["answers"][case]["msg"]
    assert "\n" not in message
    assert "Traceback" not in message
    assert message.endswith(".")


def test_container_keeps_running_when_the_disk_is_full(answers: dict[str, Any]) -> None:
    assert answers["running"]["status"] == "running"
    assert len(answers["running"]["threads"]) == 5


def test_full_disk_has_no_partial_file(answers: dict[str, Any]) -> None:
    assert answers["small"] == []
