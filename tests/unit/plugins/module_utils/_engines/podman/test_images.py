# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of checkpoints as podman 5.4.2 describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.images import (
    PodmanImages,
    parse_checkpoint_image,
)
from ansible_collections.criu.hosts.tests.unit.containers import recorded
from ansible_collections.criu.hosts.tests.unit.harness import PLACE

NAME = "localhost/checkpoints/web:latest"
LAYER = "2b3288e802168ef9be7cbddc0af65f78c807e38e759395da8a428ebc695c0b6d"


def changed(**entries: Any) -> str:
    entry = json.loads(recorded("image-inspect-checkpoint.json"))
    entry[0].update(entries)
    return json.dumps(entry)


def test_recorded_image() -> None:
    found = parse_checkpoint_image(recorded("image-inspect-checkpoint.json"), NAME, "/storage")
    assert found.id == "d1ddd1b6b179f26cc3985dff4cf0b09065bbc293b9c093405b0d9a3c4c098644"
    assert (found.names, found.container, found.runtime) == ((NAME,), "web", "crun")
    assert found.folder == f"/storage/overlay/{LAYER}/diff" and found.size_bytes == 257938
    host = found.host
    assert (host.architecture, host.engine_version, host.cgroup_version) == ("x86_64", "5.4.2", 2)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({"GraphDriver": {"Name": "vfs", "Data": None}}, id="vfs"),
        pytest.param({"GraphDriver": {"Data": {"UpperDir": f"/evil/overlay/{LAYER}/../diff"}}}, id="strange-folder"),
        pytest.param({"RootFS": {"Layers": ["sha256:a", "sha256:b"]}}, id="two-layers"),
    ],
)
def test_files_that_cannot_be_read(entries: dict[str, Any]) -> None:
    found = parse_checkpoint_image(changed(**entries), NAME, "/storage")
    assert found.folder == ""
    with pytest.raises(CheckpointError, match="not in one layer") as caught:
        PodmanImages(PLACE.paths).describe(found)
    assert caught.value.reason == "archive_invalid"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[]", id="empty"),
        pytest.param(changed(Id="../x"), id="no-id"),
        pytest.param(changed(RepoTags=[1]), id="names-that-are-none"),
        pytest.param(changed(Annotations={"io.podman.annotations.checkpoint.name": "a\nb"}), id="two-lines"),
    ],
)
def test_what_podman_does_not_print(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_checkpoint_image(text, NAME, "/storage")


def test_an_image_of_something_else_holds_no_checkpoint() -> None:
    found = parse_checkpoint_image(changed(Annotations=None), NAME, "/storage")
    assert found.container == ""
    with pytest.raises(CheckpointError, match="no annotation of a checkpoint"):
        PodmanImages(PLACE.paths).describe(found)


def test_only_the_lists_of_this_storage_are_read(tmp_path: Path) -> None:
    images = PodmanImages(PLACE.paths)
    assert images.leftover_steps("a" * 64, 0.0) == ()
