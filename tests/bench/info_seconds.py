# SPDX-License-Identifier: GPL-3.0-or-later
"""Call criu_info's run() repeatedly on this machine; print its seconds and those of the tools that it called.

info_seconds.py FOLDER ROUNDS    FOLDER contains ansible_collections/criu/hosts

Ansible is not needed: run() gets a runner that measures each command.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from types import ModuleType
from typing import Any, Sequence

PLUGINS = "ansible_collections.criu.hosts.plugins"


def replace_ansible() -> None:
    """Register empty modules in place of Ansible, so that the collection can be imported without it."""
    for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
        sys.modules[name] = ModuleType(name)
    sys.modules["ansible.module_utils.basic"].AnsibleModule = object  # type: ignore[attr-defined]


class TimedRunner:
    """Runs commands as the real runner does, and keeps their seconds."""

    def __init__(self, completed: Any) -> None:
        self.completed = completed
        self.seconds: list[float] = []

    def which(self, program: str) -> str | None:
        return shutil.which(program)

    def run(self, argv: Sequence[str], **dummy_options: Any) -> Any:
        began = time.monotonic()
        env = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
        done = subprocess.run(list(argv), capture_output=True, text=True, env=env, check=False)
        self.seconds.append(time.monotonic() - began)
        return self.completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def measure(criu_info: Any, context: Any, completed: Any) -> dict[str, Any]:
    """Measure one call."""
    runner = TimedRunner(completed)
    began = time.monotonic()
    outcome = criu_info.run(context({"gather": list(criu_info.SUBSETS), "features": []}, runner, False))
    seconds = time.monotonic() - began
    ready = [intent for intent, answer in outcome.value["readiness"].items() if answer["ready"]]
    return {"run": seconds, "tools": sum(runner.seconds), "processes": len(runner.seconds), "ready": ready}


def main() -> None:
    folder, rounds = sys.argv[1], int(sys.argv[2])
    replace_ansible()
    sys.path.insert(0, folder)
    criu_info = importlib.import_module(f"{PLUGINS}.modules.criu_info")
    context = importlib.import_module(f"{PLUGINS}.module_utils._core.context").Context
    completed = importlib.import_module(f"{PLUGINS}.module_utils._core.command").Completed
    print(json.dumps([measure(criu_info, context, completed) for dummy in range(rounds)]))


if __name__ == "__main__":
    main()
