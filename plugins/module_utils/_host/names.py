# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the names that the collection uses: labels, booleans, headers, files."""

from __future__ import annotations

# CRIU's cache of kernel features, which a different policy or a different CRIU makes wrong.
KDAT = "/run/criu.kdat"
RESTORE_BOOLEAN = "criu_container_restore"
# Lets a root shell restore a process's label. Fedora's policy has it; ours declares it if the host's policy lacks it.
DYNTRANS_BOOLEAN = "unconfined_dyntrans_all"
# With it, container-selinux (Fedora, RHEL) limits a container's capabilities only by the container's own set.
DISTRIBUTION_BOOLEAN = "virt_sandbox_use_all_caps"
BOOLEANS = (DYNTRANS_BOOLEAN, RESTORE_BOOLEAN, DISTRIBUTION_BOOLEAN)
NAME = "criu_hosts"
RECORD = "criu-hosts.json"
# The first line of every file that the collection generates; a file without it is not ours.
HEADER = "# Made by criu.hosts.container_unit: what is changed here is lost."
UNIT_LABEL = "criu.hosts.unit"
