# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports before a dump what Podman will not restore with a container.

Secrets below /run/secrets: Podman recreates that folder of the container empty for a restore from an archive and
at the first use after a boot. CRIU then has nowhere to mount the secret: "Can't stat mountpoint" (seen with Podman
5.4.2, crun, CRIU 4.2.1). The mount point of any other path is in the container's own files, which stay with it.

Loopback of a container without network: runc 1.1.15 lets CRIU restore an empty network namespace (--empty-ns), where
loopback is down; crun 1.21 makes it as at the start, and a bridge has it up. That matters only to a container with an
internet socket on a loopback address or on all addresses.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from typing import Union

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import objects, word, work_dir
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text, read_xattr


def unlabelled_warning(storage: str) -> tuple[str, ...]:
    """Warns if Podman's files were made while SELinux was off: units cannot use them, although a root shell can."""
    label = read_xattr(storage, "security.selinux") if storage else ""
    if label.split(":")[2:3] not in (["unlabeled_t"], ["file_t"]):
        return ()
    return (
        f"{storage!r} has the label {label!r}: it was made while SELinux was off, and Podman started by systemd "
        "may not use it. Let restorecon -R correct it (the role criu.hosts.criu_selinux does).",
    )


FOLDER = "/run/secrets"
ADVICE = "Make the container with a target for the secret that is a path outside of /run/secrets"


def parse_secret_mounts(text: str) -> list[str]:
    """Returns the secrets below /run/secrets in the configuration of an OCI runtime."""
    try:
        mounts = objects(parse_object(text).get("mounts"), "mounts")
        targets = [word(mount, "destination") for mount in mounts]
    except ValueError:
        return []
    return sorted(target for target in targets if target.startswith(f"{FOLDER}/"))


def check_losses(container: Container, archive_path: str | None, proc: str) -> tuple[str, ...]:
    """Warns about what a restore does not bring back.

    Raises:
        CheckpointError: secret_not_restorable; an archive could never be restored.
    """
    warnings = _loopback(container, proc)
    found = parse_secret_mounts(read_text(f"{work_dir(container)}/config.json", may_fail=True) or "")
    if not found:
        return warnings
    what = f"container {container.name!r} has the secret {found[0]!r}, whose mount point Podman does not keep"
    if archive_path is not None:
        raise CheckpointError(
            f"Cannot checkpoint to {archive_path!r}: {what}, so that no restore from an archive succeeds. {ADVICE}.",
            reason="secret_not_restorable",
        )
    return (*warnings, f"The checkpoint can be restored until the next boot only: {what}. {ADVICE}.")


Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
SOCKETS = ("tcp", "tcp6", "udp", "udp6")


def parse_address(digits: str) -> Address:
    """Returns an address that the kernel prints as one or four words of 32 bits in the byte order of the host."""
    words = [int(digits[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return getattr(address, "ipv4_mapped", None) or address


def parse_local_addresses(text: str) -> list[Address]:
    """Returns the local address of each socket in ``/proc/PID/net/tcp``, ``tcp6``, ``udp`` or ``udp6``."""
    rows = [line.split() for line in text.split("\n")]
    return [
        parse_address(row[1].partition(":")[0])
        for row in rows
        if len(row) > 2 and row[0].rstrip(":").isdigit() and re.match(r"(?:[0-9A-F]{8}|[0-9A-F]{32}):", row[1])
    ]


def uses_loopback(pid: int, proc: str) -> bool:
    """Returns whether the network namespace of a process has sockets on loopback; True if that cannot be read."""
    texts = [read_text(f"{proc}/{pid}/net/{name}", may_fail=True) for name in SOCKETS]
    if texts[0] is None:
        return True
    addresses = [address for text in texts for address in parse_local_addresses(text or "")]
    return any(address.is_loopback or address.is_unspecified for address in addresses)


def _loopback(container: Container, proc: str) -> tuple[str, ...]:
    if container.own["network"] != "none" or os.path.basename(container.runtime) != "runc":
        return ()
    if not uses_loopback(container.pid, proc):
        return ()
    return (
        f"Container {container.name!r} has no network and uses loopback, which will be down after a restore by runc. "
        "Use crun or a bridge for it.",
    )
