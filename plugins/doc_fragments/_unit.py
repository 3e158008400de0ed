# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A note on the program of a stateful unit."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
notes:
  - The program of a stateful unit checkpoints and restores as M(criu.hosts.container_checkpoint) and
    M(criu.hosts.container_restore) do. It reports a failure, with the reason that these modules give, in the journal
    and in RV(criu.hosts.container_unit_info#module:container_units[].last).
"""
