# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the SELinux state of a host from its files, without a command, and turns tool failures into error lines."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import OUTPUT_LIMIT, Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_bytes
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode


@dataclass(frozen=True)
class SelinuxHost:
    """A host's SELinux. ``mode``: enforcing, permissive or disabled; ``store``: None if there is no policy store."""

    paths: Paths
    mode: str
    policy_type: str
    store: str | None


def read_file(path: str) -> bytes | None:
    """Returns the content of ``path``; None if there is no such file."""
    try:
        return read_bytes(path)
    except PermissionError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error.strerror}. Run the task as root (become: true).", reason="not_root"
        ) from error


def _setting(text: str, key: str, default: str) -> str:
    found = re.findall(rf"^[ \t]*{re.escape(key)}[ \t]*=[ \t]*([^\s\0]+)", text, re.MULTILINE)
    return str(found[-1]) if found else default


def read_host(paths: Paths) -> SelinuxHost:
    """Finds mode, policy type and policy store."""
    config = (read_file(paths.below("/etc/selinux/config")) or b"").decode("utf-8", "replace")
    policy_type = _setting(config, "SELINUXTYPE", "targeted")
    manage = (read_file(paths.below("/etc/selinux/semanage.conf")) or b"").decode("utf-8", "replace")
    roots = (_setting(manage, "store-root", "/var/lib/selinux"), "/var/lib/selinux", "/etc/selinux")
    stores = [paths.below(f"{folder}/{policy_type}/active") for folder in roots]
    found = next((folder for folder in stores if _is_folder(f"{folder}/modules")), None)
    return SelinuxHost(paths, read_mode(paths.selinuxfs), policy_type, found)


def _is_folder(path: str) -> bool:
    try:
        os.listdir(path)
    except PermissionError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error.strerror}. Run the task as root (become: true).", reason="not_root"
        ) from error
    except OSError:
        return False
    return True


def disk_policy(host: SelinuxHost) -> bytes:
    """Returns the policy that the next boot loads; empty if there is none."""
    folder = host.paths.below(f"/etc/selinux/{host.policy_type}/policy")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    versions = sorted(int(name[7:]) for name in names if re.fullmatch(r"policy\.[0-9]{1,9}", name))
    return (read_file(f"{folder}/policy.{versions[-1]}") or b"") if versions else b""


def check_name(name: str, kind: str) -> str:
    """Returns ``name`` if it can be the name of a policy module or boolean.

    Raises:
        CheckpointError: reason name_invalid.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise CheckpointError(
            f"Cannot use {name!r} as the name of a {kind}: it must start with a letter and hold only letters, digits, "
            f"'_', '-' and '.'.",
            reason="name_invalid",
        )
    return name


def complaint(completed: Completed) -> str:
    """Returns the line of semodule or setsebool that names the error, without the internal path of the user's file."""
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines()]
    # With Debian's store, libsemanage remarks on every commit that a user is not in the password file.
    noise = ("libsemanage.add_user:", "semodule:", "Failed to ", "libsemanage.semanage_direct_install_info:")
    said = [line for line in lines if line]
    useful = [line for line in said if not line.startswith(noise) or line.startswith("Failed to resolve")]
    useful = [line for line in useful if line != "Failed to resolve AST"]
    line = (useful or said or [f"no output, exit status {completed.rc}"])[0]
    line = re.sub(r" at \S*/tmp/modules/\d+/[^/\s]+/cil:(\d+)", r" at line \1", line)
    line = re.sub(r" of \S*/tmp/modules/\d+/[^/\s]+/cil$", "", line)
    return re.sub(r"^(libse[a-z]+\.\w+|Error): ", "", line).rstrip(".")


def refusal(completed: Completed, what: str, *, reason: str, advice: str) -> CheckpointError:
    """Returns the error for a failed semodule or setsebool: ``Cannot <what>: <complaint>. <advice>``."""
    facts: dict[str, Any] = {
        "cmd": list(completed.argv),
        "rc": completed.rc,
        "stdout": completed.out[-OUTPUT_LIMIT:],
        "stderr": completed.err[-OUTPUT_LIMIT:],
    }
    if "transaction lock" in completed.err:
        return CheckpointError(
            f"Cannot {what}: a different process is changing the policy store. Run the task again.",
            reason="store_locked",
            **facts,
        )
    return CheckpointError(f"Cannot {what}: {complaint(completed)}. {advice}", reason=reason, **facts)
