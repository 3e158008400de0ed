# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the names that the collection uses: labels, booleans, headers, files."""

from __future__ import annotations

import os
import re

# CRIU's cache of kernel features, which a different policy or a different CRIU makes wrong.
KDAT = "/run/criu.kdat"
# The configuration file that every CRIU reads.
DEFAULT_CONFIG = "/etc/criu/default.conf"
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

# Container engines take a name for the beginning of an id if no container has the name. Ids are hexadecimal. The
# database of one compares with SQL's LIKE, which ignores case and takes _ for any character (its 5.4.2: libpod's
# LookupContainer). Even its "run --replace" removes what it finds so. Its filters compare names only.
_ID = r"[0-9a-f]{64}\Z"
_BEGINNING = r"[0-9a-fA-F_]{1,64}\Z"


def user_config() -> str:
    """Returns the path of the user's own configuration file of CRIU."""
    return os.environ.get("CRIU_CONFIG_FILE") or os.path.expanduser("~/.criu/default.conf")


def is_id(text: str) -> bool:
    """Returns whether the text is the full id of a container."""
    return re.match(_ID, text) is not None


def may_begin_id(name: str) -> bool:
    """Returns whether an engine may take the name of a container for the beginning of an id: db, cafe, 42."""
    return re.match(_BEGINNING, name) is not None


def name_filter(name: str) -> str:
    """Returns the filter for the container of exactly this name, which has no character that is special in it."""
    return f"name=^{name}$"


def only(name: str) -> tuple[str, ...]:
    """Returns the arguments with which a start, stop or removal finds the container of exactly this name or full id."""
    return ("--filter", name_filter(name)) if may_begin_id(name) and not is_id(name) else (name,)
