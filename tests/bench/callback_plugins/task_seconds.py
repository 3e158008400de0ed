# SPDX-License-Identifier: GPL-3.0-or-later
"""Append a JSON line with the name and the seconds of every task to the file TASK_SECONDS."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_seconds
type: aggregate
short_description: Write the seconds of each task
description: Appends a JSON line with the name and the seconds of every task to the file TASK_SECONDS.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_seconds"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._began = time.monotonic()

    def _write(self, result: Any, outcome: str) -> None:
        task = result.task
        line = {"name": task.get_name(), "action": task.action, "outcome": outcome}
        line["seconds"] = time.monotonic() - self._began
        line["changed"] = bool(result.result.get("changed"))
        with open(os.environ["TASK_SECONDS"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write(result, "skipped")
