# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of Podman's errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause, shown_word

# Podman's own sentences, from the beginning of a line on, behind "Error: ". The first one in its output counts. Names
# from an archive or an image may be in them: so what precedes the words that count has neither quotes nor slashes.
ERROR = "Error: "
_PLAIN = r"[^/\"'`]*"
LINE_LENGTH = 2000
TIMEOUT = "container creation timeout"
# iproute2 says it when CRIU gives a container its addresses again, and CRIU goes on. It is no error of podman.
NOISE = re.compile(r"ipv[46]: address already assigned\W*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """An error of podman or its OCI runtime: the words for people, their pattern, and the cause.

    A group in the pattern is ``{name}`` in the cause.
    """

    sign: str
    pattern: str
    cause: Cause


LEFTOVERS = Cause(
    "an earlier restore failed, and has left its state in the OCI runtime or in systemd",
    "Run the task again: it removes that first.",
    reason="restore_leftovers",
)
CAUSES: tuple[Answer, ...] = (
    # "No space left" is said of cpuset.cpus and of inotify watches too, "quota exceeded" of keyrings.
    Answer(
        "no space left on device",
        r"(?!.*(?:/sys/|cgroup|cpuset|inotify|keyring|session key)).*: "
        r"(?:no space left on device|disk quota exceeded)\Z",
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
    ),
    Answer(
        "does not support checkpoint/restore",
        rf"{_PLAIN}does not support checkpoint/restore",
        Cause(
            "its OCI runtime cannot checkpoint",
            "Use a runtime that can: runc, or crun built with CRIU and with libcriu2 installed.",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    Answer(
        "libcriu.so",
        rf"{_PLAIN}(?:libcriu\.so|could not load .?libcriu)",
        Cause(
            "its OCI runtime does not find the library libcriu",
            "Install libcriu2 (Debian) or criu-libs (Red Hat).",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    Answer(
        "cannot be restored with runtime",
        r"checkpoint archive .* was created with runtime \S+ and cannot be restored with runtime",
        Cause(
            "the archive was made with another OCI runtime",
            "Install the runtime that made it.",
            reason="archive_runtime_missing",
        ),
    ),
    Answer(
        "unexpected EOF",
        r"failed extracting runtime information from |unpacking of checkpoint archive "
        rf"|{_PLAIN}(?:unexpected EOF|invalid tar header)\Z",
        Cause(
            "the archive is cut off or not a checkpoint of podman", "Make or copy it again.", reason="archive_invalid"
        ),
    ),
    Answer(
        "volume with name NAME already exists",
        r"volume with name \S+ already exists",
        Cause("a volume of the archive is there already", "Remove it, or set ignore_volumes.", reason="volume_exists"),
    ),
    Answer(
        "that ID is already in use",
        rf"{_PLAIN}that ID is already in use",
        Cause(
            "a container with the archive's id is there already",
            "Remove it first, or use new_name.",
            reason="container_exists",
        ),
    ),
    Answer(
        "that name is already in use",
        rf"{_PLAIN}(?:that name is already in use|name \S+ is (?:already )?in use)|.*: that name is already in use\Z",
        Cause("the name is taken", "Use new_name.", reason="name_in_use"),
    ),
    Answer(
        "cgroup is not empty",
        r"OCI runtime error: [^/\"`]*cgroup is not empty",
        Cause(
            "processes still run in its cgroup, for example those of a clone (new_name)",
            "Stop the clone first.",
            reason="cgroup_in_use",
        ),
    ),
    Answer(
        "no such image",
        rf"{_PLAIN}(?:initializing source|pinging container registry|no such image|short-name)",
        Cause("its image is not on this host", "Pull or load the image first.", reason="image_missing"),
    ),
    # Recorded with podman 5.4.2, runc 1.1.15 and crun 1.21, in tests/unit/fixtures/podman.
    Answer(
        "bind: address already in use",
        rf"{_PLAIN}listen ((?:tcp|udp|sctp)[46]? [0-9a-f.:\[\]]{{1,60}}): bind: address already in use\Z",
        Cause(
            "its published port is taken: {name}",
            "Stop what listens there ('ss -tulnp' shows it).",
            reason="port_in_use",
        ),
    ),
    Answer(
        "IPAM error: requested ip address NAME is already allocated",
        r"IPAM error: requested ip address ([0-9a-f.:]{1,60}) is already allocated",
        Cause(
            "a different container has its IP address {name}",
            "Stop that container first.",
            reason="address_in_use",
        ),
    ),
    Answer(
        "bind mount source stat: stat NAME: no such file or directory",
        r"(?:OCI runtime error: )?runc: create criu restore mount for .{1,1000} mount: bind mount source stat: "
        r"stat (/.{0,1000}): no such file or directory",
        Cause(
            "the source of one of its mounts does not exist: {name}",
            "Put it there first.",
            reason="mount_source_missing",
        ),
    ),
    Answer(
        "error stat'ing file `NAME`: No such file or directory",
        r"(?:OCI runtime error: )?crun: error stat'ing file `(/.{0,1000})`: No such file or directory",
        Cause(
            "the source of one of its mounts does not exist: {name}",
            "Put it there first.",
            reason="mount_source_missing",
        ),
    ),
    # runc (libcontainer/error.go), crun (status.c), and systemd, whose words crun passes on.
    Answer(
        "container with given ID already exists",
        rf"{_PLAIN}container with given ID already exists",
        LEFTOVERS,
    ),
    Answer(
        "crun: container `NAME` already exists",
        r"(?:OCI runtime error: )?crun: container `[0-9a-f]{64}` already exists",
        LEFTOVERS,
    ),
    Answer(
        "Unit NAME was already loaded or has a fragment file",
        r"(?:OCI runtime error: )?(?:crun: )?sd-bus call: Unit libpod-[0-9a-f]{64}\.scope was already loaded or has a "
        r"fragment file",
        LEFTOVERS,
    ),
    # Of crun, runc and podman: recorded with crun 1.21 and runc 1.1.15, where podman 5.4.2 did not say it itself.
    Answer(
        "memory tracking not supported",
        r"memory tracking not supported\b|system \(architecture/kernel/CRIU\) does not support memory tracking\Z"
        r"|time=\S{1,60} level=error msg=.CRIU is missing features\b",
        Cause(
            "this kernel, or CRIU, cannot track changes of memory",
            "Leave pre_checkpoint and with_previous out.",
            reason="memory_tracking_missing",
        ),
    ),
    # EBADRQC, by which CRIU (cr-service.c) refuses its options before it writes a log.
    Answer(
        "criu failed: type TYPE errno 56",
        r"(?:time=\S{1,60} level=error msg=.|(?:OCI runtime error: )?runc: )criu failed: type \S{1,20} errno 56\b",
        Cause(
            "CRIU refuses its options, as with a wrong word in /etc/criu/runc.conf or /etc/criu/default.conf",
            "Correct these files; criu_config_info shows what is wrong in them.",
            reason="config_broken",
        ),
    ),
)


def cause_of(completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, Podman's own words."""
    every = [line[:LINE_LENGTH].strip() for line in f"{completed.err}\n{completed.out}".split("\n")]
    lines = [line for line in every if not NOISE.match(line[len(ERROR) :] if line.startswith(ERROR) else line)]
    said = [line[len(ERROR) :] if line.startswith(ERROR) else line for line in lines]
    for answer in CAUSES:
        for line in said:
            found = re.match(answer.pattern, line, re.IGNORECASE)
            if found:
                name = shown_word(found[1]) if found.groups() else ""
                return replace(answer.cause, why=answer.cause.why.format(name=name))
    errors = [line[len(ERROR) :] for line in lines if line.startswith(ERROR)]
    why = errors[0] if errors else completed.last_line[:LINE_LENGTH]
    if why.startswith(TIMEOUT):
        # Podman's wait for conmon is over (define.ContainerCreateTimeout, 240 s): why CRIU has not come back, its log
        # may say.
        why = "podman has waited for the OCI runtime in vain"
    why = re.sub(r"`([^\s`]+) [^`]*` failed", r"\1 failed", why)
    return Cause(why.rstrip("."), READ_TAIL, reason="tool_failed")
