# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names that the collection itself gives: labels, booleans, domains, headers, files."""

from __future__ import annotations

KDAT = "/run/criu.kdat"
BOOLEAN = "criu_container_restore"
# Lets a root shell give a process the label that it had: Fedora's policy has it, ours where the host's has not.
DYNTRANS_BOOLEAN = "unconfined_dyntrans_all"
# container-selinux (Fedora, RHEL) leaves the capabilities of containers to the container's own set with this one.
DISTRIBUTION_BOOLEAN = "virt_sandbox_use_all_caps"
NAME = "criu_hosts"
RESTORE = "criu_container_restore"
DYNTRANS = "unconfined_dyntrans_all"
RECORD = "criu-hosts.json"
# The first line of every file of ours: what has none is somebody else's.
HEADER = "# Made by criu.hosts.container_unit: what is changed here is lost."
UNIT_LABEL = "criu.hosts.unit"
