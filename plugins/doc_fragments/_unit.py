# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The reasons that the program of a stateful unit may give."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
notes:
  - The program of a stateful unit gives the reasons of M(criu.hosts.container_checkpoint) and
    M(criu.hosts.container_restore), in the journal and in what M(criu.hosts.container_unit_info) returns as C(last).
    They are V(criu_missing), V(criu_too_old), V(criu_without_selinux), V(policy_missing), V(new_name_with_tcp) and
    V(unit_invalid).
"""
