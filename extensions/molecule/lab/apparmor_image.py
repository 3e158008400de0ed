# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the AppArmor image: the base image plus Debian's AppArmor, for machines without SELinux."""

from __future__ import annotations

import os
from pathlib import Path

from base import BUILD, digest, say
from image import ensure_image, image_dir, remove_tree, seal
from services_image import add_packages

PREFIX = "image-apparmor-"
# The machine has no package mirror, so it has what enable_host would install: iptables, which Debian's CRIU uses.
PACKAGES = ("apparmor", "apparmor-utils", "iptables")


def apparmor_dir() -> Path:
    """Return the folder of the image that belongs to the current sources; it may not exist yet."""
    return BUILD / f"{PREFIX}{digest([image_dir().name], [Path(__file__)])}"


def ensure_apparmor_image() -> Path:
    """Return the folder with disk.raw, vmlinuz and initrd.img of the image; make it if it does not exist."""
    final = apparmor_dir()
    if final.exists():
        return final
    base = ensure_image()
    part = BUILD / "apparmor.part"
    remove_tree(part)
    part.mkdir()
    root = part / "root"
    add_packages(base / "root", root, PACKAGES, "installing AppArmor on the base root, about 30 s")
    seal(root, part)
    for name in ("vmlinuz", "initrd.img"):
        os.link(base / name, part / name)
    remove_tree(root)
    os.replace(part, final)
    say(f"image {final.name} is ready")
    return final
