# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names what podman can do, and its flags for the options of a checkpoint or restore."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Abilities, Options

# What a release lacks is in restore_options.py.
ABILITIES = Abilities(
    in_place=True,
    archive=True,
    new_name=True,
    leave_running=True,
    tcp_established=True,
    tcp_close=True,
    file_locks=True,
    pre_dump=True,
    publish=True,
    ignore_static_ip=True,
    ignore_static_mac=True,
    pipe=True,
    image=True,
)


def flags(options: Options, *, archive: bool) -> list[str]:
    """Returns the flags that a checkpoint and a restore have both."""
    known = [
        ("--keep", options.keep),
        ("--tcp-established", options.tcp_established),
        ("--file-locks", options.file_locks),
        ("--ignore-rootfs", options.ignore_rootfs and archive),
        ("--ignore-volumes", options.ignore_volumes and archive),
    ]
    return [flag for flag, wanted in known if wanted]


def restore_flags(options: Options, *, archive: bool) -> list[str]:
    """Returns the flags of a restore."""
    known = [
        ("--tcp-close", options.tcp_close),
        ("--ignore-static-ip", options.ignore_static_ip),
        ("--ignore-static-mac", options.ignore_static_mac),
    ]
    ports = [f"--publish={port}" for port in options.publish if archive]
    return [*flags(options, archive=archive), *(flag for flag, wanted in known if wanted), *ports]
