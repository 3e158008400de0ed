# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a host's CRIU is and can do, and what around it decides whether a container can be checkpointed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._capabilities import parse_capabilities
from ansible_collections.criu.hosts.plugins.module_utils._command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._criu_manifest import linked_features
from ansible_collections.criu.hosts.plugins.module_utils._elf import Elf, ElfError, read_elf

# systemd's default PATH: what a unit, and podman in it, searches, in this order.
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

BOOLEANS = ("unconfined_dyntrans_all", "criu_container_restore", "virt_sandbox_use_all_caps")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The names that criu check --feature of CRIU 4.2.1 knows (cr-check.c).
FEATURE_NAMES = _words(
    """
    mnt_id mem_dirty_track aio_remap timerfd tun tun_ns userns fdinfo_lock seccomp_suspend seccomp_filters loginuid
    cgroupns autofs tcp_half_closed compat_cr uffd uffd-noncoop can_map_vdso sk_ns sk_unix_file net_diag_raw nsid
    link_nsid kcmp_epoll timens external_net_ns clone3_set_tid newifindex nftables has_ipt_legacy pidfd_store ns_pid
    apparmor_stacking network_lock_nftables sockopt_buf_lock memfd_hugetlb move_mount_set_group openat2 get_rseq_conf
    ipv6_freebind pagemap_scan timer_cr_ids overlayfs_maps breakpoints pagemap_scan_guard_pages
    """
)

LIBCRIU = "libcriu.so.2"

# How many lines of a failed check are returned.
CHECK_LINES = 5


def parse_version(text: str) -> str | None:
    """The version in the output of criu, crun, runc or podman --version: the first word that begins like one."""
    found = re.search(r"(?:^|\s)v?(\d+\.\d+(?:\.\d+)*)", text)
    return found.group(1) if found else None


def version_number(version: str | None) -> int | None:
    """CRIU's own way to write a version as a number: 4.2.1 is 40201."""
    if version is None:
        return None
    parts = [int(part) for part in version.split(".")[:3]] + [0, 0]
    return parts[0] * 10000 + parts[1] * 100 + parts[2]


def parse_feature(completed: Completed) -> bool | None:
    """What ``criu check --feature`` said: there, not there, or None if it could not tell.

    It cannot when it does not know the name, or when it may not look at the kernel (an enforcing policy without rules).
    """
    if completed.rc == 0:
        return True
    text = f"{completed.out}{completed.err}"
    return None if "Unknown feature" in text or "Could not initialize kernel features" in text else False


def parse_config_error(completed: Completed) -> str | None:
    """The first line of a ``criu --version`` that a bad configuration file broke."""
    if completed.rc == 0:
        return None
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    return lines[0] if lines else f"exit status {completed.rc}"


def find_all(root: str, name: str) -> list[str]:
    """The executables ``name`` in FOLDERS, in that order, each real file once."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        path = f"{root}{folder}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def find(root: str, name: str) -> str | None:
    return next(iter(find_all(root, name)), None)


def read_text(path: str) -> str | None:
    """The content of a small file; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(65536).strip()
    except OSError:
        return None


def read_lsm(root: str) -> dict[str, Any]:
    """SELinux' mode, policy and booleans, and whether AppArmor is on."""
    mount = f"{root}/sys/fs/selinux"
    enforce = read_text(f"{mount}/enforce")
    config = re.search(r"^\s*SELINUXTYPE\s*=\s*(\S+)", read_text(f"{root}/etc/selinux/config") or "", re.MULTILINE)
    return {
        "selinux": {
            "mode": {"1": "enforcing", "0": "permissive"}.get(enforce or "", "disabled"),
            "policy": config.group(1) if config and enforce is not None else None,
            "booleans": {name: parse_boolean(read_text(f"{mount}/booleans/{name}")) for name in BOOLEANS},
        },
        "apparmor": read_text(f"{root}/sys/module/apparmor/parameters/enabled") == "Y",
    }


def read_config(root: str) -> dict[str, str]:
    """The text of CRIU's configuration files, by path."""
    folder = f"{root}/etc/criu"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    texts = {f"{folder}/{name}": read_text(f"{folder}/{name}") for name in names if name.endswith(".conf")}
    return {path: text for path, text in texts.items() if text is not None}


def parse_boolean(text: str | None) -> str | None:
    """The current value in a file of selinuxfs' booleans, "current pending": on, off, or None if it is not there."""
    return None if text is None else "on" if text.split()[:1] == ["1"] else "off"


def judge_runc(version: str | None, criu: str | None) -> str | None:
    """Why runc cannot checkpoint; None if it can."""
    if version is None:
        return "runc is not installed"
    return None if criu else "criu is not in PATH"


def judge_crun(output: str | None, criu: str | None, libcriu_error: str | None) -> str | None:
    """Why crun cannot checkpoint; ``output`` is that of ``crun --version``. None if it can."""
    if output is None:
        return "crun is not installed"
    if "+CRIU" not in output:
        return "this crun is compiled without CRIU"
    if libcriu_error:
        return f"{LIBCRIU} cannot be loaded: install libcriu2 (Debian) or criu-libs (Fedora)"
    return None if criu else "criu is not in PATH"


def read_runtimes(
    root: str, runner: Runner, criu: str | None, load: Callable[[str], str | None]
) -> list[dict[str, Any]]:
    """runc and crun; ``load`` tries to load a library and returns the loader's error."""
    outputs: dict[str, str | None] = {}
    paths = {name: find(root, name) for name in ("runc", "crun")}
    for name, path in paths.items():
        outputs[name] = runner.run([path, "--version"]).out if path else None
    versions = {name: parse_version(text or "") for name, text in outputs.items()}
    why = {
        "runc": judge_runc(versions["runc"], criu),
        "crun": judge_crun(outputs["crun"], criu, load(LIBCRIU) if paths["crun"] else None),
    }
    return [
        {
            "name": name,
            "path": paths[name],
            "version": versions[name],
            "checkpoint": why[name] is None,
            "why_not": why[name],
        }
        for name in paths
    ]


@dataclass(frozen=True)
class Binary:
    """What the file says of itself. ``elf`` is None for a script."""

    elf: Elf | None
    capabilities: dict[str, Any] | None


def read_binary(path: str) -> Binary:
    try:
        with open(path, "rb") as handle:
            elf: Elf | None = read_elf(handle)
    except (ElfError, OSError):
        elf = None
    try:
        attribute = os.getxattr(path, "security.capability")
    except OSError:
        attribute = b""
    return Binary(elf, parse_capabilities(attribute))


def linkage(elf: Elf | None) -> dict[str, Any]:
    """Libraries, and whether the known features are among them; None where the file does not tell."""
    linked = linked_features(elf.needed) if elf else ()
    features = {name: (name in linked) if elf else None for name in ("selinux", "nftables", "gnutls")}
    return {"libraries": list(elf.needed) if elf else None, **features}


def read_version(runner: Runner, criu: str) -> tuple[str | None, str | None]:
    """Version, and the line with which a bad configuration file breaks every call."""
    plain = runner.run([criu, "--version"])
    error = parse_config_error(plain)
    if error is None:
        return parse_version(plain.out), None
    return parse_version(runner.run([criu, "--no-default-config", "--version"]).out), error


def cannot_ask(completed: Completed) -> bool:
    """Whether CRIU may not look at the kernel at all, so that no other question has an answer either."""
    return completed.rc != 0 and "Could not initialize kernel features" in f"{completed.out}{completed.err}"


def parse_check(completed: Completed) -> dict[str, Any]:
    """What ``criu check`` said: passed or not, and its errors, without those of tools that CRIU can do without."""
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and "exited, status=" not in line and "execvp(" not in line]
    log = [re.sub(r"^.*?Error \([^)]*\): ", "", line).rstrip(".") for line in errors or lines]
    return {"passed": completed.rc == 0, "log": [] if completed.rc == 0 else log[:CHECK_LINES]}


def read_check(runner: Runner, criu: str, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, bool | None]]:
    """Ask for what CRIU must have, and for each feature by itself.

    One call for all features (--extra, --all) tells no more than that something is missing: several of its checks
    print nothing, and on most kernels the newest one fails. So each feature is a process, 0.1 s in slow machines.
    """
    completed = runner.run([criu, "check", "--no-default-config"])
    features: dict[str, bool | None] = {}
    useless = cannot_ask(completed)
    for name in names:
        asked = None if useless else runner.run([criu, "check", "--no-default-config", "--feature", name])
        features[name] = None if asked is None else parse_feature(asked)
    return parse_check(completed), features
