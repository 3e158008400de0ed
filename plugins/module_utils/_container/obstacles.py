# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses to checkpoint a container that CRIU is certain to refuse."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacles import look_around
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import refuse_obstacles
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# The files that CRIU may read for a runtime. Which one a version of crun names is not looked up: each counts.
FILES = (DEFAULT_CONFIG, "/etc/criu/runc.conf", "/etc/criu/crun.conf")
# Always named to CRIU by runc, unless the container has the annotation org.criu.config.
RUNC_FILE = "/etc/criu/runc.conf"


def refuse_obstacles_of(ctx: Context, container: Container, criu: Criu) -> None:
    """Refuses a dump that CRIU is certain to refuse, for its configuration or for what the processes have open.

    Raises:
        CheckpointError: config_broken, or a reason of _criu/obstacles.py.
    """
    named = (container.criu_config,) if container.criu_config else ()
    if os.path.basename(container.runtime) == "runc" and os.path.isfile(ctx.paths.below((*named, RUNC_FILE)[0])):
        # A host without the file need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._criu.config_error import refuse_config

        refuse_config(ctx.paths, ctx.runner, criu.path, (*named, RUNC_FILE)[0])
    around = look_around(ctx.paths, container.pid, criu.version)
    refuse_obstacles(around, (*FILES, *named), f"container {container.name!r}")
