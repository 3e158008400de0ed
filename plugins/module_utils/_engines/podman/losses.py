# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports before a dump what Podman will not restore with a container.

Secrets below /run/secrets: Podman recreates that folder of the container empty for a restore from an archive and
at the first use after a boot. CRIU then has nowhere to mount the secret: "Can't stat mountpoint" (seen with Podman
5.4.2, crun, CRIU 4.2.1). The mount point of any other path is in the container's own files, which stay with it.

Loopback of a container without network: runc 1.1.15 lets CRIU restore an empty network namespace (--empty-ns), where
loopback is down; crun 1.21 makes it as at the start, and a bridge has it up.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text, read_xattr


def unlabelled_warning(enabled: bool) -> tuple[str, ...]:
    """What to do when Podman's files were made while SELinux was off: units may not use them, a root shell may."""
    label = read_xattr(PLACES.storage, "security.selinux") if enabled else ""
    if label.split(":")[2:3] not in (["unlabeled_t"], ["file_t"]):
        return ()
    return (
        f"{PLACES.storage!r} has the label {label!r}: it was made while SELinux was off, and Podman started by systemd "
        "may not use it. Let restorecon -R correct it (the role criu.hosts.criu_selinux does).",
    )


FOLDER = "/run/secrets"
ADVICE = "Make the container with a target for the secret that is a path outside of /run/secrets"


def parse_secret_mounts(text: str) -> list[str]:
    """The secrets below /run/secrets in the configuration of an OCI runtime."""
    try:
        found: Any = json.loads(text)
        targets = [str(mount["destination"]) for mount in found["mounts"]]
    except (ValueError, KeyError, TypeError):
        return []
    return sorted(target for target in targets if target.startswith(f"{FOLDER}/"))


def check_losses(container: Container, archive_path: str | None) -> tuple[str, ...]:
    """Warnings about what does not come back.

    Raises:
        CheckpointError: secret_not_restorable; an archive could never be restored.
    """
    warnings = _loopback(container)
    found = parse_secret_mounts(read_text(f"{container.own['work_dir']}/config.json") or "")
    if not found:
        return warnings
    what = f"container {container.name!r} has the secret {found[0]!r}, whose mount point Podman does not keep"
    if archive_path is not None:
        raise CheckpointError(
            f"Cannot checkpoint to {archive_path!r}: {what}, so that no restore from an archive succeeds. {ADVICE}.",
            reason="secret_not_restorable",
        )
    return (*warnings, f"The checkpoint can be restored until the next boot only: {what}. {ADVICE}.")


def _loopback(container: Container) -> tuple[str, ...]:
    if container.own["network"] != "none" or os.path.basename(container.runtime) != "runc":
        return ()
    return (
        f"Container {container.name!r} has no network, and its loopback will be down after a restore by runc. If it "
        "uses loopback, make it with crun or with a bridge.",
    )
