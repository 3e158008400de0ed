# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes AppArmor label on a simulated host, with the kernel's list of profiles, threads, and CRIU's images."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host import paths
from ansible_collections.criu.hosts.tests.unit import processes
from ansible_collections.criu.hosts.tests.unit.containers import World, pid_of, world

# As seen on Debian 13 with AppArmor: Linux 6.12, podman 5.4.2.
OWN = "containers-default-0.62.2"
PROFILE = f"{OWN} (enforce)"
# What is loaded there after a boot; podman's own profile is not.
AFTER_BOOT = (
    "lsb_release (enforce)",
    "nvidia_modprobe (enforce)",
    "nvidia_modprobe//kmod (enforce)",
    "runc (unconfined)",
)
# images/inventory.proto of CRIU: lsmtype, 1 for SELinux, 2 for AppArmor.
SELINUX_TYPE, APPARMOR_TYPE = b"\x30\x01", b"\x30\x02"


def list_path(folder: Path) -> Path:
    return folder / "sys/kernel/security/apparmor/profiles"


def with_apparmor(folder: Path, *labels: str) -> None:
    """Switches AppArmor on; the kernel has what a boot loads, and ``labels``, each a name with its mode."""
    enabled = folder / "sys/module/apparmor/parameters/enabled"
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.write_text("Y\n")
    list_path(folder).parent.mkdir(parents=True, exist_ok=True)
    list_path(folder).write_text("".join(f"{label}\n" for label in (*AFTER_BOOT, *labels)))


def load(folder: Path, name: str = OWN) -> None:
    """Loads a profile, as podman does."""
    with list_path(folder).open("a") as profiles:
        profiles.write(f"{name} (enforce)\n")


def apparmor_world(folder: Path, *labels: str) -> World:
    """Makes a host on which AppArmor labels, with these profiles loaded."""
    made = world(folder, selinux="disabled")
    with_apparmor(folder, *labels)
    return made


def confine(folder: Path, pid: int, *texts: str) -> None:
    """Gives the threads of a process these profiles, the last one to all that follow."""
    for number, task in enumerate(sorted((folder / f"proc/{pid}/task").iterdir(), key=lambda one: int(one.name))):
        text = texts[min(number, len(texts) - 1)]
        (task / "attr/apparmor").mkdir(exist_ok=True)
        for place in (task / "attr/apparmor/current", task / "attr/current"):
            place.write_text(f"{text}\n")
        (task / "attr/sockcreate").write_text("")


def run_container(made: World, *texts: str, case: str = "running") -> None:
    """Makes the recorded container run with four threads in these profiles."""
    made.process(pid_of(case), [""] * 4)
    confine(made.folder, pid_of(case), *(texts or (PROFILE,)))


def inspected(made: World, case: str, **changes: Any) -> str:
    """Returns the recorded answer of podman inspect, without the label of SELinux."""
    entry = json.loads(made.inspected(case, **changes))
    entry[0]["ProcessLabel"] = ""
    return json.dumps(entry)


def without_sockcreate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes attr/sockcreate fail as under AppArmor: EINVAL."""
    reader = paths.read_bytes

    def read(path: str, **options: Any) -> Any:
        if path.endswith("/sockcreate") and os.path.exists(path):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return reader(path, **options)

    monkeypatch.setattr(paths, "read_bytes", read)


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def with_field(data: bytes, field: tuple[int, ...], text: bytes) -> bytes:
    """Returns a protobuf message with another text in a nested field; without it if the text is empty."""
    made, at = b"", 0
    while at < len(data):
        start = at
        key, at = _number(data, at)
        size, at = _number(data, at) if key & 7 in (0, 2) else ({1: 8, 5: 4}[key & 7], at)
        end = at + (0 if key & 7 == 0 else size)
        piece, at = data[start:end], end
        if key >> 3 == field[0]:
            value = text if len(field) == 1 else with_field(data[end - size : end], field[1:], text)
            piece = _varint(key) + _varint(len(value)) + value if value else b""
        made += piece
    return made


def apparmor_images(monkeypatch: pytest.MonkeyPatch, folder: Path, saved: str) -> Path:
    """Makes the recorded images those of a host with AppArmor; ``saved``: what CRIU saved of the profile's name.

    CRIU saves nothing for unconfined (apparmor_get_label in criu/lsm.c).
    """
    images = folder / "recorded-images"
    shutil.copytree(processes.IMAGES, images)
    inventory = (images / "inventory.img").read_bytes()
    assert inventory.count(SELINUX_TYPE) == 1
    (images / "inventory.img").write_bytes(inventory.replace(SELINUX_TYPE, APPARMOR_TYPE))
    for core in images.glob("core-*.img"):
        data = core.read_bytes()
        size = int.from_bytes(data[8:12], "little")
        # core_entry.thread_core.creds.lsm_profile
        entry = with_field(data[12 : 12 + size], (5, 10, 15), saved.encode())
        core.write_bytes(data[:8] + len(entry).to_bytes(4, "little") + entry + data[12 + size :])
    monkeypatch.setattr(processes, "IMAGES", images)
    return images
