# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what ctr prints. Names, labels and images in it come from others: a wrong type is refused."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, objects, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError, parse_message, string
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

# The annotation in which a restored container has the time when its original was created. A restore makes a new object
# with a new time, but takes the annotations as they are in the checkpoint.
CREATED = "criu.hosts.created"
SHIM = "io.containerd.runc.v2"
# The fields of containerd.runc.v1.Options (containerd 1.7, runtime/v2/runc/options/oci.proto): the OCI runtime, and
# those that say only how it is to work: no_pivot_root, no_new_keyring, io_uid, io_gid and systemd_cgroup.
_BINARY = 6
_PLAIN = {1, 2, 4, 5, 9}
OPTIONS = "containerd.runc.v1.Options"
# The states of a task (ctr tasks ls). One that is being paused may not be dumped yet.
_STATES = {
    "CREATED": "created",
    "RUNNING": "running",
    "STOPPED": "exited",
    "PAUSED": "paused",
    "PAUSING": "paused",
}
# Whose containers have a label or an extension that begins so.
_OWNERS = {"nerdctl/": "nerdctl", "io.cri-containerd": "the kubelet", "com.docker": "Docker"}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_PID = r"[0-9]{1,9}"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}(?:\.[0-9]{1,9})?Z-(.+)")


def id_of(created: str, name: str) -> str:
    """Returns the id by which our records distinguish containers of one name: containerd has no other than the name."""
    return f"{re.sub('[^0-9A-Za-z.]', '', created)}-{name}"


def name_of(target: str) -> str:
    """Returns the name in an id that ``id_of`` has made; any other text is a name."""
    found = _ID.fullmatch(target)
    return found.group(1) if found else target


def runtime_of(name: str, options: dict[str, Any]) -> str:
    """Returns the OCI runtime: what the shim of runc runs, or the name of a different shim.

    "runc with other options" has places of its own, for example for its state.

    Raises:
        ValueError: the options are not what containerd writes.
    """
    if name != SHIM:
        return name
    try:
        fields = parse_message(base64.b64decode(word(options, "value"), validate=True))
    except (binascii.Error, ImageError) as error:
        raise ValueError(f"the options of its runtime cannot be read ({error})") from error
    plain = word(options, "type_url") in ("", OPTIONS) and set(fields) <= {*_PLAIN, _BINARY}
    binary = string(fields, _BINARY) or "runc"
    return binary if plain else f"{binary} with other options"


def network_of(spec: dict[str, Any]) -> str:
    """Returns the network namespace: "private", the path of one that exists, or "host"."""
    for one in objects(inner(spec, "linux").get("namespaces"), "namespaces"):
        if word(one, "type") == "network":
            return word(one, "path") or "private"
    return "host"


def cgroup_in(spec: dict[str, Any]) -> str:
    """Returns the folder of the container's processes below the cgroup mount; empty if the runtime chooses it."""
    path = word(inner(spec, "linux"), "cgroupsPath")
    parts = path.split(":")
    if len(parts) == 3:  # SLICE:PREFIX:NAME, for systemd
        return f"{parts[0]}/{parts[1]}-{parts[2]}.scope"
    return os.path.normpath(path).lstrip("/") if path else ""


def _owner(labels: dict[str, str], extensions: dict[str, Any]) -> str:
    for key in (*labels, *extensions):
        for prefix, owner in _OWNERS.items():
            if key.startswith(prefix):
                return owner
    return ""


def _container(entry: dict[str, Any]) -> Container:
    name, created = word(entry, "ID", default=None), word(entry, "CreatedAt", default=None)
    spec, runtime = inner(entry, "Spec"), inner(entry, "Runtime")
    options = inner(runtime, "Options")
    labels = {key: value for key, value in inner(entry, "Labels").items() if isinstance(value, str)}
    annotations, process = inner(spec, "annotations"), inner(spec, "process")
    original = word(annotations, CREATED) or created
    return Container(
        id=id_of(original, name),
        name=name,
        status="exited",
        pid=0,
        image=word(entry, "Image"),
        image_id="",
        runtime=runtime_of(word(runtime, "Name"), options),
        process_label=word(process, "selinuxLabel"),
        created_at=created,
        criu_config=word(annotations, "org.criu.config"),
        labels=labels,
        owner=_owner(labels, inner(entry, "Extensions")),
        own={
            "spec": json.dumps(spec),
            "original": original,
            "shim": word(runtime, "Name"),
            "options": json.dumps(options if word(options, "value") else {}),
            "snapshotter": word(entry, "Snapshotter"),
            "snapshot": word(entry, "SnapshotKey"),
            "network": network_of(spec),
            "cgroup": cgroup_in(spec),
            "apparmor": word(process, "apparmorProfile"),
            "terminal": "yes" if process.get("terminal") is True else "",
        },
    )


def parse_info(text: str) -> Container:
    """Returns the container of ``ctr containers info``, without what its task says.

    Raises:
        CheckpointError: tool_failed, the text is not what ctr prints.
    """
    try:
        return _container(parse_object(text))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the answer of 'ctr containers info': {error}. Run the command manually.",
            reason="tool_failed",
        ) from error


def parse_task(text: str, name: str) -> tuple[str, int]:
    """Returns the status and the pid in ``ctr tasks ls``; exited and 0 if the container has no task."""
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 3 and words[0] == name and re.fullmatch(_PID, words[1]):
            status = _STATES.get(words[2], words[2].lower())
            return status, int(words[1]) if status in ("running", "paused") else 0
    return "exited", 0


def parse_images(text: str) -> dict[str, str]:
    """Returns the digests in ``ctr images ls`` by the names, without "sha256:"."""
    rows = [line.split() for line in text.split("\n")]
    digests = {row[0]: _DIGEST.fullmatch(row[2]) for row in rows if len(row) > 3}
    return {name: found.group(1) for name, found in digests.items() if found is not None}
