# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the tasks that fix a host, as criu_info and denial_info return them: ready to paste into a play."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT

Task = dict[str, Any]
# The path on the controller, which only the user knows. It is a variable that no play has, so that a task pasted
# without it fails with its name. The name must differ from that of the role's variable, or Ansible reports a loop.
ARTIFACT = "{{ path_of_criu_artifact }}"
# Where the role criu takes CRIU from.
FROM_ARTIFACT = {"criu_artifact": ARTIFACT}
FROM_DISTRIBUTION = {"criu_method": "distribution_package"}
BUILD_ARTIFACT = "Build the artifact once with the playbook criu.hosts.build_criu, and set its path in the task."


def role(name: str, role_name: str, **variables: Any) -> Task:
    """Returns a task that applies a role of the collection."""
    task: Task = {"name": name, "ansible.builtin.include_role": {"name": f"criu.hosts.{role_name}"}}
    return {**task, "vars": variables} if variables else task


def applies_role(task: Task) -> bool:
    return "ansible.builtin.include_role" in task


def enable_host(origin: Mapping[str, str]) -> Task:
    return role("Make the host checkpoint-enabled", "checkpoint_host", **origin)


def let_users_run_criu(origin: Mapping[str, str]) -> Task:
    return role("Let users run CRIU", "criu", **origin, criu_non_root=True)


def let_users_trace(origin: Mapping[str, str]) -> Task:
    name = "Let users run CRIU on processes of other shells"
    return role(name, "criu", **origin, criu_non_root=True, criu_non_root_extra_capabilities=["sys_ptrace"])


def lock_with_nftables(origin: Mapping[str, str]) -> Task:
    name = "Let CRIU lock the network with nftables"
    return role(name, "criu", **origin, criu_config={"network-lock": "nftables"})


INSTALL_CRIU = role("Install CRIU", "criu", **FROM_ARTIFACT)
INSTALL_DISTRIBUTIONS_CRIU = role("Install the distribution's CRIU", "criu", **FROM_DISTRIBUTION)
REPAIR_CRIU = role("Install CRIU again", "criu", **FROM_ARTIFACT)
LOAD_POLICY = role("Load the policy for CRIU", "criu_selinux")
LOAD_POLICY_FOR_USERS = role(
    "Load the policy for CRIU, for users too",
    "criu_selinux",
    criu_selinux_purposes=["podman_units", "root_shell", "established_tcp", "processes", "non_root"],
)
CORRECT_CONFIG: Task = {
    "name": "Write a configuration file that CRIU can read",
    "criu.hosts.criu_config": {"kind": "default", "options": {}, "exclusive": True},
}
INSTALL_IPTABLES: Task = {
    "name": "Install iptables",
    "ansible.builtin.package": {"name": "iptables", "state": "present"},
}
INSTALL_APPARMOR: Task = {
    "name": "Install AppArmor's parser",
    "ansible.builtin.package": {"name": "apparmor", "state": "present"},
}
FORGET_KERNEL: Task = {
    "name": "Let CRIU ask the kernel again",
    "ansible.builtin.file": {"path": KDAT, "state": "absent"},
}
ASK_KERNEL: Task = {"name": "Gather information about CRIU as root", "criu.hosts.criu_info": {}, "become": True}
