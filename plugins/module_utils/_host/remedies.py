# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Tasks that mend a host: what criu_info gives beside each reason, ready to be put into a play."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT

Task = dict[str, Any]
ARTIFACT = "/root/criu.tar.gz"
MAKE_ARTIFACT = "Make the artifact once with the playbook criu.hosts.build_criu."


def role(name: str, role_name: str, **variables: Any) -> Task:
    """A task that applies a role of the collection."""
    task: Task = {"name": name, "ansible.builtin.include_role": {"name": f"criu.hosts.{role_name}"}}
    return {**task, "vars": variables} if variables else task


INSTALL_CRIU = role("Install CRIU", "criu", criu_artifact=ARTIFACT)
REPAIR_CRIU = role("Install CRIU again", "criu", criu_artifact=ARTIFACT)
ENABLE_HOST = role("Make the host checkpoint-enabled", "checkpoint_host", criu_artifact=ARTIFACT)
LOAD_POLICY = role("Load the policy for CRIU", "criu_selinux")
LET_USERS_RUN_CRIU = role("Let users run CRIU", "criu", criu_artifact=ARTIFACT, criu_non_root=True)
LET_USERS_TRACE = role(
    "Let users run CRIU on processes of other shells",
    "criu",
    criu_artifact=ARTIFACT,
    criu_non_root=True,
    criu_non_root_extra_capabilities=["sys_ptrace"],
)
LOAD_POLICY_FOR_USERS = role(
    "Load the policy for CRIU, for users too",
    "criu_selinux",
    criu_selinux_purposes=["podman_units", "root_shell", "established_tcp", "processes", "non_root"],
)
CORRECT_CONFIG: Task = {
    "name": "Write a configuration file that CRIU can read",
    "criu.hosts.criu_config": {"kind": "default", "options": {}, "exclusive": True},
}
LOCK_WITH_NFTABLES = role(
    "Let CRIU lock the network with nftables", "criu", criu_artifact=ARTIFACT, criu_config={"network-lock": "nftables"}
)
FORGET_KERNEL: Task = {
    "name": "Let CRIU ask the kernel anew",
    "ansible.builtin.file": {"path": KDAT, "state": "absent"},
}
AS_ROOT: Task = {
    "name": "Checkpoint a container of root",
    "criu.hosts.container_checkpoint": {"name": "web"},
    "become": True,
}
ASK_KERNEL: Task = {"name": "Ask the kernel", "criu.hosts.criu_info": {}, "become": True}
ALL = (
    INSTALL_CRIU,
    REPAIR_CRIU,
    ENABLE_HOST,
    LOAD_POLICY,
    LET_USERS_RUN_CRIU,
    LET_USERS_TRACE,
    LOAD_POLICY_FOR_USERS,
    CORRECT_CONFIG,
    LOCK_WITH_NFTABLES,
    FORGET_KERNEL,
    AS_ROOT,
    ASK_KERNEL,
)
