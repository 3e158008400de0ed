# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the option volumes, and finds the folders that need a label of containers.

Debian's policy allows podman that systemd has started (podman_t) to change labels among types of containers only. So
the task gives a folder of a different type the containers' type; podman then adds the categories of its container.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode
from ansible_collections.criu.hosts.plugins.module_utils._unit.check import A_PATH, PATH, conflict, refuse, require
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import PODMAN_NAME

TYPE = "container_file_t"
ATTRIBUTE = "security.selinux"
# Podman's word for each value of relabel.
LABELS = {"private": "Z", "shared": "z", "none": ""}
KEYS = ("source", "target", "relabel", "read_only", "options")
FORM = "it must be SOURCE:TARGET[:OPTIONS], or a dictionary with source and target"
TRUE, FALSE = ("yes", "on", "true", "1"), ("no", "off", "false", "0")
# Podman refuses to relabel these too: the whole host uses them.
SYSTEM_FOLDERS = (
    "/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin "
    "/srv /sys /tmp /usr /var /var/cache /var/lib /var/log /var/run /var/tmp"
).split()


@dataclass(frozen=True)
class Volume:
    """A folder of the host or a volume of podman, and its place in the container."""

    source: str
    target: str
    relabel: str = "none"
    read_only: bool = False
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """``source:target[:options]`` of podman."""
        own = (LABELS[self.relabel], "ro" if self.read_only else "")
        words = [word for word in (*own, *self.options) if word]
        return ":".join([self.source, self.target, *([",".join(words)] if words else [])])


def volumes_of(name: str, given: Sequence[Any]) -> tuple[Volume, ...]:
    """Returns the volumes of the container ``name``.

    Raises:
        CheckpointError: option_invalid, options_conflict.
    """
    found = tuple(volume_of(one) for one in given)
    targets = [posixpath.normpath(volume.target) for volume in found]
    doubled = {target for target in targets if targets.count(target) > 1}
    if doubled:
        raise conflict(name, f"two volumes have the target {min(doubled)!r}")
    return found


def volume_of(given: Any) -> Volume:
    """Returns a volume that is given as a text or as a dictionary.

    Raises:
        CheckpointError: option_invalid.
    """
    if isinstance(given, str):
        volume = _of_text(given)
    elif isinstance(given, Mapping):
        volume = _of_mapping(given)
    else:
        raise refuse("volumes", given, FORM)
    return checked(volume)


def checked(volume: Volume) -> Volume:
    """Returns the volume if podman will read it as it is meant.

    Raises:
        CheckpointError: option_invalid.
    """
    require(
        *("volumes.source", volume.source, rf"{PATH}|{PODMAN_NAME}"),
        "it must be an absolute path without white space, colons, commas, quotes and backslashes, or the name of a "
        "volume",
    )
    require("volumes.target", volume.target, PATH, A_PATH)
    for option in volume.options:
        require("volumes.options", option, r"[a-zA-Z0-9=_-]+", "it must be an option of Podman, such as U or noexec")
        if volume.options.count(option) > 1:
            raise refuse("volumes.options", option, "it is given twice. Give it once")
    if volume.relabel != "none" and posixpath.normpath(volume.source) in SYSTEM_FOLDERS:
        rule = "the whole host uses it, so its label must stay. Give a folder of this container, or relabel 'none'"
        raise refuse("volumes.source", volume.source, rule)
    return volume


def _of_text(text: str) -> Volume:
    parts = text.split(":")
    if len(parts) == 1:
        raise refuse("volumes.target", text, f"the target is missing; {FORM}")
    if len(parts) > 3:
        raise refuse("volumes", text, f"it has too many colons; {FORM}")
    return _with_words(parts[0], parts[1], "none", False, [word for part in parts[2:] for word in part.split(",")])


def _of_mapping(given: Mapping[str, Any]) -> Volume:
    for key in given:
        if key not in KEYS:
            raise refuse("volumes", key, f"a volume has no such key; it has {', '.join(KEYS)}")
    for key in ("source", "target"):
        if given.get(key) is None:
            raise refuse(f"volumes.{key}", dict(given), f"{key} is missing; {FORM}")
    relabel = str(given.get("relabel") or "none")
    if relabel not in LABELS:
        raise refuse("volumes.relabel", relabel, f"it must be one of {', '.join(LABELS)}")
    options = given.get("options") or []
    words = options.split(",") if isinstance(options, str) else options
    if not isinstance(words, list):
        raise refuse("volumes.options", options, "it must be a list")
    read_only = _boolean("volumes.read_only", given.get("read_only") or False)
    return _with_words(str(given["source"]), str(given["target"]), relabel, read_only, [str(word) for word in words])


def _boolean(option: str, value: Any) -> bool:
    """Returns a boolean as Ansible understands it: a template without native types makes a text of it."""
    word = str(value).lower()
    if word not in (*TRUE, *FALSE):
        raise refuse(option, value, "it must be true or false")
    return word in TRUE


def _with_words(source: str, target: str, relabel: str, read_only: bool, words: Sequence[str]) -> Volume:
    """Returns the volume; podman's words Z, z, ro and rw among the options become what they mean."""
    labels = {name for name, word in LABELS.items() if word and word in words} | ({relabel} - {"none"})
    if len(labels) > 1:
        rule = "the label is either private (Z) or shared (z). Give one of them"
        raise refuse("volumes.options", ",".join(words), rule)
    if "rw" in words and (read_only or "ro" in words):
        rule = "a volume is either read-only (ro) or writable (rw). Give one of them"
        raise refuse("volumes.options", ",".join(words), rule)
    rest = tuple(word for word in words if word not in ("Z", "z", "ro", "rw"))
    return Volume(source, target, min(labels, default="none"), read_only or "ro" in words, rest)


def selinux_type(path: str) -> str | None:
    """Returns the SELinux type of a file; None if the file does not exist or has no label."""
    try:
        label = os.getxattr(path, ATTRIBUTE).rstrip(b"\0").decode("utf-8", "replace")
    except OSError:
        return None
    parts = label.split(":")
    return parts[2] if len(parts) > 2 else None


def to_relabel(paths: Paths, folders: Iterable[str]) -> tuple[str, ...]:
    """Returns those of the folders whose type is none of containers."""
    if read_mode(paths.selinuxfs) == "disabled":
        return ()
    # Podman reports a file that does not exist or has no label.
    types = {path: selinux_type(path) or TYPE for path in folders}
    return tuple(path for path, found in types.items() if not found.startswith("container_"))


def relabel_steps(paths: Iterable[str]) -> Iterator[Command]:
    """Yields the steps that give these paths, and everything below them, the type of containers."""
    for path in paths:
        argv = ("chcon", "--recursive", f"--type={TYPE}", "--", path)
        yield Command(argv, why=f"give {path!r} the containers' type")
