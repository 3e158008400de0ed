# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the work gets, in a module and in the program of a stateful unit: nothing of Ansible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._apply import Applied, apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._plan import Plan


@dataclass(frozen=True)
class Context:
    """The parameters, a runner for reading commands, and the way to apply a plan."""

    params: dict[str, Any]
    runner: Runner
    check_mode: bool

    def apply(self, plan: Plan) -> Applied | None:
        """Carry out ``plan``; None in check mode or when there is nothing to do. This is the only check-mode test."""
        if self.check_mode or not plan.changed:
            return None
        return apply_plan(self.runner, plan)
