# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Explains that a container is in a namespace of containerd that belongs to somebody else."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import NAMESPACE, STATE

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths

OWNERS = {"moby": "Docker", "k8s.io": "the kubelet", "buildkit": "BuildKit"}


def refuse_elsewhere(paths: Paths, name: str, what: str) -> None:
    """Refuses a container whose task is in a different namespace.

    Raises:
        CheckpointError: engine_mismatch, the namespace is that of a different engine; container_missing.
    """
    for path in sorted(glob.glob(f"{glob.escape(paths.below(STATE))}/*/{glob.escape(name)}")):
        space = os.path.basename(os.path.dirname(path))
        owner = OWNERS.get(space)
        if owner is not None:
            raise CheckpointError(
                f"Cannot {what}: it is in the namespace {space!r} of containerd and belongs to {owner}, which would "
                f"take its end for a crash. Let {owner} checkpoint it.",
                reason="engine_mismatch",
            )
        if space != NAMESPACE:
            raise CheckpointError(
                f"Cannot {what}: it is in the namespace {shown(space)} of containerd, and the collection works with "
                f"the namespace {NAMESPACE!r}. Make the container there.",
                reason="container_missing",
            )
