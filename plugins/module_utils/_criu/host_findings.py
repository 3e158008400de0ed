# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges what a host is apart from CRIU: its distribution, architecture, security module, and the engine's storage.

It works on the return value of criu_info only, as readiness.py does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu.finding import CONTAINERS, UNKNOWN, WARNS, Finding
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies
from ansible_collections.criu.hosts.plugins.module_utils._host.support import EXPERIMENTAL, REFUSED

Value = dict[str, Any]
# The architecture on which the collection was run.
RUN_ON = "x86_64"
USUAL_ROOT, USUAL_DRIVER = "/var/lib/containers/storage", "overlay"
PROFILE_SOURCE = "https://github.com/containers/podman/issues/12437"


def support_findings(value: Value) -> list[Finding]:
    """Reports a distribution, a release or an architecture on which the collection was not run."""
    support, architecture = value["support"], value["kernel"]["architecture"]
    found = []
    if support["level"] == REFUSED:
        advice = "The modules do not refuse it, but nothing is known about it."
        found.append(Finding("host_refused", UNKNOWN, support["text"], advice))
    if support["level"] == EXPERIMENTAL:
        advice = "Run the self-test of the role checkpoint_host before you rely on it."
        found.append(Finding("host_experimental", WARNS, support["text"], advice))
    if architecture != RUN_ON:
        text = f"The architecture of this host is {architecture}, and only {RUN_ON} was tried."
        advice = "Run the self-test of the role checkpoint_host before you rely on it."
        found.append(Finding("architecture_untried", WARNS, text, advice))
    return found


def lsm_findings(value: Value) -> list[Finding]:
    """Reports security modules whose labels are not kept, and what AppArmor lacks for restores of containers."""
    lsm, found = value["lsm"], []
    if lsm["ruling"] == "both":
        text = "SELinux and AppArmor are both active. Only SELinux's labels are compared after a restore."
        advice = "Boot with one of them only (kernel parameter security=selinux or security=apparmor)."
        found.append(Finding("lsm_stacked", UNKNOWN, text, advice))
    if lsm["ruling"] == "other":
        text = f"A security module that is not known confines processes (active: {', '.join(lsm['active'])})."
        advice = "Boot with SELinux, with AppArmor or with neither (kernel parameter security=)."
        found.append(Finding("lsm_unknown", UNKNOWN, text, advice))
    return [*found, *apparmor_findings(lsm["apparmor"])] if lsm["ruling"] in ("apparmor", "both") else found


def apparmor_findings(apparmor: dict[str, Any]) -> list[Finding]:
    """Reports what AppArmor lacks for restores of containers."""
    if apparmor["parser"] is None:
        text = "AppArmor is on and apparmor_parser is not installed, so no profile of a container can be loaded."
        task = remedies.INSTALL_APPARMOR
        return [Finding("apparmor_parser_missing", WARNS, text, "Install apparmor.", task, intents=CONTAINERS)]
    if apparmor["container_profiles"] is None:
        text = "AppArmor is on and the kernel does not show its loaded profiles (/sys/kernel/security/apparmor)."
        advice = "Run criu_info as root, and mount securityfs at /sys/kernel/security."
        return [Finding("apparmor_profiles_unreadable", WARNS, text, advice, intents=CONTAINERS)]
    if not apparmor["container_profiles"]:
        text = (
            "AppArmor is on and no profile containers-default-* is loaded, as after each boot. Podman loads it when it "
            "starts a container, not when it restores one."
        )
        advice = (
            "Restore with container_restore or as a stateful unit: both make Podman load it before. Before a restore "
            "with podman itself, start any container."
        )
        return [Finding("apparmor_profile_missing", WARNS, text, advice, None, PROFILE_SOURCE, CONTAINERS)]
    return []


def storage_findings(value: Value) -> list[Finding]:
    """Reports a storage of Podman in another place or of another kind than the one that was tried."""
    storage = value["podman"]["storage"]
    if storage is None or (storage["root"], storage["driver"]) == (USUAL_ROOT, USUAL_DRIVER):
        return []
    text = f"Podman keeps its containers in {storage['root']} with the driver {storage['driver']}. Only "
    text += f"{USUAL_ROOT} with {USUAL_DRIVER} was tried."
    advice = "Run the self-test of the role checkpoint_host."
    if storage["root"] != USUAL_ROOT and value["lsm"]["selinux"]["mode"] != "disabled":
        advice += (
            " Give the folder the labels of the usual one, which the role criu_selinux does not: "
            f"semanage fcontext -a -e {USUAL_ROOT} {storage['root']}, then restorecon -R {storage['root']}."
        )
    return [Finding("storage_untried", WARNS, text, advice, intents=CONTAINERS)]


def without_roles(value: Value, findings: Iterable[Finding]) -> list[Finding]:
    """Returns the findings for a host; for one that the roles refuse, without the tasks that apply a role."""
    if value["support"]["level"] != REFUSED:
        return list(findings)
    advice = "The task for it applies a role, and the roles refuse this host (host_refused)."
    return [
        replace(one, advice=advice, task=None) if one.task and remedies.applies_role(one.task) else one
        for one in findings
    ]
