# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds in /proc what CRIU is certain to refuse or cannot restore, before a dump. The documentation has the table."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._criu import obstacle_signs as signs
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacle_mounts import foreign_mounts
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacle_profiles import blank_names, stacks
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacle_signs import Around
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import PROCESSES, Sight, read_sight
from ansible_collections.criu.hosts.plugins.module_utils._host.process import read_pids

# The newest CRIU whose source was read. A newer one may support more.
KNOWN_UP_TO = (4, 2)
# CRIU's own plugins, which dump files of graphics cards only.
GRAPHICS_PLUGINS = ("amdgpu_plugin.so", "cuda_plugin.so")


@dataclass(frozen=True)
class Obstacle:
    """A reason for which CRIU is certain to refuse a dump, or to restore it wrongly. ``text`` begins with a process."""

    reason: str
    text: str
    advice: str

    def view(self) -> dict[str, str]:
        return {"reason": self.reason, "text": self.text, "advice": self.advice}


@dataclass(frozen=True)
class Row:
    """A kind of obstacle: its sign in /proc for the documentation, the advice, and how it is found.

    Args:
        look: yields what is wrong with the process, as the rest of a sentence.
        pre_dump: whether CRIU refuses a pre-dump, too.
        kernel: whether the kernel refuses it, so that the version of CRIU does not matter.
    """

    reason: str
    sign: str
    advice: str
    look: Callable[[Sight, Around], Iterator[str]]
    pre_dump: bool = False
    kernel: bool = False


OBSTACLES: tuple[Row, ...] = (
    Row(
        "process_traced",
        "`TracerPid` in `status`",
        "End the tracer (gdb, strace), or let it detach.",
        signs.traced,
        pre_dump=True,
        kernel=True,
    ),
    Row(
        "io_uring",
        "`anon_inode:[io_uring]` in `fd` or `maps`",
        "Switch io_uring off in the program (for Node.js UV_USE_IO_URING=0), or for the host with the sysctl "
        "kernel.io_uring_disabled=2, and restart the program.",
        signs.io_uring,
        pre_dump=True,
    ),
    Row(
        "device_open",
        "a device, `perf_event`, `userfaultfd`, a BPF program, a vsock or a foreign pidfd in `fd`",
        "Let the program close it before the checkpoint.",
        signs.devices,
        pre_dump=True,
    ),
    Row(
        "sysv_memory",
        "`/SYSV...` in `maps`, and the IPC namespace of the host",
        "Start it in an IPC namespace of its own: PrivateIPC=yes in its unit, or 'unshare --ipc'.",
        signs.sysv_memory,
    ),
    Row(
        "ghost_limit",
        "a deleted file above `ghost-limit` in `fd` or `maps`",
        "Restart the program if an upgrade has replaced its files, or raise ghost-limit with criu_config.",
        signs.ghosts,
    ),
    Row(
        "link_remap_needed",
        "a deleted file with a further name in `fd` or `maps`",
        "Set link-remap with criu_config, or let the program close the file.",
        signs.renamed,
    ),
    Row(
        "limits_unreadable",
        "`Uid` in `status`, and `CapBnd` without CAP_SYS_RESOURCE",
        "Give root CAP_SYS_RESOURCE where this host is set up, such as in the configuration of its container.",
        signs.limits,
        kernel=True,
    ),
    Row(
        "mount_namespace",
        "`ns/mnt` differs from that of the host, and `mountinfo` has a file system that CRIU does not mount",
        "Switch off the settings of its unit that make the namespace (PrivateTmp, ProtectSystem and the like) in a "
        "drop-in, or run the program in a container.",
        foreign_mounts,
        pre_dump=True,
    ),
    Row(
        "apparmor_profile_name",
        "a blank in the name of the AppArmor profile in `attr/current`",
        "Give the profile a name without blanks, load it, and restart the program.",
        blank_names,
    ),
    Row(
        "apparmor_profile_stacked",
        "`//&` in the AppArmor profile in `attr/current`, without a policy namespace",
        "Start the program in one profile, without a stack.",
        stacks,
        kernel=True,
    ),
)


def has_unknown_plugins(paths: Paths) -> bool:
    """Returns whether CRIU has plugins that may dump what CRIU itself cannot (CR_PLUGIN_DEFAULT, CRIU_LIBS_DIR)."""
    folders = [paths.below(f"{prefix}/lib{word}/criu") for prefix in ("/usr", "/usr/local") for word in ("", "64")]
    for folder in (*folders, os.environ.get("CRIU_LIBS_DIR") or folders[0]):
        if os.path.isdir(folder):
            found = {name for name in os.listdir(folder) if name.endswith(".so")}
            if found - set(GRAPHICS_PLUGINS):
                return True
    return False


def look_around(paths: Paths, root: int, criu: Version) -> Around:
    """Returns what a look at the process ``root`` and its descendants depends on."""
    pids = tuple(read_pids(paths, root, PROCESSES))
    return Around(paths, root, pids, criu, plugins=has_unknown_plugins(paths))


def read_sights(around: Around) -> tuple[Sight, ...]:
    """Looks at the processes; a pre-dump of them sees mapped files only."""
    found = (read_sight(around.paths, pid) for pid in around.pids)
    sights = tuple(sight for sight in found if sight is not None)
    if not around.pre_dump:
        return sights
    return tuple(replace(one, files=tuple(file for file in one.files if file.descriptor < 0)) for one in sights)


def find_obstacles(around: Around, sights: tuple[Sight, ...]) -> tuple[Obstacle, ...]:
    """Returns what CRIU is certain to refuse in the processes, one for each kind and process."""
    known = around.criu[:2] <= KNOWN_UP_TO
    found = []
    for row in OBSTACLES:
        if (around.pre_dump and not row.pre_dump) or not (known or row.kernel):
            continue
        for sight in sights:
            text = next(row.look(sight, around), "")
            if text:
                found.append(Obstacle(row.reason, f"{sight.text} {text}", row.advice))
    return tuple(found)
