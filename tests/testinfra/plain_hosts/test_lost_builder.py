# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that builds CRIU dies while it compiles; the other host keeps what it has, and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from plays import BUILD, SOURCE, Played, is_sentence, play_argv, play_environment

BUILD_SECONDS = 900


def play_and_kill(first: str, second: str) -> Played:
    """Run a play whose first host dies while it compiles CRIU for both."""
    argv = play_argv("criu.hosts.enable_host", f"{first},{second}", criu_method="auto", criu_source=SOURCE)
    pid, space = (BUILD / f"machine-{first}/init").read_text(encoding="utf-8").split()
    with subprocess.Popen(
        argv, env=play_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        until = time.monotonic() + BUILD_SECONDS
        while not compiles(space):
            assert process.poll() is None and time.monotonic() < until, process.communicate()[0]
            time.sleep(0.5)
        os.kill(int(pid), signal.SIGKILL)
        output = process.communicate()[0]
    return Played(process.returncode, output)


def compiles(space: str) -> bool:
    """Return whether a compiler runs in a PID namespace."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(encoding="utf-8").strip() == "cc1" and os.readlink(path.parent / "ns/pid") == space:
                return True
        except OSError:
            continue
    return False


def test_a_host_whose_builder_dies_is_unchanged_and_says_so(host: Any, start_nodes: Callable[..., None]) -> None:
    if host.backend.get_hostname() != "node-trixie":
        pytest.skip("to save time, the builder dies on Debian 13 only")
    first, second = (f"{host.backend.get_hostname()}-{word}" for word in ("first", "second"))
    start_nodes(first, second)
    killed = play_and_kill(first, second)
    assert killed.rc != 0
    assert killed.count(first, "unreachable") == 1
    assert killed.count(second, "changed") == 0
    assert f"'{first}', which builds it, failed or was lost." in killed.refusal(second)
    assert is_sentence(killed.refusal(second))
