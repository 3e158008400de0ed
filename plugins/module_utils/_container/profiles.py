# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Sees to it that the AppArmor profiles of a container are loaded before it is restored, or refuses the restore."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Command, Step
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.loaded import (
    find_missing,
    missing_error,
    profiles_of,
    profiles_path,
    single_profiles,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore

PARSER = "apparmor_parser"


def wanted(work: Restore) -> tuple[str, ...]:
    """Returns the profiles that the threads had; without their labels, the one that the container was made with."""
    record, container = work.situation.record, work.situation.container
    if work.situation.before:
        return profiles_of(thread.label for thread in work.situation.before)
    known = record.apparmor_profile if record is not None else ""
    known = known or (work.engine.profile(container) if container is not None else "")
    return single_profiles((known,))


def require_profiles(work: Restore) -> tuple[Step, ...]:
    """Returns the steps that load missing profiles which the engine makes itself; none if none is missing.

    Raises:
        CheckpointError: apparmor_profile_missing, it is none of the engine's; apparmor_parser_missing.
    """
    names = wanted(work)
    missing = find_missing(work.ctx.paths, names)
    if missing is None:
        work.warnings.append(
            f"Cannot see whether the AppArmor profile {names[0]!r} of container {work.desired.target!r} is loaded: "
            f"{profiles_path(work.ctx.paths)!r} cannot be read. If the restore fails because of it, mount securityfs."
        )
        return ()
    steps: tuple[Step, ...] = ()
    for name in missing:
        steps += _load(work, name)
    return steps


def _load(work: Restore, name: str) -> tuple[Step, ...]:
    record, container = work.situation.record, work.situation.container
    image_id = record.image_id if record is not None else container.image_id if container is not None else ""
    runtime = record.runtime if record is not None else container.runtime if container is not None else ""
    steps = work.engine.profile_steps(work.desired.target, image_id, runtime, name)
    if not steps:
        raise missing_error(work.what, name)
    # Where podman looks for it, which is not always in PATH (containers/common, pkg/apparmor/internal/supported).
    if not os.path.exists(work.ctx.paths.below(f"/sbin/{PARSER}")) and work.ctx.runner.which(PARSER) is None:
        raise CheckpointError(
            f"Cannot {work.what}: its AppArmor profile {name!r} is not loaded, and {work.engine.name} needs "
            f"{PARSER} to load it. Install the package apparmor.",
            reason="apparmor_parser_missing",
            profile=name,
        )
    failures: list[CheckpointError] = []
    # The engine loads the profile before it comes to anything else that may fail, so only the last step decides.
    tried = (replace(one, tolerate=failures.append) if isinstance(one, Command) else one for one in steps)
    check = Check(partial(_require_loaded, work, name, failures), why=f"find the AppArmor profile {name!r}")
    return (*tried, check)


def _require_loaded(work: Restore, name: str, failures: list[CheckpointError]) -> None:
    """Raises apparmor_profile_missing if the profile is not loaded, with what the engine said."""
    if find_missing(work.ctx.paths, (name,)) != (name,):
        return
    said = f": {failures[0].message.rstrip('.')}" if failures else ""
    raise CheckpointError(
        f"Cannot {work.what}: its AppArmor profile {name!r} is not loaded, and {work.engine.name} has not loaded "
        f"it{said}. Check that tunables/global and abstractions/base in /etc/apparmor.d are those of the package "
        "apparmor.",
        reason="apparmor_profile_missing",
        profile=name,
    )
