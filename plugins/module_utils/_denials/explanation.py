# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines the explanation of a denial."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy


@dataclass(frozen=True)
class Explanation:
    """The explanation of a denial; ``matters`` is yes, no, unknown or unrelated."""

    id: str | None
    verdict: str
    cause: str
    matters: str
    remedy: Remedy
    candidate_rule: str | None = None
    recorded: tuple[str, ...] = ()
