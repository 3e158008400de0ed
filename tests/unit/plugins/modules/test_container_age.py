# SPDX-License-Identifier: GPL-3.0-or-later
"""container_checkpoint with max_age: an archive that is too old is made again, and stays until then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.containers import INSPECT, recorded
from ansible_collections.criu.hosts.tests.unit.harness import Reply, Write
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_container_checkpoint import (
    outdated,
    to_archive,
    young,
)

FUTURE = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize("check", [False, True])
def test_an_old_archive_is_made_again(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = outdated(tmp_path)
    result = module("container_checkpoint", params, host=host, check=check).result
    assert result["changed"] and [argv[2] for argv in result["commands"]] == ["checkpoint"]
    assert '"older than max_age"' in json.dumps(result["diff"])
    assert (Path(params["archive_path"]).read_bytes() == b"old archive") is check


def test_the_new_archive_is_young(module: Any, tmp_path: Path) -> None:
    params, host = outdated(tmp_path)
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert module("container_checkpoint", params, host=host).result["changed"] is False


def test_the_old_archive_stays_until_the_new_one_is_whole(module: Any, tmp_path: Path) -> None:
    params, host = outdated(tmp_path)
    archive = Path(params["archive_path"])
    seen = []

    def fail(one: Any) -> Any:
        if not isinstance(one, Write):
            return one
        return Write(one.argv, rc=125, err="Error: no\n", effect=lambda: seen.append(archive.read_bytes()))

    host.replies = [fail(one) for one in host.replies]
    failed = module("container_checkpoint", params, host=host).result
    assert failed["reason"] == "tool_failed" and seen == [b"old archive"]
    assert archive.read_bytes() == b"old archive"
    assert {path.name for path in archive.parent.iterdir()} == {"web.tar.zst", "web.tar.zst.json"}


@pytest.mark.parametrize("check", [False, True])
def test_an_archive_of_the_future_is_made_again_with_a_warning(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = outdated(tmp_path, FUTURE)
    result = module("container_checkpoint", params, host=host, check=check).result
    assert result["changed"] and f"made at {FUTURE}, which is in the future" in str(result["warnings"])
    assert '"of a time in the future"' in json.dumps(result["diff"])


def test_without_max_age_any_archive_of_this_run_is_current(module: Any, tmp_path: Path) -> None:
    params, host = outdated(tmp_path)
    del params["max_age"]
    assert module("container_checkpoint", params, host=host).result["changed"] is False


def test_an_archive_without_a_time_is_made_again(module: Any, tmp_path: Path) -> None:
    params, host = outdated(tmp_path, "")
    result = module("container_checkpoint", params, host=host, check=True).result
    assert result["changed"] and '"of an unknown age"' in json.dumps(result["diff"])


@pytest.mark.parametrize("gone", [False, True])
def test_the_last_state_of_a_container_does_not_age(module: Any, tmp_path: Path, gone: bool) -> None:
    params, host = to_archive(tmp_path)
    assert module("container_checkpoint", params, host=host).result["changed"]
    record = tmp_path / "archives/web.tar.zst.json"
    entry = json.loads(record.read_text())
    record.write_text(json.dumps({**entry, "checkpointed_at": "2020-01-01T00:00:00Z"}))
    if gone:
        host.replies = [Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125)]
    params["max_age"] = "1h"
    assert module("container_checkpoint", params, host=host).result["changed"] is False


@pytest.mark.parametrize("text", ["", "0", "0s", "1 h", "soon", "-1h"])
def test_max_age_has_to_be_a_duration(module: Any, tmp_path: Path, text: str) -> None:
    params, host = young(tmp_path)
    failed = module("container_checkpoint", {**params, "max_age": text}, host=host, check=True).result
    assert (failed["reason"], failed["option"]) == ("option_invalid", "max_age") and not host.ran


def test_a_checkpoint_in_place_has_no_max_age(module: Any, tmp_path: Path) -> None:
    dummy_params, host = young(tmp_path)
    failed = module("container_checkpoint", {"name": "web", "max_age": "1h"}, host=host, check=True).result
    assert failed["failed"] and "archive_path" in failed["msg"] and not host.ran
