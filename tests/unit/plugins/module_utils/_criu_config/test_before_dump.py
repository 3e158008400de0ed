# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options of CRIU's configuration allow what is otherwise refused before a dump."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacles import look_around
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import before_dump
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import (
    configured,
    obstacles,
    parse_size,
    refuse_obstacles,
)

# A program with a deleted file of 2 MiB, and one with a deleted file that has a further name.
GHOST = "f = open(p, 'wb'); f.write(b'x' * (2 << 20)); f.flush(); os.fsync(f); os.unlink(p)"
LINKED = "f = open(p, 'wb'); f.write(b'x'); f.flush(); os.link(p, p + '2'); os.unlink(p)"


@pytest.fixture(name="run")
def run_fixture(tmp_path: Path) -> Iterator[Any]:
    """Starts programs; ends them after the test."""
    started: list[subprocess.Popen[str]] = []

    def run(text: str) -> int:
        source = f"import os, sys, time; p = sys.argv[1]; {text}; print(1, flush=True); time.sleep(60)"
        argv = [sys.executable, "-c", source, str(tmp_path / "gone")]
        none = subprocess.DEVNULL
        started.append(subprocess.Popen(argv, stdin=none, stdout=subprocess.PIPE, stderr=none, text=True))
        assert started[-1].stdout and started[-1].stdout.readline()
        return started[-1].pid

    yield run
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture(autouse=True)
def own_file_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user who runs the tests has no configuration file of CRIU."""
    monkeypatch.setenv("CRIU_CONFIG_FILE", str(tmp_path / "user.conf"))


def reasons(pid: int, *names: Path) -> list[str]:
    return [one.reason for one in obstacles(look_around(Paths(), pid, (4, 2, 1)), map(str, names))]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", True),
        ("ghost-limit 1M\n", True),
        ("ghost-limit 1536K\n", True),
        ("ghost-limit 4M\n", False),
        ("ghost-limit=4194304\n", False),
        ("ghost-limit 1G # enough\n", False),
        ("# ghost-limit 4M\n", True),
        ("ghost-limit nonsense\n", False),
        ("external file[1:2]\n", False),
    ],
)
def test_the_limit_for_deleted_files(run: Any, tmp_path: Path, text: str, refused: bool) -> None:
    (tmp_path / "default.conf").write_text(text)
    assert reasons(run(GHOST), tmp_path / "default.conf") == (["ghost_limit"] if refused else [])


def test_the_user_and_further_files_count(run: Any, tmp_path: Path) -> None:
    pid = run(GHOST)
    (tmp_path / "default.conf").write_text("ghost-limit 1M\n")
    (tmp_path / "runc.conf").write_text("ghost-limit 8M\n")
    assert reasons(pid, tmp_path / "default.conf") == ["ghost_limit"]
    assert reasons(pid, tmp_path / "default.conf", tmp_path / "runc.conf") == []
    (tmp_path / "user.conf").write_text("ghost-limit 8M\n")
    assert reasons(pid, tmp_path / "default.conf") == []


def test_a_lower_limit_counts(run: Any, tmp_path: Path) -> None:
    pid = run(GHOST.replace("2 << 20", "1 << 16"))
    assert reasons(pid) == []
    (tmp_path / "user.conf").write_text("ghost-limit 8K\n")
    assert reasons(pid) == ["ghost_limit"]


def test_a_configuration_that_cannot_be_read_leaves_the_decision_to_criu(run: Any, tmp_path: Path) -> None:
    (tmp_path / "user.conf").mkdir()
    assert reasons(run(GHOST)) == []


@pytest.mark.parametrize(("text", "expected"), [("", ["link_remap_needed"]), ("link-remap\n", [])])
def test_link_remap(run: Any, tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "user.conf").write_text(text)
    assert reasons(run(LINKED)) == expected


def test_no_file_is_read_without_need(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(before_dump, "read_files", lambda *arguments: read.append(arguments))
    assert reasons(run("pass")) == [] and read == []


@pytest.mark.parametrize("text", ["enable-fs all", "external mnt[]:", "ext-mount-map auto", "skip-mnt /x"])
def test_options_for_mounts_leave_mounts_to_criu(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(f"{text}\n")
    around = replace(look_around(Paths(), os.getpid(), (4, 2, 1)), mounts=True)
    assert not configured(around, before_dump.read_files(Paths(), [str(tmp_path / "a")])).mounts
    assert configured(around, []).mounts
    assert not configured(around, None).mounts


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("10K", 10 << 10), ("3M", 3 << 20), ("1G", 1 << 30), ("", None), ("1T", None), ("-1", None)],
)
def test_sizes_are_those_of_criu(text: str, size: int | None) -> None:
    assert parse_size(text) == size


def test_a_refusal_names_the_process_the_file_and_the_advice(run: Any, tmp_path: Path) -> None:
    pid = run(GHOST)
    with pytest.raises(CheckpointError) as caught:
        refuse_obstacles(look_around(Paths(), pid, (4, 2, 1)), (), "container 'web'")
    error = caught.value
    assert error.reason == "ghost_limit"
    assert error.message.startswith(f"Cannot checkpoint container 'web': process {pid} (")
    assert f"the deleted file '{tmp_path}/gone'" in error.message and "ghost-limit" in error.message
    assert [one["reason"] for one in error.facts["obstacles"]] == ["ghost_limit"]
    assert set(error.facts["obstacles"][0]) == {"reason", "text", "advice"}
