# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Attribute texts that every module shares."""

from __future__ import annotations


class ModuleDocFragment:
    # Modules that write: state their own support of idempotent.
    DOCUMENTATION = r"""
options: {}
notes:
  - A failure returns C(reason), a stable word to branch on. Any module may return
    V(tool_failed) (a command failed), V(tool_missing) (a command is not installed), V(file_failed) (a file
    cannot be written), V(disk_full) (no space left), V(unpack_failed) (an archive is damaged or unsafe),
    V(busy) (another task is at work in the same folder) or V(interrupted) (the task was told to stop).
attributes:
  check_mode:
    description: Predicts what a real run would change, and changes nothing.
    support: full
  diff_mode:
    description: Returns what changed, or would change in check mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: The operating systems that the module runs on.
    support: full
    platforms: linux
  action_group:
    description: The module's options can be given once for all modules with C(module_defaults).
    support: full
    membership:
      - criu.hosts.all
"""

    # Modules that only read.
    INFO = r"""
options: {}
notes:
  - A failure returns C(reason), a stable word to branch on. Any module may return
    V(tool_failed) (a command failed), V(tool_missing) (a command is not installed), V(file_failed) (a file
    cannot be written), V(disk_full) (no space left), V(unpack_failed) (an archive is damaged or unsafe),
    V(busy) (another task is at work in the same folder) or V(interrupted) (the task was told to stop).
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
    description: The module's options can be given once for all modules with C(module_defaults).
    support: full
    membership:
      - criu.hosts.all
"""
