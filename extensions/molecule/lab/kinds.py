# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine is of which kind: a name chooses the suite of Debian, the image and the security module."""

from __future__ import annotations

from dataclasses import dataclass

# What the kernel's arguments say about security modules. Debian's kernels ignore selinux=0
# (CONFIG_SECURITY_SELINUX_BOOTPARAM is not set), and SELinux starts where AppArmor is off. So a machine without both
# lists the other modules of CONFIG_LSM.
LSMS = {
    "enforcing": "security=selinux selinux=1 enforcing=1",
    # It outweighs SELINUX=enforcing in /etc/selinux/config, which is in every image.
    "permissive": "security=selinux selinux=1 enforcing=0",
    "apparmor": "security=apparmor apparmor=1",
    "none": "lsm=landlock,lockdown,yama,loadpin,safesetid,integrity,bpf",
}


@dataclass(frozen=True)
class Kind:
    """What a machine is made of: the suite, an image of machine.IMAGES, a key of LSMS."""

    suite: str = "trixie"
    image: str = "base"
    lsm: str = "enforcing"


KINDS = {
    "services": Kind(image="services"),
    "services-long": Kind(image="services"),
    "web": Kind(image="services"),
    "apparmor-host": Kind(image="apparmor", lsm="apparmor"),
    "trixie-permissive": Kind(lsm="permissive"),
    # Debian's CRIU serves there. It needs iptables, which the base image does not have.
    "trixie-plain": Kind(image="apparmor", lsm="none"),
    "bookworm-apparmor": Kind("bookworm", "bookworm", "apparmor"),
    "bookworm-enforcing": Kind("bookworm", "bookworm", "enforcing"),
    "bookworm-permissive": Kind("bookworm", "bookworm", "permissive"),
    "bookworm-plain": Kind("bookworm", "bookworm", "none"),
}


def kind_of(name: str) -> Kind:
    """Return the kind of a machine; every other name is one of Debian 13 with SELinux enforcing."""
    return KINDS.get(name, Kind())
