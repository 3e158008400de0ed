# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Says for each intent whether a host is ready, and if not, why and which task mends it.

Works on what criu_info returns and on nothing else, so that the rules can be read and tested as tables.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._criu import known_faults as data
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies

CONTAINERS = ("container", "migration_source", "migration_target")
INTENTS = (
    "container",
    "multi_threaded",
    "tcp_established",
    "file_locks",
    "pre_dump",
    "lazy_pages",
    "non_root",
    "rootless",
    "migration_source",
    "migration_target",
)
# What the kernel is asked for each intent; uffd-noncoop includes uffd.
FEATURES = ("clone3_set_tid", "fdinfo_lock", "mem_dirty_track", "network_lock_nftables", "uffd-noncoop")
BLOCKS, WARNS, UNKNOWN = "blocks", "warns", "unknown"
LOCK_OPTION = re.compile(r"^\s*network-lock[\s=]+[\"']?([a-z]+)", re.MULTILINE)
Value = dict[str, Any]
Reason = dict[str, Any]
# The intents that a reason concerns, and the reason.
Finding = tuple[tuple[str, ...], Reason]


def reason(
    code: str, level: str, message: str, advice: str, task: remedies.Task | None = None, source: str | None = None
) -> Reason:
    """One reason as it is returned."""
    return {"code": code, "level": level, "message": message, "advice": advice, "task": task, "source": source}


def numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")) if version else ()


def network_lock(value: Value, *, iptables: bool) -> dict[str, Any]:
    """How CRIU locks the network during a dump, who says so, and whether that works.

    ``criu --help`` always calls iptables the default, whatever was compiled in. criu_build compiles nftables in, as the
    RedHat family's packages do since 4.0; upstream and Debian leave it at iptables.
    """
    if value["path"] is None:
        return {"backend": None, "source": None, "usable": None}
    config = value["config"]
    told = [(LOCK_OPTION.findall(text), path) for path, text in config.items() if path.endswith("/default.conf")]
    chosen = [(found[-1], path) for found, path in told if found]
    if chosen:
        backend, source = chosen[-1]
    elif value["installed"]:
        backend, source = ("nftables" if value["nftables"] else "iptables"), "build"
    else:
        modern = value["system"]["family"] == "redhat" and numbers(value["version"]) >= (4,)
        backend, source = ("nftables" if modern else "iptables"), "package"
    usable: bool | None = True
    if backend == "iptables":
        usable = iptables
    elif backend == "nftables":
        usable = value["features"].get("network_lock_nftables") if value["nftables"] is not False else False
    return {"backend": backend, "source": source, "usable": usable}


def policy_missing(value: Value) -> bool:
    """Whether SELinux is enforcing without rules for CRIU: neither our boolean nor container-selinux' is there."""
    selinux = value["lsm"]["selinux"]
    booleans = selinux["booleans"]
    ours, distributions = booleans["criu_container_restore"], booleans["virt_sandbox_use_all_caps"]
    return selinux["mode"] == "enforcing" and ours is None and distributions != "on"


def criu_findings(value: Value) -> list[Finding]:
    """What concerns every use of CRIU."""
    path, mode = value["path"], value["lsm"]["selinux"]["mode"]
    found = []
    if value["config_error"]:
        text = f"A configuration file breaks every call of CRIU ({value['config_error']})."
        advice = "Correct the option in /etc/criu/default.conf; the task removes all options there."
        found.append(reason("config_broken", BLOCKS, text, advice, remedies.CORRECT_CONFIG))
    if mode != "disabled" and value["selinux"] is False:
        text = f"SELinux is {mode} and {path} is not linked with libselinux: labels are neither saved nor restored."
        found.append(reason("labels_lost", BLOCKS, text, remedies.MAKE_ARTIFACT, remedies.INSTALL_CRIU))
    if mode != "disabled" and value["selinux"] is None:
        text = f"{path} is a script, or cannot be read, so nobody can say whether it keeps SELinux labels."
        found.append(reason("linkage_unknown", WARNS, text, remedies.MAKE_ARTIFACT, remedies.INSTALL_CRIU))
    if policy_missing(value):
        text = "SELinux is enforcing and its policy has no rules for CRIU."
        found.append(reason("policy_missing", BLOCKS, text, "Load the policy module.", remedies.LOAD_POLICY))
    if mode == "permissive":
        text = "SELinux is permissive: what works now may fail in enforcing mode."
        found.append(reason("selinux_permissive", WARNS, text, "Prove it in enforcing mode."))
    if value["installed"] and not value["installed"]["intact"]:
        text = f"What criu_build installed at {path} was changed since (files, links or diversion)."
        found.append(reason("build_damaged", WARNS, text, remedies.MAKE_ARTIFACT, remedies.REPAIR_CRIU))
    return [(data.EVERYTHING, one) for one in found]


def kernel_findings(value: Value) -> list[Finding]:
    """What ``criu check``, the cache of its answers and the list of known faults say."""
    found: list[Finding] = []
    passed = value["check"]["passed"]
    if passed is None:
        advice = "Run criu_info as root, and not with an empty list of features."
        one = reason("not_asked", UNKNOWN, "The kernel was not asked.", advice, remedies.ASK_KERNEL)
        found.append((data.EVERYTHING, one))
    if passed is False and not policy_missing(value):
        log = value["check"]["log"]
        text = f"criu check fails: {log[0] if log else 'it says nothing'}."
        advice = "Take a CRIU that was made for this kernel, or a kernel with CONFIG_CHECKPOINT_RESTORE."
        found.append((data.EVERYTHING, reason("check_failed", BLOCKS, text, advice, remedies.INSTALL_CRIU)))
    stale = value["kdat"]["stale"]
    if stale:
        than = {"boot": "the last boot", "build": "the CRIU in use", "policy": "the SELinux policy"}[stale]
        text = f"{value['kdat']['path']}, where CRIU keeps what it knows of the kernel, is older than {than}."
        # A CRIU without libselinux leaves "no SELinux" there, and one with it believes that.
        labels = stale == "build" and value["lsm"]["selinux"]["mode"] != "disabled"
        level = BLOCKS if stale == "boot" or labels else WARNS
        found.append((data.EVERYTHING, reason("kdat_stale", level, text, "Remove it.", remedies.FORGET_KERNEL)))
    kernel, criu = tuple(value["kernel"]["version"]), numbers(value["version"])
    for bad in data.known_bad(kernel, criu, passed, value["check"]["log"]):
        text = f"CRIU {value['version']} on kernel {value['kernel']['release']}: {bad.fails}."
        newer = f"Install CRIU {bad.fixed_in} or newer. {remedies.MAKE_ARTIFACT}"
        advice, task = (newer, remedies.INSTALL_CRIU) if bad.fixed_in else ("Use a newer kernel.", None)
        for intents, level in ((bad.blocks, BLOCKS), (bad.warns, WARNS)):
            found.append((intents, reason("known_bad_pair", level, text, advice, task, bad.source)))
    return found


def feature_findings(value: Value) -> list[Finding]:
    """Features of the kernel that single intents rest on."""
    features = value["features"]
    found: list[Finding] = []
    if features.get("fdinfo_lock") is False:
        text = "The kernel does not tell which file locks a process holds."
        found.append((("file_locks",), reason("file_locks_untold", BLOCKS, text, "Use Linux 4.1 or newer.")))
    if features.get("mem_dirty_track") is False:
        text = "The kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY; aarch64 has none)."
        advice = "Dump without pre-dump here, or use a kernel that has it, as Debian's for x86_64."
        url = "https://github.com/checkpoint-restore/criu/issues/1859"
        found.append((("pre_dump",), reason("dirty_tracking_missing", BLOCKS, text, advice, None, url)))
    if features.get("uffd-noncoop") is False:
        text = "The kernel lacks userfaultfd (CONFIG_USERFAULTFD) with its events, or forbids it."
        found.append((("lazy_pages",), reason("userfaultfd_missing", BLOCKS, text, "Restore without lazy pages here.")))
    if features.get("clone3_set_tid") is False:
        text = (
            "Process ids can only be set by writing ns_last_pid, which races with other forks and which a container's "
            "SELinux type may not do: clone3 with set_tid is missing."
        )
        advice = "Use Linux 5.5 or newer with CRIU 3.14 or newer."
        enforcing = value["lsm"]["selinux"]["mode"] == "enforcing"
        for intents, hard in ((("non_root",), True), (("multi_threaded",), enforcing), (CONTAINERS, False)):
            found.append((intents, reason("clone3_missing", BLOCKS if hard else WARNS, text, advice)))
    return found


def lock_findings(value: Value) -> list[Finding]:
    """The network lock: containers with a network of their own, and established connections."""
    lock, intents = value["network_lock"], ("tcp_established", *CONTAINERS)
    if lock["usable"] is False:
        missing = "iptables is not installed" if lock["backend"] == "iptables" else "CRIU or the kernel cannot do that"
        text = f"CRIU locks the network with {lock['backend']} (told by {lock['source']}), and {missing}."
        # Debian's own CRIU 4.1.1 crashes under runc when a file says nftables.
        task = remedies.LOCK_WITH_NFTABLES if value["installed"] and value["nftables"] else remedies.INSTALL_CRIU
        return [(intents, reason("network_lock_missing", BLOCKS, text, remedies.MAKE_ARTIFACT, task))]
    if lock["backend"] == "skip":
        text = f"{lock['source']} tells CRIU not to lock the network: the peer may close connections meanwhile."
        return [(intents, reason("network_not_locked", WARNS, text, "Set network-lock.", remedies.LOCK_WITH_NFTABLES))]
    return []


def engine_findings(value: Value) -> list[Finding]:
    """podman and its runtimes."""
    runtimes = value["runtimes"]
    found: list[Finding] = []
    if value["podman"]["path"] is None:
        one = reason("engine_missing", BLOCKS, "podman is not installed.", "Install it.", remedies.ENABLE_HOST)
        found.append((CONTAINERS, one))
    usable = [one for one in runtimes if one["checkpoint"]]
    if not usable:
        text = f"No OCI runtime can checkpoint: {'; '.join(str(one['why_not']) for one in runtimes)}."
        one = reason("runtime_missing", BLOCKS, text, "Install runc, or libcriu for crun.", remedies.ENABLE_HOST)
        found.append((CONTAINERS, one))
    for runtime in runtimes:
        if usable and runtime["path"] and not runtime["checkpoint"]:
            text = f"{runtime['name']} cannot checkpoint: {runtime['why_not']}."
            one = reason("runtime_limited", WARNS, text, "Use the other runtime.", remedies.ENABLE_HOST)
            found.append((CONTAINERS, one))
        limits = data.runtime_limits(runtime["name"], numbers(runtime["version"])) if runtime["version"] else []
        for limit in limits:
            text = f"{runtime['name']} {runtime['version']}: {limit.fails}."
            one = reason("runtime_limited", WARNS, text, "Use runc, or another version.", None, limit.source)
            found.append((limit.intents, one))
    return found


def user_findings(value: Value) -> list[Finding]:
    """CRIU run by a user who is not root, and containers of such a user."""
    text = "podman, runc and crun checkpoint and restore only root's containers."
    advice = "Run the container as root, or checkpoint the plain process (intent non_root)."
    rootless = reason("rootless_unsupported", BLOCKS, text, advice, remedies.AS_ROOT, data.ROOTLESS_SOURCE)
    kernel, found = value["kernel"], []
    if value["path"] is None:
        return [(("rootless",), rootless)]
    if kernel["checkpoint_restore"] is False:
        text = "The kernel has no CAP_CHECKPOINT_RESTORE."
        found.append(reason("capability_unknown_to_kernel", BLOCKS, text, "Use Linux 5.9 or newer."))
    if value["version"] and numbers(value["version"]) < (3, 18):
        text = f"CRIU {value['version']} has no option --unprivileged."
        found.append(reason("criu_too_old", BLOCKS, text, remedies.MAKE_ARTIFACT, remedies.INSTALL_CRIU))
    held = value["capabilities"] or {"effective": False, "permitted": []}
    if not {"cap_checkpoint_restore", "cap_sys_admin"} & set(held["permitted"]) or not held["effective"]:
        text = f"{value['path']} has no file capability cap_checkpoint_restore."
        found.append(reason("file_capability_missing", BLOCKS, text, "Set criu_non_root.", remedies.LET_USERS_RUN_CRIU))
    scope = kernel["ptrace_scope"] or 0
    if scope >= 3 or (scope and "cap_sys_ptrace" not in held["permitted"]):
        text = f"kernel.yama.ptrace_scope is {scope}: CRIU may trace only processes that it started itself."
        advice = "Set the sysctl kernel.yama.ptrace_scope to 0, or (not for 3) give CRIU cap_sys_ptrace."
        task = remedies.LET_USERS_TRACE if scope < 3 else None
        found.append(reason("ptrace_restricted", BLOCKS, text, advice, task))
    selinux = value["lsm"]["selinux"]
    if selinux["mode"] == "enforcing" and selinux["lets_users"] is False:
        text = "SELinux is enforcing and its policy has no rules for CRIU run by users (unconfined_t)."
        advice = "Load the policy module with the purpose non_root."
        found.append(reason("policy_without_users", BLOCKS, text, advice, remedies.LOAD_POLICY_FOR_USERS))
    return [(("rootless",), rootless), *((("non_root",), one) for one in found)]


def judge(value: Value) -> dict[str, dict[str, Any]]:
    """For each intent ``ready`` (None: it cannot be said) and the reasons, the gravest first."""
    if value["path"] is None:
        text = "CRIU is not installed in the folders that systemd and sudo search."
        missing = reason("criu_missing", BLOCKS, text, remedies.MAKE_ARTIFACT, remedies.INSTALL_CRIU)
        findings = [(data.EVERYTHING, missing), *engine_findings(value)]
    else:
        findings = [
            *criu_findings(value),
            *kernel_findings(value),
            *feature_findings(value),
            *lock_findings(value),
            *engine_findings(value),
        ]
    findings += user_findings(value)
    return {intent: _answer([one for intents, one in findings if intent in intents]) for intent in INTENTS}


def _answer(reasons: list[Reason]) -> dict[str, Any]:
    order = [BLOCKS, UNKNOWN, WARNS]
    levels = {one["level"] for one in reasons}
    ready = False if BLOCKS in levels else None if UNKNOWN in levels else True
    return {"ready": ready, "reasons": sorted(reasons, key=lambda one: order.index(one["level"]))}
