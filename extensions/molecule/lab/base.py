# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders, progress lines and the start of programs: the parts that all files of the lab share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, Sequence

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
# Checkouts may share one folder, by a link; machines are recognized by the path of their folder.
BUILD = (PROJECT / ".build" / "lab").resolve()
STARTED = time.monotonic()
HEARTBEAT_SECONDS = 15


class LabError(Exception):
    """An error for the person at the keyboard, in one line: why, and what to do."""


def say(text: str) -> None:
    """Print one progress line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f}s] lab: {text}", file=sys.stderr, flush=True)


def run(what: str, argv: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a slow program; its output goes to a log, whose end is shown if the program fails."""
    logs = BUILD / "log"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / (what.split(",")[0].replace(" ", "-").replace("/", "-") + ".log")
    say(what)
    with (
        log.open("wb") as out,
        subprocess.Popen(
            list(argv),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=env,
        ) as process,
    ):
        wait_with_heartbeat(process, what)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(
            f"{what}: {argv[0]} failed with exit status {process.returncode}. See {log}; it ends with:\n{tail}"
        )


def wait_with_heartbeat(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait for a program, report at intervals that it still runs, and terminate it if this program is interrupted."""
    began = time.monotonic()
    try:
        while True:
            try:
                process.wait(timeout=HEARTBEAT_SECONDS)
                return
            except subprocess.TimeoutExpired:
                say(f"  ... {what.split(',')[0]}: still running after {time.monotonic() - began:.0f} s")
    except BaseException:
        process.terminate()
        raise


def output(argv: Sequence[str]) -> str:
    """Run a quick program; return its output."""
    done = subprocess.run(list(argv), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)} failed with exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def digest(texts: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a short key that changes when any of the texts or files changes."""
    total = hashlib.sha256()
    for text in texts:
        total.update(text.encode() + b"\0")
    for path in sorted(files):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


@contextmanager
def lock(name: str = "lock") -> Iterator[None]:
    """Hold a lock, so that only one command of the lab at a time changes the build folder."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command of the lab to finish")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomic(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
