# SPDX-License-Identifier: GPL-3.0-or-later
"""A CRIU without SELinux is refused in one clear line, and does no harm."""

from __future__ import annotations

from typing import Any, Callable


def test_criu_without_selinux_is_refused(seen_by: Callable[..., dict[str, Any]]) -> None:
    seen = seen_by("../enabled_host/criu_without_selinux.yml")
    message = seen["answer"]["msg"]
    assert seen["answer"]["reason"] == "criu_without_selinux", message
    assert "\n" not in message and "Traceback" not in message and message.endswith(".")
    assert seen["status"] == "running"
