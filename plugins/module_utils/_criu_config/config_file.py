# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds CRIU's configuration files, reads them safely, and lets CRIU check a text."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_tuple

FOLDER = "/etc/criu"
NAMES = {"default": "default.conf", "runc": "runc.conf", "crun": "crun.conf"}
USER_FILE = ".criu/default.conf"
# Real files of options are far smaller, and CRIU reads a file of any size into memory.
SIZE_LIMIT = 65536
# CRIU opens this path itself, so it can read a text on its standard input without a temporary file.
STDIN = "/proc/self/fd/0"


@dataclass(frozen=True)
class ConfigFile:
    """What is at the path. ``text`` is None if there is nothing, or if it cannot be read, which ``reason`` explains."""

    path: str
    text: Optional[str] = None
    mode: Optional[int] = None
    owner: Optional[int] = None
    reason: str = ""
    problem: str = ""

    @property
    def present(self) -> bool:
        return self.text is not None or bool(self.reason)

    @property
    def writable_by_others(self) -> bool:
        return self.mode is not None and bool(self.mode & 0o022)

    def demand_text(self) -> str:
        """Returns the text; empty if there is no file.

        Raises:
            CheckpointError: the path is not a file that can be read.
        """
        if self.reason:
            raise CheckpointError(
                f"Cannot read CRIU's configuration file {self.path!r}: {self.problem}.",
                reason=self.reason,
                path=self.path,
            )
        return self.text or ""


def path_of(paths: Paths, kind: str, home: str) -> str:
    """Returns the path of a file of this ``kind``; the kind "container" has no fixed path."""
    if kind == "user":
        return os.path.join(home, USER_FILE)
    return paths.below(f"{FOLDER}/{NAMES[kind]}")


def read_config_file(path: str) -> ConfigFile:
    """Reads ``path``, but never follows a link, waits for a pipe or reads more than the limit."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _unopened(path, error)
    try:
        status = os.fstat(descriptor)
        facts: dict[str, Any] = {"mode": stat.S_IMODE(status.st_mode), "owner": status.st_uid}
        if stat.S_ISDIR(status.st_mode):
            problem = "it is a directory, which CRIU silently treats as an empty file. Remove it"
            return ConfigFile(path, reason="config_is_directory", problem=problem, **facts)
        if not stat.S_ISREG(status.st_mode):
            problem = "it is a pipe, a socket or a device. Remove it"
            return ConfigFile(path, reason="config_not_a_file", problem=problem, **facts)
        data = os.read(descriptor, SIZE_LIMIT + 1)  # a read of a regular file is never short
    finally:
        os.close(descriptor)
    if len(data) > SIZE_LIMIT:
        size = f"it has {status.st_size} bytes, more than the {SIZE_LIMIT} that an options file may have"
        problem = f"{size}. Check what the file is"
        return ConfigFile(path, reason="config_too_large", problem=problem, **facts)
    return ConfigFile(path, data.decode("utf-8", "surrogateescape"), **facts)


def _unopened(path: str, error: OSError) -> ConfigFile:
    if error.errno == errno.ENOENT:
        return ConfigFile(path)
    if error.errno == errno.ELOOP:
        problem = "it is a symbolic link, which a file would replace. Name the file itself, or remove the link"
        return ConfigFile(path, reason="config_is_link", problem=problem)
    if error.errno in (errno.ENXIO, errno.ENODEV):
        problem = "it is a pipe, a socket or a device. Remove it"
        return ConfigFile(path, reason="config_not_a_file", problem=problem)
    problem = f"{error.strerror}, and CRIU silently ignores a file that it cannot read. Fix its mode or its folder"
    return ConfigFile(path, reason="config_unreadable", problem=problem)


def read_version(runner: Runner, criu: str) -> Version:
    """Asks CRIU for its version, without its configuration files."""
    argv = (criu, "--no-default-config", "--version")
    completed = check(runner.run(argv), f"ask {criu!r} for its version")
    return parse_criu_version(completed.out) or (0,)


def parse_criu_version(text: str) -> Optional[Version]:
    found = re.search(r"Version:\s*(\d+(?:\.\d+)*)", text)
    return version_tuple(found.group(1)) if found else None


def ask_criu(runner: Runner, criu: str, text: str) -> Completed:
    """Lets CRIU read ``text`` as a configuration file, also in check mode, as nothing is written.

    CRIU is asked only for its version: ``criu check`` would open the log file and the folders that the text names.
    """
    return runner.run((criu, "--config", STDIN, "--version"), stdin=text)


def accepted(completed: Completed) -> bool:
    """Returns whether CRIU accepted the text. Exit status 0 is not enough: a file with "help" causes it too."""
    return completed.rc == 0 and parse_criu_version(completed.out) is not None


def refusal(completed: Completed) -> str:
    """Returns the first line of CRIU's error about a file; CRIU's help follows it."""
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    return lines[0] if lines else f"exit status {completed.rc}"
