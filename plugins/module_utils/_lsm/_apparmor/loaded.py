# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which AppArmor profiles the kernel has loaded, and finds those that a restore would miss.

CRIU gives each thread its profile by writing the name to attr/exec or attr/current; for a profile that is not loaded,
the kernel answers ENOENT, in the middle of the restore (criu/pie/restorer.c). A boot forgets every profile; systemd
loads those of /etc/apparmor.d again, and nobody those that a program made on its own.
"""

from __future__ import annotations

from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import UNCONFINED, parse_profile
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels

# The profile of containers has the version of containers/common in its name: containers-default-0.62.2.
CONTAINER_PROFILE = "containers-default-"
# Between the profiles of a stack.
_STACK = "//&"
# The kernel makes such a profile itself when a program in complain mode starts another; nobody can load it.
_MADE_BY_KERNEL = "//null-"


def profiles_path(paths: Paths) -> str:
    """Returns the path of the kernel's list of profiles, which only root may read."""
    return f"{paths.sys}/kernel/security/apparmor/profiles"


def _name(label: str) -> str:
    """Returns the name in a label with its mode; empty for an unconfined thread, and for a label of another LSM."""
    found = parse_profile(label)
    return found.name if found.mode else ""


def single_profiles(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the profiles that are named, each once; each of a stack is one, and unconfined is none.

    Those of a policy namespace are left out: CRIU loads them from its images (criu/apparmor.c).
    """
    found = (one for name in names for one in name.split(_STACK) if one not in ("", UNCONFINED))
    return tuple(one for one in dict.fromkeys(found) if not parse_profile(one).in_namespace)


def profiles_of(labels: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of the profiles in the labels of threads, each once."""
    return single_profiles(map(_name, labels))


def read_loaded(paths: Paths) -> frozenset[str] | None:
    """Returns the names of the loaded profiles; None if the kernel does not show them (no securityfs, no root)."""
    text = read_text(profiles_path(paths), may_fail=True)
    if text is None:
        return None
    return frozenset(name for name in map(_name, text.split("\n")) if name)


def find_missing(paths: Paths, names: Iterable[str]) -> tuple[str, ...] | None:
    """Returns those profiles that are not loaded; None if that is not known. Without AppArmor, none is missing."""
    names = tuple(names)
    if not names or host_labels(paths).lsm != "apparmor":
        return ()
    loaded = read_loaded(paths)
    return None if loaded is None else tuple(name for name in names if name not in loaded)


def missing_error(what: str, name: str) -> CheckpointError:
    """Returns the failure for a profile that has to be loaded by hand. ``what`` is the work, such as restore 'web'."""
    how = (
        "Load it first: 'apparmor_parser --replace FILE' with the file that defines it, or 'systemctl reload apparmor'"
    )
    if _MADE_BY_KERNEL in name:
        how = "The kernel has made it in complain mode, nobody can load it: start without the state"
    return CheckpointError(
        f"Cannot {what}: its AppArmor profile {name!r} is not loaded, and CRIU can give it no other. {how}.",
        reason="apparmor_profile_missing",
        profile=name,
    )
