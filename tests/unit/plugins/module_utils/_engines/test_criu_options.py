# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that an engine does not pass on to CRIU."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options

TCP = Options(tcp_established=True)


def put(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


ALLOWED = [
    pytest.param("", "tcp-established\n", None, TCP, id="in-runc.conf"),
    pytest.param(
        "", "  tcp-established # yes\nfile-locks\n", None, Options(tcp_established=True, file_locks=True), id="both"
    ),
    pytest.param("/etc/criu/own.conf", None, "tcp-close\n", Options(tcp_close=True), id="annotation"),
    pytest.param("", None, None, Options(leave_running=True), id="nothing-asked"),
]
REFUSED = [
    pytest.param("", None, None, TCP, id="no-file"),
    pytest.param("", "# tcp-established\n", None, TCP, id="comment"),
    pytest.param("", "tcp-established\n", None, Options(file_locks=True), id="other-option"),
    pytest.param("/etc/criu/own.conf", "tcp-established\n", "file-locks\n", TCP, id="annotation-counts-alone"),
    pytest.param("/etc/criu/own.conf", "tcp-established\n", None, TCP, id="annotation-without-file"),
]


@pytest.mark.parametrize(("named", "runc", "own", "options"), ALLOWED)
def test_an_option_in_the_file(tmp_path: Path, named: str, runc: str | None, own: str | None, options: Options) -> None:
    for path, text in (("etc/criu/runc.conf", runc), ("etc/criu/own.conf", own)):
        if text is not None:
            put(tmp_path, path, text)
    require_criu_options(Paths(str(tmp_path)), "Docker", named, options, "checkpoint container 'web'")


@pytest.mark.parametrize(("named", "runc", "own", "options"), REFUSED)
def test_an_option_that_the_engine_would_lose(
    tmp_path: Path, named: str, runc: str | None, own: str | None, options: Options
) -> None:
    for path, text in (("etc/criu/runc.conf", runc), ("etc/criu/own.conf", own)):
        if text is not None:
            put(tmp_path, path, text)
    with pytest.raises(CheckpointError) as caught:
        require_criu_options(Paths(str(tmp_path)), "Docker", named, options, "checkpoint container 'web'")
    assert caught.value.reason == "ability_missing"
    assert caught.value.facts == {"path": named or "/etc/criu/runc.conf"}


def test_a_file_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere", "tcp-established\n")
    (tmp_path / "etc/criu").mkdir(parents=True)
    (tmp_path / "etc/criu/runc.conf").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError) as caught:
        require_criu_options(Paths(str(tmp_path)), "Docker", "", TCP, "checkpoint container 'web'")
    assert caught.value.reason == "config_is_link"


@pytest.mark.parametrize("named", ["", "/etc/criu/own.conf"])
def test_an_option_in_the_default_file(tmp_path: Path, named: str) -> None:
    put(tmp_path, "etc/criu/default.conf", "tcp-established\n")
    require_criu_options(Paths(str(tmp_path)), "containerd", named, TCP, "checkpoint container 'web'")


def test_a_default_file_that_cannot_be_read_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc/criu/default.conf").mkdir(parents=True)
    with pytest.raises(CheckpointError) as caught:
        require_criu_options(Paths(str(tmp_path)), "containerd", "", TCP, "checkpoint container 'web'")
    assert caught.value.reason == "ability_missing"
