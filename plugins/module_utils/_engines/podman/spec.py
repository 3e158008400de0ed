# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers what a container of podman would bring to a host, for the trust policy."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import parse_spec
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


def read_spec(container: Container) -> Spec | None:
    """Returns what a container has that podman has started once; None if its configuration cannot be read."""
    folder = container.own["work_dir"]
    text = read_text(f"{folder}/config.json", may_fail=True) if folder else None
    try:
        spec = parse_object(text)
        known = {"id": container.id, "rootfsImageName": container.image, "ProcessLabel": container.process_label}
        return parse_spec(known, spec)
    except ValueError:
        return None
