# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs a command to its end in a session of its own, whatever happens to the task.

A dump or a restore that is cut off loses state, so neither a signal to the task's process group nor kill -9 of the task
may end it. A guardian, a fork of the task, waits for the command. It holds the locks of the task, since it has its
descriptors: they are free when the command has ended, even if the task is gone. Neither subprocess nor Ansible's
run_command can do this.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from typing import Any, Callable, NoReturn, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.signals import STOPS

# The exit status of what was killed since it took too long.
TIMED_OUT = 124


def communicate(
    argv: Sequence[str], *, cwd: str | None, stdin: str | None, env: dict[str, str], limit: float | None
) -> tuple[int, str, str]:
    """Runs ``argv`` in a session of its own; kills it, with its children, after ``limit`` seconds.

    Returns exit status, standard output and standard error.

    Raises:
        OSError: it cannot be started.
    """
    pipe = subprocess.PIPE
    source = subprocess.DEVNULL if stdin is None else pipe
    options: dict[str, Any] = {"cwd": cwd, "env": env, "start_new_session": True}
    child = subprocess.Popen(list(argv), stdin=source, stdout=pipe, stderr=pipe, **options)
    data = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
    try:
        out, err = child.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        return TIMED_OUT, "", f"it did not end in {limit:.0f} seconds"
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return child.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


def run_to_end(
    argv: Sequence[str], *, cwd: str | None, stdin: str | None, env: dict[str, str], limit: float | None = None
) -> tuple[int, str, str]:
    """Does what ``communicate`` does, by a guardian that goes on when this process is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _guard(writing, lambda: communicate(argv, cwd=cwd, stdin=stdin, env=env, limit=limit))
    os.close(writing)
    with open(reading, "rb") as handle:
        data = handle.read()
    os.waitpid(pid, 0)
    try:
        number, rc, out, err = json.loads(data)
    except ValueError:
        return -signal.SIGKILL, "", "its guardian was killed"
    if number:
        raise OSError(number, os.strerror(number))
    return rc, out, err


def _guard(writing: int, run: Callable[[], tuple[int, str, str]]) -> NoReturn:
    """Calls ``run`` in the fork. Nobody waits for its standard files, or has to: a lost connection ends there."""
    try:
        os.setsid()
        for number in STOPS:
            signal.signal(number, lambda *dummy: None)  # unlike SIG_IGN, the command does not inherit it
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        try:
            result: list[Any] = [0, *run()]
        except (OSError, ValueError) as error:  # ValueError: an argument with a NUL
            result = [getattr(error, "errno", None) or errno.EINVAL, 0, "", ""]
        with open(writing, "wb") as handle:
            handle.write(json.dumps(result).encode())
    finally:
        os._exit(0)
