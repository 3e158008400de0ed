# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a simulated host one with AppArmor, and its kernel's list of profiles."""

from __future__ import annotations

from pathlib import Path

# What Debian 13 has loaded after a boot; podman's own profile is not there then.
AFTER_BOOT = (
    "lsb_release (enforce)",
    "nvidia_modprobe (enforce)",
    "nvidia_modprobe//kmod (enforce)",
    "runc (unconfined)",
)
OWN = "containers-default-0.62.2"


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
