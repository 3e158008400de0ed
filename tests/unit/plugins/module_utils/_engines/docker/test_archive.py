# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive of a Docker container says about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import config_in
from ansible_collections.criu.hosts.tests.unit.docker_host import recorded, tar_of


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(recorded("inspect-running.json")[2:-2].encode(), "/etc/criu/web.conf", id="annotation"),
        pytest.param(b'{"HostConfig": {}}', "", id="none"),
        pytest.param(b'{"HostConfig": {"Annotations": []}}', "", id="wrong-type"),
        pytest.param(b"{", "", id="broken"),
    ],
)
def test_the_annotation_in_an_archive(tmp_path: Path, content: bytes, expected: str) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_of(**{"docker.dump": content}))
    assert config_in(str(archive)) == expected
