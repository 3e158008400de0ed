# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.guard import check_registry, check_run
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import Image

PRESENT = (31, 0, 10)


@pytest.mark.parametrize(
    ("present", "version", "running", "declared", "code"),
    [
        pytest.param(PRESENT, (31, 0, 10), None, None, None, id="same"),
        pytest.param(PRESENT, (31, 0, 11), None, None, None, id="newer-release"),
        pytest.param(PRESENT, (31, 0), None, None, None, id="short-version"),
        pytest.param(PRESENT, (31, 0, 9), None, None, "downgrade", id="older-release"),
        pytest.param(PRESENT, (32, 0, 0), None, None, "major_changed", id="next-major"),
        pytest.param(PRESENT, (32, 0, 0), "id", None, "major_changed", id="next-major-of-the-container"),
        pytest.param(PRESENT, (30, 0, 0), None, None, "major_changed", id="major-before"),
        pytest.param(PRESENT, None, None, None, "image_version_unknown", id="unknown"),
        pytest.param(PRESENT, None, "other", None, "image_version_unknown", id="unknown-and-another-container"),
        pytest.param(PRESENT, None, "id", None, None, id="unknown-but-that-of-the-container"),
        pytest.param(PRESENT, None, None, (31,), None, id="declared"),
        pytest.param(PRESENT, None, None, (32,), "major_changed", id="declared-next-major"),
        pytest.param(PRESENT, None, None, (31, 0, 9), "downgrade", id="declared-older"),
        pytest.param(PRESENT, (32, 0, 0), None, (31,), "image_wrong", id="declared-otherwise"),
        pytest.param(PRESENT, (31, 0, 10), None, (31, 0), None, id="declared-too"),
        pytest.param(None, None, None, None, None, id="new-host"),
        pytest.param(None, (32, 0, 0), None, None, None, id="new-host-with-a-version"),
        pytest.param(None, (32, 0, 0), None, (31,), "image_wrong", id="new-host-declared-otherwise"),
    ],
)
def test_image_on_volumes(
    present: Version | None, version: Version | None, running: str | None, declared: Version | None, code: str | None
) -> None:
    refusal = check_run(present, Image("r/cloud", "id", version), running_id=running, declared=declared)
    assert (refusal.code if refusal else None) == code
    assert refusal is None or ("'r/cloud'" in refusal.message and "\n" not in refusal.message)


@pytest.mark.parametrize("present", [None, PRESENT])
def test_missing_image(present: Version | None) -> None:
    refusal = check_run(present, Image("r/cloud"), running_id=None, declared=None)
    assert refusal is not None and refusal.code == "image_missing"


def test_unknown_registry() -> None:
    assert check_registry("r/cloud", "it is down", None) is None
    refusal = check_registry("r/cloud", "it is down", PRESENT)
    assert refusal is not None and refusal.code == "registry_unknown"
    assert "it is down" in refusal.message and "unless it holds Nextcloud 31." in refusal.message
