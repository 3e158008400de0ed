# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump whose images could not be restored, although CRIU would make them and end the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import NoLabels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_tree
from ansible_collections.criu.hosts.plugins.module_utils._process.activation import refuse_activated
from ansible_collections.criu.hosts.plugins.module_utils._process.descriptors import read_descriptors
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.pipes import refuse_outside_pipes
from ansible_collections.criu.hosts.plugins.module_utils._process.sessions import refuse_foreign_session
from ansible_collections.criu.hosts.plugins.module_utils._process.target import Target
from ansible_collections.criu.hosts.plugins.module_utils._process.unix_peers import refuse_outside_sockets

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def refuse_unrestorable(ctx: Context, target: Target, process: Process, options: ProcessOptions) -> None:
    """Refuses what cannot be restored.

    Raises:
        CheckpointError: shell_job_needed, socket_activated, pipe_outside, socket_outside.
    """
    refuse_foreign_session(ctx.paths, process, options)
    if target.unit is not None:
        refuse_activated(ctx.runner, target.unit)
    inside = read_tree(ctx.paths, process.pid, NoLabels())
    descriptors = tuple(one for pid in inside for one in read_descriptors(ctx.paths, pid))
    refuse_outside_pipes(ctx.paths, process, frozenset(inside), descriptors)
    refuse_outside_sockets(ctx.paths, process, descriptors)
