# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports the denials of a host: chooses the source, reads it, asks the loaded policy, explains."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import (
    LINE_LIMIT,
    SIGNS,
    UNKNOWN,
    Finding,
    explain_logs,
    read_signs,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import (
    EXAMPLE_LENGTH,
    explain_all,
    in_order,
    utc,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.sources import (
    AUDIT_LOG,
    KMSG,
    audit_files,
    choose,
    read_audit,
    read_journal,
    read_kernel,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import boot_clock
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_end, read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode

# Before a container is brought back after a failure, no log is read for long.
LOOK_BACK_LIMIT = 64 << 20
LOG_LIMIT = 64 << 20
_LOG_FILE = re.compile(r"^[ \t]{0,9}(?:--)?log-file[ \t=]{1,9}(/[^\s#]{1,4095})", re.MULTILINE)


@dataclass(frozen=True)
class Host:
    """The host whose denials are read."""

    paths: Paths

    @property
    def boot(self) -> float:
        """Returns when it was booted; 0 if that is unknown."""
        return boot_clock(self.paths) or 0.0

    @property
    def policy(self) -> LoadedPolicy:
        return LoadedPolicy(self.paths.selinuxfs)

    @property
    def mode(self) -> str:
        return read_mode(self.paths.selinuxfs)

    @property
    def apparmor(self) -> bool:
        """Returns whether AppArmor is on."""
        from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.labels import apparmor_rules

        return apparmor_rules(self.paths)

    @property
    def explains_profiles(self) -> bool:
        """Returns whether AppArmor, and not SELinux, refuses what CRIU's log shows. CRIU itself has one of the two."""
        return self.mode == "disabled" and self.apparmor


def read_groups(
    host: Host, runner: Runner | None, *, source: str, audit_path: str, since: float, limit: int = sys.maxsize
) -> tuple[str, tuple[str, ...], Groups]:
    """Reads one source, of auditd's log the last ``limit`` bytes. Returns its name, its files, and the denials."""
    groups = Groups(since)
    audit = host.paths.below(audit_path)
    kind = choose(host.paths, audit, runner, boot=host.boot) if source == "auto" else source
    files: tuple[str, ...] = ()
    if kind == "audit":
        files = audit_files(audit, since)
        read_audit(files, groups, limit)
    elif kind == "journal" and runner is not None:
        read_journal(runner, since, groups)
    elif kind == "kernel":
        files = (host.paths.below(KMSG),)
        read_kernel(files[0], groups)
    return kind, files, groups


def moved_logs(paths: Paths) -> frozenset[str]:
    """Returns where CRIU's configuration has moved its log to."""
    texts = [read_text(paths.below(f"/etc/criu/{name}.conf")) or "" for name in ("default", "runc", "crun")]
    return frozenset(path for text in texts for path in _LOG_FILE.findall(text))


def unread_warnings(found: dict[str, Any]) -> tuple[str, ...]:
    """Returns the warning about lines that seem to hold a denial and could not be read."""
    count = found["unread"]
    if not count:
        return ()
    seem = "1 line seems" if count == 1 else f"{count} lines seem"
    return (
        f"{seem} to hold a denial, in a form that the module does not read: {found['unread_example'][:150]!r}. "
        "Give the log of auditd, or what journalctl, dmesg or ausearch prints.",
    )


def read_logs(paths: list[str], *, profiles: bool = False) -> tuple[list[str], list[Finding]]:
    """Reads the logs of CRIU that exist, of each the end, where the errors are; ``profiles``: AppArmor refuses."""
    table = (SIGNS, UNKNOWN)
    if profiles:
        from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import criu_logs

        table = (criu_logs.SIGNS, criu_logs.UNKNOWN)
    read: list[str] = []
    findings: list[Finding] = []
    for path in paths:
        data = read_end(path, limit=LOG_LIMIT)
        if data is not None:
            lines = (line[:LINE_LIMIT].decode("utf-8", "replace") for line in io.BytesIO(data))
            findings += read_signs(lines, path, *table)
            read.append(path)
    return read, findings


def explain_findings(
    host: Host, findings: list[Finding], denials: list[dict[str, Any]], loaded: LoadedPolicy
) -> list[dict[str, Any]]:
    """Explains what the logs of CRIU show, by the LSM of the host."""
    if not host.explains_profiles:
        return explain_logs(findings, denials, loaded, without_selinux=host.mode == "disabled")
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.criu_logs import explain_profile_logs

    entries = explain_profile_logs(findings, denials)
    # Some matter that did not before.
    denials[:] = in_order(denials)
    return entries


def look(
    host: Host,
    runner: Runner | None,
    *,
    source: str,
    audit_path: str,
    since: float,
    criu_logs: list[str],
    limit: int = sys.maxsize,
) -> dict[str, Any]:
    """Returns the facts of denial_info, of auditd's log for its last ``limit`` bytes."""
    kind, files, groups = read_groups(host, runner, source=source, audit_path=audit_path, since=since, limit=limit)
    loaded = host.policy
    denials = explain_all(groups, loaded, moved_logs(host.paths))
    logs, findings = read_logs([host.paths.below(path) for path in criu_logs], profiles=host.explains_profiles)
    silent = explain_findings(host, findings, denials, loaded)
    return {
        "source": kind,
        "files": list(files),
        "since": utc(since) if since else None,
        "selinux_mode": host.mode,
        "apparmor": host.apparmor,
        "policy_asked": loaded.there,
        "records": groups.records,
        "left_out": groups.left_out,
        "unread": groups.unread,
        "unread_example": groups.unread_line[:EXAMPLE_LENGTH].decode("utf-8", "replace"),
        "denials": denials,
        "logs": logs,
        "silent_denials": silent,
    }


def look_back(paths: Paths, since: float, criu_logs: list[str]) -> dict[str, Any]:
    """Returns the denials since a task began, for its failure: runs no command, and never fails itself."""
    host = Host(paths)
    found: dict[str, Any] = {"denials": [], "silent_denials": []}
    if host.mode == "disabled" and not host.apparmor:
        return found
    try:
        found = look(
            host,
            None,
            source="auto",
            audit_path=AUDIT_LOG,
            since=since,
            criu_logs=[],
            limit=LOOK_BACK_LIMIT,
        )
        findings = read_logs(criu_logs, profiles=host.explains_profiles)[1]
        found["silent_denials"] = explain_findings(host, findings, found["denials"], host.policy)
    except (OSError, ValueError, CheckpointError):
        return found
    return {**found, "denials": [one for one in found["denials"] if one["matters"] in ("yes", "unknown")]}
