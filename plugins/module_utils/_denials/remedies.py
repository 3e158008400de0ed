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

# Booleans of the distributions' policies.
NETLINK_BOOLEAN = "virt_sandbox_use_netlink"
CGROUP_BOOLEAN = "container_manage_cgroup"


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
CRIU = Remedy("Install a CRIU 3.12 or newer that is linked with libselinux.", INSTALL_CRIU)
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
ENGINE_SOCKET = Remedy(
    "If the container is not to control the engine, do not mount the socket into it, and find out what asks for it. If "
    "it is (a proxy, a runner of builds), give this one container a domain of its own that may connect, for example "
    "with udica. A rule for all containers would hand the engine to each of them."
)
HOST_CRIU = Remedy(
    "Start CRIU with the label of the engine: no runcon, no SELinuxContext= of a container, no runtime that sets the "
    "container's label before it starts CRIU. CRIU itself gives the restored processes their label, last of all."
)
CRIU_LABEL = Remedy(
    f"{IN_CONTAINER.advice} If the host's CRIU did this, start it with the label of the engine instead.",
    IN_CONTAINER.task,
)
NETLINK = Remedy(
    f"{IN_CONTAINER.advice} In the policy of Fedora and RHEL the boolean {NETLINK_BOOLEAN!r} allows it to all "
    "containers.",
    IN_CONTAINER.task,
)
VOLUME_LABEL = Remedy(
    "Mount the volume with the option Z (or z, if several containers use it), which labels it for the container. For a "
    "file of the engine's storage, restore the labels: restorecon -R /var/lib/containers."
)
STORAGE_LABEL = Remedy(
    "Restore the labels of the engine's storage: restorecon -R /var/lib/containers (for a user, ~/.local/share/"
    "containers). For storage at another place, first declare that with `semanage fcontext -a -e`."
)
KEYRING = Remedy(
    "Install container-selinux 2.91 or newer. For a container with a policy of udica, generate that again with a "
    "newer udica."
)
RUNTIME_LABEL = Remedy(
    "Restore the labels of the engine's and the runtime's programs, such as /usr/bin/podman and /usr/bin/runc, with "
    "restorecon, and restart the service. For a program at another place, declare its label with `semanage fcontext`: "
    "container_runtime_exec_t, in refpolicy container_engine_exec_t."
)
CGROUP = Remedy(
    f"Turn the boolean {CGROUP_BOOLEAN!r} on, if systemd in containers is to manage their cgroups.",
    {
        "name": "Let containers manage their cgroups",
        "criu.hosts.selinux_boolean": {"name": CGROUP_BOOLEAN, "value": True},
        "become": True,
    },
)
SYSTEMCFG = Remedy(
    "Make the checkpoint on a host with SELinux enforcing: Java does not map the file there, and the images can be "
    "restored on each host."
)
RESTORED_SOCKET = Remedy(
    "Install container-selinux 2.183 or newer, which lets containers use sockets with the engine's label. Until then, "
    "stop the container: it may call accept() without end, and fill the log."
)
LOAD_A_POLICY = Remedy(
    "Install the policy of the distribution and boot with it, or boot without SELinux: with security=apparmor on "
    "Debian, whose kernels ignore selinux=0, else with selinux=0."
)
CAPABILITY = Remedy(
    "If the label is that of a container, restore with container_restore. If CRIU runs inside a container, give that "
    "the capability SETPCAP."
)
MAPPING = Remedy(
    "Look for the denial of `map` at that time: it names the file. Make the checkpoint under the policy that it is to "
    "be restored under."
)
NO_SELINUX = Remedy(
    "SELinux is disabled on this host. Look for another cause: a capability that is missing, a seccomp filter, "
    "AppArmor, the mode or mount options of a file."
)
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
NNP_TRANSITION = Remedy(
    "Start the program without no_new_privs (NoNewPrivileges= of the unit, which DynamicUser= and other settings "
    "imply), or let the policy allow nnp_transition between the two domains. For nosuid_transition, keep the program "
    "on a file system that is mounted without nosuid."
)
BOUNDED = Remedy(
    "Look at the system call of the same event (`ausearch -a SERIAL`). If it is execve, start the program without "
    "no_new_privs (NoNewPrivileges= of the unit). If it is write, and CRIU restored the process, use a newer CRIU."
)
ROLE = Remedy(
    "Let the policy authorize the role for the type (in its language: role ROLE types TYPE), or start the program from "
    "a context with the right user and role."
)
REVIEW = Remedy(
    "The collection knows no remedy. Review the denial yourself: the candidate rule restates it in CIL and is no "
    "recommendation."
)
NOT_KNOWN = Remedy("The collection knows no remedy. Review the denial yourself.")
ALL: tuple[Remedy, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Remedy))
