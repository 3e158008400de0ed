# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decides for each intent whether a host is ready, and lists the reasons with the tasks that fix them.

It works on the return value of criu_info only, so the rules can be read and tested as tables.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu.finding import (
    BLOCKS,
    CONTAINERS,
    INTENTS,
    LEVELS,
    NON_ROOT,
    UNKNOWN,
    WARNS,
    Finding,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_findings import (
    lsm_findings,
    storage_findings,
    support_findings,
    without_roles,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.known_faults import (
    ROOTLESS_SOURCE,
    known_bad,
    runtime_limits,
)
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DISTRIBUTION_BOOLEAN, RESTORE_BOOLEAN

# The features that the intents depend on; uffd-noncoop includes uffd.
FEATURES = ("clone3_set_tid", "fdinfo_lock", "mem_dirty_track", "network_lock_nftables", "uffd-noncoop")
LOCK_OPTION = re.compile(r"^[ \t]*network-lock[ \t=]+[\"']?([a-z]+)", re.MULTILINE)
Value = dict[str, Any]


def network_lock(value: Value, *, iptables: bool) -> dict[str, Any]:
    """Returns how CRIU locks the network during a dump, what sets that, and whether it works.

    ``criu --help`` always names iptables as the default, regardless of what was compiled in. criu_build compiles
    nftables in, as the packages of the Red Hat family do since 4.0; upstream and Debian leave it at iptables.
    """
    if value["path"] is None:
        return {"backend": None, "source": None, "usable": None}
    config = value["config"]
    set_in = [(LOCK_OPTION.findall(text), path) for path, text in config.items() if path.endswith("/default.conf")]
    chosen = [(found[-1], path) for found, path in set_in if found]
    if chosen:
        backend, source = chosen[-1]
    elif value["installed"]:
        backend, source = ("nftables" if value["nftables"] else "iptables"), "build"
    else:
        modern = value["system"]["family"] == "redhat" and version_tuple(value["version"]) >= (4,)
        backend, source = ("nftables" if modern else "iptables"), "package"
    usable: bool | None = True
    if backend == "iptables":
        usable = iptables
    elif backend == "nftables":
        usable = value["features"].get("network_lock_nftables") if value["nftables"] is not False else False
    return {"backend": backend, "source": source, "usable": usable}


def selinux_enabled(value: Value) -> bool:
    return bool(value["lsm"]["selinux"]["mode"] != "disabled")


def origin(value: Value) -> Mapping[str, str]:
    """Returns the variables with which the role criu keeps a usable CRIU, or installs the simplest one.

    The distribution's package is good enough where SELinux is disabled. With SELinux, CRIU must be linked with
    libselinux; if the one in use is, and criu_build did not install it, the role leaves it in place.
    """
    unlinked = selinux_enabled(value) and value["selinux"] is not True
    return remedies.FROM_ARTIFACT if unlinked or value["installed"] else remedies.FROM_DISTRIBUTION


def policy_missing(value: Value) -> bool:
    """Returns whether SELinux is enforcing without rules for CRIU, which the missing booleans show."""
    selinux = value["lsm"]["selinux"]
    booleans = selinux["booleans"]
    ours, distributions = booleans[RESTORE_BOOLEAN], booleans[DISTRIBUTION_BOOLEAN]
    return selinux["mode"] == "enforcing" and ours is None and distributions != "on"


def missing_findings(value: Value) -> list[Finding]:
    """Reports that there is no CRIU."""
    text = "CRIU is not installed in the folders that systemd and sudo search."
    if selinux_enabled(value):
        return [Finding("criu_missing", BLOCKS, text, remedies.BUILD_ARTIFACT, remedies.INSTALL_CRIU)]
    advice = "Install the distribution's package."
    return [Finding("criu_missing", BLOCKS, text, advice, remedies.INSTALL_DISTRIBUTIONS_CRIU)]


def criu_findings(value: Value) -> list[Finding]:
    """Reports problems that concern every use of CRIU."""
    path, mode = value["path"], value["lsm"]["selinux"]["mode"]
    found = []
    if value["config_error"]:
        text = f"A configuration file breaks every call of CRIU ({value['config_error']})."
        advice = "Correct the option in /etc/criu/default.conf; the task removes all options there."
        found.append(Finding("config_broken", BLOCKS, text, advice, remedies.CORRECT_CONFIG))
    if selinux_enabled(value) and value["selinux"] is False:
        text = f"SELinux is {mode} and {path} is not linked with libselinux: labels are neither saved nor restored."
        found.append(Finding("labels_lost", BLOCKS, text, remedies.BUILD_ARTIFACT, remedies.INSTALL_CRIU))
    if selinux_enabled(value) and value["selinux"] is None:
        text = f"{path} is a script or cannot be read, so it is unknown whether it keeps SELinux labels."
        found.append(Finding("linkage_unknown", WARNS, text, remedies.BUILD_ARTIFACT, remedies.INSTALL_CRIU))
    if policy_missing(value):
        text = "SELinux is enforcing and its policy has no rules for CRIU."
        found.append(Finding("policy_missing", BLOCKS, text, "Load the policy module.", remedies.LOAD_POLICY))
    if mode == "permissive":
        text = "SELinux is permissive: what works now may fail in enforcing mode."
        found.append(Finding("selinux_permissive", WARNS, text, "Test it in enforcing mode."))
    if value["installed"] and not value["installed"]["intact"]:
        text = f"The CRIU that criu_build installed at {path} has been changed since (files, links or diversion)."
        advice = "Install the artifact again, and set its path in the task."
        found.append(Finding("build_damaged", WARNS, text, advice, remedies.REPAIR_CRIU))
    return found


def kernel_findings(value: Value) -> list[Finding]:
    """Reports what ``criu check``, the cache of its results and the list of known faults show."""
    found: list[Finding] = []
    passed = value["check"]["passed"]
    if passed is None:
        advice = "Run criu_info as root, and with features in gather."
        found.append(Finding("not_asked", UNKNOWN, "The kernel was not asked.", advice, remedies.ASK_KERNEL))
    if passed is False and not policy_missing(value):
        log = value["check"]["log"]
        text = f"criu check fails: {log[0] if log else 'it prints nothing'}."
        advice = f"Use a kernel with CONFIG_CHECKPOINT_RESTORE, and a CRIU that supports it. {remedies.BUILD_ARTIFACT}"
        found.append(Finding("check_failed", BLOCKS, text, advice, remedies.INSTALL_CRIU))
    stale = value["kdat"]["stale"]
    if stale:
        than = {"boot": "the last boot", "build": "the CRIU in use", "policy": "the SELinux policy"}[stale]
        text = f"{value['kdat']['path']}, CRIU's cache of kernel features, is older than {than}."
        # A CRIU without libselinux caches "no SELinux" there, and one with libselinux relies on that.
        level = BLOCKS if stale == "boot" or (stale == "build" and selinux_enabled(value)) else WARNS
        found.append(Finding("kdat_stale", level, text, "Remove it.", remedies.FORGET_KERNEL))
    kernel, criu = tuple(value["kernel"]["version"]), version_tuple(value["version"])
    for bad in known_bad(kernel, criu, passed, value["check"]["log"]):
        text = f"CRIU {value['version']} on kernel {value['kernel']['release']}: {bad.fails}."
        newer = f"Install CRIU {bad.fixed_in} or newer. {remedies.BUILD_ARTIFACT}"
        advice, task = (newer, remedies.INSTALL_CRIU) if bad.fixed_in else ("Use a newer kernel.", None)
        for intents, level in ((bad.blocks, BLOCKS), (bad.warns, WARNS)):
            found.append(Finding("known_bad_pair", level, text, advice, task, bad.source, intents))
    return found


def feature_findings(value: Value) -> list[Finding]:
    """Reports missing features of the kernel that single intents depend on."""
    features = value["features"]
    found: list[Finding] = []
    if features.get("fdinfo_lock") is False:
        text, advice = "The kernel does not report which file locks a process holds.", "Use Linux 4.1 or newer."
        found.append(Finding("file_locks_untold", BLOCKS, text, advice, intents=("file_locks",)))
    if features.get("mem_dirty_track") is False:
        text = "The kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY; aarch64 has none)."
        advice = "Dump without pre-dump here, or use a kernel that has it, as Debian's for x86_64."
        url = "https://github.com/checkpoint-restore/criu/issues/1859"
        found.append(Finding("dirty_tracking_missing", BLOCKS, text, advice, None, url, ("pre_dump",)))
    if features.get("uffd-noncoop") is False:
        text = "The kernel lacks userfaultfd (CONFIG_USERFAULTFD) with its events, or forbids it."
        advice = "Restore without lazy pages here."
        found.append(Finding("userfaultfd_missing", BLOCKS, text, advice, intents=("lazy_pages",)))
    if features.get("clone3_set_tid") is False:
        text = (
            "Process ids can only be set by writing ns_last_pid, which races with other forks and which a container's "
            "SELinux type may not do: clone3 with set_tid is missing."
        )
        advice = "Use Linux 5.5 or newer with CRIU 3.14 or newer."
        enforcing = value["lsm"]["selinux"]["mode"] == "enforcing"
        for intents, hard in ((("non_root",), True), (("multi_threaded",), enforcing), (CONTAINERS, False)):
            found.append(Finding("clone3_missing", BLOCKS if hard else WARNS, text, advice, intents=intents))
    return found


def lock_findings(value: Value) -> list[Finding]:
    """Reports problems of the network lock, for containers with their own network and established connections."""
    lock, intents = value["network_lock"], ("tcp_established", *CONTAINERS)
    source = lock["source"]
    by = f"as {source} sets" if source.startswith("/") else f"the default of the {source}"
    if lock["usable"] is False:
        missing = "iptables is not installed" if lock["backend"] == "iptables" else "CRIU or the kernel cannot do that"
        text = f"CRIU locks the network with {lock['backend']} ({by}), and {missing}."
        advice, task = lock_remedy(value)
        return [Finding("network_lock_missing", BLOCKS, text, advice, task, intents=intents)]
    if lock["backend"] == "skip":
        text = f"CRIU does not lock the network ({by}), so the peer may close connections during the checkpoint."
        task = remedies.lock_with_nftables(origin(value)) if supports_nftables(value) else None
        return [Finding("network_not_locked", WARNS, text, "Set network-lock.", task, intents=intents)]
    return []


def supports_nftables(value: Value) -> bool:
    """Returns whether CRIU can be configured to lock with nftables.

    Debian's own CRIU 4.1.1 crashes under runc when a configuration file sets it.
    """
    kernel = value["features"].get("network_lock_nftables") is not False
    return bool(value["nftables"] and kernel and (value["installed"] or value["system"]["family"] == "redhat"))


def lock_remedy(value: Value) -> tuple[str, remedies.Task | None]:
    """Returns advice and task for a network lock that does not work."""
    if value["network_lock"]["backend"] == "nftables" and value["nftables"]:
        return "Use a kernel with nftables, or install iptables and set network-lock to iptables.", None
    if supports_nftables(value):
        return "Let CRIU lock the network with nftables.", remedies.lock_with_nftables(origin(value))
    if value["network_lock"]["backend"] == "iptables" and not selinux_enabled(value):
        return "Install iptables.", remedies.INSTALL_IPTABLES
    return f"Use a CRIU with libnftables. {remedies.BUILD_ARTIFACT}", remedies.INSTALL_CRIU


def engine_findings(value: Value) -> list[Finding]:
    """Reports problems of Podman and its OCI runtimes."""
    runtimes, task = value["runtimes"], remedies.enable_host(origin(value))
    found: list[Finding] = []
    if value["podman"]["path"] is None:
        text = "Podman is not installed."
        found.append(Finding("podman_missing", BLOCKS, text, "Install Podman.", task, intents=CONTAINERS))
    usable = [one for one in runtimes if one["checkpoint"]]
    if not usable:
        text = f"No OCI runtime can checkpoint: {'; '.join(str(one['why_not']) for one in runtimes)}."
        advice = "Install runc, or libcriu for crun."
        found.append(Finding("runtime_missing", BLOCKS, text, advice, task, intents=CONTAINERS))
    for runtime in runtimes:
        if usable and runtime["path"] and not runtime["checkpoint"]:
            text = f"{runtime['name']} cannot checkpoint: {runtime['why_not']}."
            advice = "Use the other runtime."
            repair = task if "libcriu" in runtime["why_not"] else None
            found.append(Finding("runtime_limited", WARNS, text, advice, repair, intents=CONTAINERS))
        limits = runtime_limits(runtime["name"], version_tuple(runtime["version"])) if runtime["version"] else []
        for limit in limits:
            text = f"{runtime['name']} {runtime['version']}: {limit.fails}."
            advice = "Use runc, or another version."
            found.append(Finding("runtime_limited", WARNS, text, advice, None, limit.source, limit.intents))
    return found


def rootless_findings() -> list[Finding]:
    """Reports that containers of a user cannot be checkpointed; no task changes that."""
    text = "Podman, runc and crun checkpoint and restore only root's containers."
    advice = "Run the container as root, or checkpoint the plain process (intent non_root)."
    return [Finding("rootless_unsupported", BLOCKS, text, advice, None, ROOTLESS_SOURCE, ("rootless",))]


def user_findings(value: Value) -> list[Finding]:
    """Reports problems of a CRIU that is run by a user who is not root."""
    kernel, selinux, found = value["kernel"], value["lsm"]["selinux"], []
    if kernel["checkpoint_restore"] is False:
        text, advice = "The kernel has no CAP_CHECKPOINT_RESTORE.", "Use Linux 5.9 or newer."
        found.append(Finding("capability_unknown_to_kernel", BLOCKS, text, advice, intents=NON_ROOT))
    if value["version"] and version_tuple(value["version"]) < (3, 18):
        text, advice = f"CRIU {value['version']} has no option --unprivileged.", remedies.BUILD_ARTIFACT
        found.append(Finding("criu_too_old", BLOCKS, text, advice, remedies.INSTALL_CRIU, intents=NON_ROOT))
    held = value["capabilities"] or {"effective": False, "permitted": []}
    if not {"cap_checkpoint_restore", "cap_sys_admin"} & set(held["permitted"]) or not held["effective"]:
        text = f"{value['path']} has no file capability cap_checkpoint_restore."
        task = remedies.let_users_run_criu(origin(value))
        found.append(Finding("file_capability_missing", BLOCKS, text, "Set criu_non_root.", task, intents=NON_ROOT))
    scope = kernel["ptrace_scope"] or 0
    if scope >= 3 or (scope and "cap_sys_ptrace" not in held["permitted"]):
        text = f"kernel.yama.ptrace_scope is {scope}: CRIU may trace only processes that it started itself."
        advice = "Set the sysctl kernel.yama.ptrace_scope to 0, or (not for 3) give CRIU cap_sys_ptrace."
        trace = remedies.let_users_trace(origin(value)) if scope < 3 else None
        found.append(Finding("ptrace_restricted", BLOCKS, text, advice, trace, intents=NON_ROOT))
    if selinux["mode"] == "enforcing" and selinux["lets_users"] is False:
        text = "SELinux is enforcing and its policy has no rules for CRIU run by users (unconfined_t)."
        advice, task = "Load the policy module with the purpose non_root.", remedies.LOAD_POLICY_FOR_USERS
        found.append(Finding("policy_without_users", BLOCKS, text, advice, task, intents=NON_ROOT))
    return found


def judge(value: Value) -> dict[str, Any]:
    """Returns ``readiness``, for each intent with the codes of its reasons, and ``reasons``, each code once.

    Both lists begin with the most severe. ``ready`` is None if it is unknown.
    """
    host = [*support_findings(value), *lsm_findings(value), *storage_findings(value)]
    if value["path"] is None:
        findings = [*missing_findings(value), *engine_findings(value), *rootless_findings(), *host]
    else:
        findings = [
            *criu_findings(value),
            *kernel_findings(value),
            *feature_findings(value),
            *lock_findings(value),
            *engine_findings(value),
            *rootless_findings(),
            *user_findings(value),
            *host,
        ]
    known = without_roles(value, findings)
    findings = sorted((one for one in known if one.intents), key=lambda one: LEVELS.index(one.level))
    codes = unique(one.code for one in findings)
    return {
        "reasons": [merge([one for one in findings if one.code == code]) for code in codes],
        "readiness": {intent: answer([one for one in findings if intent in one.intents]) for intent in INTENTS},
    }


def unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def answer(findings: list[Finding]) -> dict[str, Any]:
    """Returns the answer for one intent."""
    levels = {one.level for one in findings}
    ready = False if BLOCKS in levels else None if UNKNOWN in levels else True
    return {"ready": ready, "reasons": unique(one.code for one in findings)}


def merge(findings: list[Finding]) -> dict[str, Any]:
    """Returns one reason for the findings of a code, of which the first is the most severe."""
    first = findings[0]
    concerned, severe = (
        {intent for one in findings if one.level in levels for intent in one.intents} for levels in (LEVELS, LEVELS[:2])
    )
    return {
        "code": first.code,
        "level": first.level,
        "only_warns": [one for one in INTENTS if severe and one in concerned - severe],
        "message": " ".join(unique(one.message for one in findings)),
        "advice": " ".join(unique(one.advice for one in findings)),
        "task": next((one.task for one in findings if one.task), None),
        "sources": unique(one.source for one in findings if one.source),
    }
