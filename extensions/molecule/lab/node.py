# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the root file system of a node: a host of another suite, below the kernel of this machine, without a disk.

Programs of the tests start it in namespaces; see tests/crash/host.sh. It has no SELinux and no kernel of its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from base import BUILD, LabError, digest
from image import debootstrap, ensure_image, remove_tree

# Debian 12 has no libcriu2, so that crun cannot checkpoint there.
PACKAGES = {
    "bookworm": (
        "aardvark-dns ca-certificates conmon crun dbus iproute2 iptables libcap2-bin netavark nftables podman procps "
        "python3 runc systemd systemd-sysv tar udev zstd "
        # Libraries of the node's CRIU
        "libbsd0 libgnutls30 libnet1 libnftables1 libnl-3-200 libprotobuf-c1 libselinux1 libuuid1"
    ).split(),
}


def node_dir(suite: str) -> Path:
    """Return the folder of a node that belongs to the current sources; it may not exist yet."""
    if suite not in PACKAGES:
        raise LabError(f"Cannot make a node of {suite!r}: the suite is unknown. Choose from {', '.join(PACKAGES)}.")
    return BUILD / f"node-{suite}-{digest([suite, *PACKAGES[suite]])}"


def ensure_node(suite: str) -> Path:
    """Return the root file system of a node; make it if it does not exist."""
    final = node_dir(suite)
    if not final.exists():
        for old in BUILD.glob(f"node-{suite}-*"):
            remove_tree(old)
        part = BUILD / "node.part"
        remove_tree(part)
        part.mkdir()
        debootstrap(part / "root", suite, PACKAGES[suite], f"installing Debian {suite} for the node, about 60 s")
        os.replace(part, final)
    workload(final / "root")
    return final / "root"


def workload(root: Path) -> None:
    """Bring the current image of the test containers, which is made with the image of the machines."""
    source, target = ensure_image() / "root/var/lib/lab", root / "var/lib/lab"
    sources = sorted(source.iterdir())
    if target.exists() and all(same(one, target / one.name) for one in sources):
        return
    remove_tree(target)
    shutil.copytree(source, target)


def same(one: Path, other: Path) -> bool:
    """Return whether a file has a copy with its size and time."""
    try:
        seen, copy = one.stat(), other.stat()
    except FileNotFoundError:
        return False
    return (seen.st_size, int(seen.st_mtime)) == (copy.st_size, int(copy.st_mtime))
