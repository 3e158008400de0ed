# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares an SELinux policy module with the wanted one, and plans the change. Pure."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, replace
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import check_name, refusal

# Options that selinux_module and criu_policy share.
SHARED_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "priority": {"type": "int", "default": 400},
}
_PACKAGE_MAGIC = 0xF97CFF8F
_POLICY_MAGIC = 0xF97CFF8D
_POLICY_TYPE_MODULE = 2


@dataclass(frozen=True)
class Source:
    """A policy module to install: ``language`` is cil or pp, ``data`` is its content in the store, uncompressed."""

    language: str
    data: bytes

    @property
    def checksum(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True)
class Stored:
    """A policy module in the store at one priority."""

    priority: int
    language: str
    checksum: str
    text: str = ""


@dataclass(frozen=True)
class StoredModule:
    """All entries of the store for one module name. A module is enabled or disabled at all its priorities at once."""

    name: str
    entries: tuple[Stored, ...] = ()
    enabled: bool = True

    def at(self, priority: int) -> Stored | None:
        """Returns the entry at ``priority``."""
        return next((entry for entry in self.entries if entry.priority == priority), None)

    def others(self, priority: int) -> list[int]:
        """Returns the other priorities, lowest first."""
        return sorted(entry.priority for entry in self.entries if entry.priority != priority)


@dataclass(frozen=True)
class WantedModule:
    """The options of selinux_module. ``source`` is None for the state absent."""

    name: str
    priority: int
    enabled: bool
    source: Source | None


@dataclass(frozen=True)
class Surroundings:
    """The properties of the host that a plan for a policy module depends on."""

    loaded: bool = True
    work_dir: str = "/var/lib/selinux/default/criu-hosts.name"
    probe_cache: str = ""


def cil_source(name: str, text: str) -> Source:
    """Returns the CIL module with this text.

    Raises:
        CheckpointError: reason policy_invalid, if it is empty.
    """
    if not text.strip():
        raise CheckpointError(
            f"Cannot install policy module {name!r}: its content is empty. Give CIL text, or state: absent.",
            reason="policy_invalid",
        )
    return Source("cil", text.encode("utf-8", "surrogateescape"))


def check_result(after: StoredModule, wanted: WantedModule) -> None:
    """Refuses a store that is not as wanted although semodule succeeded.

    Raises:
        CheckpointError: reason change_lost.
    """
    entry = after.at(wanted.priority)
    right = (entry is None) == (wanted.source is None)
    if entry is not None and wanted.source is not None:
        # With remove-hll=true in semanage.conf, libsemanage keeps only the CIL that it compiled from a package.
        same = entry.checksum == wanted.source.checksum or wanted.source.language != "cil"
        right = same and after.enabled == wanted.enabled
    if not right:
        raise CheckpointError(
            f"Cannot change policy module {wanted.name!r}: semodule succeeded, but the policy store does not hold the "
            f"change. Look for a different process that changes the policy, and run the task again.",
            reason="change_lost",
        )


def strip_cil(text: str) -> str:
    """Returns CIL without comments and strings."""
    return re.sub(r';[^\n]*|"[^"\n]*"', " ", text)


def declared_booleans(text: str) -> set[str]:
    """Returns the booleans that a CIL text declares."""
    return set(re.findall(r"\(\s*boolean\s+([^\s()]+)", strip_cil(text)))


def declare_missing(text: str, wanted: Mapping[str, bool], existing: set[str]) -> str:
    """Returns ``text`` with a declaration of each wanted boolean that neither it nor the other policy declares."""
    have = declared_booleans(text) | existing
    lines = [f"(boolean {name} {str(wanted[name]).lower()})\n" for name in sorted(wanted) if name not in have]
    if lines and text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(lines)


def package_name(data: bytes) -> str:
    """Returns the module name inside a policy package (pp).

    Raises:
        ValueError: it is not a policy package that holds a module.
    """
    try:
        magic, dummy_version, sections = struct.unpack_from("<3I", data)
        if magic != _PACKAGE_MAGIC or sections == 0:
            raise ValueError("it does not start like a policy package")
        (start,) = struct.unpack_from("<I", data, 12)
        policy_magic, length = struct.unpack_from("<2I", data, start)
        place = start + 8 + length
        (kind,) = struct.unpack_from("<I", data, place)
        if policy_magic != _POLICY_MAGIC or kind != _POLICY_TYPE_MODULE:
            raise ValueError("it holds no policy module")
        # kind, version, configuration, number of symbol tables, number of object contexts, then the name.
        (length,) = struct.unpack_from("<I", data, place + 20)
        name = data[place + 24 : place + 24 + length]
    except struct.error as error:
        raise ValueError("it is cut off") from error
    return name.decode("ascii", "replace")


def semodule_error(completed: Completed, name: str) -> CheckpointError:
    """Returns the error for a failed semodule call on the module ``name``. semodule has not changed the store."""
    if "-i" in completed.argv:
        advice = "The policy store is unchanged. Fix the module."
        return refusal(completed, f"install policy module {name!r}", reason="policy_invalid", advice=advice)
    advice = "The policy store is unchanged."
    return refusal(completed, f"change policy module {name!r}", reason="tool_failed", advice=advice)


def describe_module(stored: StoredModule, priority: int) -> dict[str, Any]:
    """Returns the main value of selinux_module."""
    entry = stored.at(priority)
    return {
        "name": stored.name,
        "priority": priority,
        "state": "present" if entry else "absent",
        "enabled": bool(entry) and stored.enabled,
        "language": entry.language if entry else None,
        "checksum": entry.checksum if entry else None,
        "other_priorities": stored.others(priority),
    }


def predict_module(stored: StoredModule, wanted: WantedModule) -> StoredModule:
    """Returns the module in the store after the plan."""
    rest = tuple(entry for entry in stored.entries if entry.priority != wanted.priority)
    if wanted.source is None:
        # libsemanage forgets that a name is disabled when its last module is removed.
        return replace(stored, entries=rest, enabled=stored.enabled or not rest)
    text = wanted.source.data.decode("utf-8", "replace") if wanted.source.language == "cil" else ""
    entry = Stored(wanted.priority, wanted.source.language, wanted.source.checksum, text)
    return replace(stored, entries=(*rest, entry), enabled=wanted.enabled)


def _module_view(stored: StoredModule, priority: int, *, with_lines: bool) -> dict[str, Any]:
    view = describe_module(stored, priority)
    entry = stored.at(priority)
    if with_lines:
        view["lines"] = entry.text.splitlines() if entry else []
    return view


def plan_module(stored: StoredModule, wanted: WantedModule, around: Surroundings) -> Plan:
    """Plans the steps to the wanted module: at most one semodule call, so at most one new policy."""
    after = predict_module(stored, wanted)
    old, new = stored.at(wanted.priority), after.at(wanted.priority)
    install = new is not None and (old is None or (old.language, old.checksum) != (new.language, new.checksum))
    lines = install or (old is not None and new is None)
    views = [_module_view(state, wanted.priority, with_lines=lines) for state in (stored, after)]
    path = f"{around.work_dir}/{wanted.name}.{wanted.source.language if wanted.source else ''}"
    argv = ["semodule"] if around.loaded else ["semodule", "-n"]
    argv += ["-X", str(wanted.priority)]
    if new is None and old is not None:
        argv += ["-r", wanted.name]
    if install:
        argv += ["-i", path]
    if new is not None and stored.enabled != wanted.enabled:
        argv += ["-e" if wanted.enabled else "-d", wanted.name]
    if not {"-r", "-i", "-e", "-d"} & set(argv):
        return Plan(before=views[0], after=views[0])
    steps: list[Step] = [Command(tuple(argv), why=f"change policy module {wanted.name!r}")]
    if install and wanted.source is not None:
        text = wanted.source.data.decode("utf-8", "surrogateescape")
        steps = [
            MakeDir(around.work_dir, why="make the folder"),
            WriteFile(path, text, why="write the policy module"),
            *steps,
            Remove(around.work_dir, why="remove the folder", always=True),
        ]
    if around.loaded and around.probe_cache:
        steps.append(Remove(around.probe_cache, why="remove CRIU's outdated cache of kernel features"))
    return Plan(before=views[0], after=views[1], steps=tuple(steps))


def module_warnings(stored: StoredModule, priority: int) -> tuple[str, ...]:
    """Returns a warning if a module of the same name overrides this one."""
    higher = [other for other in stored.others(priority) if other > priority]
    if stored.at(priority) is None or not higher:
        return ()
    return (
        f"Policy module {stored.name!r} at priority {priority} is not used: a module of the same name at priority "
        f"{max(higher)} overrides it.",
    )


def check_priority(priority: int) -> int:
    """Returns ``priority`` if semodule accepts it.

    Raises:
        CheckpointError: reason priority_invalid.
    """
    if not 1 <= priority <= 999:
        raise CheckpointError(
            f"Cannot use {priority} as the priority of a policy module: it must be from 1 to 999.",
            reason="priority_invalid",
        )
    return priority


def check_booleans(wanted: Mapping[str, Any]) -> dict[str, bool]:
    """Returns the option declare_booleans if every value is true or false.

    Raises:
        CheckpointError: reasons boolean_invalid, name_invalid.
    """
    for name, value in wanted.items():
        if not isinstance(value, bool):
            raise CheckpointError(
                f"Cannot declare the SELinux boolean {name!r} with the default {value!r}: it must be true or false.",
                reason="boolean_invalid",
            )
    return {check_name(name, "boolean"): value for name, value in wanted.items()}
