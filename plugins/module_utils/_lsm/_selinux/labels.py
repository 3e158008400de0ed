# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the SELinux contexts of threads, sockets and mounts."""

from __future__ import annotations

import re
from typing import Mapping

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_attribute, read_xattr

_CONTEXT = re.compile(r'(?:^|,)((?:fs|def|root)?context)=("[^"]*"|[^,]*)')


class SelinuxLabels:
    """Reads SELinux contexts."""

    lsm = "selinux"

    def thread(self, task: str) -> str | None:
        return _context(read_attribute(f"{task}/attr/current"))

    def sockcreate(self, task: str) -> str | None:
        return _context(read_attribute(f"{task}/attr/sockcreate"))

    def socket(self, descriptor: str) -> str:
        return read_xattr(descriptor, "security.selinux")

    def mounts(self, mountinfo: str) -> Mapping[str, str]:
        return parse_mounts(mountinfo)


def _context(text: str | None) -> str | None:
    return None if text is None else text.rstrip("\0\n")


def parse_mounts(text: str) -> dict[str, str]:
    """Returns the context options of each mount point, from mountinfo. The last mount at a mount point counts."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        left, dummy, right = line.partition(" - ")
        fields, options = left.split(" "), right.split(" ")
        if len(fields) > 4 and len(options) > 2:
            contexts = [f"{name}={value.strip(chr(34))}" for name, value in _CONTEXT.findall(options[2])]
            found[fields[4]] = ",".join(sorted(contexts))
    return {place: contexts for place, contexts in found.items() if contexts}
