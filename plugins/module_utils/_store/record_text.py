# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the record of a checkpoint as JSON, and parses it."""

from __future__ import annotations

import json
from typing import Any

# A record with a different number is not understood by this release.
SCHEMA = 1


def render_record(record: Any) -> str:
    """Returns the text of a record file; ``record`` is a dataclass whose fields JSON can hold."""
    return json.dumps({"schema": SCHEMA, **vars(record)}, indent=1, sort_keys=True) + "\n"


def parse_entries(text: str | None) -> dict[str, Any] | None:
    """Returns the fields of a record file; None if this release does not understand it."""
    try:
        entries = json.loads(text or "")
    except ValueError:
        return None
    return entries if isinstance(entries, dict) and entries.pop("schema", None) == SCHEMA else None
