# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the annotations that podman gives to the image of a checkpoint (libpod/define/annotations.go).

podman inspect shows them. A restore from the image does not read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_number
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
from ansible_collections.criu.hosts.plugins.module_utils._store.oci import ARCHITECTURES

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest

PREFIX = "io.podman.annotations.checkpoint."


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """Returns podman's annotations of a checkpoint, without those whose values are not known; none of other engines."""
    record, host = manifest.record, manifest.host
    if record.get("engine") != "podman":
        return {}
    found = {
        "name": manifest.name,
        "rawImageName": record.get("image"),
        "rootfsImageID": record.get("image_id"),
        "rootfsImageName": record.get("image"),
        "podman.version": host.engine_version,
        "criu.version": version_number(host.criu or record.get("criu") or None),
        "runtime.name": host.runtime or record.get("runtime"),
        "runtime.version": host.runtime_version,
        "host.arch": ARCHITECTURES.get(host.architecture, host.architecture),
        "host.kernel": host.kernel,
        "cgroups.version": f"v{host.cgroup_version}" if host.cgroup_version else "",
    }
    return {f"{PREFIX}{key}": str(value) for key, value in found.items() if value}


def host_in(notes: Mapping[str, str]) -> Host:
    """Returns the host that the annotations of an image describe; ``notes`` are these without PREFIX."""
    architecture = notes.get("host.arch", "")
    there = {there: here for here, there in ARCHITECTURES.items()}
    return Host(
        architecture=there.get(architecture, architecture),
        kernel=notes.get("host.kernel", ""),
        engine="podman",
        engine_version=notes.get("podman.version", ""),
        runtime=notes.get("runtime.name", ""),
        cgroup_version=int(notes.get("cgroups.version") == "v2") * 2,
    )
