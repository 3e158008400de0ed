# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Attributes and notes that every module shares."""

from __future__ import annotations


class ModuleDocFragment:
    # For modules that write.
    DOCUMENTATION = r"""
options: {}
notes:
  - On failure RV(reason) holds a stable, machine-readable error code.
attributes:
  check_mode:
    description: Predicts the changes of a real run without changing anything.
    support: full
  diff_mode:
    description: Returns the changes, or those that a real run would make.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: The operating systems that the module runs on.
    support: full
    platforms: linux
  action_group:
    description: Options can be set for all modules of the collection at once, with C(module_defaults).
    support: full
    membership:
      - criu.hosts.all
"""

    # For modules that only read.
    INFO = r"""
options: {}
notes:
  - On failure RV(reason) holds a stable, machine-readable error code.
attributes:
  check_mode:
    description: The module only reads, so check mode and a real run are the same.
    support: full
  diff_mode:
    description: The module changes nothing, so there is no difference to show.
    support: N/A
  idempotent:
    description: The module changes nothing.
    support: N/A
  platform:
    description: The operating systems that the module runs on.
    support: full
    platforms: linux
  action_group:
    description: Options can be set for all modules of the collection at once, with C(module_defaults).
    support: full
    membership:
      - criu.hosts.all
"""
