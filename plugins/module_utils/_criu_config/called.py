# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds which callers of CRIU a host has, and which CRIU each of them runs.

Every caller looks for ``criu`` in its PATH: runc (exec.Command("criu", "swrk", "3")), libcriu for crun, and lxc
(on_path). A runtime below a daemon inherits the daemon's PATH: go-runc and CRI-O's prepareEnv pass it on. Only
containerd before 2.0 takes another CRIU, with the option CriuPath of a runtime.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.inspect import find
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.callers import CALLERS, Caller
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def _path_of_unit(paths: Paths, unit: str) -> str | None:
    """Returns the PATH of the processes of a service; None if it does not run, has none, or may not be read."""
    pids = (read_text(f"{paths.cgroups}/system.slice/{unit}/cgroup.procs", may_fail=True) or "").split()
    environment = read_text(f"{paths.proc}/{pids[0]}/environ", may_fail=True) if pids else None
    entries = dict(entry.partition("=")[::2] for entry in (environment or "").split("\0"))
    return entries.get("PATH")


def find_criu(paths: Paths, caller: Caller) -> str | None:
    """Returns the CRIU that a caller runs; None if it finds none. A unit that does not run gets systemd's own PATH."""
    known = (_path_of_unit(paths, unit) for unit in caller.units)
    found = next((path for path in known if path is not None), None)
    if found is None:
        return find(paths, "criu")
    return find(paths, "criu", [folder for folder in found.split(":") if folder.startswith("/")])


def read_callers(paths: Paths) -> list[dict[str, Any]]:
    """Returns the engines and runtimes of this host that call CRIU, with the program and the CRIU of each."""
    found = []
    for caller in CALLERS:
        program = find(paths, caller.program or caller.runtime or "criu")
        runtime = find(paths, caller.runtime) if caller.runtime else program
        if program and runtime:
            found.append({"name": caller.name, "program": program, "criu": find_criu(paths, caller)})
    return found
