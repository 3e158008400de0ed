# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Warns about threads in AppArmor hats, which a restore locks in."""

from __future__ import annotations

from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import parse_profile
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread


def hat_warning(threads: Iterable[Thread], what: str) -> tuple[str, ...]:
    """Returns the warning about the threads of ``what`` in a hat. By its name, a child profile may be one, too.

    A thread leaves a hat with the token that it has entered it with (aa_change_hat(2)); the token is in the kernel, and
    CRIU does not save it.
    """
    found = [one for one in threads if parse_profile(one.label).hat]
    if not found:
        return ()
    count = f"{len(found)} threads of {what} are" if len(found) > 1 else f"A thread of {what} is"
    return (
        f"{count} in a hat or child profile of AppArmor, such as "
        f"{shown(parse_profile(found[0].label).name)}. A thread in a hat cannot leave it after the restore.",
    )
