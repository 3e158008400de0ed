# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses containers of LXC that no dump or restore would do good to, before anything is touched.

Seen with LXC 6.0.4 and CRIU 4.2.1, as docs/lxc.md says for each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Mapping, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import (
    APPARMOR,
    CONSOLE,
    EPHEMERAL,
    HOOKS,
    IDMAP,
    NETWORKS,
    ROOTFS,
    SELINUX,
    TTYS,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import HOOK, payload

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

# Those that LXC gives back to a container (criu_ok in src/lxc/criu.c).
RESTORABLE = ("veth", "none", "empty", "phys", "macvlan")
ROLE = "Apply the role criu.hosts.lxc_checkpoint to it"
# Where the managers that run LXC as a library keep their containers.
MANAGERS = {
    "Incus": "/var/lib/incus/containers",
    "LXD": "/var/lib/lxd/containers",
    "LXD (snap)": "/var/snap/lxd/common/lxd/containers",
}


def _refuse(what: str, why: str, advice: str, reason: str = "ability_missing") -> NoReturn:
    raise CheckpointError(f"Cannot {what}: {why}. {advice}.", reason=reason)


def refuse_managed(paths: Paths, name: str, what: str) -> None:
    """Refuses a container that LXC does not list, because a different program has made it.

    Raises:
        CheckpointError: engine_mismatch.
    """
    for manager, folder in MANAGERS.items():
        if os.path.isdir(paths.below(f"{folder}/{name}")):
            _refuse(
                what,
                f"{manager} has made it, which keeps the state of its containers itself",
                "Let it save the state (incus stop --stateful); docs/lxc.md says which settings that needs",
                "engine_mismatch",
            )


def require_settings(paths: Paths, settings: Mapping[str, str], what: str, *, runs: bool) -> None:
    """Refuses settings with which a dump or a restore would fail, or would not be safe.

    ``runs``: the container runs. The settings are those of its configuration, which it may have been started without;
    "noted" says that it was started with the hook, which comes with the others.

    Raises:
        CheckpointError: ability_missing, console_needed, rootless_unsupported.
    """
    again = f"{ROLE}{', and restart it' if runs else ''}"
    if not os.path.exists(f"{paths.cgroups}/cgroup.controllers"):
        _refuse(what, "this host has no unified control groups (version 2)", "Boot it with these")
    if settings[IDMAP]:
        _refuse(
            what,
            "it is unprivileged (lxc.idmap), and CRIU cannot restore the network of a user namespace",
            "Make it without lxc.idmap",
            "rootless_unsupported",
        )
    if settings[EPHEMERAL] == "1":
        _refuse(what, "LXC removes it when it ends (lxc.ephemeral)", "Make it without")
    if settings[CONSOLE] != "none" or settings[TTYS] not in ("", "0"):
        why = "LXC does not open its console or terminals again in a restore (lxc.console.path, lxc.tty.max)"
        _refuse(what, why, again, "console_needed")
    if HOOK not in settings[HOOKS].splitlines():
        _refuse(what, "nothing notes when it is started, so a checkpoint could not be seen to be outdated", again)
    if runs and not settings["noted"]:
        _refuse(what, "it was started without the settings that are in its configuration now", "Restart it")
    _require_modules(paths, settings, what, again)
    root = settings[ROOTFS]
    if not root.startswith("/") or not os.path.isdir(paths.below(root)):
        _refuse(what, f"its root file system {shown(root)} is no folder", "Only containers with a folder are supported")
    other = next((one for one in settings[NETWORKS].splitlines() if one not in RESTORABLE), "")
    if other:
        _refuse(what, f"LXC cannot restore its network of the type {shown(other)}", f"Use {', '.join(RESTORABLE)}")


def _require_modules(paths: Paths, settings: Mapping[str, str], what: str, again: str) -> None:
    """Refuses the setting of a security module with which CRIU gets a wrong label (--lsm-profile)."""
    from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels

    lsm = host_labels(paths).lsm
    if settings[APPARMOR] and lsm != "apparmor":
        why = "lxc.apparmor.profile is set, which LXC gives to CRIU, and the kernel has no AppArmor"
        _refuse(what, why, again)
    if settings[APPARMOR] == "generated":
        why = "lxc.apparmor.profile is 'generated', which LXC gives to CRIU as if it were the name of a profile"
        _refuse(what, why, again)
    if settings[SELINUX] and lsm != "selinux":
        why = "lxc.selinux.context is set, which LXC gives to CRIU, and the kernel has no SELinux"
        _refuse(what, why, "Remove it from the configuration")


def require_cgroup(container: Container, what: str) -> None:
    """Refuses a container in a cgroup of a different name: LXC would restore it into the usual one.

    Raises:
        CheckpointError: ability_missing.
    """
    found = container.own["cgroup"]
    if found != payload(container.name):
        why = f"it is in the cgroup {shown(found)}, and a restore would make {payload(container.name)!r}"
        _refuse(what, why, "Stop what is in that cgroup, and restart the container without lxc.cgroup.dir")
