# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the denials by AppArmor that people have reported, and those of CRIU's parasite."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials import sources
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import criu_logs
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.known import PROFILES
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.rules import (
    CREATE_SOCKET,
    READ_CGROUP,
    READ_PROC,
    USE_SOCKET,
    render_rule,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import read_signs
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import explain_all
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.lines import is_notice, parse_record
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.apparmor_denials import FORMS_HERE, ROWS, Row, record_of
from ansible_collections.criu.hosts.tests.unit.denials import FIXTURES

NO_POLICY = LoadedPolicy("/nonexistent")
HEAD = "type=AVC msg=audit(1795896001.100:41): "


def scanned(*lines: str) -> Groups:
    groups = Groups()
    sources.scan(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), groups)
    return groups


def told(*lines: str) -> list[dict[str, Any]]:
    groups = scanned(*lines)
    assert groups.unread == 0, groups.unread_line
    return explain_all(groups, NO_POLICY)


def one_of(line: str) -> dict[str, Any]:
    (one,) = told(line)
    return one


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_explanation_is_the_same_in_each_form(row: Row) -> None:
    dummy_thread, id_, matters, dummy_origin, record = row
    for name, render in FORMS_HERE.items():
        one = one_of(render(record))
        assert (one["lsm"], one["id"] or "-", one["matters"]) == ("apparmor", id_, matters), name


@pytest.mark.parametrize("known", PROFILES, ids=lambda known: known.id)
def test_each_entry_has_a_record_and_a_source(known: Any) -> None:
    assert known.id in {row[1] for row in ROWS}
    assert known.recorded
    assert all(source.startswith("https://") or (FIXTURES.parents[2] / source).exists() for source in known.recorded)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_one_denial_of_several_transports_is_one(row: Row) -> None:
    transports = ("audit", "journal-of-the-kernel", "short-unix", "dmesg", "ausearch-us", "syslog")
    assert one_of_many([FORMS_HERE[name](row[4]) for name in transports])["count"] == 1


def one_of_many(lines: list[str]) -> dict[str, Any]:
    (one,) = told(*lines)
    return one


def test_text_of_all_is_counted_whole() -> None:
    for render in FORMS_HERE.values():
        assert scanned(*(render(row[4]) for row in ROWS)).records == len(ROWS)


def test_engines_socket_comes_first_among_denials_of_both() -> None:
    selinux = (
        'type=AVC msg=audit(1795384456.390:184): avc:  denied  { dyntransition } for  pid=1169 comm="criu" '
        "scontext=u:r:unconfined_t:s0 tcontext=u:r:initrc_t:s0 tclass=process permissive=0"
    )
    found = told(selinux, *(row[4] for row in ROWS))
    assert found[0]["id"] == "engine_socket"
    assert {one["lsm"] for one in found} == {"selinux", "apparmor"}


def test_engine_may_ask_for_its_own_socket() -> None:
    record = record_of("engine_socket").replace('comm="dockside"', 'comm="docker"')
    assert one_of(record)["id"] is None
    assert one_of(record)["matters"] == "unknown"


def test_view_of_a_denial() -> None:
    one = one_of(record_of("parasite_proc"))
    assert {key: one[key] for key in ("kind", "permissions", "source", "target", "class", "operation", "object")} == {
        "kind": "avc",
        "permissions": ["r"],
        "source": "lab-noproc",
        "target": "",
        "class": "file",
        "operation": "open",
        "object": "name=/proc/",
    }
    assert (one["permissive"], one["verdict"], one["command"]) == (False, "rule_missing", "python3")


def test_complain_mode_is_told() -> None:
    one = one_of(record_of("parasite_cgroup"))
    assert one["permissive"] is True
    assert one["cause"].endswith("The profile is in complain mode: this was logged and not refused.")


@pytest.mark.parametrize(
    ("id_", "lines"),
    [
        ("parasite_proc", [READ_PROC, READ_CGROUP]),
        ("parasite_cgroup", [READ_PROC, READ_CGROUP]),
        ("parasite_socket", [CREATE_SOCKET, USE_SOCKET]),
        ("parasite_socket_create", [CREATE_SOCKET, USE_SOCKET]),
        ("criu_signal", ["signal (receive) peer=unconfined,"]),
        ("criu_trace", ["ptrace (readby, tracedby) peer=runc,"]),
        ("profile_refused", ["change_profile -> docker-default,"]),
    ],
)
def test_advice_has_the_lines_that_the_profile_needs(id_: str, lines: list[str]) -> None:
    advice = one_of(record_of(id_))["remedy"]["advice"]
    assert all(line in advice for line in lines)


def test_page_has_all_lines_of_criu() -> None:
    page = (FIXTURES.parents[2] / "docs/apparmor.md").read_text(encoding="utf-8")
    for line in (READ_PROC, READ_CGROUP, CREATE_SOCKET, USE_SOCKET, "signal (receive) peer=unconfined,"):
        assert f"  {line}\n" in page


def test_profile_of_an_engine_is_not_to_be_edited() -> None:
    record = record_of("parasite_proc").replace("lab-noproc", "containers-default-0.62.2")
    assert "--security-opt apparmor=NAME" in one_of(record)["remedy"]["advice"]
    missing = [one for one in told(*(row[4] for row in ROWS)) if one["id"] == "profile_missing"]
    by_name = {one["object"].partition(" ")[0]: one["remedy"]["advice"] for one in missing}
    assert "when it makes a container" in by_name["name=containers-default-0.62.2"]
    assert "apparmor_parser --replace" in by_name["name=usr.bin.tcpdump"]


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ('operation="open" name="/etc/a" requested_mask="wrc" denied_mask="wc"', "/etc/a w,"),
        ('operation="open" name="/proc/12/net/dev" requested_mask="r" denied_mask="r"', "@{PROC}/@{pid}/net/dev r,"),
        ('operation="exec" name="/bin/a" requested_mask="x" denied_mask="x"', "/bin/a ix,"),
        ('operation="file_mmap" name="/lib/a.so" requested_mask="rm" denied_mask="rm"', "/lib/a.so rm,"),
        ('operation="file_lock" name="/run/a" requested_mask="wk" denied_mask="k"', "/run/a k,"),
        ('operation="open" name="/a*" requested_mask="r" denied_mask="r"', None),
        ('operation="open" name="/@{HOME}" requested_mask="r" denied_mask="r"', None),
        ('operation="open" name=2F612062 requested_mask="r" denied_mask="r"', None),
        ('operation="open" name="a/b" requested_mask="r" denied_mask="r"', None),
        ('operation="capable" capability=21 capname="sys_admin"', "capability sys_admin,"),
        (
            'operation="create" class="net" family="inet" sock_type="raw" protocol=1 requested_mask="create" '
            'denied_mask="create"',
            "network inet raw,",
        ),
        (
            'operation="connect" family="unix" sock_type="stream" protocol=0 requested_mask="send receive connect" '
            'denied_mask="send connect" addr=none peer_addr="@/tmp/.X11-unix/X0" peer="unconfined"',
            'unix (connect, send) type=stream peer=(addr="@/tmp/.X11-unix/X0"),',
        ),
        (
            'operation="signal" class="signal" requested_mask="send" denied_mask="send" signal=term '
            'peer="/usr/bin/man"',
            "signal (send) set=(term) peer=/usr/bin/man,",
        ),
        ('operation="signal" requested_mask="send" denied_mask="send" signal=term peer="a b"', None),
        ('operation="ptrace" requested_mask="read" denied_mask="read" peer="---"', "ptrace (read),"),
        (
            'operation="mount" class="mount" info="failed flags match" error=-13 name="/dev/shm/" fstype="ramfs" '
            'srcname="ramfs" flags="rw, nosuid"',
            "mount fstype=ramfs options=(rw, nosuid) ramfs -> /dev/shm/,",
        ),
        ('operation="umount" class="mount" name="/mnt/"', "umount /mnt/,"),
        ('operation="pivotroot" class="mount" name="/mnt/" srcname="/old/"', None),
        ('operation="userns_create" class="namespace" requested="userns_create" denied="userns_create"', None),
    ],
)
def test_denial_as_a_line_of_a_profile(said: str, rule: str | None) -> None:
    record = parse_record(f'{HEAD}apparmor="DENIED" {said} profile="p" pid=7 comm="c"'.encode())
    assert record is not None
    assert render_rule(record) == rule


def test_unknown_denial_has_a_line_that_says_that_nobody_reviewed_it() -> None:
    one = one_of(next(row[4] for row in ROWS if row[0] == "proxmox"))
    assert one["candidate_rule"] == (
        "# unreviewed\nmount fstype=ramfs options=(rw, nosuid, nodev, noexec) ramfs -> /dev/shm/,"
    )
    assert one["cause"] == "The kernel says 'failed flags match'."
    assert "candidate rule" in one["remedy"]["advice"]


@pytest.mark.parametrize(
    ("line", "unread"),
    [
        pytest.param(
            f'{HEAD}apparmor="STATUS" operation="profile_load" profile="unconfined" name="lab" pid=1', 0, id="status"
        ),
        pytest.param(
            f'{HEAD}apparmor="AUDIT" operation="userns_create" profile="unconfined" pid=1 comm="x"', 0, id="audit"
        ),
        pytest.param(
            f'{HEAD}apparmor="DENIED" operation="open" profile="x" name="/a" pid=7 comm="c" requested', 1, id="torn"
        ),
        pytest.param('AVC apparmor="DENIED" operation="open" profile="x"', 1, id="output-cat"),
        pytest.param(f"Nov 22 21:54:16 host evil[3]: {record_of('criu_signal')}", 0, id="program-as-auditd"),
        pytest.param('type=PATH msg=audit(1.0:1): name="apparmor=DENIED"', 0, id="name-of-a-file"),
    ],
)
def test_what_is_no_denial(line: str, unread: int) -> None:
    groups = scanned(line)
    assert (groups.records, groups.unread) == (0, unread)


def test_words_of_apparmor_in_a_name_are_selinuxs() -> None:
    name = b"2F3A2061707061726D6F723D".decode()
    line = (
        f"type=AVC msg=audit(1.0:1): avc:  denied  {{ read }} for  pid=9 comm={name} name=x):apparmor=DENIED "
        "scontext=a:b:c tcontext=a:b:d tclass=file"
    )
    assert one_of(line)["lsm"] == "selinux"


def test_hexadecimal_values_are_read() -> None:
    record = parse_record(
        f'{HEAD}apparmor="DENIED" operation="open" profile=6C61622074776F name=2F746D702F6120622E747874 pid=7 '
        'comm=612062 requested_mask="r" denied_mask="r" fsuid=0 ouid=0'.encode()
    )
    assert record is not None
    assert (record.source, record.object, record.comm) == ("lab two", "name=/tmp/a b.txt", "a b")
    record = parse_record(next(row[4] for row in ROWS if row[0] == "signal-desktop#18").encode())
    assert record is not None and "peer_addr=@var/run/nvidia-xdriver-e325caf4" in record.object


def test_message_bus_is_read() -> None:
    one = one_of(
        "type=USER_AVC msg=audit(1721306697.600:31): pid=900 uid=101 auid=4294967295 ses=4294967295 subj=unconfined "
        'msg=\'apparmor="DENIED" operation="dbus_method_call" bus="system" path="/org/freedesktop/timedate1" '
        'interface="org.freedesktop.DBus.Properties" member="GetAll" mask="send" name=":1.90" pid=1712 '
        'label="snap.firefox.firefox" peer_pid=2599 peer_label="unconfined" exe="/usr/bin/dbus-daemon" sauid=101\''
    )
    assert (one["kind"], one["source"], one["target"], one["class"], one["permissions"]) == (
        *("user_avc", "snap.firefox.firefox", "unconfined", "dbus"),
        ["send"],
    )
    assert one["matters"] == "unrelated"


def test_what_concerns_nobody_is_one_entry_for_each_profile() -> None:
    record = next(row[4] for row in ROWS if row[0] == "roddhjav/apparmor.d#308")
    lines = [record.replace("qqpc_opengl", f"file{number}") for number in range(700)]
    groups = scanned(*lines)
    assert (len(groups.groups), groups.records, groups.left_out) == (1, 700, 0)


def test_numbers_do_not_make_kinds() -> None:
    record = record_of("parasite_cgroup")
    lines = [record.replace("2130/task/2131", f"{number}/task/{number}") for number in range(100, 400)]
    assert one_of_many(lines)["count"] == 300


def test_notice() -> None:
    assert is_notice(b'apparmor="STATUS" operation="profile_replace"')
    assert not is_notice(b'apparmor="DENIED" operation="open"')


@pytest.mark.parametrize("sign", [sign for sign in criu_logs.SIGNS if sign.recorded], ids=lambda sign: sign.id)
def test_each_sign_is_found_in_its_recording(sign: Any) -> None:
    lines = (FIXTURES / "criu" / sign.recorded).read_text(encoding="utf-8").splitlines()
    assert [one.sign.id for one in read_signs(lines, "x", criu_logs.SIGNS, criu_logs.UNKNOWN)] == [sign.id]


def explained(text: str, *denials: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = told(*denials)
    findings = read_signs(text.splitlines(), "/dump.log", criu_logs.SIGNS, criu_logs.UNKNOWN)
    (entry,) = criu_logs.explain_profile_logs(findings, found)
    return entry, found


PROC_ERROR = "pie: Error (criu/pie/parasite.c:828): can't get /proc fd"


def test_crius_log_confirms_a_denial() -> None:
    entry, (denial,) = explained(PROC_ERROR, record_of("parasite_proc"))
    assert (entry["id"], entry["logged"], entry["why_silent"], denial["matters"]) == (
        "parasite_proc",
        True,
        None,
        "yes",
    )
    assert READ_PROC in entry["remedy"]["advice"]


def test_complain_mode_refused_nothing() -> None:
    entry, (denial,) = explained(PROC_ERROR, record_of("parasite_proc").replace("DENIED", "ALLOWED"))
    assert (entry["logged"], entry["why_silent"], denial["matters"]) == (False, "not_found", "unknown")


def test_socket_that_could_not_be_created_is_why_it_is_not_connected() -> None:
    text = (FIXTURES / "criu/public-criu-552.txt").read_text(encoding="utf-8")
    entry, (denial,) = explained(text, record_of("parasite_socket_create"))
    assert (entry["id"], entry["logged"], denial["matters"]) == ("parasite_socket", True, "yes")


def test_missing_profile_is_named_by_crius_log() -> None:
    text = (FIXTURES / "criu/public-podman-12437.txt").read_text(encoding="utf-8")
    entry, dummy_denials = explained(text)
    assert (entry["id"], entry["label"], entry["logged"]) == ("profile_missing", "containers-default-0.44.3", False)
    assert "'containers-default-0.44.3'" in entry["remedy"]["advice"]


def test_unknown_refusal_names_rules_that_are_not_logged() -> None:
    entry, dummy_denials = explained("(1) Error (criu/x.c:1): Can't open /x: Permission denied")
    assert entry["id"] == "unknown"
    assert "begin with deny" in entry["cause"]
