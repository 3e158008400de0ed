# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides the common beginning of stand-ins for a host's programs and modules, to test whole playbooks."""

from __future__ import annotations

# Each stand-in reads and writes the same file, which represents the host.
HOST = """\
import json, os
PATH = os.environ["STAND_IN"]
def load():
    with open(PATH) as handle:
        return json.load(handle)
def save(host):
    with open(PATH, "w") as handle:
        json.dump(host, handle)
"""
