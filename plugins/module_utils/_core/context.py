# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds the parameters and the access to the host, for modules and for the program of a stateful unit."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ContextManager

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.apply import Applied

# When the task began: only what was denied since is its own.
STARTED = time.time()


@dataclass(frozen=True)
class Context:
    """The parameters, a runner for reading commands, the way to apply a plan, the host's paths, and who runs us."""

    params: dict[str, Any]
    runner: Runner
    check_mode: bool
    paths: Paths = field(default_factory=Paths)
    uid: int = field(default_factory=os.geteuid)

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    def hold(self, kind: str, thing: str, *, seconds: float | None = None) -> ContextManager[None]:
        """Holds the lock of a thing for the time of a block, from the look to the last step; none in check mode.

        Kinds and things: container and its name, images and their folder, archive and its path, unit and its name,
        store and the folder of a container in it, process and its pid (or, for a restore, the digest of its images),
        config and its path, criu and the installation, selinux and what is changed. The kernel frees the lock when
        this process has ended, and every command that it runs with ``finish``. ``seconds``: how long to wait for a
        task that holds it (lock.HOLD_SECONDS).

        Raises:
            CheckpointError: busy, file_failed.
        """
        if self.check_mode:
            return nullcontext()
        from ansible_collections.criu.hosts.plugins.module_utils._core.lock import hold, lock_path

        return hold(lock_path(self.paths, self.uid, kind, thing), f"{kind} {thing!r}", seconds)

    def ending(self, pipe: str) -> ContextManager[None]:
        """Lets a command end that a killed task has left at a named pipe, for the time of a block.

        The caller holds the lock of the thing; check mode holds none, so the task may be alive, and nothing is done.
        """
        if self.check_mode or not os.path.lexists(pipe):
            return nullcontext()
        from ansible_collections.criu.hosts.plugins.module_utils._core.abandoned import served

        return served(pipe)

    def apply(self, plan: Plan) -> Applied | None:
        """Carries out ``plan``; None in check mode or without steps. Check mode is tested here only."""
        if self.check_mode or not plan.changed:
            return None
        # Most tasks find nothing to do: they need not compile this. An archive of modules is compiled at each start.
        from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan

        return apply_plan(self.runner, plan)
