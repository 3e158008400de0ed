# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Knows where Docker and containerd keep what belongs to a container. Nothing here runs a command.

Docker keeps a container below data-root (daemon.json; /var/lib/docker) in containers/ID, its checkpoints there in
checkpoints/NAME (moby, daemon/checkpoint.go), and the layer of its changes in overlay2/MOUNT-ID/diff. While it runs,
containerd has its bundle in io.containerd.runtime.v2.task/moby/ID, with CRIU's logs: criu-dump.log, and, only if it was
restored, work/restore.log (containerd 1.7.24; the folder work goes with the task, also after a restore that failed).
"""

from __future__ import annotations

import os
import re
import zlib
from typing import TYPE_CHECKING, Any, Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below, read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

CONFIG = "/etc/docker/daemon.json"
ROOT = "/var/lib/docker"
# The name of our checkpoint, as docker checkpoint ls shows it. Others are none of ours.
CHECKPOINT = "criu-hosts"
# Of the system's containerd, and of one that dockerd has started itself.
_STATES = ("/run/containerd", "/run/docker/containerd/daemon")
_TASKS = "io.containerd.runtime.v2.task/moby"
_ID = r"[0-9a-f]{64}"
_LIMIT = 4 << 20
_SECOND = 10**9


def settings(paths: Paths) -> dict[str, Any]:
    """Returns what daemon.json sets; nothing if it cannot be read, as dockerd does not start with such a file."""
    try:
        return parse_object(read_text(paths.below(CONFIG), limit=_LIMIT) or "{}")
    except (OSError, ValueError):
        return {}


def root(paths: Paths) -> str:
    """Returns the folder of all that Docker keeps."""
    given = settings(paths).get("data-root")
    return paths.below(given if isinstance(given, str) and os.path.isabs(given) else ROOT)


def folder_of(paths: Paths, container: Container) -> str:
    """Returns the folder of a container's own files."""
    named = container.own["folder"]
    return paths.below(named) if named else f"{root(paths)}/containers/{container.id}"


def demand_folder(paths: Paths, container: Container) -> str:
    """Returns the folder of a container's own files, which has to be on this host.

    Raises:
        CheckpointError: engine_elsewhere.
    """
    folder = folder_of(paths, container)
    if not os.path.isdir(folder):
        raise CheckpointError(
            f"Cannot find the files of container {container.name!r}: {folder!r} is not there, so the daemon that "
            "docker asks runs on a different host. Run the task on that host, without DOCKER_HOST and docker context.",
            reason="engine_elsewhere",
            path=folder,
        )
    return folder


def images_of(paths: Paths, container: Container) -> str:
    """Returns the folder of our checkpoint of a container."""
    return f"{folder_of(paths, container)}/checkpoints/{CHECKPOINT}"


def stamp_of(images: str) -> str:
    """Returns what identifies a checkpoint: when it was made, to the second, and its contents; empty if there is none.

    Docker unpacks the images from a tar, which keeps the times of the files in seconds. CRIU writes an identifier of
    the dump into inventory.img.
    """
    try:
        made = int(os.stat(f"{images}/inventory.img").st_mtime)
        data = read_below(images, "inventory.img", limit=_LIMIT)
    except OSError:
        return ""
    return "" if data is None else str(made * _SECOND + zlib.crc32(data) % 10**6)


def bundle_of(paths: Paths, identity: str) -> str:
    """Returns the folder of a container that runs, with its OCI configuration; empty if it does not run."""
    found = (paths.below(f"{state}/{_TASKS}/{identity}") for state in _STATES)
    return next((one for one in found if os.path.isdir(one)), "")


def was_restored(paths: Paths, identity: str) -> bool:
    """Returns whether the container that runs was restored, not started."""
    bundle = bundle_of(paths, identity)
    return bool(bundle) and os.path.isfile(f"{bundle}/work/restore.log")


def log_finder(paths: Paths, name: str) -> Callable[[], str]:
    """Returns what names CRIU's log of the restore of a container, by its name or id, as long as containerd has it."""
    known = [name] if is_id(name) else []

    def find() -> str:
        if not known:
            known.extend(one for one in (find_id(paths, name),) if one)
        bundle = bundle_of(paths, known[0]) if known else ""
        return f"{bundle}/work/restore.log" if bundle else ""

    return find


def live_pid(paths: Paths, identity: str) -> int:
    """Returns the first process of a container that runs; 0 if there is none."""
    bundle = bundle_of(paths, identity)
    text = (read_text(f"{bundle}/init.pid", may_fail=True) or "").strip() if bundle else ""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) and os.path.isdir(f"{paths.proc}/{text}") else 0


def identities(paths: Paths) -> list[str]:
    """Returns the ids of all containers."""
    folder = f"{root(paths)}/containers"
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def containers(paths: Paths) -> Iterator[dict[str, Any]]:
    """Yields what Docker has noted about each container; those that cannot be read are left out."""
    folder = f"{root(paths)}/containers"
    for name in identities(paths):
        try:
            yield parse_object(read_below(folder, f"{name}/config.v2.json", limit=_LIMIT))
        except (OSError, ValueError):
            continue


def find_id(paths: Paths, name: str) -> str:
    """Returns the id of the container that has this name or this id; empty if there is none."""
    for entry in containers(paths):
        identity = entry.get("ID")
        if isinstance(identity, str) and re.fullmatch(_ID, identity) and name in (identity, str(entry.get("Name"))[1:]):
            return identity
    return ""


def demand(paths: Paths, name: str) -> str:
    """Returns the id of the container of this name.

    Raises:
        CheckpointError: engine_elsewhere.
    """
    identity = find_id(paths, name)
    if not identity:
        raise CheckpointError(
            f"Cannot find the files of container {name!r}: Docker does not keep them below {root(paths)!r}. Set its "
            f"data-root in {CONFIG}, not on the command line of dockerd.",
            reason="engine_elsewhere",
            path=root(paths),
        )
    return identity


def upper_of(paths: Paths, identity: str) -> str:
    """Returns the folder of the changes of a container that has not run yet (overlay2 only); empty if it is not known.

    An inspection names it only as text that nothing can use before the container exists.
    """
    try:
        data = read_below(root(paths), f"image/overlay2/layerdb/mounts/{identity}/mount-id", limit=1024)
    except OSError:
        return ""
    name = (data or b"").decode("ascii", "replace")
    return f"{root(paths)}/overlay2/{name}/diff" if re.fullmatch(_ID, name) else ""


def image_named(paths: Paths, name: str) -> str:
    """Returns the id of the image that has this name on this host; empty if that is not known."""
    try:
        data = read_below(root(paths), "image/overlay2/repositories.json", limit=64 << 20)
        repositories = inner(parse_object(data), "Repositories")
    except (OSError, ValueError):
        return ""
    for repository in repositories:
        names = repositories[repository]
        found = names.get(name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest")
        if isinstance(found, str):
            return found.rpartition(":")[2]
    return ""


def has_ended(paths: Paths, container: Container) -> bool:
    """Returns whether Docker has noted that this run of a container has ended.

    Raises:
        CheckpointError: tool_failed, it was started again meanwhile.
    """
    try:
        state = inner(parse_object(read_below(folder_of(paths, container), "config.v2.json", limit=_LIMIT)), "State")
        started = word(state, "StartedAt")
    except (OSError, ValueError):
        return False  # Docker is just about to write it
    if started != container.started_at:
        raise CheckpointError(
            f"Cannot keep container {container.name!r} from running without its state: it was started again after its "
            "checkpoint, which is complete. Find out who has started it, stop it, and restore it.",
            reason="tool_failed",
        )
    return state.get("Running") is False


def labels_of(paths: Paths) -> Iterator[tuple[str, str]]:
    """Yields the name and the SELinux label of each container."""
    for entry in containers(paths):
        try:
            yield word(entry, "Name")[1:], word(entry, "ProcessLabel")
        except ValueError:
            continue
