# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a container has mounted from the host, from the configuration that podman gives to the OCI runtime.

Podman keeps it as config.json beside the container and restores with it; an archive has it as spec.dump.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._engines import oci
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, Container
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# Podman's own files of a container, such as its /etc/hosts and its secrets, whatever the storage driver.
_OWN = re.compile(r"/[a-z0-9]{1,32}-containers/[0-9a-f]{64}/userdata(?:/|\Z)")


def read_binds(container: Container) -> tuple[Bind, ...]:
    """Returns the binds of a container that podman has started once; none if the configuration cannot be read."""
    folder = container.own["work_dir"]
    text = read_text(f"{folder}/config.json", may_fail=True) if folder else None
    try:
        return parse_binds(parse_object(text))
    except ValueError:
        return ()


def parse_binds(config: dict[str, Any]) -> tuple[Bind, ...]:
    """Returns the binds in a configuration that podman has written."""
    return oci.parse_binds(config, lambda source: bool(_OWN.search(source)))
