# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a value of an option that an argument spec cannot refuse."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

_LENGTH = 100


def option_invalid(option: str, value: object, why: str, advice: str) -> CheckpointError:
    """Returns the refusal; a long value is cut in the message."""
    return CheckpointError(
        f"Cannot use {option} {str(value)[:_LENGTH]!r}: {why}. {advice}", reason="option_invalid", option=option
    )
