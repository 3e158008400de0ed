# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads CRIU's logs: the lines that matter, and the cause that they name."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

TAIL_LINES = 20
LINE_LENGTH = 400
# What CRIU's log says, reason, why, what to do; asked when the engine's own words do not tell.
LOG_CAUSES = (
    (
        "No space left on device",
        Cause("there is no space left for its images", "Free space on that file system.", reason="disk_full"),
    ),
    (
        "seccomp: SECCOMP_SET_MODE_FILTER returned -13",
        Cause(
            "SELinux does not let the container put its seccomp filter back",
            "Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        ),
    ),
    (
        "Locking network failed",
        Cause(
            "CRIU cannot lock its network, as iptables is not installed and this CRIU uses it",
            "Use a CRIU with nftables as its lock (role criu.hosts.criu), or install iptables.",
            reason="network_lock_missing",
        ),
    ),
    (
        "Connected TCP socket, consider using --tcp-established",
        Cause("it has established TCP connections", "Set tcp_established.", reason="tcp_established_needed"),
    ),
    (
        "Some file locks are hold by dumping tasks",
        Cause("it holds file locks", "Set file_locks.", reason="file_locks_needed"),
    ),
)
# CRIU looks for tools that it does not need, and calls it an error when they are not there.
NOISE = re.compile(r"ip6?tables[a-z-]*-save")
# What went wrong for want of a tool is told by a later line.
MINOR = re.compile(r"execvp\(|exited, status=")


def tail(text: str) -> list[str]:
    """The lines of a CRIU log that tell most: the last ones with an error, else the last ones."""
    lines = [line[:LINE_LENGTH] for line in text.splitlines() if line.strip() and not NOISE.search(line)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines)[-TAIL_LINES:]


# What CRIU says on the way and can do without.
HARMLESS = re.compile(r"rlimit: Can't setup")
# The same as for containers, for what only plain processes have. Asked first.
PROCESS_CAUSES = (
    (
        "tty: Found dangling tty",
        Cause(
            "it is a job of a shell, with that shell's terminal and session",
            "Set shell_job.",
            reason="shell_job_needed",
        ),
    ),
    (
        "A session leader of",
        Cause("it is a job of a shell, with that shell's session", "Set shell_job.", reason="shell_job_needed"),
    ),
    (
        "External socket is used",
        Cause(
            "it has a Unix socket whose other end is not among the processes",
            "Name it in external, as unix[INODE]; the output of a service to the journal is taken care of with unit.",
            reason="external_needed",
        ),
    ),
    (
        "Can't dump half of stream unix connection",
        Cause(
            "it has a Unix connection whose other end is not among the processes",
            "Name it in external, as unix[INODE].",
            reason="external_needed",
        ),
    ),
    (
        "Tracking memory is not available",
        Cause(
            "this kernel cannot track changes of memory (CONFIG_MEM_SOFT_DIRTY)",
            "Leave out pre_dump and parent_path.",
            reason="memory_tracking_missing",
        ),
    ),
    (
        "can't write lsm profile",
        Cause(
            "SELinux does not let the process take its label back",
            "Apply the role criu.hosts.criu_selinux, or give unit to restore by systemd.",
            reason="policy_missing",
        ),
    ),
    (
        "Can't map restorer code",
        Cause(
            "SELinux does not let CRIU map its restorer",
            "Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        ),
    ),
)
