# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Changes one policy module of a host, or predicts it: what selinux_module and criu_policy share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._selinux import SelinuxHost
from ansible_collections.criu.hosts.plugins.module_utils._selinux_module import (
    CRIU_PROBE_CACHE,
    StoredModule,
    Surroundings,
    WantedModule,
    check_result,
    plan_module,
    predict_module,
    semodule_error,
)
from ansible_collections.criu.hosts.plugins.module_utils._selinux_store import read_module, work_dir

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._module import Context


def change_module(
    ctx: Context, host: SelinuxHost, stored: StoredModule, wanted: WantedModule
) -> tuple[StoredModule, Plan]:
    """Plan and apply; return the module as it is then (in check mode: as it would be) and the plan.

    Raises:
        CheckpointError: what semodule complains of, change_lost.
    """
    cache = host.path(CRIU_PROBE_CACHE)
    around = Surroundings(
        loaded=host.mode != "disabled",
        work_dir=work_dir(host, wanted.name),
        probe_cache=cache if os.path.exists(cache) else "",
    )
    plan = plan_module(stored, wanted, around)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise semodule_error(error.completed, wanted.name) from error
    after = predict_module(stored, wanted)
    if applied is not None:
        after = read_module(host, wanted.name)
        check_result(after, wanted)
    return after, plan
