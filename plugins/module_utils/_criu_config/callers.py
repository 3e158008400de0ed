# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists who calls CRIU: which CRIU it finds, whether that gets a HOME, and which options it sets on its own. Pure.

A runtime sends CRIU a request, whose values come after the default files and before the file that it names. A program
that runs CRIU with a command line sets its options after all files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterator, Mapping, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version

BOTH = ("dump", "restore")
UNLESS = ", unless its command line"
FLAG = f"off{UNLESS} asks for it"
MODE = f"soft{UNLESS} says another mode"


@dataclass(frozen=True)
class Overruled:
    """An option that a caller sets, so that it overrides the files that CRIU reads before.

    Args:
        says: the value that it sets.
        since: the first version of the runtime that sets it.
    """

    option: str
    says: str
    at: tuple[str, ...] = BOTH
    since: Version = (0,)


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
        Overruled("manage-cgroups", MODE),
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
        Overruled("manage-cgroups", MODE),
        Overruled("root", "the container's root"),
        Overruled("shell-job", FLAG),
        Overruled("tcp-close", FLAG, ("restore",), (1, 23)),
        Overruled("tcp-established", FLAG),
        Overruled("verbosity", "4"),
        Overruled("work-dir", "the caller's folder"),
    ),
}
# exec_criu in src/lxc/criu.c, tags v6.0.4 to v7.0.0, with what lxc-checkpoint gives it. Options that may come several
# times, of which it sets ext-mount-map, external, enable-fs, cgroup-root and inherit-fd, add to those in the files.
LXC = (
    Overruled("enable-external-masters", "on"),
    Overruled("enable-external-sharing", "on"),
    Overruled("file-locks", "on"),
    Overruled("force-irmap", "on", ("dump",)),
    Overruled("freeze-cgroup", "the container's cgroup", ("dump",)),
    Overruled("images-dir", "the caller's folder"),
    Overruled("leave-running", "on, unless its command line has --stop", ("dump",)),
    Overruled("link-remap", "on"),
    Overruled("log-file", "dump.log or restore.log in the caller's folder"),
    Overruled("lsm-profile", "the profile or context that the container's configuration names", ("restore",)),
    Overruled("manage-cgroups", "full"),
    Overruled("restore-detached", "on", ("restore",)),
    Overruled("restore-sibling", "on", ("restore",)),
    Overruled("root", "the container's root", ("restore",)),
    Overruled("skip-in-flight", "on", ("dump",)),
    Overruled("tcp-established", "on"),
    Overruled("tree", "the container's first process", ("dump",)),
)
# Checkpoint in client/container.go of containerd, tags v1.7.24 to v2.3.4: only this way of ctr sets anything.
CONTAINERD = (Overruled("file-locks", "on by 'ctr containers checkpoint', off by all others", ("dump",)),)
# CheckpointContainer and CreateContainer in internal/oci/runtime_oci.go of CRI-O, tags v1.30.0 to v1.36.3.
CRIO = (
    Overruled("file-locks", "on", ("dump",)),
    Overruled("lsm-profile", "the pod's label, if SELinux is on", ("restore",)),
    Overruled("lsm-mount-context", "the pod's label of mounts, if SELinux is on", ("restore",)),
)


@dataclass(frozen=True)
class Caller:
    """Who calls CRIU.

    Args:
        name: the word in results; "ENGINE_RUNTIME" if an engine calls a runtime.
        program: that of the engine, without which there is no such caller; empty if there is none.
        runtime: the runtime that sends the request; empty if CRIU gets a command line.
        units: the services in whose PATH the runtime finds CRIU, the first that runs; none for the PATH of a shell.
        homeless: operation -> why CRIU gets no HOME, and so does not find the user's file.
        asks: what it always sets, beside or in place of what the runtime sets.
        fixed: whether it leaves all else in the runtime's request as it is, since it gives it no further option.
        source: where all this was read.
    """

    name: str
    program: str = ""
    runtime: str = ""
    units: tuple[str, ...] = ()
    homeless: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[Overruled, ...] = ()
    fixed: bool = False
    source: str = ""

    @property
    def engine(self) -> str:
        """The engine's name; the caller's own without one."""
        return self.name.partition("_")[0]

    def sets(self, version: Optional[Version] = None) -> Iterator[tuple[str, Overruled]]:
        """Yields what it sets, with who does; of several for one option and operation the last counts.

        ``version`` is that of its runtime; None for what any version sets.
        """
        for one in REQUESTS.get(self.runtime, ()):
            if version is not None and version < one.since:
                continue
            if self.fixed and UNLESS in one.says:
                value = one.says.partition(UNLESS)[0]
                one = replace(one, says=f"{value}, and {self.engine} never asks for anything else")
            yield self.runtime, one
        for one in self.asks:
            yield self.engine, one

    def forced(self, version: Optional[Version] = None) -> list[dict[str, object]]:
        """Returns what it sets as a result shows it, by option, each operation once."""
        last = {(one.option, operation): one.says for dummy, one in self.sets(version) for operation in one.at}
        merged: dict[tuple[str, str], list[str]] = {}
        for (option, operation), says in last.items():
            merged.setdefault((option, says), []).append(operation)
        return [
            {"option": option, "value": says, "at": [one for one in BOTH if one in at]}
            for (option, says), at in sorted(merged.items())
        ]


_PODMAN = {"dump": "podman gives the runtime no HOME, so CRIU does not find it"}
_DAEMON = dict.fromkeys(BOTH, "a service has no HOME, and the shim and the runtime inherit that, so CRIU finds none")
_CRIO = dict.fromkeys(BOTH, "CRI-O gives the runtime no HOME, so CRIU does not find it")
_SHIM = "containerd: cmd/containerd-shim-runc-v2/process/init.go"
_CRUN, _RUNC = "crun: src/libcrun/criu.c", "runc: libcontainer/criu_linux.go"
_LIBPOD = "Podman: libpod/oci_conmon_common.go"
CALLERS: tuple[Caller, ...] = (
    Caller("criu", source="CRIU: criu/config.c"),
    Caller("runc", runtime="runc", source=_RUNC),
    Caller("crun", runtime="crun", source=_CRUN),
    Caller("podman_runc", "podman", "runc", homeless=_PODMAN, source=_LIBPOD),
    Caller("podman_crun", "podman", "crun", homeless=_PODMAN, source=_LIBPOD),
    # dockerd starts a containerd of its own if there is no service.
    Caller(
        *("docker_runc", "dockerd", "runc", ("containerd.service", "docker.service"), _DAEMON),
        fixed=True,
        source=f"moby: libcontainerd/remote/client.go; {_SHIM}",
    ),
    Caller(
        *("containerd_runc", "containerd", "runc", ("containerd.service",), _DAEMON, CONTAINERD),
        fixed=True,
        source=f"{_SHIM}, client/container.go, internal/cri/server/container_checkpoint_linux.go",
    ),
    *(
        Caller(
            *(f"crio_{runtime}", "crio", runtime, ("crio.service",), _CRIO, CRIO),
            fixed=True,
            source="CRI-O: internal/oci/runtime_oci.go",
        )
        for runtime in ("runc", "crun")
    ),
    Caller("lxc", "lxc-checkpoint", asks=LXC, source="LXC: src/lxc/criu.c"),
)
BY_NAME: dict[str, Caller] = {caller.name: caller for caller in CALLERS}
