# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: returns the securityContext of a Kubernetes container in which CRIU runs without root."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.module_utils._formats.capabilities import capability_names

# For clone3(set_tid) and map_files; to stop and read the child; for the network lock and TCP.
NEEDED = "CHECKPOINT_RESTORE"
CAPABILITIES = (NEEDED, "SYS_PTRACE", "NET_ADMIN")
KNOWN = frozenset(name[len("CAP_") :] for name in capability_names((1 << 41) - 1))
# With one of these a container owns its host, so it could as well run as root.
ROOTS_OWN = frozenset(("SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "DAC_READ_SEARCH", "MAC_ADMIN", "BPF"))
# The highest id that the API server accepts (IsValidUserID in k8s.io/apimachinery, pkg/util/validation).
HIGHEST = (1 << 31) - 1
SELINUX = {"type": r"[A-Za-z0-9_]+", "level": r"s\d+(:[A-Za-z0-9.,]+)?(-s\d+(:[A-Za-z0-9.,]+)?)?"}


def _refuse(why: str) -> AnsibleFilterError:
    return AnsibleFilterError(f"Cannot make a security context for CRIU: {why}")


def _identity(value: Any, what: str, lowest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= HIGHEST:
        raise _refuse(f"the {what} is {value!r}. Give a number from {lowest} to {HIGHEST}, with the filter int.")
    return value


def _capabilities(names: Any) -> list[str]:
    """Returns the capabilities without doubles; Kubernetes writes their names without CAP_."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise _refuse(f"capabilities is {names!r}. Give a list of names such as {NEEDED}.")
    for name in names:
        if name in ROOTS_OWN or name == "ALL":
            raise _refuse(f"with the capability {name} the container would own its host. Leave it out.")
        if name not in KNOWN:
            raise _refuse(f"there is no capability {name!r}. Write it as in {NEEDED}, without CAP_.")
    if NEEDED not in names:
        raise _refuse(f"the capabilities lack {NEEDED}, without which CRIU cannot choose the pids. Add it.")
    return list(dict.fromkeys(names))


def _selinux(options: Any) -> dict[str, str]:
    """Returns the options that are not empty; the engine chooses the others."""
    if not isinstance(options, Mapping) or not set(options) <= set(SELINUX):
        raise _refuse(f"selinux is {options!r}. Give a dictionary with {' and '.join(SELINUX)}.")
    found = {key: options[key] for key in SELINUX if options.get(key) not in (None, "")}
    for key, value in found.items():
        if not isinstance(value, str) or re.fullmatch(SELINUX[key], value) is None:
            raise _refuse(f"the SELinux {key} is {value!r}, which is none. Give one such as criu_container_t or s0:c1.")
    return found


def checkpoint_security_context(
    user: Any,
    group: Any = None,
    capabilities: Sequence[str] = CAPABILITIES,
    selinux: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns the securityContext of a container, whose processes have this user id and group id.

    The container has no seccomp filter: a process under one may not read that of another (ptrace(2),
    PTRACE_SECCOMP_GET_FILTER), so that CRIU cannot dump its child. It may escalate privileges, since Kubernetes gives
    the capabilities to a user who is not root only by a file that has them.
    """
    number = _identity(user, "user", 1)
    options = _selinux(selinux or {})
    return {
        "runAsUser": number,
        "runAsGroup": number if group is None else _identity(group, "group", 0),
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": _capabilities(capabilities)},
        "seccompProfile": {"type": "Unconfined"},
        **({"seLinuxOptions": options} if options else {}),
    }


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"checkpoint_security_context": checkpoint_security_context}
