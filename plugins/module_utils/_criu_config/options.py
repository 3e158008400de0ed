# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the long options of CRIU 3.11 to 4.3: the value, the first version, and the files where an option does harm.

The unit tests compare the table with the option tables of the real programs 3.17.1, 4.1.1, 4.2.1 and 4.3. No library
has such a table: CRIU's own bindings cover its RPC interface, not its command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_tuple

# The newest version that the table was compared with. A newer CRIU may have more options.
NEWEST: Version = (4, 3)
CONFIG_FILES_SINCE: Version = (3, 11)
# The kinds of files: CRIU's own, a user's, those that the runtimes name over RPC.
KINDS = ("default", "user", "runc", "crun", "container")
RPC_KINDS = ("runc", "crun", "container")
# name | value | marks. The value is flag (none), or a type of values.py (PATTERNS, CHECKS); with "?" it is optional.
# Marks: "no": no-NAME exists as well; "many": may be repeated; "since=X.Y"; "never": breaks CRIU or has no meaning in
# any file; "risky": refused unless the task allows it; "risky-rpc": the same, but only in a file that a runtime names.
TABLE = """
    action-script           | command                         | many risky
    address                 | word                            |
    all                     | flag                            | never
    allow-uprobes           | flag                            | no since=4.2
    auto-dedup              | flag                            | no
    cgroup-dump-controller  | word                            | many
    cgroup-props            | text                            |
    cgroup-props-file       | path                            |
    cgroup-root             | cgroup_root                     | many risky
    cgroup-yard             | path                            | since=3.14
    close                   | number                          | never
    compress                | flag                            | since=4.3
    compress-acceleration   | number 1 65537                  | since=4.3
    compress-block          | size                            | since=4.3
    config                  | path                            | never
    cpu-cap                 | cpu_cap?                        |
    daemon                  | flag                            | no never
    decompress-threads      | number 0 1024                   | since=4.3
    deprecated              | flag                            | no
    display-stats           | flag                            | no
    empty-ns                | choice net                      | risky-rpc
    enable-external-masters | flag                            |
    enable-external-sharing | flag                            |
    enable-fs               | word                            | many
    evasive-devices         | flag                            | no
    exec-cmd                | flag                            | never
    experimental            | flag                            | no never
    ext-mount-map           | ext_mount                       | many
    ext-unix-sk             | number?                         |
    external                | external                        | many
    extra                   | flag                            | no never
    feature                 | word                            | never
    file-locks              | flag                            | no
    file-validation         | choice filesize buildid         | since=3.15
    force-irmap             | flag                            | no
    freeze-cgroup           | path                            | risky
    ghost-fiemap            | flag                            | no since=3.18
    ghost-limit             | size                            |
    help                    | flag                            | never
    image-io-mode           | choice writeback direct         | since=4.3
    images-dir              | path                            | risky
    inherit-fd              | inherit_fd                      | many never
    irmap-scan-path         | path                            | many
    join-ns                 | join_ns                         | many risky
    lazy-pages              | flag                            | risky
    leave-running           | flag                            | risky
    leave-stopped           | flag                            | risky
    libdir                  | path                            | risky
    link-remap              | flag                            | no
    log-file                | file                            | risky-rpc
    log-pid                 | flag                            | no risky-rpc
    lsm-mount-context       | context                         | since=3.16 risky
    lsm-profile             | lsm_profile                     | risky
    manage-cgroups          | choice none props soft full strict ignore? |
    mntns-compat-mode       | flag                            | no since=3.17 risky
    ms                      | flag                            | never
    network-lock            | network_lock                    | since=3.16
    no-default-config       | flag                            | never
    page-server             | flag                            | no risky
    pidfile                 | file                            | risky
    plugin-option           | plugin_option                   | many since=4.3
    port                    | number 1 65535                  |
    pre-dump-mode           | choice splice read              | since=3.14
    prev-images-dir         | file                            | risky
    ps-socket               | number                          | never
    restore-detached        | flag                            | no risky
    restore-sibling         | flag                            | no never
    root                    | path                            | risky
    shell-job               | flag                            | no
    skip-file-rwx-check     | flag                            | no since=3.18
    skip-in-flight          | flag                            | no
    skip-mnt                | path                            | many
    status-fd               | number                          | never
    stream                  | flag                            | no since=3.15 never
    tcp-close               | flag                            | no
    tcp-established         | flag                            | no
    timeout                 | number 0 2147483647             |
    tls                     | flag                            | no since=3.13
    tls-cacert              | path                            | since=3.13
    tls-cacrl               | path                            | since=3.13
    tls-cert                | path                            | since=3.13
    tls-key                 | path                            | since=3.13
    tls-no-cn-verify        | flag                            | since=3.13 risky
    track-mem               | flag                            | no
    tree                    | number 1 4194304                | never
    unprivileged            | flag                            | no since=3.18
    verbosity               | number 0 4?                     |
    version                 | flag                            | never
    veth-pair               | veth_pair                       | many
    weak-sysctls            | flag                            | no
    work-dir                | path                            | risky
"""
# The effect of a "never" or "risky" option, for the message, where it follows "it".
HARM = {
    "action-script": "runs a program at every dump and restore, with CRIU's rights",
    "all": "belongs to criu check, not to a file",
    "cgroup-root": "moves everything that is restored to a different cgroup",
    "close": "closes a file that CRIU may need",
    "config": "is ignored in a file: a file cannot include a further file",
    "daemon": "sends every restore and page server to the background",
    "empty-ns": "restores every container without its network",
    "exec-cmd": "breaks every call of CRIU: it needs a command on the command line",
    "experimental": "belongs to criu check, not to a file",
    "extra": "belongs to criu check, not to a file",
    "feature": "belongs to criu check, not to a file",
    "freeze-cgroup": "freezes the same cgroup at every dump",
    "help": "makes every call of CRIU print its help, do nothing and report success",
    "images-dir": "puts the images where the caller does not look for them",
    "inherit-fd": "breaks every call but restore, and a file cannot know the numbers of open files",
    "join-ns": "restores everything into one namespace",
    "lazy-pages": "leaves every dump and restore waiting for a second CRIU",
    "leave-running": "keeps processes running that the caller believes stopped, so a restore makes a second copy",
    "leave-stopped": "leaves all dumped processes on the host, stopped",
    "libdir": "loads plugins from there, with CRIU's rights",
    "log-file": "puts the log where the runtime does not look for it, and where SELinux may deny writing",
    "log-pid": "splits the log into files that the runtime does not look for",
    "lsm-mount-context": "changes the label of every mount that is restored",
    "lsm-profile": "gives everything that is restored one label",
    "mntns-compat-mode": "breaks every call but restore",
    "ms": "breaks every call of CRIU",
    "no-default-config": "is ignored in a file",
    "page-server": "sends the memory of every dump to a page server",
    "pidfile": "lets every restore overwrite one file",
    "prev-images-dir": "makes every dump depend on one older dump",
    "ps-socket": "is the number of an open file, which a file cannot know",
    "restore-detached": "belongs to restores from a command line",
    "restore-sibling": "breaks every call without restore-detached",
    "root": "changes the root of every restore",
    "status-fd": "is the number of an open file, which a file cannot know",
    "stream": "breaks criu check, page-server and every runtime",
    "tls-no-cn-verify": "accepts a page server with any host's certificate",
    "tree": "makes every dump use the same process instead of the caller's",
    "version": "makes every call of CRIU print its version, do nothing and report success",
    "work-dir": "puts the log and the statistics where the caller does not look for them",
}
# Pairs of options that exclude each other.
CONTRADICTIONS = (
    ("tcp-established", "tcp-close"),
    ("leave-running", "leave-stopped"),
    ("cgroup-props", "cgroup-props-file"),
)


@dataclass(frozen=True)
class Option:
    """A long option of CRIU.

    Args:
        value: the type of its value, "flag" for none.
        optional: the value may be left out; if given, CRIU needs it as NAME=VALUE.
        negation_of: for an option no-NAME, the NAME.
    """

    name: str
    value: str
    optional: bool = False
    many: bool = False
    since: Version = CONFIG_FILES_SINCE
    harm: str = ""
    negation_of: str = ""

    @property
    def takes(self) -> str:
        """Returns whether getopt_long expects a value: none, required or optional."""
        return "none" if self.value == "flag" else "optional" if self.optional else "required"

    @property
    def base(self) -> str:
        """Returns the option that it sets: NAME for no-NAME."""
        return self.negation_of or self.name


def _rows() -> Iterator[Option]:
    for line in TABLE.strip().splitlines():
        name, value, marks = (part.strip() for part in line.split("|"))
        words = marks.split()
        since = next((version_tuple(word[6:]) for word in words if word.startswith("since=")), CONFIG_FILES_SINCE)
        harm = next((word for word in words if word in ("never", "risky", "risky-rpc")), "")
        yield Option(name, value.rstrip("?"), value.endswith("?"), "many" in words, since, harm)
        if "no" in words:
            yield Option(f"no-{name}", "flag", since=since, harm="never" if harm == "never" else "", negation_of=name)


ALL: dict[str, Option] = {option.name: option for option in _rows()}


def base_of(name: str) -> str:
    """Returns the option that ``name`` sets: NAME for no-NAME."""
    option = ALL.get(name)
    return option.base if option else name


def known(version: Version) -> dict[str, Option]:
    """Returns the options of CRIU ``version``."""
    return {name: option for name, option in ALL.items() if option.since <= version}


def harm_of(option: Option, kind: str) -> Optional[str]:
    """Returns "never", "risky" or None for ``option`` in a file of this ``kind``."""
    if option.harm == "risky-rpc":
        return "risky" if kind in RPC_KINDS else None
    return option.harm or None
