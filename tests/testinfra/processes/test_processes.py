# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain processes and services through dump and restore with SELinux enforcing, and restores that are refused."""

from __future__ import annotations

from typing import Any

import pytest

CASES = ("threads", "service", "foreign", "job")
THREADED = ("threads", "service", "foreign")


def entry(processes: dict[str, Any], case: str) -> dict[str, Any]:
    found: dict[str, Any] = processes["cases"][case]
    assert "failed" not in found, found["failed"].get("msg")
    return found


def test_selinux_is_enforcing(host: Any) -> None:
    assert host.check_output("getenforce") == "Enforcing"


@pytest.mark.parametrize("case", CASES)
def test_the_same_threads_come_back_with_the_same_labels(processes: dict[str, Any], case: str) -> None:
    seen = entry(processes, case)
    assert seen["gone"]["alive"] is False
    assert len(seen["before"]["threads"]) == (4 if case in THREADED else 1)
    assert seen["after"]["threads"] == seen["before"]["threads"]
    assert seen["restored"]["label_proof"] == "enforcing"
    assert {(one["before"] == one["after"]) for one in seen["restored"]["labels"]} == {True}


@pytest.mark.parametrize("case", CASES)
def test_it_continues_to_count(processes: dict[str, Any], case: str) -> None:
    seen = entry(processes, case)
    gone, after = seen["gone"]["counters"], seen["after"]["counters"]
    assert set(after) == set(gone)
    assert all(after[number] >= gone[number] for number in gone)


def test_the_label_of_a_service_is_not_that_of_a_shell(processes: dict[str, Any]) -> None:
    label = {case: entry(processes, case)["before"]["threads"][0]["label"] for case in ("threads", "foreign")}
    assert label["threads"].startswith("unconfined_u:unconfined_r:unconfined_t:")
    assert label["foreign"].startswith("system_u:system_r:")


def test_a_process_with_a_different_role_is_restored_by_systemd(processes: dict[str, Any]) -> None:
    seen = entry(processes, "foreign")
    unit = f"criu-hosts-{seen['before']['pid']}.service"
    assert seen["restored"]["restore"]["unit"] == unit
    assert seen["after"]["cgroup"] == f"/system.slice/{unit}"


def test_the_file_lock_is_held_again(processes: dict[str, Any]) -> None:
    seen = entry(processes, "threads")
    assert seen["before"]["locks"] == seen["after"]["locks"] == 1


def test_the_service_has_its_main_process_again(processes: dict[str, Any]) -> None:
    seen = entry(processes, "service")
    shown = dict(line.split("=", 1) for line in processes["service"])
    assert shown["ActiveState"] == "active"
    assert shown["MainPID"] == str(seen["before"]["pid"])
    assert (shown["Type"], shown["Restart"], shown["DropInPaths"]) == ("simple", "always", "")
    assert seen["after"]["cgroup"] == seen["before"]["cgroup"] == "/system.slice/lab-plain.service"


def test_the_service_writes_to_the_journal_again(processes: dict[str, Any]) -> None:
    seen = entry(processes, "service")
    for moment in ("before", "after"):
        assert [file.startswith("socket:") for file in seen[moment]["files"]] == [False, True, True]


def test_the_job_has_the_new_terminal(processes: dict[str, Any]) -> None:
    seen = entry(processes, "job")
    assert seen["before"]["session"] != seen["before"]["pid"]
    before, after = set(seen["before"]["files"]), set(seen["after"]["files"])
    assert len(before) == len(after) == 1 and before != after
    assert all(file.startswith("/dev/pts/") for file in before | after)


def test_the_dump_of_a_connection_is_refused_without_the_option(processes: dict[str, Any]) -> None:
    refused = processes["tcp"]["refused"]
    assert refused["reason"] == "tcp_established_needed"
    assert refused["process_state"] == "running"
    assert any("consider using --tcp-established" in line for line in refused["log_tail"])


def test_the_option_of_default_conf_is_enough(processes: dict[str, Any]) -> None:
    tcp = processes["tcp"]
    assert tcp["dumped_by_file"]["changed"] and tcp["restored_by_file"]["changed"]
    assert not any("--tcp-established" in argv for argv in tcp["dumped_by_file"]["commands"])
    assert any("--tcp-established" in argv for argv in tcp["dumped"]["commands"])


def test_the_connection_continues(processes: dict[str, Any]) -> None:
    tcp = processes["tcp"]
    assert tcp["after"]["alive"] is True
    assert tcp["after"]["port"] == tcp["before"]["port"]
    assert tcp["after"]["counters"]["0"] > tcp["before"]["counters"]["0"]


def test_a_second_run_changes_nothing(processes: dict[str, Any]) -> None:
    for again in (processes["tcp"]["restored_again"], processes["steps"]["again"]):
        assert again["changed"] is False
        assert again["commands"] == []


def test_a_dump_on_pre_dumps_writes_less(processes: dict[str, Any]) -> None:
    steps = processes["steps"]
    first, last = steps["pre"][0]["statistics"], steps["dumped"]["statistics"]
    assert last["skipped_pages"] > 0
    assert last["written_pages"] < first["written_pages"]
    assert steps["dumped"]["checkpoint"]["process_state"] == "running"


def test_a_running_process_is_not_restored_twice(processes: dict[str, Any]) -> None:
    living = processes["steps"]["living"]
    assert living["reason"] == "process_running"
    assert living["pid"] == processes["steps"]["before"]["pid"]


def test_an_id_in_use_is_refused_with_the_name_of_its_process(processes: dict[str, Any]) -> None:
    taken = processes["steps"]["taken"]
    assert taken["reason"] == "pid_in_use"
    assert "'sleep'" in taken["msg"]


def test_it_is_restored_from_all_folders(processes: dict[str, Any]) -> None:
    steps = processes["steps"]
    assert steps["restored"]["changed"] is True
    assert steps["after"]["threads"] == steps["before"]["threads"]


def test_images_are_private(host: Any, processes: dict[str, Any]) -> None:
    assert processes["steps"]["restored"]["changed"]
    assert host.file("/var/lib/lab/images/steps").mode == 0o700
    assert host.check_output("find /var/lib/lab/images/steps -type f ! -perm 0600") == ""


def test_the_boolean_is_off_again(host: Any, processes: dict[str, Any]) -> None:
    assert processes["steps"]["restored"]["changed"]
    assert host.check_output("getsebool unconfined_dyntrans_all") == "unconfined_dyntrans_all --> off"


def test_nothing_was_denied(processes: dict[str, Any]) -> None:
    """Quadlet's generator is exempt: Debian's policy denies it /run/containers in every daemon-reload."""
    assert [line for line in processes["denials"] if 'comm="podman-system-g"' not in line] == []
