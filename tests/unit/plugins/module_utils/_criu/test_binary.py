# SPDX-License-Identifier: GPL-3.0-or-later
"""A CRIU that a word in its configuration file breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux

OFF = Selinux()


class Host:
    """CRIU as it answers with its configuration files, and without them."""

    def __init__(self, path: str, answer: tuple[int, str, str], plain: str) -> None:
        self.path, self.answer, self.plain = path, answer, plain

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Completed:
        return Completed(tuple(argv), *((0, self.plain, "") if "--no-default-config" in argv else self.answer))

    def which(self, dummy_name: str) -> str:
        return self.path


@pytest.mark.parametrize(
    ("answer", "plain", "reason"),
    [
        pytest.param(
            (1, "", "criu: unrecognized option '--nonsense'\n"), "Version: 4.2.1\n", "config_broken", id="word"
        ),
        pytest.param((0, "Usage:\n  criu dump\n", ""), "Version: 4.2.1\n", "config_broken", id="help"),
        pytest.param((127, "", "cannot load libnet.so\n"), "", "tool_failed", id="broken-program"),
        pytest.param((0, "Version: 3.10\n", ""), "", "criu_too_old", id="old"),
    ],
)
def test_a_wrong_word_is_told_from_a_broken_or_old_criu(
    tmp_path: Path, answer: tuple[int, str, str], plain: str, reason: str
) -> None:
    (tmp_path / "criu").write_text("#!/bin/sh\n")
    with pytest.raises(CheckpointError) as raised:
        read_criu(Host(str(tmp_path / "criu"), answer, plain), (3, 11), OFF, Paths(str(tmp_path)))
    assert raised.value.reason == reason
    assert ("/etc/criu/default.conf" in raised.value.message) is (reason == "config_broken")
