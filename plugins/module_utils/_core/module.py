# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs a module: reads its parameters, returns its Outcome, and is the only place that exits."""

from __future__ import annotations

import json
from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ModuleRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, result_of
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import stoppable, watched

# Shorter values are words such as "yes" and are not masked.
SECRET_CHARACTERS = 8


def keep_private(module: AnsibleModule, option: str) -> None:
    """Removes the values of a no_log option from the result, and lets Ansible show its other words.

    Ansible masks each value of such an option everywhere: an environment with USER=web would mask the name of the unit
    "web". So values stay masked only if they are long and no other option has them. An alias has them, too.
    """
    for name in (option, *module.argument_spec[option].get("aliases", ())):
        if name in module.params:
            module.params[name] = "not shown"
    others = json.dumps(module.params, default=str)
    values = {str(value) for value in module.no_log_values}
    module.no_log_values = {value for value in values if len(value) >= SECRET_CHARACTERS and value not in others}


def context_of(module: AnsibleModule) -> Context:
    """Returns what the work gets. The unit tests add a folder that stands for the host, and another caller."""
    return Context(params=dict(module.params), runner=ModuleRunner(module), check_mode=module.check_mode)


def execute(run: Callable[[Context], Outcome], *, private: str | None = None, **module_options: Any) -> NoReturn:
    """Builds the module, calls ``run`` once, exits once. Whatever happens, the result is one object of JSON.

    ``private`` names an option with no_log whose values no result holds (see keep_private).
    """
    module = AnsibleModule(**module_options)
    context = context_of(module)
    if private is not None:
        keep_private(module, private)

    def work() -> Outcome:
        with stoppable():
            return run(context)

    with watched(last=True):
        outcome, error = attempt("do the task", work)
        if error is not None:
            module.fail_json(msg=error.message, reason=error.reason, **error.facts)
        for warning in outcome.warnings:
            module.warn(warning)
        module.exit_json(**result_of(outcome, diff=bool(getattr(module, "_diff", False))))
