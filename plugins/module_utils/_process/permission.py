# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a CRIU that has no capabilities for a user other than root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# check_caps in criu/crtools.c asks for one of those; the numbers are those of linux/capability.h.
NEEDED = ("cap_checkpoint_restore", "cap_sys_admin")
BITS = 1 << 40 | 1 << 21


def refuse_without_capabilities(ctx: Context, criu: Criu, what: str) -> None:
    """Refuses a CRIU to which neither its file nor the user's session gives the capability that it asks for first.

    Raises:
        CheckpointError: criu_not_permitted.
    """
    if ctx.is_root:
        return
    # Root need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._criu.program import read_capability_attribute
    from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities
    from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
    from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import parse_status

    attribute = read_capability_attribute(os.path.realpath(criu.path))
    found = parse_capabilities(attribute)
    if (found is None and attribute) or (found is not None and {*found["permitted"]} & {*NEEDED}):
        return
    ambient = parse_status(read_text(f"{ctx.paths.proc}/self/status", may_fail=True) or "").get("CapAmb", (0,))
    if ambient and ambient[0] & BITS:
        return
    raise CheckpointError(
        f"Cannot use {criu.path!r} for {what}: this user is not root, and the file has no capabilities, so CRIU "
        "refuses to work. Give it capabilities with criu_non_root, or set become.",
        reason="criu_not_permitted",
        path=criu.path,
    )
