# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Signs the current checkpoint of a container, if it has no signature and was made on this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import place_record
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Rename, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import MANIFEST
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import (
    check_signing,
    sign_steps,
    signature_path,
    unproved,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.current import Known
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container


def late_signature(ctx: Context, key_path: str, container: Container | None, known: Known) -> tuple[Step, ...] | None:
    """Plans the signature of the current checkpoint, if it has none; None if a new one has to be made instead.

    A store may also have checkpoints that come from elsewhere, as from a registry: the key must not vouch for these. So
    only one is signed whose record this host keeps outside of the store, too, since the container is stopped in it.

    Raises:
        CheckpointError: signing_failed, tool_missing.
    """
    folder = os.path.dirname(known.path or "")
    manifest = os.path.join(folder, MANIFEST)
    signature = signature_path(manifest)
    if os.path.lexists(signature) or not os.path.lexists(manifest):
        return ()
    if container is not None and container.alive:
        return None
    if container is None or place_record(ctx.paths, container) != known.record:
        raise unproved(folder)
    check_signing(ctx.runner, key_path)
    steps = sign_steps(manifest, key_path)
    return (*steps, Rename(signature, signature, mode=0o600, why="put the signature in place at"))
