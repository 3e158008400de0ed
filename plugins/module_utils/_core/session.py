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
import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Streamed
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import STOPS

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream

# The exit status of what was ended since it took too long.
TIMED_OUT = 124
# What is ended first of a command that took too long, and how long the command may then take to clean up.
INNER = "criu"
INNER_SECONDS = {signal.SIGTERM: 3.0, signal.SIGKILL: 30.0}
# A command that took too long may end by itself for so long, after SIGTERM.
END_SECONDS = 10.0
# The rest of what it started is looked for again and again for so long.
REST_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36


def communicate(
    argv: Sequence[str], *, cwd: str | None, stdin: str | None, env: dict[str, str], limit: float | None
) -> tuple[int, str, str]:
    """Runs ``argv`` in a session of its own; ends it, with its children, after ``limit`` seconds, by SIGTERM first.

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
        _end(child)
        return TIMED_OUT, "", f"it did not end in {limit:.0f} seconds"
    finally:
        if child.returncode is None:
            _kill_group(child.pid)
            child.wait()
    return child.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a command that took too long, CRIU first: when it fails, OCI runtime and engine clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _signal(number, _descendants(INNER)) and _ended(child, INNER_SECONDS[number]):
            return
    os.killpg(child.pid, signal.SIGTERM)
    _ended(child, END_SECONDS)
    _kill_group(child.pid)


def _ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _signal(number: int, pids: list[int]) -> bool:
    """Sends a signal to processes; returns whether there were any."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return bool(pids)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _adopt() -> None:
    """Makes this process the parent of what the command leaves, such as conmon and a half-restored container."""
    import ctypes  # only commands with a limit need it

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants(comm: str = "") -> list[int]:
    """Returns all that descend from this process, or those of this name; no zombies."""
    children: dict[int, list[int]] = {}
    named = set()
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", "rb") as handle:
                head, dummy, tail = handle.read().rpartition(b")")
                fields = tail.split()
        except (OSError, ValueError):
            continue
        if name.isdigit() and fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(name))
            if head.partition(b"(")[2].decode("utf-8", "replace") == comm:
                named.add(int(name))
    found, rest = [], [os.getpid()]
    while rest:
        own = children.get(rest.pop(), [])
        found += own
        rest += own
    return [pid for pid in found if pid in named or not comm]


def _end_rest() -> None:
    """Kills what is left of a command that took too long: nothing half-restored may stay."""
    last = time.monotonic() + REST_SECONDS
    while time.monotonic() < last:
        if not _signal(signal.SIGKILL, _descendants()):
            return
        time.sleep(0.05)


def _whole(run: Callable[[], tuple[int, str, str]], limit: float | None) -> tuple[int, str, str]:
    """Calls ``run``; nothing that it started is left if it takes too long."""
    if limit is None:
        return run()
    try:
        _adopt()
    except (ImportError, OSError, AttributeError):
        return run()
    result = run()
    if result[0] == TIMED_OUT:
        _end_rest()
    return result


def run_to_end(
    argv: Sequence[str], *, cwd: str | None, stdin: str | None, env: dict[str, str], limit: float | None = None
) -> tuple[int, str, str]:
    """Does what ``communicate`` does, by a guardian that goes on when this process is killed."""
    rc, out, err = _guarded(
        lambda: _whole(lambda: communicate(argv, cwd=cwd, stdin=stdin, env=env, limit=limit), limit)
    )
    return rc, out, err


def stream_to_end(
    argv: Sequence[str],
    *,
    cwd: str | None,
    stdin: str | None,
    env: dict[str, str],
    limit: float | None = None,
    stream: Stream | Feed,
) -> tuple[int, str, str, Streamed]:
    """Does the same for a command that writes into a pipe, which the guardian has stored."""

    def run() -> tuple[Any, ...]:
        result, streamed = stream.carry(
            lambda: _whole(lambda: communicate(argv, cwd=cwd, stdin=stdin, env=env, limit=limit), limit)
        )
        return (*result, astuple(streamed))

    rc, out, err, *streamed = _guarded(run)
    return rc, out, err, Streamed(*streamed[0]) if streamed else Streamed()


def _guarded(run: Callable[[], tuple[Any, ...]]) -> Any:
    """Calls ``run`` in a guardian, and returns the list of what it has returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _guard(writing, run)
    os.close(writing)
    with open(reading, "rb") as handle:
        data = handle.read()
    os.waitpid(pid, 0)
    try:
        number, *result = json.loads(data)
    except ValueError:
        return [-signal.SIGKILL, "", "its guardian was killed"]
    if number:
        raise OSError(number, os.strerror(number))
    return result


def _guard(writing: int, run: Callable[[], tuple[Any, ...]]) -> NoReturn:
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
