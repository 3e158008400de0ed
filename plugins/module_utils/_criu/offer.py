# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges whether the CRIU in use, and the one that the distribution offers, are good enough for a host."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu.known_faults import known_bad

# On the Red Hat family nothing is asked: the package is linked with libselinux and follows the kernel.
ASK = ("apt-cache", "show", "--no-all-versions", "criu")
Value = Mapping[str, Any]


def parse_offered(text: str) -> tuple[str | None, bool]:
    """Returns the version in the output of apt-cache show, and whether the package depends on libselinux."""
    fields = dict(
        line.split(": ", 1) for line in text.splitlines() if re.match(r"(Version|Depends|Pre-Depends): ", line)
    )
    depends = f"{fields.get('Depends', '')}, {fields.get('Pre-Depends', '')}"
    return fields.get("Version"), re.search(r"(?:^|[ ,|])libselinux1(?:[ ,(:]|$)", depends) is not None


def parse_upstream(version: str) -> str | None:
    """Returns CRIU's own version in that of a package, such as 4.1.1 in 1:4.1.1-1+b1."""
    return parse_version(version.split(":", 1)[-1])


def _faults(value: Value, version: str | None) -> str | None:
    """Returns why a CRIU of this version cannot be trusted with containers on the host's kernel; None if it can."""
    kernel = tuple(value["kernel"]["version"])
    check = value["check"] or {"passed": None, "log": []}
    for bad in known_bad(kernel, version_tuple(version), check["passed"], check["log"]):
        if "container" in (*bad.blocks, *bad.warns):
            return f"{bad.fails} ({bad.source})"
    return None


def _judge(value: Value, version: str | None, *, selinux: bool | None, name: str) -> str | None:
    mode = value["lsm"]["selinux"]["mode"]
    if mode != "disabled" and selinux is not True:
        return f"SELinux is {mode} and {name} is not linked with libselinux, so restored processes lose their labels"
    return _faults(value, version)


def judge_used(value: Value) -> str | None:
    """Returns why the CRIU in use is not good enough; None if it is."""
    if value["path"] is None:
        return "CRIU is not installed"
    if value["version"] is None:
        return f"{value['path']} does not report its version"
    if value["installed"] and not value["installed"]["intact"]:
        return f"{value['path']} has been changed since it was installed"
    return _judge(value, value["version"], selinux=value["selinux"], name=value["path"])


def judge_offered(value: Value, text: str) -> dict[str, Any]:
    """Returns version and verdict of the distribution's package, from the output of ASK."""
    if value["system"]["family"] == "redhat":
        return {"version": None, "why_not": None}
    version, selinux = parse_offered(text)
    if version is None:
        return {"version": None, "why_not": "the distribution offers no package criu"}
    name = f"the distribution's criu {version}"
    upstream = parse_upstream(version)
    if upstream is None:
        return {"version": version, "why_not": f"{name} has an unknown version"}
    return {"version": version, "why_not": _judge(value, upstream, selinux=selinux, name=name)}


def read_offer(runner: Runner, value: Value, *, machine: str, built: bool) -> dict[str, Any]:
    """Judges the CRIU in use, and asks the package manager only if that one is not good enough."""
    why_not = judge_used(value)
    package = None
    if why_not:
        ask = value["system"]["family"] == "debian" and runner.which(ASK[0])
        package = judge_offered(value, runner.run(list(ASK)).out if ask else "")
    return {
        "why_not": why_not,
        "package": package,
        "platform": f"{value['system']['name']} {machine}",
        "built": built,
    }
