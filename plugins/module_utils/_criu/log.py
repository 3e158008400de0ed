# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads CRIU's logs: the lines that matter, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Iterable, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

TAIL_LINES = 20
LINE_LENGTH = 400
# CRIU looks for tools that it does not need, and logs an error if they are missing.
NOISE = re.compile(r"ip6?tables[a-z-]*-save")
# A missing tool: a later line names what failed because of it. And a resource limit that CRIU can do without.
MINOR = re.compile(r"execvp\(|exited, status=|rlimit: Can't setup")

# What CRIU puts before its words: the time, the process, the position in its source, and the part of it that speaks.
# What follows may contain names of files, which a process chooses: only the beginning of a sentence is CRIU's own.
BEFORE = r"(?:\([0-9.]{1,20}\) {1,9})?(?:pie: {1,9})?(?:[0-9]{1,10}: {1,9})?"
_ERROR = re.compile(BEFORE + r"Error {1,9}\([^()]{1,200}\): (?:[a-z][a-z0-9_-]{1,20}: )?")

# Refusals by SELinux. Each is the beginning of what CRIU says. _denials/criu_logs.py looks for them as well.
SECCOMP_REFUSED = r"SECCOMP_SET_MODE_FILTER returned -13\b"
LABEL_REFUSED = r"can't write lsm profile -13\b"
LABEL_BOUNDED = r"can't write lsm profile -1\b"
LABEL_UNKNOWN = r"can't write lsm profile -22\b"
RESTORER_REFUSED = r"Can't map restorer code: Permission denied"

APPLY_POLICY = "Apply the role criu.hosts.criu_selinux."


@dataclass(frozen=True)
class KnownError:
    """An error of CRIU and its cause, for a container, a process or both, whose name replaces ``{kind}``.

    ``pattern`` is the beginning of what CRIU says.
    """

    pattern: str
    cause: Cause
    kinds: tuple[str, ...] = ("container", "process")


PROCESS, CONTAINER = ("process",), ("container",)
# The first one that is found in the log counts.
KNOWN_ERRORS: tuple[KnownError, ...] = (
    KnownError(
        r"Found dangling tty",
        Cause("it is a shell job with the shell's terminal and session", "Set shell_job.", reason="shell_job_needed"),
        PROCESS,
    ),
    KnownError(
        r"A session leader of",
        Cause("it is a shell job with the shell's session", "Set shell_job.", reason="shell_job_needed"),
        PROCESS,
    ),
    KnownError(
        r"The root process [0-9]{1,10} is not a session leader",
        Cause(
            "it belongs to the session of a process that is not checkpointed",
            "Set shell_job.",
            reason="shell_job_needed",
        ),
        PROCESS,
    ),
    KnownError(
        r"External socket is used",
        Cause(
            "it has a Unix socket whose other end is in none of its processes",
            "List it in external, as unix[INODE]; for a service's output to the journal, set unit instead.",
            reason="external_needed",
        ),
        PROCESS,
    ),
    KnownError(
        r"Can't dump half of stream unix connection",
        Cause(
            "it has a Unix connection whose other end is in none of its processes",
            "List it in external, as unix[INODE].",
            reason="external_needed",
        ),
        PROCESS,
    ),
    KnownError(
        r"Tracking memory is not available",
        Cause(
            "this kernel cannot track changes of memory (CONFIG_MEM_SOFT_DIRTY)",
            "Do not set pre_dump or parent_path.",
            reason="memory_tracking_missing",
        ),
        PROCESS,
    ),
    KnownError(
        LABEL_REFUSED,
        Cause(
            "SELinux does not allow the process to take its label again",
            f"{APPLY_POLICY[:-1]}, or set unit, so that systemd restores it.",
            reason="policy_missing",
        ),
        PROCESS,
    ),
    KnownError(
        LABEL_REFUSED,
        Cause("SELinux does not allow the container to take its label again", APPLY_POLICY, reason="policy_missing"),
        CONTAINER,
    ),
    KnownError(
        LABEL_BOUNDED,
        Cause(
            "the {kind} had several threads when it changed its label, which SELinux allows only for a bounded label",
            "Use a newer CRIU, which sets labels before it creates threads.",
            reason="policy_missing",
        ),
    ),
    KnownError(
        LABEL_UNKNOWN,
        Cause(
            "the loaded SELinux policy does not know the label of the {kind}",
            "Load the policy module that declares it.",
            reason="policy_missing",
        ),
    ),
    KnownError(
        RESTORER_REFUSED,
        Cause("SELinux does not allow CRIU to map its restorer", APPLY_POLICY, reason="policy_missing"),
    ),
    KnownError(
        SECCOMP_REFUSED,
        Cause(
            "SELinux does not allow the {kind} to install its seccomp filter again",
            APPLY_POLICY,
            reason="policy_missing",
        ),
    ),
    KnownError(
        # Names of files have slashes.
        r"[^/]*No space left on device\Z",
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
    ),
    KnownError(
        r"Locking network failed",
        Cause(
            "CRIU cannot lock its network: it uses iptables, which is not installed",
            "Use a CRIU that locks the network with nftables (role criu.hosts.criu), or install iptables.",
            reason="network_lock_missing",
        ),
    ),
    KnownError(
        r"Connected TCP socket, consider using --tcp-established",
        Cause("it has established TCP connections", "Set tcp_established.", reason="tcp_established_needed"),
    ),
    KnownError(
        r"Some file locks are hold by dumping tasks",
        Cause("it holds file locks", "Set file_locks.", reason="file_locks_needed"),
    ),
)


def tail(text: str) -> list[str]:
    """Returns the last lines with an error, or the last lines if there is none."""
    cut = (line[:LINE_LENGTH].rstrip() for line in text.split("\n"))
    lines = [line for line in cut if line and not NOISE.search(line)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines)[-TAIL_LINES:]


def words_of(line: str) -> str:
    """Returns what CRIU says in a line with an error; empty for another line."""
    line = line.strip()
    found = _ERROR.match(line)
    return line[found.end() :].rstrip(".") if found else ""


def cause_in_log(lines: Iterable[str], kind: str) -> Cause | None:
    """Returns the cause that CRIU's lines name for a container or process; None if it is not known."""
    said = [words for words in (words_of(line[:LINE_LENGTH]) for line in lines) if words]
    for known in KNOWN_ERRORS:
        if kind in known.kinds and any(re.match(known.pattern, words) for words in said):
            return replace(known.cause, why=known.cause.why.format(kind=kind))
    return None


def first_error(lines: Sequence[str]) -> str:
    """Returns the text of the first line that is not minor, without the source position; empty if there is none."""
    found = [line for line in lines if not MINOR.search(line)] or lines
    return re.sub(r"^.*?Error {1,9}\([^()]{1,200}\): ", "", found[0].strip()).rstrip(".") if found else ""
