# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses an archive that the trust policy of the host does not accept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import image_record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record import record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.trust_check import require_trust

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


def require_trusted(
    ctx: Context,
    engine: Engine,
    desired: Desired,
    sha256: str,
    image: CheckpointImage | None = None,
    previous: str = "",
) -> None:
    """Refuses an archive or image that the policy does not accept, with every reason.

    ``sha256`` is that of the whole archive, if it is known already; ``previous`` the archive of the pre-checkpoint that
    it needs. An image has no manifest that could be signed. A checkpoint in place is none of these: it has never left
    the engine's storage on this host.

    Raises:
        CheckpointError: trust_refused, trust_policy_invalid, tool_missing, timed_out.
    """
    what = f"restore container {desired.target!r} from {desired.origin!r}"
    if image is not None:
        found, beside = image, image_record_path(ctx.paths, image.name)
        require_trust(ctx, what, beside, dict, lambda: engine.images.spec(found))
        return
    path = desired.archive_path or ""

    def digests() -> dict[str, str]:
        beside = record_path(path)
        found = {beside: file_sha256(beside)} if os.path.lexists(beside) else {}
        return {os.path.basename(one): digest for one, digest in {**found, path: sha256 or file_sha256(path)}.items()}

    def describe() -> Spec | None:
        # Its digest is in the record, which is signed with the archive: so only what is in it has to be judged.
        if previous:
            engine.check_previous(previous)
        return engine.spec(path)

    require_trust(ctx, what, path, digests, describe)
