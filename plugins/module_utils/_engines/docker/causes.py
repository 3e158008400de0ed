# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of Docker's errors; each was recorded with Docker 26.1.5, in tests/unit/fixtures/docker."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause, shown_word
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

# Before the words of the daemon. What it says about a request of HTTP is a message in JSON.
DAEMON = "Error response from daemon: "
LINE_LENGTH = 2000
# Names of containers, volumes and paths may be in a sentence: what precedes the words that count has none of them.
_PLAIN = r"[^/\"'`]*"
_CRIU = r"(?:Cannot checkpoint container \S+: runc did not terminate successfully: exit status \d+: )?"


@dataclass(frozen=True)
class Answer:
    """The pattern of an error, and its cause; a group in the pattern is ``{name}`` in the cause."""

    pattern: str
    cause: Cause


NOT_RUNNING = Cause("the daemon of Docker does not run", "Start it (systemctl start docker).", "engine_not_running")
EXPERIMENTAL = Cause(
    "the daemon of Docker has no checkpoints, as its experimental features are off",
    "Switch them on with the role criu.hosts.docker_checkpoint.",
    "ability_missing",
)
ANSWERS: tuple[Answer, ...] = (
    Answer(rf"{_PLAIN}Cannot connect to the Docker daemon", NOT_RUNNING),
    Answer(r"docker checkpoint \S+ is only supported on a Docker daemon with experimental features", EXPERIMENTAL),
    Answer(
        rf"{_CRIU}CRIU version check failed: exec: .criu.: executable file not found",
        Cause("runc does not find criu in PATH", "Install it with the role criu.hosts.criu.", "criu_missing"),
    ),
    # EBADRQC, by which CRIU (cr-service.c) refuses its options before it writes a log.
    Answer(
        rf"{_CRIU}(?:OCI runtime restore failed: )?criu failed: type \S{{1,20}} errno 56\b",
        Cause(
            "CRIU refuses its options, as with a wrong word in /etc/criu/runc.conf",
            "Correct that file; criu_config_info shows what is wrong in it.",
            "config_broken",
        ),
    ),
    Answer(
        r"(?!.*(?:/sys/|cgroup|cpuset|inotify|keyring)).*: (?:no space left on device|disk quota exceeded)",
        Cause("no space is left on the file system", "Free space there.", "disk_full"),
    ),
    Answer(
        r"failed to upload checkpoint to containerd: .*already exists",
        Cause("containerd still holds the images of an earlier attempt", "Run the task again.", "restore_leftovers"),
    ),
    Answer(
        r".*\b(listen (?:tcp|udp|sctp)[46]? [0-9a-f.:\[\]]{1,60}): bind: address already in use",
        Cause("its published port is taken: {name}", "Stop what listens there ('ss -tulnp' shows it).", "port_in_use"),
    ),
    Answer(
        r".*Bind for ([0-9a-f.:\[\]]{1,60}) failed: port is already allocated",
        Cause("its published port is taken: {name}", "Stop the container that has it ('docker ps').", "port_in_use"),
    ),
    Answer(
        r"Address already in use",
        Cause("a different container has its IP address", "Stop that container first.", "address_in_use"),
    ),
    Answer(
        r"invalid mount config for type .bind.: bind source path does not exist: (/.{0,1000})",
        Cause("the source of one of its mounts does not exist: {name}", "Put it there first.", "mount_source_missing"),
    ),
    Answer(
        r"network (\S{1,100}) not found",
        Cause("its network {name} is not on this host", "Create it as it was.", "network_missing"),
    ),
    Answer(
        r"cannot join network of a non running container: ([0-9a-f]{12})",
        Cause(
            "it uses the network of container {name}, which does not run",
            "Start that one first.",
            "dependency_restarted",
        ),
    ),
    Answer(
        r"No such image: (\S{1,200})",
        Cause("its image {name} is not on this host", "Pull or load the image first.", "image_missing"),
    ),
    Answer(
        r"Conflict\. The container name .* is already in use by container",
        Cause("the name is taken", "Use new_name.", "container_exists"),
    ),
)


def _said(completed: Completed) -> Iterator[str]:
    """Yields the sentences of the daemon and of docker, without what precedes them."""
    for line in f"{completed.err}\n{completed.out}".split("\n"):
        line = line[:LINE_LENGTH].strip()
        if line.startswith('{"message":'):
            try:
                yield word(parse_object(line), "message")
            except ValueError:
                continue
        elif line:
            yield line[len(DAEMON) :] if line.startswith(DAEMON) else line


def cause_of(completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, Docker's own words."""
    said = list(_said(completed))
    for answer in ANSWERS:
        for line in said:
            found = re.match(answer.pattern, line, re.IGNORECASE)
            if found:
                name = shown_word(found[1]) if found.groups() else ""
                return replace(answer.cause, why=answer.cause.why.format(name=name))
    why = said[0] if said else completed.last_line[:LINE_LENGTH]
    return Cause(why.rstrip("."), READ_TAIL, reason="tool_failed")
