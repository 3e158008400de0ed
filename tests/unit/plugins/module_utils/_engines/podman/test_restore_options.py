# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options a release of podman has."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.restore_options import find_missing

Version = tuple[int, ...]


@pytest.mark.parametrize(
    ("name", "version", "archive", "since"),
    [
        pytest.param("publish", (3, 2, 3), True, (3, 3), id="publish-too-old"),
        pytest.param("publish", (3, 3, 0), True, None, id="publish"),
        pytest.param("tcp_close", (5, 4, 2), True, (5, 7), id="tcp-close-of-debian-13"),
        pytest.param("tcp_close", (5, 6, 2), False, (5, 7), id="tcp-close-in-place-too-old"),
        pytest.param("tcp_close", (5, 7, 0), True, None, id="tcp-close"),
        pytest.param("tcp_close", (6, 0), False, None, id="tcp-close-in-place"),
        pytest.param("ignore_static_ip", (1, 4, 4), True, (1, 5), id="static-ip-too-old"),
        pytest.param("ignore_static_ip", (4, 3, 1), True, None, id="static-ip"),
        pytest.param("ignore_static_mac", (4, 3, 1), False, (4, 4), id="static-mac-ignored-in-place"),
        pytest.param("ignore_static_mac", (4, 4, 0), False, None, id="static-mac-in-place"),
        pytest.param("tcp_close", (), True, None, id="unknown"),
        pytest.param("pre_checkpoint", (3, 2, 0), True, (3, 2, 1), id="exports-no-pre-checkpoint"),
        pytest.param("with_previous", (2, 2, 1), False, (3, 2, 1), id="has-no-pre-checkpoints"),
        pytest.param("with_previous", (3, 2, 1), True, None, id="pre-checkpoints"),
    ],
)
def test_missing(name: str, version: Version, archive: bool, since: Version | None) -> None:
    assert find_missing((name,), version, archive=archive) == (None if since is None else (name, since))


def test_the_first_missing_option_is_named() -> None:
    assert find_missing(("publish", "tcp_close"), (5, 4, 2), archive=True) == ("tcp_close", (5, 7))
