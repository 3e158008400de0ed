# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the remedies for denials: a sentence, and a task for a play where this collection has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.names import (
    DISTRIBUTION_BOOLEAN,
    DYNTRANS_BOOLEAN,
    RESTORE_BOOLEAN,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.remedies import (
    FROM_ARTIFACT,
    INSTALL_CRIU,
    LOAD_POLICY,
    Task,
    let_users_run_criu,
    lock_with_nftables,
    role,
)


@dataclass(frozen=True)
class Remedy:
    """``task`` is None where only a person can decide, or where there is nothing to do."""

    advice: str
    task: Task | None = None

    def view(self) -> dict[str, Any]:
        return {"advice": self.advice, "task": self.task}


NOTHING = Remedy("There is nothing to do.")
FIXED = Remedy("There is nothing to do: the loaded policy allows it now.")
POLICY = Remedy("Load the policy of the collection, with the purposes that this host is used for.", LOAD_POLICY)
POLICY_AND_RECREATE = Remedy(
    "Load the policy of the collection, then recreate the container: the pipes of a running one keep their label.",
    LOAD_POLICY,
)
CRIU = Remedy("Install a CRIU that is linked with libselinux.", INSTALL_CRIU)
NEWER_CRIU = Remedy("Use a newer CRIU, which sets labels before it creates threads.", INSTALL_CRIU)
NFTABLES = Remedy("Let CRIU lock the network with nftables instead of iptables.", lock_with_nftables(FROM_ARTIFACT))
IN_CONTAINER = Remedy(
    "Run the container in the domain that the role unprivileged_container installs for CRIU inside containers.",
    role("Let CRIU run inside a container", "unprivileged_container", unprivileged_container_base="localhost/NAME"),
)
NON_ROOT = Remedy("Let users run CRIU, with its policy.", let_users_run_criu(FROM_ARTIFACT))
RESTORE_CONTAINER = Remedy(
    f"Restore with container_restore, which switches the boolean {RESTORE_BOOLEAN!r} on for the restore.",
    {"name": "Restore the container", "criu.hosts.container_restore": {"name": "NAME"}, "become": True},
)
RESTORE_PROCESS = Remedy(
    f"Restore with process_restore, which switches the boolean {DYNTRANS_BOOLEAN!r} on for the restore, and lets "
    "systemd restore the process where its SELinux user or role is not that of a login shell.",
    {
        "name": "Restore the process",
        "criu.hosts.process_restore": {"images_path": "/var/lib/checkpoints/NAME"},
        "become": True,
    },
)
# A denial of CRIU itself does not show what it restores.
RESTORE_EITHER = Remedy(
    "Restore a container with container_restore, and a plain process with process_restore: each switches its boolean "
    "on for the restore.",
    RESTORE_CONTAINER.task,
)
ENABLE_ALL_CAPS = Remedy(
    f"Turn the boolean {DISTRIBUTION_BOOLEAN!r} on; it belongs to the distribution's policy.",
    {
        "name": "Let containers use their capabilities",
        "criu.hosts.selinux_boolean": {"name": DISTRIBUTION_BOOLEAN, "value": True},
        "become": True,
    },
)
ROOT_SHELL = Remedy(
    "Restore from a root shell (such as a task of Ansible over ssh), or with the container engine. Do not add rules "
    "to a confined domain for this."
)
UPDATE_POLICY = Remedy("Install a newer container-selinux.")
ARCHIVE_PLACE = Remedy(
    "Keep archives in a folder that Podman in a unit may read, such as /var/lib/checkpoints.",
    {
        "name": "Checkpoint the container to an archive",
        "criu.hosts.container_checkpoint": {"name": "NAME", "archive_path": "/var/lib/checkpoints/NAME.tar.zst"},
        "become": True,
    },
)
LOG_FILE = Remedy(
    "Remove log-file from CRIU's configuration: the engine's own log has the right label.",
    {
        "name": "Keep CRIU's log where the engine puts it",
        "criu.hosts.criu_config": {"path": "/etc/criu/runc.conf", "options": {"log-file": None}},
        "become": True,
    },
)
LEVEL = Remedy(
    "No rule helps, because the categories of the two labels differ. Give the object the container's categories (the "
    "option Z of a volume), or restore each container with the categories that it had."
)
IDENTITY = Remedy(
    "No rule helps, because SELinux user or role differ. Start it from a context with the same user and role."
)
TARGET_POLICY = Remedy("Load the policy module that declares the label on this host, then restore.")
NEW_PRIVILEGES = Remedy(
    "Allow nnp_transition between the two domains, or start it without no_new_privs (NoNewPrivileges= of the unit)."
)
REVIEW = Remedy(
    "The collection knows no remedy. Review the denial yourself: the candidate rule restates it in CIL and is no "
    "recommendation."
)
ALL: tuple[Remedy, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Remedy))
