# SPDX-License-Identifier: GPL-3.0-or-later
"""What stand-ins for a host's programs and modules begin with, when a whole playbook is tried on them."""

from __future__ import annotations

# Each stand-in reads and writes the one file that is the host.
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
