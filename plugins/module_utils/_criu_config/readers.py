# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Determines which callers read which of CRIU's configuration files, and what a runtime's request overrides. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Iterable, Mapping, Optional, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.config_file import ConfigFile
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import Line, parse
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import ALL, base_of, known

BOTH = ("dump", "restore")
# The first crun that names a file to CRIU, and the first libcriu that can pass the name on.
CRUN_READS = (1, 26)
LIBCRIU_CARRIES = (4, 2)


@dataclass(frozen=True)
class Overruled:
    """An option that a runtime's request sets, so that it overrides the files that CRIU reads before.

    Args:
        says: the value in the request.
        since: the first version of the runtime that sets it.
    """

    option: str
    says: str
    at: tuple[str, ...] = BOTH
    since: Version = (0,)


FLAG = "off, unless its command line asks for it"
# runc: libcontainer/criu_linux.go, tags v1.1.15 to v1.5.1; crun: src/libcrun/criu.c, tags 1.21 to 1.29.1.
REQUESTS: dict[str, tuple[Overruled, ...]] = {
    "runc": (
        Overruled("auto-dedup", FLAG),
        Overruled("empty-ns", FLAG),
        Overruled("evasive-devices", "on", ("restore",)),
        Overruled("ext-unix-sk", FLAG),
        Overruled("file-locks", FLAG),
        Overruled("freeze-cgroup", "the container's cgroup", ("dump",)),
        Overruled("images-dir", "the caller's folder"),
        Overruled("lazy-pages", FLAG),
        Overruled("link-remap", FLAG, ("dump",), (1, 3)),
        Overruled("log-file", "dump.log or restore.log"),
        Overruled("manage-cgroups", "soft, unless its command line says another mode"),
        Overruled("restore-sibling", "on", ("restore",)),
        Overruled("root", "the container's root"),
        Overruled("shell-job", FLAG),
        Overruled("skip-in-flight", FLAG, ("dump",), (1, 3)),
        Overruled("tcp-established", FLAG),
        Overruled("verbosity", "4"),
        Overruled("work-dir", "the caller's folder"),
    ),
    "crun": (
        Overruled("ext-unix-sk", FLAG),
        Overruled("file-locks", FLAG),
        Overruled("freeze-cgroup", "the container's cgroup", ("dump",)),
        Overruled("images-dir", "the caller's folder"),
        Overruled("log-file", "dump.log or restore.log"),
        Overruled("manage-cgroups", "soft, unless its command line says another mode"),
        Overruled("root", "the container's root"),
        Overruled("shell-job", FLAG),
        Overruled("tcp-close", FLAG, ("restore",), (1, 23)),
        Overruled("tcp-established", FLAG),
        Overruled("verbosity", "4"),
        Overruled("work-dir", "the caller's folder"),
    ),
}


@dataclass(frozen=True)
class Source:
    """A file that a caller might read. ``ignored`` is operation -> why the caller does not read it."""

    file: ConfigFile
    kind: str
    ignored: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        if self.file.present and len(self.ignored) == len(BOTH):
            return "ignored"
        if self.file.reason:
            return "unreadable"
        return "used" if self.file.text is not None else "absent"

    @property
    def why(self) -> Optional[str]:
        """Returns why an existing file is not, or not always, read."""
        if self.ignored and self.file.present:
            return "; ".join(sorted({f"{'/'.join(self._at(reason))}: {reason}" for reason in self.ignored.values()}))
        return self.file.problem or None

    def _at(self, reason: str) -> list[str]:
        return [operation for operation in BOTH if self.ignored.get(operation) == reason]

    def view(self) -> dict[str, Any]:
        return {"path": self.file.path, "kind": self.kind, "status": self.status, "why": self.why}


def always(reason: str) -> dict[str, str]:
    """Returns the same reason for every operation; empty if there is no reason."""
    return dict.fromkeys(BOTH, reason) if reason else {}


@dataclass(frozen=True)
class Setting:
    """A line that a caller reads, and when it takes effect. ``ignored`` is operation -> why it does not."""

    option: str
    value: Optional[str]
    path: str
    line: int
    ignored: dict[str, str] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        return {
            "option": self.option,
            "value": self.value,
            "path": self.path,
            "line": self.line,
            "effective": [operation for operation in BOTH if operation not in self.ignored],
            "ignored": self.ignored,
        }


@dataclass(frozen=True)
class Host:
    """All that determines which caller reads which file."""

    criu: Version
    runtimes: Mapping[str, Optional[Version]]
    libcriu_carries: bool
    files: Mapping[str, ConfigFile]
    annotation: Optional[str] = None

    def caller(self, name: str) -> dict[str, Any]:
        """Returns the sources and settings of "criu", "podman_runc" or "podman_crun"."""
        runtime = name.partition("_")[2]
        if runtime and self.runtimes.get(runtime) is None:
            why = f"{runtime} is missing or does not report its version"
            return {"available": False, "why": why, "files": [], "settings": []}
        sources = self._runtime_sources(runtime) if runtime else self._cli_sources()
        problem = self.annotation_problem(runtime) if runtime else None
        return {
            "available": problem is None,
            "why": problem,
            "files": [source.view() for source in sources],
            "settings": [setting.view() for setting in self._settings(sources, runtime)],
        }

    def _cli_sources(self) -> list[Source]:
        over_rpc = "only the runtimes name this file; criu without --config does not read it"
        return [
            Source(self.files["default"], "default"),
            Source(self.files["user"], "user"),
            Source(self.files["runc"], "runc", always(over_rpc)),
            Source(self.files["crun"], "crun", always(over_rpc)),
        ]

    def _runtime_sources(self, runtime: str) -> list[Source]:
        # At a restore the runtime inherits podman's own environment. A systemd unit has no HOME unless it sets one.
        no_home = {"dump": "podman gives the runtime no HOME, so CRIU does not find it"}
        named = self._named(runtime)
        rest = [
            Source(self.files[kind], kind, always(self._why_not(runtime, kind, named))) for kind in ("runc", "crun")
        ]
        sources = [Source(self.files["default"], "default"), Source(self.files["user"], "user", no_home)]
        if self.annotation:
            why = "" if named == "container" else self._unable(runtime)
            sources.append(Source(self.files["container"], "container", always(why)))
        # The file that the runtime names comes last: it overrides all others.
        return sorted([*sources, *rest], key=lambda source: source.kind == named)

    def _unable(self, runtime: str) -> str:
        """Returns why this runtime cannot name any file to CRIU; empty if it can."""
        version = self.runtimes[runtime]
        if runtime != "crun" or version is None:
            return ""
        if version < CRUN_READS:
            return (
                f"crun {version_text(version)} names no file to CRIU; {version_text(CRUN_READS)} is the first that does"
            )
        if not self.libcriu_carries:
            return f"libcriu is older than {version_text(LIBCRIU_CARRIES)} and cannot pass a file's name on"
        return ""

    def _named(self, runtime: str) -> Optional[str]:
        """Returns the kind of the file that the runtime names to CRIU."""
        if self._unable(runtime) or self.annotation == "":
            return None
        if self.annotation:
            return "container"
        return "crun" if runtime == "crun" and self.files["crun"].present else "runc"

    def _why_not(self, runtime: str, kind: str, named: Optional[str]) -> str:
        if kind == named:
            return ""
        unable = self._unable(runtime)
        if unable:
            return unable
        if self.annotation is not None:
            return "the annotation org.criu.config takes its place"
        return "crun.conf exists, so crun does not name this file" if kind == "runc" else "only crun reads it"

    def annotation_problem(self, runtime: str) -> Optional[str]:
        """Returns why a container with this annotation cannot be checkpointed at all; None if it can."""
        version = self.runtimes[runtime]
        if self.annotation is None or runtime != "crun" or version is None or version < CRUN_READS:
            return None
        if not self.libcriu_carries:
            return f"{self._unable(runtime)}: crun refuses every container with the annotation"
        return None

    def _settings(self, sources: Sequence[Source], runtime: str) -> list[Setting]:
        settings: list[Setting] = []
        for source in sources:
            if source.status != "used":
                continue
            over_rpc = bool(runtime) and source.kind in ("runc", "crun", "container")
            for line in self._read(source.file):
                settings = [_replaced(setting, line, source) for setting in settings]
                settings.append(self._setting(source, line, runtime, over_rpc))
        return settings

    def _read(self, file: ConfigFile) -> Iterable[Line]:
        options = known(self.criu)
        return (line for line in parse(file.text or "") if line.name in options and line.flaw is None)

    def _setting(self, source: Source, line: Line, runtime: str, over_rpc: bool) -> Setting:
        ignored = dict(source.ignored)
        base = base_of(line.name)
        for overruled in REQUESTS.get(runtime, ()):
            if overruled.option == base and not self._outranks(overruled, over_rpc, runtime):
                ignored.update(dict.fromkeys(overruled.at, f"{runtime} asks for: {overruled.says}"))
        if base == "network-lock":
            ignored.setdefault("restore", "CRIU takes the method of the dump")
        return Setting(line.name, line.value, source.file.path, line.number, ignored)

    def _outranks(self, overruled: Overruled, over_rpc: bool, runtime: str) -> bool:
        """Returns whether a file overrides this part of the runtime's request."""
        if (self.runtimes[runtime] or (0,)) < overruled.since:
            return True
        # Since 4.2, CRIU sets up its log after it reads the file, and only from the request.
        return over_rpc and not (overruled.option == "verbosity" and self.criu >= (4, 2))


def _replaced(setting: Setting, line: Line, source: Source) -> Setting:
    """Returns ``setting``, marked as ignored if a later ``line`` sets the same option."""
    option = ALL.get(line.name)
    if base_of(setting.option) != base_of(line.name) or (option and option.many):
        return setting
    later = f"line {line.number} of {source.file.path} comes later"
    read_at = [operation for operation in BOTH if operation not in source.ignored]
    return replace(setting, ignored={**dict.fromkeys(read_at, later), **setting.ignored})


def with_refusals(caller: dict[str, Any], refused: Mapping[str, str]) -> dict[str, Any]:
    """Returns the caller as unavailable if it reads a file that CRIU rejects; ``refused`` is path -> CRIU's error."""
    for file in caller["files"]:
        if file["status"] == "used" and file["path"] in refused and caller["available"]:
            why = f"CRIU rejects {file['path']!r}: {refused[file['path']]}"
            return {**caller, "available": False, "why": why}
    return caller


def parse_runtime_version(text: str) -> Optional[Version]:
    """Returns the version that runc or crun prints."""
    found = re.search(r"version v?(\d+(?:\.\d+)*)", text)
    return version_tuple(found.group(1)) if found else None
