# SPDX-License-Identifier: GPL-3.0-or-later
"""What images of CRIU 4.2.1 say about sessions, terminals and locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import (
    Lock,
    has_locks,
    has_terminal,
    is_session_leader,
    read_locks,
)
from ansible_collections.criu.hosts.tests.unit.processes import IMAGES


def images(kind: str) -> str:
    return str(IMAGES.parent / f"4.2.1-{kind}images")


@pytest.mark.parametrize(
    ("kind", "leads", "terminal", "locks"),
    [
        ("", True, False, False),
        ("job-", False, False, False),
        ("job-with-terminal-", False, True, False),
        ("both-ends-", True, False, False),
        ("locks-", True, False, True),
    ],
)
def test_what_a_restore_needs(kind: str, leads: bool, terminal: bool, locks: bool) -> None:
    folder = images(kind)
    assert (is_session_leader(folder), has_terminal(folder), has_locks(folder)) == (leads, terminal, locks)


def test_locks_have_the_path_of_their_file() -> None:
    found = sorted(read_locks(images("locks-")), key=lambda lock: lock.path)
    assert found == [Lock("POSIX", "/srv/web.db", True, 5, 14), Lock("FLOCK", "/srv/web.lock", True, 0, None)]


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "filelocks.img").write_bytes((Path(images("locks-")) / "filelocks.img").read_bytes()[:-3])
    with pytest.raises(ImageError):
        read_locks(str(tmp_path))
