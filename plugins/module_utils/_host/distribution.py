# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the family and the name of a host's distribution."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def parse_os_release(text: str) -> tuple[str, str]:
    """Returns the family (debian, redhat or other) and "ID VERSION_ID" from an os-release file."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {key.strip(): value.strip().strip("\"'") for key, value in fields.items()}
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    family = "debian" if names & {"debian", "ubuntu"} else "redhat" if names & {"rhel", "fedora", "centos"} else "other"
    return family, f"{values.get('ID', 'linux')} {values.get('VERSION_ID', '')}".strip()


def read_system(paths: Paths) -> tuple[str, str]:
    """Reads family and name of the distribution of the host."""
    for path in (paths.below("/etc/os-release"), paths.below("/usr/lib/os-release")):
        text = read_text(path)
        if text is not None:
            return parse_os_release(text)
    return "other", "linux"
