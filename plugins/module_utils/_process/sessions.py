# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump of a process that is not the leader of its session, unless shell_job is set, as CRIU would do."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import read_files
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG, user_config
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, comm_of, stat_fields
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import inner_pid
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions


def session_of(paths: Paths, pid: int) -> int:
    """Returns the session of a process, which has the id of its leader; 0 if it is not known."""
    fields = stat_fields(paths, pid)
    return int(fields[3]) if len(fields) > 3 and fields[3].isdigit() and len(fields[3]) < 11 else 0


def _is_set(paths: Paths, option: str) -> bool:
    """Returns whether CRIU's configuration of the host or the user sets an option; also if it cannot be read."""
    lines = read_files(paths, (DEFAULT_CONFIG, user_config()))
    return lines is None or any(line.name == option for line in lines)


def refuse_foreign_session(paths: Paths, process: Process, options: ProcessOptions) -> None:
    """Refuses when the session belongs to a process that is not dumped; a pre-dump does not need the session.

    Raises:
        CheckpointError: shell_job_needed.
    """
    leader = session_of(paths, process.pid)
    if options.shell_job or options.pre_dump or leader in (0, process.pid):
        return
    # In a pid namespace of its own, the processes see different numbers.
    nested = inner_pid(read_text(f"{paths.proc}/{process.pid}/status") or "") != str(process.pid)
    if nested or _is_set(paths, "shell-job"):
        return
    comm = comm_of(paths, leader)
    whose = f"process {leader} ({comm!r})" if comm else f"process {leader}, which has ended"
    raise CheckpointError(
        f"Cannot checkpoint {process.text}: its session belongs to {whose}, as with a job of a shell or a daemon that "
        "forks twice. Set shell_job.",
        reason="shell_job_needed",
    )
