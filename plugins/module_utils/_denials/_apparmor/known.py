# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the denials by AppArmor that checkpoints, restores and containers are known to cause.

An entry states a cause as a fact only if its marks are in the record. What CRIU's parasite does carries the name of the
process that is dumped, as if that process did it: only CRIU's log distinguishes the two (criu_logs.py).
``recorded`` is an address, or docs/apparmor.md for what this project has seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._denials import verdict as policy
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import rules
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.kinds import (
    CRIU_SOCKET,
    UNCONFINED,
    by_criu,
    is_container,
    is_engine,
    object_path,
    related,
    wanted_profile,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import (
    COMMANDS,
    ENGINE_SOCKET,
    ENGINE_SOCKET_ID,
    GITHUB,
    is_command,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import ENGINE_SOCKET as KEEP_SOCKET
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy

SEEN_HERE = "docs/apparmor.md"
PARASITE_PROC, PARASITE_CGROUP, PARASITE_SOCKET = "parasite_proc", "parasite_cgroup", "parasite_socket"
PARASITE_CREATE = "parasite_socket_create"
PROFILE_MISSING, PROFILE_REFUSED, NO_NEW_PRIVILEGES = "profile_missing", "profile_refused", "profile_no_new_privs"
_CGROUP = re.compile(r"/proc/(?:[0-9]{1,10}|@\{pid\})/(?:task/[0-9]{1,10}/)?cgroup")


@dataclass(frozen=True)
class KnownProfile:
    """A denial and its meaning. ``cause`` may name {profile}, {peer}, {command}, {name} and {signal}.

    ``otherwise``: what ``matters`` is if neither CRIU, a container nor an engine is involved. ``elsewhere``: a
    container or an engine loses something, but no checkpoint or restore fails because of it.
    """

    id: str
    fits: Callable[[Record], bool]
    cause: str
    remedy: Callable[[Record], Remedy]
    recorded: tuple[str, ...]
    matters: str = "yes"
    otherwise: str = ""
    verdict: str = policy.RULE_MISSING
    elsewhere: bool = False


def _asks_for_engine(record: Record) -> bool:
    ours = is_engine(record.source) or any(is_command(record.comm, known) for known in COMMANDS)
    return not ours and re.search(ENGINE_SOCKET, object_path(record)) is not None


def _seqpacket(record: Record) -> bool:
    return record.fields.get("family") == "unix" and record.fields.get("sock_type") == "seqpacket"


def _uses_socket(record: Record) -> bool:
    return _seqpacket(record) and CRIU_SOCKET.match(object_path(record)) is not None


def _uses_any_socket(record: Record) -> bool:
    # A kernel that does not know single Unix sockets, such as Debian's 6.12, names no address.
    return _seqpacket(record) and (record.op == "create" or not {"addr", "peer_addr"} & set(record.fields))


def _reads(record: Record) -> bool:
    return record.tclass == "file" and record.op == "open" and record.permissions == ("r",)


def _engine_signal(record: Record) -> bool:
    sender = is_engine(record.target) or any(is_command(record.comm, known) for known in COMMANDS)
    return record.op == "signal" and "receive" in record.permissions and sender


def _within_stack(record: Record) -> bool:
    return record.op == "signal" and any(is_container(one) and "//&" in one for one in (record.source, record.target))


def _info(record: Record, words: str) -> bool:
    return record.fields.get("info", "").endswith(words)


def _changes(record: Record, info: str = "") -> bool:
    return wanted_profile(record) != "" and record.fields.get("info", "") == info


def _rule(record: Record) -> Remedy:
    line = rules.render_rule(record)
    return remedy.add_lines(record.source, line) if line else remedy.LINES_OF_CRIU


def _lines(*lines: str) -> Callable[[Record], Remedy]:
    return lambda record: remedy.add_lines(record.source, *lines)


def _peer_rule(words: str) -> Callable[[Record], Remedy]:
    def made(record: Record) -> Remedy:
        peer = record.target if rules.is_plain(record.target) else UNCONFINED
        return remedy.add_lines(record.source, f"{words} peer={peer},")

    return made


PROFILES: tuple[KnownProfile, ...] = (
    KnownProfile(
        ENGINE_SOCKET_ID,
        _asks_for_engine,
        "A process under the profile {profile} asks for the socket that controls a container engine. With it a process "
        "can do all that the engine may: if that runs as root, everything on this host.",
        lambda dummy_record: KEEP_SOCKET,
        (f"{GITHUB}newsnowlabs/dockside/issues/4",),
        elsewhere=True,
    ),
    KnownProfile(
        PARASITE_SOCKET,
        _uses_socket,
        "CRIU's parasite, the code that runs inside a process while it is dumped, may not talk to CRIU: the profile "
        "{profile} of the process does not allow CRIU's socket.",
        _lines(rules.CREATE_SOCKET, rules.USE_SOCKET),
        (f"{GITHUB}checkpoint-restore/criu/issues/552", f"{GITHUB}canonical/lxd/issues/2788", SEEN_HERE),
    ),
    KnownProfile(
        PARASITE_CREATE,
        _uses_any_socket,
        "A process under the profile {profile} may not create or use a Unix socket of the kind seqpacket. CRIU's "
        "parasite does that in each process that is dumped; few programs do.",
        _lines(rules.CREATE_SOCKET, rules.USE_SOCKET),
        (SEEN_HERE,),
        matters="unknown",
    ),
    KnownProfile(
        "criu_signal",
        lambda record: record.op == "signal" and "receive" in record.permissions and by_criu(record),
        "A process under the profile {profile} does not receive the signal {signal} from CRIU ({peer}), which stops "
        "and continues the processes that it dumps.",
        _peer_rule("signal (receive)"),
        (SEEN_HERE,),
    ),
    KnownProfile(
        "stacked_signal",
        _within_stack,
        "Processes of one container do not receive each other's signals: some run under a stack of profiles, which "
        "crun makes for no-new-privileges, and the engine's profile allows signals of the same profile only.",
        lambda dummy_record: remedy.UNSTACKED,
        (f"{GITHUB}podman-container-tools/container-libs/issues/805",),
        elsewhere=True,
    ),
    KnownProfile(
        "engine_signal",
        _engine_signal,
        "A container under the profile {profile} does not receive the signal {signal} from {command} ({peer}), so the "
        "engine cannot stop it in order.",
        lambda dummy_record: remedy.NEWER_ENGINE,
        (
            f"{GITHUB}moby/moby/pull/47749",
            f"{GITHUB}containers/common/issues/2321",
            f"{GITHUB}moby/moby/issues/42544",
        ),
        elsewhere=True,
    ),
    KnownProfile(
        "criu_trace",
        lambda record: (
            record.tclass == "ptrace" and by_criu(record) and bool({"readby", "tracedby"} & set(record.permissions))
        ),
        "A process under the profile {profile} may not be traced by CRIU, which runs under {peer}.",
        _peer_rule("ptrace (readby, tracedby)"),
        (f"{GITHUB}moby/moby/pull/39121",),
    ),
    KnownProfile(
        PARASITE_CGROUP,
        lambda record: _reads(record) and _CGROUP.fullmatch(object_path(record)) is not None,
        "A process under the profile {profile} may not read its control group, or that of a thread. CRIU's parasite "
        "does that in each process that is dumped; few programs do.",
        _lines(rules.READ_PROC, rules.READ_CGROUP),
        (SEEN_HERE,),
        matters="unknown",
    ),
    KnownProfile(
        PARASITE_PROC,
        lambda record: _reads(record) and object_path(record) == "/proc/",
        "A process under the profile {profile} may not open /proc. CRIU's parasite does that in each process that is "
        "dumped; ps and the like do, too.",
        _lines(rules.READ_PROC, rules.READ_CGROUP),
        (SEEN_HERE,),
        matters="unknown",
    ),
    KnownProfile(
        PROFILE_MISSING,
        lambda record: _changes(record, "label not found"),
        "A process was to run under the profile {name}, which is not loaded.",
        lambda record: remedy.load_profile(wanted_profile(record)),
        (
            f"{GITHUB}opencontainers/runc/issues/3831",
            f"{GITHUB}roddhjav/apparmor.d/issues/1125",
            f"{GITHUB}podman-container-tools/podman/issues/12437",
        ),
        otherwise="unknown",
        verdict=policy.PROFILE_MISSING,
    ),
    KnownProfile(
        NO_NEW_PRIVILEGES,
        lambda record: _info(record, "no new privs"),
        "A process with no_new_privs may not leave the profile {profile}.",
        lambda dummy_record: remedy.NEW_PRIVILEGES,
        (f"{GITHUB}systemd/systemd/issues/14277", f"{GITHUB}roddhjav/apparmor.d/issues/301"),
        otherwise="unrelated",
        verdict=policy.BOUNDED,
    ),
    KnownProfile(
        "profile_stack",
        lambda record: record.op in ("stack", "stack_onexec"),
        "A process under the profile {profile} was to run under a stack of profiles, with {name} on top, and the "
        "kernel did not allow that. CRIU cannot restore such a process.",
        lambda dummy_record: remedy.UNSTACKED,
        (SEEN_HERE,),
        otherwise="unknown",
        verdict=policy.BOUNDED,
    ),
    KnownProfile(
        PROFILE_REFUSED,
        _changes,
        "A process under the profile {profile} may not change to the profile {name}.",
        _rule,
        (f"{GITHUB}docker/for-linux/issues/1129",),
        otherwise="unknown",
    ),
    KnownProfile(
        "path_disconnected",
        lambda record: _info(record, "disconnected path"),
        "The file is not below the root of the process that uses it, such as one that was opened in a different mount "
        "namespace, and the profile {profile} does not allow such files.",
        lambda dummy_record: remedy.DISCONNECTED,
        (f"{GITHUB}moby/moby/issues/14550", f"{GITHUB}roddhjav/apparmor.d/issues/350"),
        matters="unknown",
        otherwise="unrelated",
        verdict=policy.PATH_DISCONNECTED,
        elsewhere=True,
    ),
    KnownProfile(
        "criu_confined",
        lambda record: by_criu(record) and record.source != UNCONFINED,
        "CRIU itself runs under the profile {profile}, which does not allow what it needs.",
        lambda dummy_record: remedy.UNCONFINED_CRIU,
        (SEEN_HERE,),
    ),
)
ELSEWHERE_IDS = frozenset(known.id for known in PROFILES if known.elsewhere)


def find_profile(record: Record) -> KnownProfile | None:
    """Returns the first entry of the table that fits; None if none does."""
    return next((known for known in PROFILES if known.fits(record)), None)


def shape_of(record: Record) -> str:
    """Returns what denials of one kind have in common beside profile, operation and command.

    The entry of the table, or else the object with any number in it. A denial that has to do with neither CRIU, a
    container nor an engine is counted with all others of its profile: a desktop has thousands of different files.
    """
    known = find_profile(record)
    if known is not None and not wanted_profile(record):
        return f"{known.id} {record.fields.get('signal', '')}"
    return re.sub(r"[0-9]{1,20}", "N", record.object) if wanted_profile(record) or related(record) else ""
