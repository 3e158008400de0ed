# SPDX-License-Identifier: GPL-3.0-or-later
"""denial_info from its parameters to its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials.sources import journal_argv, syscall_argv
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux import loaded_policy
from ansible_collections.criu.hosts.tests.unit.apparmor_denials import apparmor_host, record_of
from ansible_collections.criu.hosts.tests.unit.denials import CORPUS, FIXTURES, answer, lines, selinuxfs
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, ModuleRun, Reply, put_host

Run = Callable[..., ModuleRun]
BOOT = 1795380000
LOG = "var/log/audit/audit.log"
JOURNAL = list(journal_argv(0))
SYSCALLS = list(syscall_argv(1515446105.513, 1515446105.513))


def host(folder: Path, *files: str, enforcing: bool = True, boot: int = BOOT) -> Path:
    """A host whose audit.log holds these files of the corpus."""
    put_host(folder)
    (folder / "proc").mkdir()
    (folder / "proc/stat").write_text(f"cpu 1 2 3\nbtime {boot}\n")
    if enforcing:
        selinuxfs(folder / "sys/fs/selinux", {"criu_container_restore": False, "unconfined_dyntrans_all": False})
    if files:
        (folder / LOG).parent.mkdir(parents=True)
        (folder / LOG).write_bytes(b"\n".join(line for name in files for line in lines(name)) + b"\n")
    return folder


def build(*files: str) -> Callable[[Path], tuple[dict[str, Any], Host]]:
    def made(folder: Path) -> tuple[dict[str, Any], Host]:
        host(folder, *files, enforcing=False)  # nobody answers there
        return {}, Host()

    return made


CONTRACT_CASES = [
    Case("denials", build("debian13-process-boolean-off.txt", "debian13-criu-4.1.1-dump-refused.txt"), changed=False),
    Case("none", build("debian13-policy-commit.txt"), changed=False),
]


@pytest.fixture(autouse=True)
def recorded_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_policy, "transact", answer)


def found(module: Run, params: dict[str, Any], **options: Any) -> dict[str, Any]:
    ran = module("denial_info", params, **options)
    assert not ran.failed, ran.result
    assert ran.result["commands"] == [] and ran.result["changed"] is False
    return dict(ran.result)


def test_denials_of_auditd(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-process-boolean-off.txt", "debian13-criu-4.1.1-dump-refused.txt")
    value = found(module, {})
    assert (value["source"], value["selinux_mode"], value["policy_asked"], value["records"]) == (
        "audit",
        "enforcing",
        True,
        4,
    )
    assert value["files"] == [str(tmp_path / LOG)]
    (one,) = [denial for denial in value["denials"] if denial["id"] == "criu_without_libselinux"]
    # Of these categories nobody asked the recorded policy.
    assert one["verdict"] == "context_unknown"
    refused = [denial for denial in value["denials"] if denial["target"].endswith("initrc_t:s0")]
    assert {(one["verdict"], one["matters"]) for one in refused} == {("rule_missing", "yes")}
    assert refused[0]["remedy"]["task"]["criu.hosts.process_restore"]


def test_rotated_logs_are_read_too(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-no-policy-unit.txt")
    (tmp_path / f"{LOG}.1").write_bytes((CORPUS / "debian13-archive-in-home.txt").read_bytes())
    value = found(module, {})
    assert value["records"] == 2
    assert [path.rpartition("/")[2] for path in value["files"]] == ["audit.log.1", "audit.log"]


@pytest.mark.parametrize(
    ("since", "records"),
    [
        pytest.param("1795384465", 2, id="epoch"),
        pytest.param("2026-11-22T21:54:30Z", 1, id="iso"),
        pytest.param("boot", 3, id="boot"),
    ],
)
def test_since(module: Run, tmp_path: Path, since: str, records: int) -> None:
    host(tmp_path, "debian13-process-boolean-off.txt")
    assert found(module, {"since": since, "source": "audit"})["records"] == records


@pytest.mark.parametrize("kind", ["archive", "record", "folder"])
def test_since_a_checkpoint(module: Run, tmp_path: Path, kind: str) -> None:
    host(tmp_path, "debian13-process-boolean-off.txt")
    (tmp_path / "images").mkdir()
    for path in ("web.tar.zst.json", "images/criu-hosts.json"):
        (tmp_path / path).write_text(json.dumps({"checkpointed_at": "2026-11-22T21:54:20Z"}))
    path = {"archive": "web.tar.zst", "record": "web.tar.zst.json", "folder": "images"}[kind]
    value = found(module, {"checkpoint_path": str(tmp_path / path), "source": "audit"})
    assert (value["records"], value["since"]) == (2, "2026-11-22T21:54:20.000Z")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        pytest.param({"since": "soon"}, "since_invalid", id="no-time"),
        pytest.param({"checkpoint_path": "/nonexistent/web.tar"}, "record_invalid", id="no-record"),
        pytest.param({"source": "kernel"}, "log_unreadable", id="no-ring"),
        pytest.param({"criu_logs": ["/proc"]}, "log_unreadable", id="log-is-a-folder"),
    ],
)
def test_failures(module: Run, tmp_path: Path, params: dict[str, Any], reason: str) -> None:
    host(tmp_path, "debian13-no-policy-unit.txt")
    ran = module("denial_info", params)
    assert ran.failed
    assert ran.result["reason"] == reason
    assert "\n" not in ran.result["msg"]


def test_record_that_is_none(module: Run, tmp_path: Path) -> None:
    host(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    ran = module("denial_info", {"checkpoint_path": str(tmp_path / "x.json")})
    assert ran.result["reason"] == "record_invalid"


def test_journal_where_auditd_does_not_run(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-no-policy-unit.txt", boot=4102444800)  # the log is from before the boot
    (tmp_path / "run/log/journal").mkdir(parents=True)
    journal = b"\n".join(lines("debian13-shell-first.txt")).decode()
    value = found(module, {}, commands=[Reply(JOURNAL, journal)])
    assert (value["source"], value["files"], value["records"]) == ("journal", [], 4)
    assert {denial["id"] for denial in value["denials"]} == {"labels_of_shell"}


@pytest.mark.parametrize(
    ("reply", "records"),
    [
        pytest.param(Reply(JOURNAL, "", rc=1), 0, id="nothing-matches"),
        pytest.param(Reply(JOURNAL, "", "Compiled without pattern matching support\n", rc=1), None, id="no-grep"),
    ],
)
def test_journal_without_a_match_is_no_failure(module: Run, tmp_path: Path, reply: Reply, records: int | None) -> None:
    host(tmp_path)
    ran = module("denial_info", {"source": "journal"}, commands=[reply])
    assert ran.failed is (records is None)
    if records is None:
        assert ran.result["reason"] == "tool_failed"
        assert "without pattern matching" in ran.result["msg"]


def test_kernel_ring_without_auditd_and_journal(module: Run, tmp_path: Path) -> None:
    host(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kmsg").write_bytes(b"5,1,1,-;" + lines("public-refpolicy-460.txt")[0] + b"\n")
    value = found(module, {})
    assert (value["source"], value["records"]) == ("kernel", 1)
    assert value["denials"][0]["kind"] == "selinux_err"


def test_host_without_selinux(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-no-policy-unit.txt", enforcing=False)
    value = found(module, {})
    assert (value["selinux_mode"], value["policy_asked"]) == ("disabled", False)
    assert {denial["verdict"] for denial in value["denials"]} == {"not_asked"}


def test_silent_refusal_from_crius_log(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-policy-commit.txt")
    (tmp_path / "restore.log").write_text(
        "(00.1) pie: 1: restoring lsm profile (current) system_u:system_r:container_t:s0:c1,c2\n"
        + (FIXTURES / "criu/4.2.1-restore-seccomp-refused.txt").read_text()
    )
    value = found(module, {"criu_logs": ["/restore.log", "/gone.log"]})
    assert value["logs"] == [str(tmp_path / "restore.log")]
    (one,) = value["silent_denials"]
    assert (one["id"], one["verdict"], one["logged"]) == ("seccomp", "rule_missing", False)


BOUNDED = (
    "1515446105.513000 host audit: SELINUX_ERR op=security_bounded_transition seresult=denied "
    "oldcontext=system_u:system_r:container_runtime_t:s0 newcontext=system_u:system_r:spc_t:s0:c0,c1\n"
)
CALL = (
    '1515446105.513000 host audit[31748]: SYSCALL arch=c000003e syscall=59 success=no exit=-1 comm="runc:[2:INIT]" '
    "subj=system_u:system_r:container_runtime_t:s0 key=(null)\n"
)


@pytest.mark.parametrize(
    ("reply", "id_"),
    [
        pytest.param(Reply(SYSCALLS, CALL), "bounded_exec", id="there"),
        pytest.param(Reply(SYSCALLS, "", rc=1), "bounded_transition", id="not-there"),
        pytest.param(
            Reply(SYSCALLS, CALL.replace("subj=system_u", "subj=other")), "bounded_transition", id="of-another"
        ),
    ],
)
def test_the_journal_is_asked_for_the_system_call_of_an_error(
    module: Run, tmp_path: Path, reply: Reply, id_: str
) -> None:
    host(tmp_path)
    value = found(module, {"source": "journal"}, commands=[Reply(JOURNAL, BOUNDED), reply])
    assert [one["id"] for one in value["denials"]] == [id_]


def test_the_journal_is_not_asked_twice_if_it_has_the_system_call(module: Run, tmp_path: Path) -> None:
    host(tmp_path)
    value = found(module, {"source": "journal"}, commands=[Reply(JOURNAL, BOUNDED + CALL)])
    assert [one["id"] for one in value["denials"]] == ["bounded_exec"]


def test_the_journal_has_a_denial_of_the_audit_subsystem_and_of_the_ring_once(module: Run, tmp_path: Path) -> None:
    host(tmp_path)
    (record,) = lines("debian13-archive-in-home.txt")
    said = record.decode().partition("): ")[2]
    kernel = f"1795405017.780000 host kernel: audit: type=1400 audit(1795405017.772:7832): {said}"
    both = f"1795405017.772000 host audit[1]: AVC {said}\n{kernel}\n"
    value = found(module, {"source": "journal"}, commands=[Reply(JOURNAL, both)])
    assert (value["records"], value["denials"][0]["count"]) == (1, 1)


def test_ring_has_the_system_call_of_an_error(module: Run, tmp_path: Path) -> None:
    host(tmp_path)
    (tmp_path / "dev").mkdir()
    error, call = (CORPUS / "public-container-selinux-45.txt").read_bytes().split(b"\n")[1:3]
    ring = [line.replace(b"type=SELINUX_ERR msg=", b"audit: type=1401 ") for line in (error, call)]
    ring = [line.replace(b"type=SYSCALL msg=", b"audit: type=1300 ") for line in ring]
    (tmp_path / "dev/kmsg").write_bytes(b"".join(b"5,1,1,-;" + line + b"\n" for line in ring))
    value = found(module, {"source": "kernel"})
    assert [one["id"] for one in value["denials"]] == ["bounded_exec"]


def test_lines_that_are_not_read_are_a_warning(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-archive-in-home.txt")
    with (tmp_path / LOG).open("a") as handle:
        handle.write("AVC avc:  denied  { read } for  pid=1\n")
    value = found(module, {"source": "audit"})
    assert (value["records"], value["unread"]) == (1, 1)
    (warning,) = value["warnings"]
    assert "1 line seems to hold a denial" in str(warning) and "AVC avc:  denied" in str(warning)
    assert value["unread_example"].startswith("AVC avc:")


def test_a_moved_log_of_criu(module: Run, tmp_path: Path) -> None:
    record = (
        'type=AVC msg=audit(1.0:1): avc:  denied  { append } for  pid=9 comm="sh" path="/tmp/criu.out" '
        "scontext=system_u:system_r:container_t:s0 tcontext=system_u:object_r:tmp_t:s0 tclass=file permissive=0\n"
    )
    host(tmp_path)
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(record)
    assert found(module, {"source": "audit"})["denials"][0]["id"] is None
    (tmp_path / "etc/criu").mkdir(parents=True)
    (tmp_path / "etc/criu/runc.conf").write_text("tcp-close\nlog-file=/tmp/criu.out\n")
    assert found(module, {"source": "audit"})["denials"][0]["id"] == "dump_log"


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("4.2.1-restore-seccomp-refused.txt", "seccomp"),
        ("4.1.1-dump-refused.txt", "parasite_socket"),
        ("public-criu-684.txt", "capabilities"),
        ("public-openj9-19511.txt", "mapping_refused"),
    ],
)
def test_a_host_without_selinux_does_not_blame_it(module: Run, tmp_path: Path, name: str, id_: str) -> None:
    host(tmp_path, "debian13-policy-commit.txt", enforcing=False)
    (tmp_path / "criu.log").write_bytes((FIXTURES / "criu" / name).read_bytes())
    (one,) = found(module, {"source": "audit", "criu_logs": ["/criu.log"]})["silent_denials"]
    assert (one["id"], one["why_silent"], one["logged"]) == (id_, "selinux_disabled", False)
    assert one["cause"].startswith("SELinux did not cause this error")
    assert one["remedy"]["task"] is None


def test_a_kernel_without_a_policy_is_named_where_selinux_is_disabled(module: Run, tmp_path: Path) -> None:
    host(tmp_path, "debian13-policy-commit.txt", enforcing=False)
    (tmp_path / "criu.log").write_bytes((FIXTURES / "criu/public-criu-1402.txt").read_bytes())
    (one,) = found(module, {"source": "audit", "criu_logs": ["/criu.log"]})["silent_denials"]
    assert one["id"] == "no_policy" and "no policy was loaded" in one["cause"]


def test_denials_of_a_host_with_apparmor(module: Run, tmp_path: Path) -> None:
    put_host(tmp_path)
    ids = ("parasite_proc", "engine_socket", "criu_signal")
    apparmor_host(tmp_path, "".join(f"{record_of(one)}\n" for one in ids).encode())
    (tmp_path / "dump.log").write_text("pie: Error (criu/pie/parasite.c:828): can't get /proc fd\n")
    value = found(module, {"source": "audit", "criu_logs": ["/dump.log"]})
    assert (value["apparmor"], value["selinux_mode"], value["policy_asked"]) == (True, "disabled", False)
    assert [(one["lsm"], one["id"], one["matters"]) for one in value["denials"]] == [
        ("apparmor", "engine_socket", "yes"),
        ("apparmor", "parasite_proc", "yes"),
        ("apparmor", "criu_signal", "yes"),
    ]
    (silent,) = value["silent_denials"]
    assert (silent["lsm"], silent["id"], silent["logged"]) == ("apparmor", "parasite_proc", True)
