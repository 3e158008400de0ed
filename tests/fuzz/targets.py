# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists every function that reads what others wrote: how to call it, what to feed it, and what it may raise.

A function is looked up by its name when it is called, so that one that was moved fails alone.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import itertools
import json
import os
import shutil
import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Callable, Iterable

from hypothesis import strategies as st

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.tests.fuzz.strategies import (
    FIXTURES,
    archives,
    bzip2,
    compressed,
    fixtures,
    json_bytes,
    json_texts,
    mutated,
    tar_bytes,
    texts,
    values,
    zstd,
)
from ansible_collections.criu.hosts.tests.unit.pages import Page

PLUGINS = "ansible_collections.criu.hosts.plugins"
SCRATCH = tempfile.mkdtemp(prefix="criu-hosts-fuzz-")
REFUSED = (CheckpointError,)
NONE: tuple[type[Exception], ...] = ()
Use = Callable[[Callable[..., Any], Any], Any]


@dataclass(frozen=True)
class Target:
    """A function below plugins/, as ``folder/file.function``; those without a folder of plugins are module_utils.

    Args:
        inputs: what it is fed.
        use: calls the function with an input.
        raises: the exceptions that its docstring names, and no others.
        hostile: from a size to a hostile input of about that size, beside the repetitions that each target gets.
        repeats: whether the input is text or bytes, of which repetitions make sense.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    use: Use = lambda function, given: function(given)
    raises: tuple[type[Exception], ...] = NONE
    hostile: tuple[Callable[[int], Any], ...] = field(default=(), compare=False)
    repeats: str = "text"

    def call(self, given: Any) -> Any:
        """Calls the function with an input; returns None if it refuses it as documented."""
        try:
            return self.use(function_of(self.name), given)
        except Exception as error:
            if not isinstance(error, self.raises):
                raise
            return None


def function_of(name: str) -> Callable[..., Any]:
    """Returns the function with this name."""
    place, dummy, function = name.rpartition(".")
    found: Any = importlib.import_module(f"{PLUGINS}.{module_of(place)}")
    for part in function.split(":"):
        found = getattr(found, part)
    return found


def module_of(place: str) -> str:
    dotted = place.replace("/", ".")
    return dotted if dotted.split(".")[0] in ("filter", "modules", "plugin_utils") else f"module_utils.{dotted}"


def clean() -> None:
    """Removes what the targets have written."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


def put(name: str, data: Any) -> str:
    """Writes a file below the scratch folder; returns its path."""
    path = f"{SCRATCH}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
    return path


def at(name: str, *more: Any, whole: bool = True) -> Use:
    """Calls the function with the path of a file that holds the input; without ``whole``, with that of its folder."""

    def use(function: Callable[..., Any], given: Any) -> Any:
        path = put(name, given)
        return function(path if whole else os.path.dirname(path), *more)

    return use


def with_more(*more: Any, **named: Any) -> Use:
    return lambda function, given: function(given, *more, **named)


def below(name: str, *more: Any, **named: Any) -> Use:
    """Calls the function with the paths of a host on which the file ``name`` holds the input."""

    def use(function: Callable[..., Any], given: Any) -> Any:
        put(f"host{name}", given)
        return function(Paths(f"{SCRATCH}/host"), *more, **named)

    return use


def completed(given: Any, rc: int = 1) -> Completed:
    """Returns a command that printed the input, or its halves."""
    middle = len(given) // 2
    return Completed(("tool",), rc, given[:middle], given[middle:])


def _walk_mounts(function: Callable[..., Any], given: Any) -> Any:
    """Finds what a path is on, what is below it, and what CRIU cannot mount."""
    mounts = importlib.import_module(f"{PLUGINS}.{module_of('_host/mounts')}")
    signs = importlib.import_module(f"{PLUGINS}.{module_of('_criu/obstacle_mounts')}")
    found = function(given)
    below = [(mounts.location(found, path), list(mounts.exposed(found, path))) for path in ("/", "/mnt/a")]
    return below, signs.unsupported(found)


class Answers:
    """Runs no command: each prints the input."""

    def __init__(self, text: str, rc: int = 0) -> None:
        self.text, self.rc = text, rc

    def run(self, argv: Iterable[str], **dummy_options: Any) -> Completed:
        return Completed(tuple(argv), self.rc, self.text, "")

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}"


class Hosted:
    """Stands for a context whose commands print the input."""

    def __init__(self, text: str, rc: int = 0) -> None:
        self.runner, self.paths = Answers(text, rc), Paths(f"{SCRATCH}/host")
        self.params: dict[str, Any] = {}


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def files_of(path: Any) -> dict[str, bytes]:
    """Returns the files in a tar archive."""
    with open(path, "rb") as handle:
        archive = function_of("_core/tar.open_tar")(handle, 1 << 26)
        return {one.name: archive.content(1 << 26) for one in archive if one.kind == "file"}


def lines_of(pattern: str) -> list[bytes]:
    """Returns single lines of recordings."""
    return [line for data in fixtures(pattern) for line in data.splitlines() if line][:400]


def loaded(*patterns: str) -> list[Any]:
    return [json.loads(data) for data in fixtures(*patterns)]


INSPECTED = loaded("podman/5.4.2-inspect-[rcnp]*.json")
PUBLISHED = loaded("podman/5.4.2-published-config.dump.json", "podman/5.4.2-published-network.status.json")
CONFIG_DUMP = {
    **loaded("podman/5.4.2-config.dump.json")[0],
    **{key: PUBLISHED[0][key] for key in ("newPortMappings", "newNetworks")},
}
SPEC_DUMP = loaded("podman/5.4.2-oci-secret.json")[0]
CHECKPOINT_IMAGE = FIXTURES / "podman/5.4.2-image-inspect-checkpoint.json"
IMAGE = [{"Id": "ab12", "Config": {"Env": ["NEXTCLOUD_VERSION=31.0.4", "PATH=/bin"]}}]
PID = 4242
SHA256 = "0123456789abcdef" * 4
THREAD = {"pid": "1", "tid": "1", "comm": "sh", "label": "system_u:system_r:container_t:s0:c1,c2", "sockcreate": ""}
TRACES = {"sockets": {"1/4": ["tcp", "system_u:system_r:container_t:s0"]}, "mounts": {"/": "context=a:b:c:s0"}}
RECORD = {
    "schema": 1,
    "engine": "podman",
    "id": "a" * 64,
    "name": "web",
    "image": "nginx",
    "image_id": "b" * 64,
    "runtime": "crun",
    "process_label": "u:r:t:s0",
    "run": "2026-01-01T00:00:00Z",
    "stamp": "17",
    "volumes": ["data"],
    "checkpointed_at": "2026-11-22T21:38:08Z",
    "criu": "4.2.1",
    "options": {"keep": True},
    "selinux": "enforcing",
    "labels": [THREAD],
    "traces": TRACES,
    "size_bytes": 0,
    "sha256": "",
    "ports": [{"ip": "", "port": 8080, "count": 1, "protocol": "tcp"}],
    "networks": {"podman": ["10.88.0.2"]},
    "pre_dump": False,
    "parent": "../20261122T213808Z-1a2b3c4d/archive.tar.zst",
    "parent_sha256": "c" * 64,
}
PRE_RECORD = {
    "schema": 1,
    "id": "a" * 64,
    "run": "2026-01-01T00:00:00Z",
    "stamp": "17",
    "made_at": "2026-11-22T21:38:08Z",
    "archive_path": "/var/lib/checkpoints/pre.tar.zst",
    "sha256": "c" * 64,
}
PROCESS_RECORD = {
    "schema": 1,
    "pid": PID,
    "start": "99",
    "boot": "ab-1",
    "comm": "sh",
    "exe": "/bin/sh",
    "cgroup": "/a.service",
    "inventory": SHA256,
    "unit": "a.service",
    "inherit": [[1, 9]],
    "leave_running": False,
    "pre_dump": False,
    "shell_job": False,
    "parent": "",
    "parent_inventory": "",
    "checkpointed_at": "2026-11-22T21:38:08Z",
    "criu": "4.2.1",
    "selinux": "enforcing",
    "external": ["unix[9]"],
    "profiles": ["lab (enforce)"],
}
STORED_ID = "20261122T213808Z-00c0ffee"
# As checkpoint_info lists it, on two hosts.
LISTED = {
    "web1": [
        {
            "path": "/srv/web.tar.zst",
            "reason": None,
            "size_bytes": 4128768,
            "container": "<b>web</b>",
            "id": "f00",
            "record": {"checkpointed_at": "2026-11-30T16:45:00Z"},
            "checkpoint_size": {"memory_pages_size": 4096, "root_fs_diff_size": 0},
            "processes": [
                {
                    "pid": 1,
                    "depth": 0,
                    "command": "a\u202eb",
                    "cmdline": "a -b",
                    "task_state": "Zombie",
                    "threads": [{}],
                }
            ],
            "memory": [
                {"pid": 1, "kind": "heap", "saved_size": 4096},
                {"pid": None, "kind": "shared", "saved_size": 1},
            ],
            "statistics": {"freezing_time": 312, "frozen_time": 152340, "memdump_time": 21004, "memwrite_time": 14127},
            "labels": ["system_u:system_r:container_t:s0"],
            "tcp_connections": [{}],
            "restorable": False,
            "reasons": [{"reason": "image_missing", "message": "It is <gone>.", "remedy": "Load it."}],
        }
    ],
    "<i>": {"checkpoints": [{"path": "/srv/web.tar.zst", "reason": "archive_invalid", "message": "cut off"}]},
}
NO_CHECKPOINTS = (KeyError, TypeError, AttributeError, ValueError)
IMAGE_OF_A_CHECKPOINT = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "layers": [
        {
            "digest": f"sha256:{SHA256}",
            "size": 9,
            "annotations": {"org.opencontainers.image.title": "archive.tar.zst"},
        }
    ],
    "annotations": {"io.github.criu-hosts.checkpoint.file.manifest.json": "{}"},
}
STORED_MANIFEST = {
    "schema": 1,
    "id": STORED_ID,
    "kind": "container",
    "name": "web",
    "made_at": "2026-11-22T21:38:08Z",
    "parts": [{"name": "archive.tar.zst", "size_bytes": 9, "sha256": SHA256}],
    "record": {key: value for key, value in RECORD.items() if key != "schema"},
    "host": {"hostname": "a", "cpu_features": ["fpu"], "cgroup_version": 2, "glibc": "2.41"},
    "why": "before the upgrade",
    "who": "root",
    "parent": "",
    "options": {"leave_running": True, "compression_level": 3},
    "spec": {"images": ["localhost/w:1"], "mounts": ["/srv"]},
}
BROUGHT = {
    "images": ["localhost/w:1"],
    "labels": ["container_t"],
    "mounts": ["/srv"],
    "capabilities": [],
    "devices": [],
}
TRUST_POLICY = {"schema": 1, "signers": ["backup@example.com"], "images": ["docker.io/*"], "mounts": []}
BEGUN = {"action": "dumping", "thing": "web", "boot": "ab-1", "began": "2026-11-22T21:38:08Z", "facts": {"id": "ab"}}
SCHEDULE = {
    "version": 1,
    "name": "web",
    "store": "/s",
    "engine": "podman",
    **dict.fromkeys(("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes"), False),
    "compression": "zstd",
    "max_load": 1.5,
    "min_free_bytes": 1,
    "metrics_dir": "/m",
    "rules": {
        **dict.fromkeys(("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly"), 1),
        **dict.fromkeys(("max_age", "max_bytes", "max_total_bytes"), None),
    },
}
SPEC = {
    "version": 1,
    "name": "web",
    "image": "nginx",
    "create": ["podman", "create", "nginx"],
    "digest": "ab",
    "conmon_pid_file": "/run/a.pid",
    "stop_timeout": 10,
    "tcp_established": False,
    "file_locks": True,
    "on_restore_failure": "fresh",
}
LAST = {
    "action": "dumped",
    "began": 1795384456.5,
    "seconds": 2.5,
    "boot_id": "b-1",
    "id": "ab",
    "stamp": "17",
    "size_bytes": 12,
    "label_proof": "equal",
    "labels": [THREAD],
    "statistics": {"frozen_microseconds": 1},
    "aside": None,
    "why": None,
    "reason": None,
    "previous": {"action": "restored", "began": 1.0},
}
MANIFEST = {
    "id": "0123456789ab",
    "version": "4.2.1",
    "features": ["selinux"],
    "libraries": ["libnet.so.9"],
    "architecture": "x86_64",
    "built_on": "debian 13",
    "source_sha256": "ab",
    "files": {"sbin/criu": "ab"},
    "plugins": [],
    "libc": "2.38",
    "patches_sha256": "",
}
PACKAGES = {
    "id": "0123456789ab",
    "kind": "deb",
    "source_version": "4.1-1",
    "version": "4.1-1+x",
    "features": ["selinux"],
    "architecture": "amd64",
    "built_on": "debian 13",
    "files": {"criu_1_amd64.deb": {"package": "criu", "version": "1", "sha256": "ab", "depends": ["libcriu2"]}},
}
NOTE = {"pid": PID, "inventory": SHA256, "start": "99", "boot": "ab-1", "images": "/a"}
RESTORING = {
    **BEGUN,
    "action": "restoring",
    "thing": "/a",
    "facts": {"inventory": SHA256, "ticks": "98", "pid_file": f"{SCRATCH}/restored.pid", "statistics": ""},
}
STORED = [{"id": "ab12cd34ef56ab", "names": ["web"], "flags": {"ProcessLabel": "u:r:t:s0:c1,c2"}}]
SETTINGS = {"system": {"trusted_domains": ["a"], "debug": False}, "apps": {"core": {"a": "1"}, "files": []}}
STATUS = {"installed": True, "versionstring": "31.0.4", "needsDbUpgrade": False, "maintenance": False}
ENABLED = {"enabled": {"calendar": "5.0"}, "disabled": {}}
IMAGE_CONFIG = {"architecture": "amd64", "config": IMAGE[0]["Config"]}
STATISTICS = loaded("podman/5.4.2-checkpoint-archive.json", "podman/5.4.2-restore-in-place.json")

ELVES = fixtures("elf/*.bin")
IMAGES = {name: fixtures(f"criu/4.2.1-images/{name}*") for name in ("inventory", "pstree", "core", "stats")}
CHECKPOINT_TAR = tar_bytes(
    {
        "config.dump": json.dumps(CONFIG_DUMP).encode(),
        "spec.dump": json.dumps(SPEC_DUMP).encode(),
        "network.status": json.dumps(PUBLISHED[1]).encode(),
        "checkpoint/inventory.img": IMAGES["inventory"][0],
    }
)
# An archive with all images of two processes.
DUMPED = files_of(FIXTURES / "criu/4.2.1-archive.tar.gz")
MEMORY = [data for name, data in DUMPED.items() if name.startswith("checkpoint/mm-")]
PAGEMAPS = [data for name, data in DUMPED.items() if name.startswith("checkpoint/pagemap-")]
SMALL_IMAGES = [
    [name for name in DUMPED if name.startswith(f"checkpoint/{kind}")]
    for kind in ("pstree", "core-", "ids-", "fdinfo-", "files", "fs-", "filelocks", "mm-", "pagemap-1", "inventory")
]
INSPECTED_TAR = tar_bytes({name: data for name, data in DUMPED.items() if len(data) < 1 << 14})
PRE_TAR = tar_bytes({"config.dump": b"{}", "spec.dump": b"{}", "pre-checkpoint/inventory.img": b"i"})
DETAILS = ("environment", "files", "memory", "mounts", "processes", "sockets", "statistics")
ARTIFACT_TAR = tar_bytes({"manifest.json": json.dumps(MANIFEST).encode(), "sbin/criu": ELVES[0][:4000]}, compress="gz")
PACKAGES_TAR = tar_bytes({"packages.json": json.dumps(PACKAGES).encode(), "criu_1_amd64.deb": b"deb"})
SOURCE_TAR = tar_bytes(
    {"criu-4.2.1/Makefile": b"all:\n", "criu-4.2.1/criu/a.c": b"int a;\n", "debian/patches/series": b"a"}
)
POLICY = [base64.b64decode(data) for data in fixtures("selinux/*policy34*.b64")]
PACKAGE = [base64.b64decode(data) for data in fixtures("selinux/*package-head.b64")]
CIL = (
    b'; a\n(boolean one true)\n(allow a b (file (read)))\n(typetransition a b process "x;y" c)\n(boolean  two false)\n'
)
CAPABILITIES = [
    b"\x01\0\0\x02" + b"\xff\0\0\0" * 4,
    b"\0\0\0\x03" + b"\1\0\0\0" * 5,
    b"\1\0\0\1" + b"\2\0\0\0" * 2,
]
OS_RELEASE = b'NAME="Debian"\nID=debian\nVERSION_ID="13"\nID_LIKE="a b"\n# x=y\n'
STAT = b"4242 (a ) b) S 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 8192 1 184467\n"
CGROUP = b"0::/system.slice/a.scope/container\n1:name=systemd:/x\n"
MOUNTINFO = (
    b'36 35 0:32 / /mnt rw,nosuid shared:1 - tmpfs tmpfs rw,context="system_u:object_r:container_file_t:s0:c1,c2"\n'
    b"37 35 0:33 / /proc ro - proc proc rw\n"
)
OCI_BINDS = loaded("podman/5.4.2-oci-binds.json")[0]
TCP = (
    b"  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n"
    b"   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A\n"
)
UNIX = (
    b"Num       RefCount Protocol Flags    Type St Inode Path\n"
    b"ffff9c1: 00000003 00000000 00000000 0001 03 17554\nffff9c2: 00000002 00000000 00010000 0001 01 17555 /run/a\n"
)
CRIU_CONF = (
    b"# BEGIN MANAGED BY criu.hosts\ntcp-established\nnetwork-lock nftables\n# END MANAGED BY criu.hosts\n"
    b'log-file "/var/log/a b.log" # why\next-mount-map=auto\n  ghost-limit 10M\nstream\n'
)
CONF_SEEDS = [
    CRIU_CONF,
    *(
        json.loads(line)["text"].encode()
        for line in lines_of("criu/4.2.1-config-answers.jsonl")
        if isinstance(json.loads(line).get("text"), str)
    ),
]
VERSION_PHP = b"<?php\n$OC_Version = array(31,0,4,1);\n$OC_VersionString = '31.0.4';\n"
INFO_XML = (
    b'<?xml version="1.0"?>\n<info><!-- <id>no</id> --><id>calendar</id><version>5.0</version>\n'
    b'<dependencies><nextcloud min-version="29" max-version="31"/></dependencies></info>\n'
)
MAKEFILE = b"CRIU_VERSION_MAJOR := 4\nCRIU_VERSION_MINOR := 2\nCRIU_VERSION_SUBLEVEL := 1\n"
MADISON = fixtures("apt/2.6.1-madison.txt")
LOGS = fixtures("criu/*.log.txt", "criu/*restore*.txt", "criu/*dump*.txt")
RELEASES = (b"6.1.0-40-amd64", b"6.18.2", b"#1 SMP Debian 6.1.153-1 (2026-09-20)", b"5.14.0-503.el9.x86_64")
TIMES = (
    b"boot",
    b"15m",
    b"2h",
    b"99999999999d",
    b"1795384456.39",
    b"@1795384456390",
    b"2026-11-22T21:38:08Z",
    b"2026-11-22",
    b"0001-01-01T00:00:00+14:00",
    b"9999-12-31T23:59:59-14:00",
)
RULES = (
    b"allow init_t container_t:process { transition dyntransition }",
    b"type_transition a b:file c",
    b"range_transition a b:process s0",
    b"/usr/sbin/criu -- criu_exec_t",
)
UNIT = (
    b"# Made by criu.hosts.container_unit: what is changed here is lost.\n[Unit]\nAfter=a\n[Container]\nExec=a \\\n b\n"
)
SHOWN = b"Id=a.service\nLoadState=loaded\nActiveState=active\nMainPID=4242\n\nId=b.service\nMainPID=x\n"


def _groups(function: Callable[..., Any], given: Any, since: float = 0.0) -> Any:
    """Reads a log of audit, then lets the explanations and the view be made of it."""
    groups = function(since)
    sources = importlib.import_module(f"{PLUGINS}.module_utils._denials.sources")
    sources.scan(io.BytesIO(given), groups)
    explain = importlib.import_module(f"{PLUGINS}.module_utils._denials.explain")
    policy = importlib.import_module(f"{PLUGINS}.module_utils._lsm._selinux.loaded_policy")
    return explain.explain_all(groups, policy.LoadedPolicy(f"{SCRATCH}/no-selinuxfs"))


# Times as journalctl prints them, and denials as journalctl, dmesg and ausearch do.
STAMPS = (
    b"Nov 22 21:54:16",
    b"Feb 29 01:02:03.004",
    b"Sun 2026-11-22 21:54:16 UTC",
    b"2026-11-22T21:54:16+0100",
    b"17.9",
)
LOG_LINES = (
    *(
        stamp + b" host audit[3]: AVC avc:  denied  { read } for  pid=1 scontext=a tcontext=b tclass=c"
        for stamp in STAMPS
    ),
    b"[ 12.3] audit: type=1401 audit(1.2:3): op=security_bounded_transition oldcontext=a:b:c newcontext=a:b:d",
    *(
        b"type=AVC msg=audit(" + day + b" 21:54:16.390:184) : avc:  denied  { read } for  pid=1 comm=a b scontext=a "
        b"tcontext=b tclass=c"
        for day in (b"11/22/26", b"22.11.2026", b"2026-11-22")
    ),
)
APPARMOR_LINES = [line.rpartition(b"\t")[2] for line in lines_of("apparmor/*.tsv")]
PROFILE_DENIAL = (
    b'type=AVC msg=audit(1795384456.390:%d): apparmor="DENIED" operation="open" class="file" profile="%s" name="/a/%s" '
    b'pid=9 comm="c" requested_mask="r" denied_mask="r" fsuid=0 ouid=0\n'
)
DENIAL = (
    b'type=AVC msg=audit(1795384456.390:%d): avc:  denied  { read write } for  pid=9 comm=%s path="/a" dev="vda" '
    b"ino=7 scontext=system_u:system_r:container_t:s0 tcontext=system_u:object_r:%s:s0 tclass=file permissive=0\n"
)


def other_commands(size: int) -> bytes:
    """Returns denials of which each has a different command, which any process may choose for itself."""
    return b"".join(DENIAL % (number, b'"c%d"' % number, b"b_t") for number in range(size // 200))


def other_types(size: int) -> bytes:
    return b"".join(DENIAL % (number, b'"c"', b"t%d_t" % number) for number in range(size // 200))


def other_files(size: int) -> bytes:
    """Returns denials by AppArmor of which each is about a different file of a container."""
    names = (b"x" * (number % 30) + b"y" * (number // 30 % 30) for number in itertools.count())
    return b"".join(PROFILE_DENIAL % (number, b"docker-default", next(names)) for number in range(size // 200))


def other_profiles(size: int) -> bytes:
    return b"".join(PROFILE_DENIAL % (number, b"p%d" % number, b"f") for number in range(size // 200))


def _profile_record(function: Callable[..., Any], given: bytes) -> Any:
    """Parses a denial by AppArmor, and renders it as a line of a profile."""
    heads = importlib.import_module(f"{PLUGINS}.module_utils._denials.heads")
    records = importlib.import_module(f"{PLUGINS}.module_utils._denials.records")
    rules = importlib.import_module(f"{PLUGINS}.module_utils._denials._apparmor.rules")
    head = heads.parse_head(given)
    record = function(head, records.text_of(given)) if head is not None else None
    return rules.render_rule(record) if record is not None else None


def torn_heads(size: int) -> bytes:
    """Returns real denials, and many lines that begin like one and go on like none."""
    return b"".join(DENIAL % (number, b'"c"', b"b_t") for number in range(60)) + b"type=AVC \n" * (size // 10)


def torn_long_heads(size: int) -> bytes:
    return b"".join(DENIAL % (number, b'"c"', b"b_t") for number in range(60)) + b"type=AVC { } for comm=a " * (
        size // 24
    )


def _kernel_messages(function: Callable[..., Any], given: Any) -> Any:
    groups = importlib.import_module(f"{PLUGINS}.module_utils._denials.groups").Groups()
    return function(put("kmsg", given), groups)


def _journal(function: Callable[..., Any], given: str) -> Any:
    groups = importlib.import_module(f"{PLUGINS}.module_utils._denials.groups").Groups()
    return function(Answers(given), 0.0, groups)


_UNPACKED = itertools.count()


def _unpack(function: Callable[..., Any], given: bytes) -> Any:
    plan = importlib.import_module(f"{PLUGINS}.module_utils._core.plan")
    folder = f"{SCRATCH}/unpacked/{next(_UNPACKED)}"
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    try:
        function(plan.Unpack(put("source.tar", given), folder, strip=1))
        outside = [name for name in os.listdir(SCRATCH) if name in ("x", "passwd")]
        assert not outside, f"{outside} was written beside the folder"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _process_files(given: tuple[bytes, bytes]) -> Paths:
    """Writes the files of a process. Programs choose their names (comm); nearly all else in them is the kernel's."""
    stat, other = given
    for folder in (f"host/proc/{PID}", f"host/proc/{PID}/task/{PID}"):
        put(f"{folder}/stat", stat)
        for name, data in (("status", STATUS_FILE), ("cgroup", CGROUP), ("mountinfo", MOUNTINFO), ("comm", b"a\n")):
            put(f"{folder}/{name}", other if other.startswith(data[:3]) else data)
        put(f"{folder}/statm", b"2048 512 300 1 0 200 0\n")
        put(f"{folder}/children", b"1 2 \n")
    put("host/proc/sys/kernel/random/boot_id", b"ab-1\n")
    return Paths(f"{SCRATCH}/host")


def _of_process(*more: Any) -> Use:
    return lambda function, given: function(_process_files(given), *more)


def _no_labels() -> Any:
    return importlib.import_module(f"{PLUGINS}.module_utils._lsm.labels").NoLabels()


STATUS_FILE = b"Name:\ta\nState:\tS (sleeping)\nTgid:\t4242\nPid:\t4242\nPPid:\t1\nNSpid:\t4242\t1\nUid:\t0\t0\t0\t0\n"
PROCESS_FILES = st.tuples(
    mutated([STAT, STAT.replace(b"(a ) b)", b"(\n) R 1 (\xff)")]), mutated([STATUS_FILE, CGROUP, MOUNTINFO])
)


def _images(function: Callable[..., Any], given: tuple[bytes, bytes, bytes, bytes]) -> Any:
    inventory, tree, core, record = given
    folder = os.path.dirname(put("images/inventory.img", inventory))
    put("images/pstree.img", tree)
    put("images/criu-hosts.json", record)
    images = function(folder)
    if images is not None:
        for task in images.tasks[:8]:
            for tid in task.threads[:8]:
                put(f"images/core-{tid}.img", core)
        importlib.import_module(f"{PLUGINS}.module_utils._store.image_folder").read_labels(images)


def _brought(function: Callable[..., Any], given: tuple[bytes, bytes]) -> Any:
    """Gathers the labels and capabilities in images of which the tree and the threads may be damaged."""
    tree, core = given
    tasks = [
        SimpleNamespace(threads=one.threads[:8])
        for one in function_of("_formats/criu_images.read_tasks")(os.path.dirname(put("brought/pstree.img", tree)))
    ]
    for task in tasks:
        for tid in task.threads:
            put(f"brought/core-{tid}.img", core)
    return function(SimpleNamespace(path=f"{SCRATCH}/brought", tasks=tasks))


def _locks(image: str, function: Callable[..., Any], given: bytes) -> Any:
    """Reads the locks in images of which one is damaged."""
    for path in FIXTURES.glob("criu/4.2.1-locks-images/*"):
        put(f"locks/{path.name}", given if path.name.startswith(image) else path.read_bytes())
    return function(f"{SCRATCH}/locks")


def _contents(function: Callable[..., Any], given: bytes) -> Any:
    with open(put("c.tar", given), "rb") as handle:
        return function(handle, DETAILS)


def _image_folder(function: Callable[..., Any], given: tuple[str, bytes]) -> Any:
    """Reads a folder of images of which one is damaged."""
    for name, data in DUMPED.items():
        if name.startswith("checkpoint/") and not name.endswith("/"):
            put(f"folder/{name.rpartition('/')[2]}", data)
    put(f"folder/{given[0].rpartition('/')[2]}", given[1])
    try:
        return function(f"{SCRATCH}/folder", DETAILS)
    finally:
        shutil.rmtree(f"{SCRATCH}/folder")


def _image(name: str, function: Callable[..., Any], given: bytes) -> Any:
    """Reads an image into tables, and describes what is in them."""
    tables = function_of("_formats/criu_tables.Tables")(frozenset(DETAILS))
    function(tables, name.rpartition("/")[2], len(given), io.BytesIO(given).read)
    return function_of("_store/contents.describe")(tables)


def _memory(function: Callable[..., Any], given: bytes) -> Any:
    return function(io.BytesIO(given).read, areas=True)


def _pagemap(function: Callable[..., Any], given: bytes) -> Any:
    """Reads a pagemap into the memory of a process of which the other image is whole."""
    memory = function_of("_formats/criu_memory.read_memory")(io.BytesIO(MEMORY[0]).read, areas=True)
    return function(io.BytesIO(given).read, memory, lambda size: True)


def _descriptors(function: Callable[..., Any], given: bytes) -> Any:
    """Reads a process with one pipe, and how that is open."""
    put(f"host/proc/{PID}/fdinfo/1", given)
    link = f"{SCRATCH}/host/proc/{PID}/fd/1"
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if not os.path.lexists(link):
        os.symlink("pipe:[5]", link)
    paths = Paths(f"{SCRATCH}/host")
    return [one.ends(paths) for one in function(paths, PID)]


def _found(path: str) -> Any:
    """Returns images of one process that has a pid namespace of its own, as that of STATUS_FILE."""
    formats = importlib.import_module(f"{PLUGINS}.module_utils._formats.criu_images")
    images = importlib.import_module(f"{PLUGINS}.module_utils._store.image_folder")
    return images.Images(path, None, (formats.Task(1, (1,)),), SHA256)


def _note(function: Callable[..., Any], given: str) -> Any:
    """Finds a running copy by the note of a restore that has ended."""
    path = f"{SCRATCH}/noted"
    copies = importlib.import_module(f"{PLUGINS}.module_utils._process.copies")
    put(os.path.relpath(copies.note_path(path), SCRATCH), given)
    return function(_process_files((STAT, STATUS_FILE)), _found(path), root=False)


def _begun_restore(function: Callable[..., Any], given: tuple[str, bytes]) -> Any:
    """Finds a running copy by the note of a restore that was cut off, and by the pid file that CRIU wrote."""
    path = f"{SCRATCH}/begun"
    copies = importlib.import_module(f"{PLUGINS}.module_utils._process.copies")
    put(os.path.relpath(copies.begun_path(path), SCRATCH), given[0])
    put("restored.pid", given[1])
    return function(_process_files((STAT, STATUS_FILE)), _found(path), root=False)


def _unfinished(function: Callable[..., Any], given: str) -> Any:
    """Decides about an unfinished archive whose record is the input."""
    put("archives/.web.tar.record", given)
    put("archives/.web.tar.partial", CHECKPOINT_TAR)
    return function(function_of("_engines/podman/engine.Podman")(), f"{SCRATCH}/archives/web.tar", lambda record: "17")


def _occ(function: Callable[..., Any], given: str) -> Any:
    return function(Hosted(given), function_of("_engines/podman/engine.Podman")(), "cloud", "33")


def _key(function: Callable[..., Any], given: str) -> Any:
    layout = importlib.import_module(f"{PLUGINS}.module_utils._unit.stateful.layout")
    paths = Paths(f"{SCRATCH}/host")
    put(os.path.relpath(layout.key_path(paths), SCRATCH), given)
    with ExitStack() as stack:
        key, dummy_steps = function(SimpleNamespace(paths=paths, hold=lambda *dummy: nullcontext()), stack)
    assert len(key) == len(SHA256), f"{key!r} is no key"
    return key


def _begun_note(function: Callable[..., Any], given: str) -> Any:
    return below("/var/lib/criu-hosts/begun/container-web.json", "web")(function, given)


def _stored(function: Callable[..., Any], given: str) -> Any:
    put(f"store/containers/web/{STORED_ID}/manifest.json", given)
    return function(f"{SCRATCH}/store", "container", "web", STORED_ID)


def _received(function: Callable[..., Any], given: str) -> Any:
    request = importlib.import_module(f"{PLUGINS}.module_utils._store.copies").Request("/store", "container", "web")
    return function(given, request, STORED_ID, "a")


def _page(function: Callable[..., Any], given: Any) -> None:
    """The page is whole, whatever it shows, and nothing that it shows becomes a part of it."""
    page = Page(function(given, "a"))
    assert not {"script", "img", "iframe"} & {tag for tag, dummy in page.elements}


def _is_from_archive(function: Callable[..., Any], given: str) -> Any:
    container = function_of("_engines/podman/answers.parse_inspect")(json.dumps(INSPECTED[0]))
    record = function_of("_store/record.parse_record")(json.dumps({**RECORD, "id": "", "sha256": SHA256}))
    request = importlib.import_module(f"{PLUGINS}.module_utils._container.request")
    desired = object.__new__(request.Desired)
    for name, value in (("new_name", "web"), ("archive_path", "/a"), ("name", "web")):
        object.__setattr__(desired, name, value)
    put("host/var/lib/criu-hosts/restored/web.json", given)
    return function(Paths(f"{SCRATCH}/host"), desired, container, record)


def _podman(method: str, name: str, *more: Any) -> Use:
    """Calls a method of podman's engine on a host where one of podman's own files holds the input."""

    def use(function: Callable[..., Any], given: str) -> Any:
        put(f"host/var/lib/containers/storage/{name}", given)
        engine = function(Paths(f"{SCRATCH}/host"))
        found = [Hosted("", rc=1) if one is Hosted else one for one in more]
        return getattr(engine, method)(*found)

    return use


def _console() -> Any:
    engine = function_of("_engines/podman/engine.Podman")()
    return function_of("_nextcloud/settings.Console")(engine, "cloud", "33", "/var/www/html")


def _lint(function: Callable[..., Any], given: str) -> Any:
    for kind, version in (("default", (4, 2, 1)), ("runc", (3, 17, 1)), ("crun", ())):
        assert all("\n" not in finding.message for finding in function(given, kind, version))


def _with_label(function: Callable[..., Any], given: tuple[bytes, str]) -> Any:
    return function(*given)


CASES: tuple[Target, ...] = (
    # JSON
    Target("_formats/json_text.parse_json", json_bytes(*INSPECTED), raises=(ValueError,), repeats="bytes"),
    Target("_formats/json_text.parse_object", json_texts(LAST, SPEC), raises=(ValueError,)),
    Target("_engines/podman/answers.parse_inspect", json_texts(*INSPECTED), raises=REFUSED),
    Target("_engines/podman/answers.parse_image", json_texts(IMAGE), raises=REFUSED),
    Target(
        "_engines/podman/images.parse_checkpoint_image",
        json_texts(json.loads(CHECKPOINT_IMAGE.read_text())),
        lambda function, given: function(given, "localhost/checkpoints/web:latest", "/storage"),
        raises=(ValueError,),
    ),
    Target(
        "_engines/podman/archive.parse_dump",
        json_bytes(CONFIG_DUMP),
        lambda function, given: function("config.dump", given),
        raises=(ValueError,),
        repeats="bytes",
    ),
    Target(
        "_engines/podman/networks.parse_holders",
        json_texts(loaded("podman/5.4.2-network-inspect.json")[0]),
        raises=(ValueError,),
    ),
    Target("_engines/podman/health.parse_version", texts("podman version 5.4.2\n")),
    Target(
        "_engines/podman/ports.parse_port",
        texts("127.0.0.1:8080:80/tcp", "[::1]:8000-8009:9000-9009/udp", "80"),
        raises=(ValueError,),
    ),
    Target("_core/durations.parse_duration", texts("90", "30m", "7d")),
    Target("_store/age.parse_max_age", texts("90", "30m", "7d"), raises=REFUSED),
    Target(
        "_engines/podman/answers.parse_health",
        values({"Healthcheck": {"Test": ["CMD", "ls"], "Interval": 30000000000}}).filter(is_object),
        raises=(ValueError,),
        repeats="",
    ),
    Target("_engines/podman/answers.parse_statistics", json_texts(*STATISTICS)),
    Target("_engines/podman/losses.parse_secret_mounts", json_texts(SPEC_DUMP)),
    Target("_engines/podman/ties.parse_shared_namespaces", json_texts(SPEC_DUMP), raises=(ValueError,)),
    Target(
        "_engines/podman/engine.Podman",
        json_texts(STORED),
        _podman("has_image", "overlay-images/images.json", Hosted, "ab"),
        raises=REFUSED,
    ),
    Target(
        "_engines/podman/engine.Podman",
        json_texts(STORED),
        _podman("sharing", "overlay-containers/containers.json", "u:r:t:s0:c1,c2"),
        raises=REFUSED,
    ),
    Target(
        "_engines/podman/storage.users_containers",
        json_texts(STORED),
        lambda function, given: (
            put("home/s/overlay-containers/containers.json", given),
            function(f"{SCRATCH}/home", "s", (os.geteuid(),)),
        ),
    ),
    Target("_store/record.parse_record", json_texts(RECORD), raises=(ValueError,)),
    Target(
        "_store/record_text.parse_fields",
        json_texts(RECORD, PROCESS_RECORD),
        lambda function, given: function(
            given, function_of("_store/record.Record"), function_of("_store/record.RULES")
        ),
        raises=(ValueError,),
    ),
    Target(
        "_store/image_folder.read_record",
        json_texts(PROCESS_RECORD),
        at("i/criu-hosts.json", whole=False),
        raises=REFUSED,
    ),
    Target("_store/own_file.read_own", mutated([b"a"]), at("plain"), raises=(ValueError,), repeats="bytes"),
    Target("_engines/podman/storage.parse_list", json_bytes(STORED), raises=(ValueError,), repeats="bytes"),
    Target(
        "_engines/podman/runtimes.parse_default",
        texts(b'[engine]\nruntime = "crun"\n[engine.runtimes]\ncrun = [\n  "/bin/crun",\n]\n'),
    ),
    Target(
        "_engines/podman/runtimes.parse_runtimes",
        texts(b'[engine]\nruntime = "crun"\n[engine.runtimes]\ncrun = [\n  "/bin/crun",\n]\nrunc = ["/bin/runc"]\n'),
    ),
    Target(
        "_criu_build/manifest.parse_artifact",
        archives(ARTIFACT_TAR),
        lambda function, given: function("/a", given),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target(
        "_criu_build/package_archive.parse_archive",
        archives(PACKAGES_TAR),
        lambda function, given: function("/a", given),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target("_denials/failure.read_log", mutated(LOGS), at("dump.log"), repeats="bytes"),
    Target(
        "_host/paths.read_end",
        mutated(LOGS),
        lambda function, given: function(put("dump.log", given), limit=1000),
        repeats="bytes",
    ),
    Target("_store/pre_record.parse_pre_record", json_texts(PRE_RECORD), raises=(ValueError,)),
    Target("_store/pre_record.read_pre_record", json_texts(PRE_RECORD), at("pre-checkpoint/criu-hosts.json")),
    Target("_store/process_record.parse_record", json_texts(PROCESS_RECORD), raises=(ValueError,)),
    Target("_store/begun.read_begun", json_texts(BEGUN), at("begun/container-web.json")),
    Target(
        "_store/archive.read_record",
        json_texts(RECORD),
        lambda function, given: function(put("a.tar.json", given)[: -len(".json")]),
    ),
    Target("_store/manifest.parse_manifest", json_texts(STORED_MANIFEST), raises=(ValueError,)),
    Target("_store/spec.parse_spec", values(BROUGHT).filter(is_object), raises=(ValueError,), repeats=""),
    Target("_store/trust.parse_policy", json_texts(TRUST_POLICY), raises=(ValueError,)),
    Target("_store/trust.read_policy", json_texts(TRUST_POLICY), below("/etc/criu-hosts/trust.json"), raises=REFUSED),
    Target("_store/signature.parse_principals", texts(b"backup@example.com\nnightly\n")),
    Target("_store/folder.read_stored", json_texts(STORED_MANIFEST), _stored),
    Target(
        "_store/working.read_draft",
        json_texts(STORED_MANIFEST),
        at("store/.manifest.json.partial", whole=False),
    ),
    Target("_process/copies.find_copy", json_texts(NOTE), _note, raises=REFUSED),
    Target(
        "_process/copies.find_copy",
        st.tuples(json_texts(RESTORING), mutated([b"4242"])),
        _begun_restore,
        raises=REFUSED,
        repeats="",
    ),
    Target("_process/copies.read_own", mutated([b"a"]), at("plain"), repeats="bytes"),
    Target(
        "_process/copies.read_pid", mutated([b"4242\n", b"99999999999", "²".encode()]), at("a.pid"), repeats="bytes"
    ),
    Target(
        "_process/recover.read_record",
        json_texts({**PROCESS_RECORD, "inventory": hashlib.sha256(IMAGES["inventory"][0]).hexdigest()}),
        lambda function, given: (
            put("recorded/inventory.img", IMAGES["inventory"][0]),
            put("recorded/pstree.img", IMAGES["pstree"][0]),
            function(os.path.dirname(put("recorded/criu-hosts.json", given))),
        )[-1],
    ),
    Target("_container/held.read_note", json_texts(BEGUN), _begun_note),
    Target(
        "_container/notes.known_record",
        json_texts(RECORD),
        below("/var/lib/criu-hosts/begun/record-web.json", "web"),
    ),
    Target(
        "_container/unfinished_archive.read_unfinished", json_texts({**RECORD, "id": CONFIG_DUMP["id"]}), _unfinished
    ),
    Target(
        "_container/restore_archive.is_from_archive",
        json_texts({"id": "ab", "sha256": SHA256}),
        _is_from_archive,
        raises=REFUSED,
    ),
    Target("_lsm/object_labels.from_record", values(TRACES), repeats=""),
    Target("_lsm/thread_labels.from_record", values([THREAD, THREAD]), repeats=""),
    Target("_unit/stateful/state.parse_spec", json_texts(SPEC), with_more("web", "/a"), raises=REFUSED),
    Target("_schedule/description.parse_schedule", json_texts(SCHEDULE), with_more("web", "/a"), raises=REFUSED),
    Target("_schedule/guards.read_load", texts(b"0.50 0.40 0.30 1/200 4711\n"), below("/proc/loadavg")),
    Target("_unit/stateful/state.parse_last", json_texts(LAST)),
    Target("_unit/ensure.read_key", texts(SHA256.encode() + b"\n"), _key),
    Target("_unit/plan.spec_digest", json_texts(SPEC)),
    Target("_criu_build/manifest.parse_manifest", json_texts(MANIFEST), raises=(ValueError,)),
    Target("_criu_build/package_archive.parse", json_texts(PACKAGES), raises=(ValueError,)),
    Target(
        "_criu_build/installed._read_tree",
        json_texts({"artifact_sha256": "ab"}, MANIFEST),
        lambda function, given: (
            put("tree/manifest.json", json.dumps(MANIFEST)),
            put("tree/origin.json", given),
            function(f"{SCRATCH}/tree"),
            put("tree/manifest.json", given),
            function(f"{SCRATCH}/tree"),
        ),
    ),
    Target(
        "_denials/since.parse_record_time",
        json_texts(RECORD, {"checkpointed_at": "99999999999d"}),
        with_more("/a"),
        raises=REFUSED,
    ),
    Target(
        "_nextcloud/settings.parse_settings",
        json_texts(SETTINGS),
        lambda function, given: function(given, _console()),
        raises=REFUSED,
    ),
    Target("_nextcloud/host.read_status", json_texts(STATUS, SETTINGS), _occ, raises=REFUSED),
    Target("_nextcloud/host.read_enabled", json_texts(ENABLED, SETTINGS), _occ, raises=REFUSED),
    Target(
        "_nextcloud/host.ask_registry",
        json_texts(IMAGE_CONFIG),
        lambda function, given: function(Hosted(given), "nextcloud:31"),
    ),
    Target("_nextcloud/upgrade.parse_status", values(STATUS).filter(is_object), raises=(ValueError,), repeats=""),
    Target("_nextcloud/upgrade.parse_enabled", values(ENABLED).filter(is_object), raises=(ValueError,), repeats=""),
    Target(
        "_nextcloud/host.read_image",
        json_texts(IMAGE),
        lambda function, given: function(Hosted(given), function_of("_engines/podman/engine.Podman")(), "cloud"),
        raises=REFUSED,
    ),
    # Archives
    Target(
        "_engines/podman/archive.read_config_dump",
        compressed(archives(CHECKPOINT_TAR), zstd),
        at("a.tar.zst"),
        raises=REFUSED,
        repeats="bytes",
        hostile=(
            lambda size: zstd(tar_bytes({"config.dump": b" " * (size << 4)})),
            # Frame by frame it expands to far more than the memory that is allowed.
            lambda size: zstd(b"\0" * size) * 256,
        ),
    ),
    Target(
        "_engines/podman/archive.read_config_dump",
        json_bytes(CONFIG_DUMP, SPEC_DUMP).map(
            lambda data: tar_bytes({"config.dump": data, "spec.dump": data, "checkpoint/inventory.img": b""})
        ),
        at("a.tar"),
        raises=REFUSED,
        repeats="",
    ),
    Target(
        "_engines/podman/spec.read_archive_spec",
        compressed(archives(INSPECTED_TAR), zstd),
        at("a.tar.zst"),
        raises=(ValueError, OSError),
        repeats="bytes",
    ),
    Target(
        "_engines/podman/spec.check_pre_checkpoint",
        compressed(archives(PRE_TAR), zstd),
        at("a.tar.zst"),
        raises=(ValueError, OSError),
        repeats="bytes",
    ),
    Target(
        "_engines/podman/spec.parse_spec",
        st.tuples(values(CONFIG_DUMP).filter(is_object), values(SPEC_DUMP).filter(is_object)),
        lambda function, given: function(*given),
        raises=(ValueError,),
        repeats="",
    ),
    Target(
        "_core/unpack.unpack",
        compressed(archives(SOURCE_TAR), bzip2),
        _unpack,
        raises=(CheckpointError, OSError),
        repeats="bytes",
    ),
    Target(
        "_criu_build/manifest.read_artifact",
        archives(ARTIFACT_TAR),
        at("artifact.tar.gz"),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target(
        "_criu_build/package_archive.read_archive",
        archives(PACKAGES_TAR),
        at("packages.tar"),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target(
        "_criu_build/compile.read_patches", archives(SOURCE_TAR), at("patches.tar"), raises=REFUSED, repeats="bytes"
    ),
    Target(
        "_engines/podman/consistency.read_sizes",
        archives(tar_bytes({"spec.dump": json.dumps(SPEC_DUMP).encode(), "rootfs-diff.tar": tar_bytes({"a": b"1"})})),
        lambda function, given: function(
            function_of("_core/tar.Tar")(function_of("_core/streams.Plain")(io.BytesIO(given))), {"/a"}
        ),
        raises=(ValueError,),
        repeats="bytes",
    ),
    Target(
        "_engines/podman/contents.read_contents",
        archives(INSPECTED_TAR),
        _contents,
        raises=(ValueError, OSError),
        repeats="bytes",
    ),
    # Binary formats
    *(
        Target(
            "_formats/criu_tables.read_image",
            mutated([DUMPED[name] for name in names]),
            partial(_image, names[0]),
            raises=(ImageError,),
            repeats="bytes",
        )
        for names in SMALL_IMAGES
    ),
    Target("_formats/criu_memory.read_memory", mutated(MEMORY), _memory, raises=(ImageError,), repeats="bytes"),
    Target("_formats/criu_memory.read_pagemap", mutated(PAGEMAPS), _pagemap, raises=(ImageError,), repeats="bytes"),
    Target(
        "_formats/criu_images.parse_message",
        mutated([data[8:] for one in IMAGES.values() for data in one]),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target(
        "_formats/criu_images.read_inventory",
        mutated(IMAGES["inventory"]),
        at("i/inventory.img", whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target(
        "_formats/criu_images.read_tasks",
        mutated(IMAGES["pstree"]),
        at("i/pstree.img", whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target(
        "_formats/criu_images.read_core",
        mutated(IMAGES["core"]),
        at("i/core-1.img", 1, whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    *(
        Target(
            f"_formats/criu_resources.{name}",
            mutated(fixtures(f"criu/4.2.1-*-images/{image}.img")),
            at(f"r/{image}.img", whole=False),
            raises=(ImageError,),
            repeats="bytes",
        )
        for name, image in (("is_session_leader", "pstree"), ("has_terminal", "tty-info"), ("has_locks", "filelocks"))
    ),
    *(
        Target(
            "_formats/criu_resources.read_locks",
            mutated(fixtures(f"criu/4.2.1-locks-images/{image}*")),
            partial(_locks, image),
            raises=(ImageError,),
            repeats="",
        )
        for image in ("filelocks", "ids", "fdinfo", "files")
    ),
    Target("_process/file_locks.parse_held", texts(b"3: POSIX  ADVISORY  WRITE 70 00:74:100 5 14\n1: -> FLOCK  A")),
    Target("_process/unix_peers.parse_sockets", mutated(fixtures("sock_diag/*.bin")), repeats="bytes"),
    Target(
        "_process/descriptors.read_descriptors",
        mutated([b"pos:\t0\nflags:\t0100002\n"]),
        _descriptors,
        repeats="bytes",
    ),
    Target("_process/sessions.session_of", PROCESS_FILES, _of_process(PID), repeats=""),
    Target("_process/zombies.parent_of_zombie", PROCESS_FILES, _of_process(PID), repeats=""),
    Target(
        "_formats/criu_files.read_contained_files",
        mutated(fixtures("criu/4.2.1-leave-running/files.img")),
        at("i/files.img", whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target(
        "_formats/criu_files.read_saved_files",
        mutated(fixtures("criu/4.2.1-files/files.img")),
        at("files/files.img", whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target(
        "_formats/criu_files.read_listeners",
        mutated(fixtures("criu/4.2.1-files/files.img")),
        at("files/files.img", whole=False),
        raises=(ImageError,),
        repeats="bytes",
    ),
    Target("_formats/criu_images.read_statistics", mutated(IMAGES["stats"]), at("stats-dump"), repeats="bytes"),
    Target(
        "_process/trust.read_spec",
        st.tuples(mutated(IMAGES["pstree"]), mutated(IMAGES["core"])),
        _brought,
        raises=(ImageError, ValueError),
        repeats="",
    ),
    Target(
        "_store/image_contents.read_image_contents",
        st.sampled_from([one[0] for one in SMALL_IMAGES]).flatmap(
            lambda name: st.tuples(st.just(name), mutated([DUMPED[name]]))
        ),
        _image_folder,
        raises=(ValueError,),
        repeats="",
    ),
    Target(
        "_store/image_folder.read_images",
        st.tuples(*(mutated(IMAGES[name]) for name in ("inventory", "pstree", "core")), json_bytes(PROCESS_RECORD)),
        _images,
        raises=REFUSED,
        repeats="",
    ),
    Target(
        "_formats/elf.read_elf",
        mutated(ELVES),
        lambda function, given: function(io.BytesIO(given)),
        raises=(ValueError,),
        repeats="bytes",
    ),
    Target("_criu/program.read_program", mutated(ELVES), at("criu"), repeats="bytes"),
    Target("_formats/file_capabilities.parse_capabilities", mutated(CAPABILITIES), repeats="bytes"),
    Target("_criu/non_root.parse_effective", mutated(CAPABILITIES), repeats="bytes"),
    Target(
        "_formats/binary_policy.policy_default", mutated(POLICY), with_more("criu_container_restore"), repeats="bytes"
    ),
    Target("_formats/binary_policy.has_type", mutated(POLICY), with_more("container_t"), repeats="bytes"),
    Target("_formats/binary_policy.class_permissions", mutated(POLICY), with_more("process"), repeats="bytes"),
    Target("_lsm/_selinux/module.package_name", mutated(PACKAGE), raises=(ValueError,), repeats="bytes"),
    Target(
        "_lsm/_selinux/module_store.read_source",
        compressed(mutated(PACKAGE), bzip2),
        at("zebra.pp.bz2", "zebra"),
        raises=REFUSED,
        repeats="bytes",
    ),
    # Denials, and logs of CRIU and podman
    Target("_denials/heads.parse_any_head", mutated([*lines_of("audit/*.txt"), *LOG_LINES]), repeats="bytes"),
    Target("_denials/heads.parse_head", mutated([*lines_of("audit/*.txt"), *LOG_LINES]), repeats="bytes"),
    Target("_denials/heads.parse_time", mutated([*lines_of("audit/*.txt"), *LOG_LINES]), repeats="bytes"),
    Target("_denials/heads.parse_stamp", texts(*STAMPS), with_more(1.8e9)),
    Target("_denials/records.parse_line", mutated([*lines_of("audit/*.txt"), *LOG_LINES]), repeats="bytes"),
    Target("_denials/records.parse_fields", texts(*lines_of("audit/*.txt"))),
    Target("_denials/lines.parse_record", mutated([*APPARMOR_LINES, *LOG_LINES]), repeats="bytes"),
    Target("_denials/_apparmor/records.parse_apparmor", mutated(APPARMOR_LINES), _profile_record, repeats="bytes"),
    Target("_denials/_apparmor/records.parse_apparmor_fields", texts(*APPARMOR_LINES)),
    Target("_denials/_apparmor/records.parse_apparmor_fields", texts(*APPARMOR_LINES), with_more(interpreted=True)),
    Target(
        "_denials/groups.Groups",
        mutated([b"\n".join(APPARMOR_LINES) + b"\n"]),
        _groups,
        repeats="bytes",
        hostile=(other_files, other_profiles),
    ),
    Target(
        "_denials/groups.Groups",
        mutated(fixtures("audit/*.txt")),
        _groups,
        repeats="bytes",
        hostile=(other_commands, other_types, torn_heads, torn_long_heads),
    ),
    Target(
        "_denials/groups.Groups",
        mutated(fixtures("audit/*.txt")),
        lambda function, given: _groups(function, given, 9.0),
        repeats="bytes",
        hostile=(other_commands,),
    ),
    Target(
        "_denials/sources.read_kernel",
        mutated([b"6,1,2,-;" + line for line in lines_of("audit/*.txt")]),
        _kernel_messages,
        raises=(OSError,),
        repeats="bytes",
    ),
    Target("_denials/sources.read_journal", texts(*lines_of("audit/*.txt")), _journal, raises=REFUSED),
    Target("_denials/sources.read_journal", texts(*APPARMOR_LINES), _journal, raises=REFUSED),
    Target("_denials/since.parse_since", texts(*TIMES), with_more(now=1.8e9, boot=1.7e9), raises=REFUSED),
    Target("_denials/criu_logs.read_signs", texts(*LOGS).map(str.splitlines), with_more("/a"), repeats="lines"),
    Target(
        "_denials/report.read_logs",
        mutated(LOGS),
        lambda function, given: function([put("dump.log", given)]),
        repeats="bytes",
    ),
    Target(
        "_denials/report.read_logs",
        mutated(LOGS),
        lambda function, given: function([put("dump.log", given)], profiles=True),
        repeats="bytes",
    ),
    Target("_criu/log.tail", texts(*LOGS)),
    Target("_criu/causes.cause_in_log", texts(*LOGS).map(str.splitlines), with_more("container"), repeats="lines"),
    Target("_criu/log.first_error", texts(*LOGS).map(str.splitlines), repeats="lines"),
    Target(
        "_engines/podman/causes.cause_of",
        texts(*fixtures("podman/*.txt")),
        lambda function, given: function(completed(given)),
    ),
    # CRIU and its configuration
    Target(
        "_criu/features.parse_check",
        texts(*LOGS, *fixtures("criu/*stderr.txt")),
        lambda function, given: function(completed(given)),
    ),
    Target(
        "_criu/features.parse_feature",
        texts(*fixtures("criu/*stderr.txt")),
        lambda function, given: function(completed(given)),
    ),
    Target(
        "_criu/inspect.parse_config_error",
        texts(*fixtures("criu/*bad-config*")),
        lambda function, given: function(completed(given)),
    ),
    Target("_criu/offer.parse_offered", texts(*fixtures("apt/*show-criu.txt"))),
    Target("_criu/offer.parse_upstream", texts(b"1:4.1.1-1+b1")),
    Target("_criu_config/lint.parse", texts(*CONF_SEEDS)),
    Target(
        "_criu_config/lint.parse_line",
        texts(*(line for seed in CONF_SEEDS for line in seed.splitlines()[:50])),
        lambda function, given: function(1, given),
    ),
    Target("_criu_config/lint.lint", texts(*CONF_SEEDS), _lint),
    Target("_criu_config/config_file.parse_criu_version", texts(*fixtures("criu/*version.txt"))),
    Target("_criu_config/config_file.read_config_file", mutated(CONF_SEEDS), at("default.conf"), repeats="bytes"),
    Target("_criu_config/readers.parse_runtime_version", texts(*fixtures("*/*version.txt"))),
    Target("_core/versions.parse_version", texts(*fixtures("*/*version.txt"))),
    Target("_core/versions.version_tuple", texts(b"4.2.1", b"4.2\n", b"1..2")),
    Target("_core/versions.version_number", texts(b"4.2.1", b"4.2\n", b"1..2")),
    # Builds
    Target("_criu_build/compatibility.parse_ldconfig", texts(*fixtures("criu/*ldconfig.txt"))),
    Target("_criu_build/compile.parse_version", texts(MAKEFILE)),
    Target("_criu_build/compile.parse_series", texts(b"a.patch\nb.patch -p1\n# no\n../c\n/d\n")),
    Target(
        "_criu_build/installed.parse_diversions", texts(*fixtures("dpkg/*diversions.txt")), with_more("/usr/sbin/criu")
    ),
    Target("_criu_build/manifest.oldest_libc", texts(b"GLIBC_2.38\nGLIBC_2.4\n").map(str.splitlines), repeats="lines"),
    Target("_criu_build/package_debian.parse_uris", texts(*fixtures("apt/*uris.txt"))),
    Target("_criu_build/package_debian.parse_madison", texts(*MADISON), with_more("criuhosts")),
    Target("_criu_build/package_debian.missing_packages", texts(b"dpkg: Unmet build dependencies: a (>= 1) b | c\n")),
    Target(
        "_criu_build/package_debian.add_build_depends",
        texts(*fixtures("dpkg/*control.txt")),
        with_more(["liba-dev"]),
        raises=REFUSED,
    ),
    Target("_criu_build/package_debian.add_entry", texts(*fixtures("dpkg/*changelog.txt")), with_more("1", ["a"])),
    Target("_criu_build/package_debian.strict_depends", texts(b"Package: criu\nDepends: a (= 1), b (>= 2), c\n")),
    Target("_criu_build/package_redhat.parse_sourcerpm", texts(b"criu-4.1-1.fc42.src.rpm\ncriu-4.0-1.nosrc.rpm\n")),
    Target(
        "_criu_build/package_redhat.edit_spec",
        texts(b"Epoch: 1\nRelease: 1%{?dist}\nBuildRequires: a\n%description\n"),
        with_more(["nftables-devel"], "x"),
        raises=REFUSED,
    ),
    Target("_criu_build/package_redhat.missing_packages", texts(b"\tnftables-devel >= 1 is needed by criu-4.1\n")),
    # The host
    Target("_host/distribution.parse_os_release", texts(OS_RELEASE)),
    Target("_host/distribution.read_system", mutated([OS_RELEASE]), below("/etc/os-release"), repeats="bytes"),
    Target(
        "_host/kernel.parse_release",
        st.tuples(texts(*RELEASES), texts(*RELEASES)),
        lambda function, given: function(*given),
        repeats="",
    ),
    Target("_criu/host_facts.parse_cpu_features", texts("flags\t\t: fpu vme sse2 avx512f\n", "Features\t: fp asimd\n")),
    Target(
        "_container/host_facts.parse_glibc",
        st.binary(max_size=400) | mutated([b"\0GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\n\0"]),
        repeats="bytes",
    ),
    Target(
        "_host/kernel.read_kernel",
        mutated([b"40\n", *RELEASES]),
        lambda function, given: [
            below(f"/proc/sys/kernel/{name}")(function, given)
            for name in ("osrelease", "arch", "cap_last_cap", "yama/ptrace_scope", "io_uring_disabled")
        ],
        repeats="bytes",
    ),
    Target("_host/kernel.boot_clock", mutated([b"cpu 1\nbtime 1795384456\n"]), below("/proc/stat"), repeats="bytes"),
    Target("_host/process.process_start", PROCESS_FILES, _of_process(PID), repeats=""),
    Target("_host/process.read_process", PROCESS_FILES, _of_process(PID), repeats=""),
    Target("_host/process.is_alive", PROCESS_FILES, _of_process(PID, "99", "ab-1"), repeats=""),
    Target("_host/process.cgroup_of", PROCESS_FILES, _of_process(PID), repeats=""),
    Target("_host/resources.resident_memory", PROCESS_FILES, _of_process([PID]), repeats=""),
    Target(
        "_host/resources.cgroup_memory",
        mutated([b"4096\n"]),
        lambda function, given: (
            _process_files((STAT, b"0::/a.scope\n")),
            put("host/sys/fs/cgroup/a.scope/memory.current", given),
            function(Paths(f"{SCRATCH}/host"), PID),
        ),
        repeats="bytes",
    ),
    Target("_host/systemd.read_unit", texts(SHOWN), lambda function, given: function(Answers(given), "a.service")),
    Target("_host/systemd.word", texts(b"a b", b"$x %n", b"\x01", b"a\nExecStart=x"), raises=REFUSED),
    Target("_host/systemd.quote", texts(b"a b", b"$x %n", b"\x01", b"a\nExecStart=x"), raises=REFUSED),
    Target("_host/paths.read_bytes", mutated([b"a"]), at("plain"), repeats="bytes"),
    Target("_host/proc_files.parse_status", texts(b"Name:\ta\nUid:\t0\t0\t0\t0\nCapBnd:\t000001ff\nPid:\t-1\n")),
    Target(
        "_host/proc_files.parse_maps",
        texts(
            b"00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/a (deleted)\n00-1 r 0 0 0 anon_inode:[io_uring]\n"
        ),
        lambda function, given: list(function(given)),
    ),
    Target("_criu_config/before_dump.parse_size", texts(b"10M", b"1048576", b"1G")),
    Target("_host/paths.read_text", mutated([b"a"]), at("plain"), repeats="bytes"),
    Target(
        "_host/paths.read_below",
        texts(b"a/b", b"../x", b"a/../b", b"/etc/passwd", b"a\0b"),
        lambda function, given: function(SCRATCH, given, limit=1 << 16),
        raises=(OSError,),
    ),
    Target("_lsm/_selinux/labels.parse_mounts", texts(MOUNTINFO)),
    Target("_host/mounts.parse_mounts", texts(MOUNTINFO)),
    Target("_host/mounts.parse_mounts", texts(MOUNTINFO), _walk_mounts),
    Target("_engines/podman/binds.parse_binds", values(OCI_BINDS).filter(is_object), repeats=""),
    Target("_lsm/_apparmor/profile.parse_profile", texts(b"lab two (enforce)", b"a//HAT//&:box:b (mixed)")),
    Target(
        "_lsm/_apparmor/loaded.read_loaded",
        mutated([b"containers-default-0.62.2 (enforce)\nlab two//HAT (complain)\n", b"a (enforce)\n"]),
        below("/sys/kernel/security/apparmor/profiles"),
        repeats="bytes",
    ),
    Target("_lsm/_selinux/context.Context:parse", texts(b"system_u:object_r:container_file_t:s0:c1,c2", b"a:b")),
    Target("_lsm/_selinux/context.type_of", texts(b"system_u:object_r:container_file_t:s0:c1,c2", b"a:b")),
    Target("_lsm/_selinux/module.declared_booleans", texts(CIL)),
    Target("_lsm/_selinux/module.strip_cil", texts(CIL)),
    Target("_lsm/_selinux/policy/generate.parse_rule", texts(*RULES), raises=(ValueError,)),
    Target(
        "_lsm/_selinux/host.read_host",
        mutated([b"SELINUX=enforcing\nSELINUXTYPE=targeted\n"]),
        below("/etc/selinux/config"),
        repeats="bytes",
    ),
    Target(
        "_criu/inspect.read_lsm",
        mutated([b"SELINUX=enforcing\nSELINUXTYPE=targeted\n", b"1", b"0 1", b"yama,apparmor", b"a b (enforce)\n"]),
        lambda function, given: [
            below(name)(function, given)
            for name in (
                "/etc/selinux/config",
                "/sys/fs/selinux/enforce",
                "/sys/fs/selinux/booleans/criu_container_restore",
                "/sys/kernel/security/lsm",
                "/sys/kernel/security/apparmor/profiles",
            )
        ],
        repeats="bytes",
    ),
    Target("_lsm/thread_labels.inner_pid", texts(STATUS_FILE)),
    Target(
        "_lsm/thread_labels.read_tree",
        PROCESS_FILES,
        lambda function, given: function(_process_files(given), PID, _no_labels()),
        repeats="",
    ),
    Target(
        "_lsm/thread_labels.read_threads",
        PROCESS_FILES,
        lambda function, given: function(_process_files(given), PID, _no_labels()),
        repeats="",
    ),
    Target(
        "_lsm/object_labels.read_traces",
        PROCESS_FILES,
        lambda function, given: function(_process_files(given), [PID], _no_labels()),
        repeats="",
    ),
    Target(
        "_process/target.read_pid_file",
        mutated([b"4242\n", b" 1 \n", b"-1", b"99999999999"]),
        lambda function, given: function(Paths(f"{SCRATCH}/host"), put("a.pid", given)),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target("_process/target._journal_peers", texts(UNIX)),
    Target("_process/second_copy.holder", PROCESS_FILES, _of_process(PID), repeats=""),
    Target("_engines/podman/losses.parse_local_addresses", texts(TCP)),
    Target("filter/reboot_plan.parse_shown", texts(SHOWN)),
    Target("plugin_utils/_report/text.parse_time", texts(b"2026-11-30T16:45:00.5+02:00", b"9999-12-31T23:59:59-01:00")),
    Target("plugin_utils/_report/text.parse_store_id", texts(b"20261130T164500Z-1a2b3c4d")),
    Target("plugin_utils/_report/text.visible", texts("a\u202eb\x1b[2J\u2028".encode())),
    Target("plugin_utils/_report/render.render", values(LISTED), _page, raises=NO_CHECKPOINTS, repeats=""),
    # Copies of checkpoints
    Target("_store/oci.parse_image", json_texts(IMAGE_OF_A_CHECKPOINT), raises=(ValueError,)),
    Target(
        "_engines/podman/checkpoint_image.parse_made",
        json_texts(json.loads(fixtures("podman/5.4.2-checkpoint-image.json")[0])),
        raises=(ValueError,),
    ),
    Target(
        "_engines/podman/checkpoint_image.parse_created",
        json_texts(json.loads(fixtures("podman/5.4.2-checkpoint-image-config.json")[0])),
        raises=(ValueError,),
    ),
    Target("_store/registry.parse_tags", texts(*fixtures("skopeo/*-list-tags.json")), raises=(ValueError,)),
    Target("_store/remote.parse_names", texts(b"20261130T164500Z-1a2b3c4d\n.part-20261130T164500Z-1a2b3c4d\n")),
    Target("_store/copies.parse_received", json_texts(STORED_MANIFEST), _received, raises=REFUSED),
    # Paths
    Target("_store/safe_path.check_path", texts(b"/var/lib/a.tar", b"/a/../b", b"a", b"/", b"/a\0"), raises=REFUSED),
    Target("_store/safe_path.check_images_path", texts(b"/var/lib/a", b"/a/../b", b"a", b"/", b"/a\0"), raises=REFUSED),
    # Units
    Target("_unit/plan.essence", texts(UNIT, *fixtures("units/*.txt"))),
    Target(
        "_unit/volumes.volume_of",
        st.one_of(
            texts(b"/a:/b:Z,ro", b"data:/b", b"a:b:c:d", b"/etc:/e:z"),
            values({"source": "/a", "target": "/b", "relabel": "private", "read_only": True, "options": ["U"]}),
        ),
        raises=REFUSED,
    ),
    # Nextcloud
    Target("_nextcloud/upgrade.parse_wanted", texts(b"32", b"32.0", b"32.0.1"), raises=REFUSED),
    Target(
        "_nextcloud/upgrade.parse_version_file", texts(VERSION_PHP, b"$OC_Version = [ 31, 0 , ];", b"$OC_Version=[ , ]")
    ),
    Target(
        "_nextcloud/upgrade.parse_app",
        texts(INFO_XML),
        hostile=(
            lambda size: "<id>a" + " " * size,
            lambda size: "<nextcloud a" * (size // 12),
            lambda size: "<nextcloud " + "max-version=" * (size // 12),
        ),
    ),
    Target(
        "_nextcloud/upgrade.version_of_environment",
        texts(b"NEXTCLOUD_VERSION=31.0.4\nA=b\nNEXTCLOUD_VERSION=x").map(str.splitlines),
        repeats="lines",
    ),
    Target(
        "_nextcloud/files.read_version",
        mutated([VERSION_PHP]),
        at("html/version.php", whole=False),
        raises=REFUSED,
        repeats="bytes",
    ),
    Target(
        "_nextcloud/files.read_apps",
        mutated([INFO_XML]),
        lambda function, given: (put("apps/a/appinfo/info.xml", given), function([f"{SCRATCH}/apps"])),
        raises=REFUSED,
        repeats="bytes",
    ),
)

# What is called parse or read and needs no entry: the reason. "a command's answer": a pure function parses it.
EXEMPT: dict[str, str] = {
    "_store/registry.read_image": "a command's answer, which parse_image reads",
    "_formats/criu_memory.read_pages": "copies bytes to places that read_pagemap found",
    "_formats/criu_tables.read_texts": "chooses the memory for read_pages",
    "_container/failure.read_failure": "collects other readers for a failure",
    "_container/label_proof.read_running": "collects read_threads and read_traces",
    "_container/restore_archive.read_archived": "collects read_archive",
    "_container/restore_image.read_situation": "collects read_image_record and what describes an image",
    "_engines/podman/spec.read_folder_spec": "collects read_image and parse_spec",
    "_store/image_record.read_image_record": "collects read_own and parse_record",
    "_criu/binary.read_criu": "a command's answer",
    "_criu/obstacles.read_sights": "collects read_sight",
    "_criu/features.read_check": "a command's answer",
    "_criu/inspect.read_binary": "collects read_program and parse_capabilities",
    "_criu/inspect.read_config": "returns texts as they are",
    "_criu/offer.read_offer": "a command's answer, which parse_offered reads",
    "_criu/inspect.read_version": "a command's answer",
    "_criu/kernel_cache.read_kdat": "reads times of files",
    "_criu/program.read_capability_attribute": "returns bytes as they are",
    "_criu_build/choice.read_source": "reads a checksum of bytes",
    "_criu_build/given.read_given": "returns bytes as they are",
    "_criu_build/package_archive.read_content": "returns bytes as they are",
    "_engines/podman/runtimes.read_runtimes": "collects parse_runtimes",
    "_engines/podman/binds.read_binds": "collects parse_binds",
    "_engines/podman/spec.read_spec": "collects parse_spec",
    "_host/mounts.read_mounts": "collects parse_mounts",
    "_criu_build/installed.read_installed": "collects _read_tree",
    "_criu_build/installed.read_diversion": "collects parse_diversions",
    "_criu_config/before_dump.read_files": "is lint.parse of a file",
    "_criu_config/config_file.read_version": "a command's answer",
    "_criu/inspect.read_apparmor": "is fed through read_lsm",
    "_denials/failure.read_failure": "collects other readers for a failure",
    "_denials/report.read_groups": "collects Groups and its sources",
    "_denials/since.read_since": "collects parse_since and parse_record_time",
    "_denials/sources.read_audit": "collects scan, which Groups is fed through",
    "_engines/podman/losses.parse_address": "gets one field of a line that the kernel writes: parse_local_addresses",
    "_engines/runtimes.read_runtimes": "a command's answer",
    "_host/kernel.read_boot_time": "collects boot_clock",
    "_host/paths.read_attribute": "returns what the kernel says, as read_text",
    "_host/process.read_pids": "reads numbers of the kernel's",
    "_host/proc_files.read_sight": "collects parse_status and parse_maps",
    "_host/paths.read_xattr": "returns text as it is",
    "_lsm/active.read_active": "is fed through read_lsm",
    "_lsm/_selinux/boolean.read_boolean": "reads one digit of the kernel's",
    "_lsm/_selinux/host.read_file": "returns bytes as they are",
    "_lsm/_selinux/loan.read_loan": "reads names of files",
    "_lsm/_selinux/mode.read_selinux": "collects read_mode",
    "_lsm/_selinux/module_store.read_module": "returns what the store holds as it is",
    "_lsm/_selinux/selinuxfs.read_mode": "reads one digit of the kernel's: in read_lsm",
    "_nextcloud/settings.read_settings": "a command's answer",
    "_process/failure.read_failure": "collects other readers for a failure",
    "_process/target.read_target": "collects read_unit, read_pid_file and read_process",
    "_store/archive.read_archive": "collects read_record and the engine's describe_archive",
    "_store/image_folder.read_labels": "is fed through read_images",
    "_schedule/install.read_current": "returns texts as they are",
    "_schedule/run.read_schedule": "collects parse_schedule",
    "_unit/installed.read_current": "returns texts as they are",
    "_unit/stateful/state.read_spec": "collects parse_spec",
    "_unit/stateful/state.read_last": "collects parse_last",
}


def label(target: Target) -> str:
    """Returns the name of a target in a table; several may have the same function."""
    same = [one for one in CASES if one.name == target.name]
    return target.name if len(same) == 1 else f"{target.name} ({same.index(target) + 1})"
