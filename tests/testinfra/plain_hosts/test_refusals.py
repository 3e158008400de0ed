# SPDX-License-Identifier: GPL-3.0-or-later
"""A play with an artifact that does not suit a host leaves it as it was, and says why in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plays import BUILD, fetch_artifact, is_sentence, play


def state(host: Any) -> list[str]:
    """Return what an installation would change."""
    commands = ("dpkg-query --show", "ls -lR /opt /usr/local/sbin /etc/criu", "sha256sum /var/lib/criu-hosts/*.gz")
    return [str(host.run(command).stdout) for command in commands]


def test_an_artifact_of_a_newer_release_is_refused(host: Any, tmp_path: Path) -> None:
    name = host.backend.get_hostname()
    if name != "node-bookworm":
        pytest.skip("an artifact of Debian 12 also serves Debian 13")
    newer = host.get_host("ssh://node-trixie", ssh_config=str(BUILD / "ssh_config"))
    artifact = fetch_artifact(newer, tmp_path)
    before = state(host)
    done = play("criu.hosts.enable_host", name, criu_artifact=str(artifact))
    assert done.rc != 0
    assert "it needs glibc 2.38, and this host has glibc 2.36." in done.refusal(name)
    assert is_sentence(done.refusal(name))
    assert state(host) == before
