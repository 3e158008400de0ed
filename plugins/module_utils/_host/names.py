# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names that the collection itself gives: labels, booleans, domains, headers, files."""

from __future__ import annotations

# Where CRIU keeps what it found out about the kernel; another policy or another CRIU makes it wrong.
KDAT = "/run/criu.kdat"
RESTORE_BOOLEAN = "criu_container_restore"
# Lets a root shell give a process the label that it had: Fedora's policy has it, ours where the host's has not.
DYNTRANS_BOOLEAN = "unconfined_dyntrans_all"
# container-selinux (Fedora, RHEL) leaves the capabilities of containers to the container's own set with this one.
DISTRIBUTION_BOOLEAN = "virt_sandbox_use_all_caps"
BOOLEANS = (DYNTRANS_BOOLEAN, RESTORE_BOOLEAN, DISTRIBUTION_BOOLEAN)
NAME = "criu_hosts"
RECORD = "criu-hosts.json"
# The first line of every file of ours: a file without it belongs to somebody else.
HEADER = "# Made by criu.hosts.container_unit: what is changed here is lost."
UNIT_LABEL = "criu.hosts.unit"
