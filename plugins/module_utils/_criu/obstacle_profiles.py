# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The signs of AppArmor profiles in which threads cannot be restored, although CRIU dumps them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacle_signs import Around
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import Sight
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import Profile


def _profiles(sight: Sight, around: Around) -> Iterator[Profile]:
    """Yields the profiles of the threads of a process; none if AppArmor does not label on this host."""
    labels = host_labels(around.paths)
    if labels.lsm != "apparmor":
        return
    # Hosts with SELinux need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import parse_profile

    folder = f"{around.paths.proc}/{sight.pid}/task"
    try:
        tasks = sorted(os.listdir(folder), key=int)
    except OSError:
        return
    found = (labels.thread(f"{folder}/{task}") for task in tasks)
    yield from (parse_profile(text) for text in found if text)


def blank_names(sight: Sight, around: Around) -> Iterator[str]:
    """apparmor_get_label in criu/lsm.c scans one word; what CRIU restores is the profile of that name, or fails."""
    for one in _profiles(sight, around):
        if one.has_blank:
            yield (
                f"has the AppArmor profile {shown(one.name)}, of whose name CRIU saves no more than "
                f"{shown(one.in_images)}, so that it would come back in a different profile"
            )


def stacks(sight: Sight, around: Around) -> Iterator[str]:
    """The kernel refuses a stack to a confined thread. CRIU has code of its own for stacks with a policy namespace."""
    for one in _profiles(sight, around):
        if one.stacked and not one.in_namespace:
            yield f"has the AppArmor profiles {shown(one.name)} as a stack, which the kernel does not let it take again"
