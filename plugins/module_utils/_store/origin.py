# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out on which host a checkpoint was made: from its manifest, and without one from what its record has.

It also names the user who makes one now.
"""

from __future__ import annotations

import os
from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.loaded import profiles_of, single_profiles
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host, parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

UNKNOWN = Host()
_NOBODY = (1 << 32) - 1


def lsm_of(record: Record) -> str:
    """Returns the LSM whose labels the threads had, which CRIU restores: selinux, apparmor or none."""
    if record.process_label and record.selinux != "disabled":
        return "selinux"
    named = profiles_of(one["label"] for one in record.labels) or single_profiles((record.apparmor_profile,))
    return "apparmor" if named else "none"


def host_of(record: Record, host: Host = UNKNOWN) -> Host:
    """Returns the host of a container's checkpoint; ``host`` is the one in its manifest."""
    return replace(
        host, criu=host.criu or record.criu, engine=host.engine or record.engine, lsm=lsm_of(record), lsm_mode=""
    )


def process_host_of(record: ProcessRecord, host: Host = UNKNOWN) -> Host:
    """Returns the host of a process checkpoint; ``host`` is the one in its manifest."""
    selinux = record.selinux not in ("", "disabled")
    lsm = "selinux" if selinux else "apparmor" if profiles_of(record.profiles) else "none"
    return replace(host, criu=host.criu or record.criu, lsm=lsm, lsm_mode="")


def origin_of(record: Record | None, archive_path: str | None) -> Host | None:
    """Returns the host on which the checkpoint in place, or in this archive, was made; None if nothing says it."""
    if record is None:
        return None
    if archive_path is None:
        return host_of(record)
    # A restore in place need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._store.folder import MANIFEST
    from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own

    try:
        data = read_own(os.path.join(os.path.dirname(archive_path), MANIFEST))
        found = parse_manifest(data) if data is not None else None
    except ValueError:  # something else has this name
        found = None
    ours = found is not None and os.path.basename(archive_path) in {part.name for part in found.parts}
    return host_of(record, found.host if found is not None and ours else UNKNOWN)


def who(paths: Paths) -> str:
    """Returns the name of the user who has logged in; without a login, as in a systemd unit, that of the task's."""
    import pwd  # only a stored checkpoint needs it

    text = (read_text(f"{paths.proc}/self/loginuid", may_fail=True) or "").strip()
    uid = int(text) if text.isdigit() and int(text) != _NOBODY else os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
