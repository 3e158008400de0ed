# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers the facts of a host on which a restore depends, as the manifest of a checkpoint keeps them."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError, read_inventory
from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import read_kernel
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels

# x86 has flags, ARM and RISC-V have others.
_CPU = re.compile(r"^(flags|Features|features|isa)[ \t]*:[ \t]*(.{0,16384})$", re.MULTILINE)
# No processor has nearly as many.
_MOST = 1024


def parse_cpu_features(text: str) -> tuple[str, ...]:
    """Returns the names of the features of the first processor in /proc/cpuinfo; none if it does not list them."""
    found = _CPU.search(text)
    words = found.group(2).split() if found else []
    return tuple(sorted({one for one in words if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", one)})[:_MOST])


def cgroup_version(paths: Paths) -> int:
    """Returns 2 for a host with the unified hierarchy of cgroups alone, else 1."""
    return 2 if os.path.exists(f"{paths.cgroups}/cgroup.controllers") else 1


def lock_of(images: str) -> str:
    """Returns how CRIU locked the network in the dump in this folder: iptables, nftables, skip; empty if not known."""
    try:
        return read_inventory(images).network_lock
    except (ImageError, OSError):
        return ""


def host_facts(paths: Paths, criu: str) -> dict[str, Any]:
    """Returns the facts of this host; ``criu`` is the version of CRIU.

    ``network_lock`` is empty: only the images of a dump say which method it took (``lock_of``).
    """
    kernel = read_kernel(paths)
    lsm = host_labels(paths).lsm
    return {
        "hostname": (read_text(f"{paths.proc}/sys/kernel/hostname", may_fail=True) or "").strip(),
        "architecture": kernel["architecture"],
        "kernel": kernel["release"] or "",
        "cpu_features": parse_cpu_features(read_text(f"{paths.proc}/cpuinfo", may_fail=True) or ""),
        "criu": criu,
        "cgroup_version": cgroup_version(paths),
        "network_lock": "",
        "lsm": lsm,
        "lsm_mode": read_selinux(paths).mode if lsm == "selinux" else "",
    }
