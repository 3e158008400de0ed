# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the image of Debian 12: one for machines with SELinux, with AppArmor and with neither."""

from __future__ import annotations

import os
from pathlib import Path

from base import BUILD, LabError, digest, say
from image import configure, debootstrap, image_dir, remove_tree, seal, take_kernel
from node import PACKAGES as NODE_PACKAGES
from node import workload

SUITE = "bookworm"
PREFIX = "image-bookworm-"
# A host in use, as the node is one, with a kernel, ssh and what each of the security modules needs. The machine has no
# package mirror, so it has what enable_host would install, too.
PACKAGES = (
    *NODE_PACKAGES[SUITE],
    *"apparmor apparmor-utils auditd criu linux-image-cloud-amd64 openssh-server policycoreutils".split(),
    *"policycoreutils-python-utils python3-apt python3-selinux python3-semanage selinux-policy-default setools".split(),
)


def bookworm_dir() -> Path:
    """Return the folder of the image that belongs to the current sources; it may not exist yet."""
    return BUILD / f"{PREFIX}{digest([image_dir().name, *PACKAGES], [Path(__file__)])}"


def ensure_bookworm_image() -> Path:
    """Return the folder with disk.raw, vmlinuz and initrd.img of the image; make it if it does not exist."""
    final = bookworm_dir()
    if final.exists():
        return final
    if os.geteuid():
        raise LabError("Cannot make the image: only root can set its file owners and SELinux labels. Run this as root.")
    part = BUILD / "bookworm.part"
    remove_tree(part)
    part.mkdir()
    root = part / "root"
    debootstrap(root, SUITE, PACKAGES, f"installing Debian {SUITE} for the image, about 90 s")
    workload(root)
    configure(root)
    seal(root, part)
    take_kernel(root, part)
    remove_tree(root)
    os.replace(part, final)
    say(f"image {final.name} is ready")
    return final
