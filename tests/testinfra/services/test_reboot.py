# SPDX-License-Identifier: GPL-3.0-or-later
"""reboot_host on a real host: its report beforehand, the state after a failed reboot and after a real one.

The services are those of the folder examples, and one that cannot be checkpointed with its settings.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
STATEFUL = ("counter", "redis")
# Sends a line to a port of the host and prints the answer.
ASK = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30); "
    "s.sendall(sys.argv[2].encode() + b'\\r\\n\\r\\n'); print(s.recv(65536).decode())"
)


def ask(host: Any, port: int, line: str) -> str:
    answer: str = host.check_output("python3 -c %s %s %s", ASK, str(port), line)
    return answer


def seen(host: Any) -> dict[str, Any]:
    """Return the data of the services, and their threads with the labels that the kernel reports."""
    boxes = {
        name: json.loads(host.check_output("python3 /var/lib/lab/observe.py container %s", name)) for name in STATEFUL
    }
    return {
        "boot": host.check_output("cat /proc/sys/kernel/random/boot_id"),
        "counter": json.loads(ask(host, 8000, "GET / HTTP/1.0").splitlines()[-1]),
        "value": ask(host, 6379, "GET kept").splitlines()[1],
        "run_id": next(line for line in ask(host, 6379, "INFO server").splitlines() if line.startswith("run_id:")),
        "threads": {name: box["threads"] for name, box in boxes.items()},
        "ids": {name: box["id"] for name, box in boxes.items()},
    }


def require_the_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in ("value", "run_id", "threads", "ids"):
        assert after[key] == before[key], key
    was, is_now = before["counter"], after["counter"]
    assert is_now["started"] == was["started"]
    assert is_now["visitors"] == was["visitors"] + 1
    assert len(is_now["counts"]) == 4
    assert all(later >= earlier for earlier, later in zip(was["counts"], is_now["counts"]))


def play(host: Any, inventory: Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection, which may fail."""
    program = shutil.which("ansible-playbook")
    assert program, "ansible-playbook is not in PATH"
    argv = [program, "-i", str(inventory), "-l", host.backend.get_hostname(), str(ROOT / path)]
    for name, value in variables.items():
        argv += ["-e", f"{name}={value}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def row(output: str, name: str) -> list[str]:
    """Return the words of a unit's row in the last table of the output."""
    return [line for line in output.splitlines() if line.strip().startswith(f'"{name} ')][-1].strip(' ",').split()


def main_pids(host: Any) -> str:
    pids: str = host.check_output("systemctl show --property=MainPID --value counter redis holder cache")
    return pids


@pytest.fixture(scope="module")
def before(host: Any, inventory: Path) -> dict[str, Any]:
    """Start the services and give them data to keep."""
    done = play(host, inventory, "tests/testinfra/services/reboot.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert ask(host, 6379, "SET kept in-memory-only").startswith("+OK")
    return {**seen(host), "pids": main_pids(host)}


@pytest.fixture(scope="module")
def reported(host: Any, inventory: Path, before: dict[str, Any]) -> dict[str, Any]:
    """Request a reboot that would lose state, without accepting the loss."""
    done = play(host, inventory, "playbooks/reboot_host.yml")
    return {"rc": done.returncode, "output": done.stdout, "pids": main_pids(host)}


@pytest.fixture(scope="module")
def refused(host: Any, inventory: Path, reported: dict[str, Any]) -> dict[str, Any]:
    """Request a reboot whose command fails after all units were stopped."""
    options = {
        "reboot_host_accept_loss": "holder",
        "reboot_host_command": "/usr/bin/false",
        "reboot_host_rehearse": "no",
    }
    done = play(host, inventory, "playbooks/reboot_host.yml", **options)
    journal = host.check_output("journalctl --unit=holder --boot --output=cat --no-pager")
    return {"rc": done.returncode, "output": done.stdout, "journal": journal, **seen(host)}


@pytest.fixture(scope="module")
def rebooted(
    host: Any, inventory: Path, refused: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Reboot the host."""
    report = tmp_path_factory.mktemp("reboot") / "report.json"
    options = {"reboot_host_accept_loss": "holder", "reboot_host_report_path": str(report)}
    done = play(host, inventory, "playbooks/reboot_host.yml", **options)
    assert done.returncode == 0, done.stdout[-4000:]
    return {"output": done.stdout, **json.loads(report.read_text(encoding="utf-8")), **seen(host)}


def test_a_loss_is_reported_before_anything_is_stopped(reported: dict[str, Any], before: dict[str, Any]) -> None:
    assert reported["rc"] != 0
    assert (
        row(reported["output"], "holder")[2] == "lost" and row(reported["output"], "holder")[-1] == "file_locks_needed"
    )
    assert [row(reported["output"], name)[2] for name in STATEFUL] == ["restored", "restored"]
    assert row(reported["output"], "cache")[2] == "fresh"
    assert "nothing was stopped: holder would lose the state" in reported["output"]
    assert reported["pids"] == before["pids"]


def test_the_rehearsal_leaves_nothing(host: Any, reported: dict[str, Any]) -> None:
    assert reported["rc"] != 0
    assert host.check_output("find /var/lib/containers/storage/overlay-containers -name checkpoint") == ""


def test_a_failed_reboot_loses_nothing(refused: dict[str, Any], before: dict[str, Any]) -> None:
    assert refused["rc"] != 0
    assert "Not rebooted: Reboot command failed" in refused["output"]
    assert "All units are running again." in refused["output"]
    assert refused["boot"] == before["boot"]
    require_the_same_state(before, refused)


def test_a_reboot_keeps_the_state_and_the_labels(rebooted: dict[str, Any], refused: dict[str, Any]) -> None:
    assert rebooted["boot"] != refused["boot"]
    require_the_same_state(refused, rebooted)


def test_they_are_stopped_in_the_order_of_systemd(rebooted: dict[str, Any]) -> None:
    """counter starts after redis."""
    order = rebooted["plan"]["stop"]
    assert order.index("counter") < order.index("redis")


@pytest.mark.parametrize("name", STATEFUL)
def test_the_report_contains_the_downtime(rebooted: dict[str, Any], name: str) -> None:
    unit = next(one for one in rebooted["report"] if one["name"] == name)
    assert (unit["came_back"], unit["labels"], unit["problem"]) == ("restored", "same", "")
    assert unit["down_seconds"] > unit["dump_seconds"] + unit["restore_seconds"] > 0
    assert row(rebooted["output"], name)[-2:] == [f"{unit['down_seconds']:.1f}", "s"]


def test_an_accepted_loss_comes_back_fresh(host: Any, rebooted: dict[str, Any]) -> None:
    unit = next(one for one in rebooted["report"] if one["name"] == "holder")
    assert (unit["expected"], unit["came_back"]) == ("lost", "fresh")
    assert host.service("holder").is_running and host.service("cache").is_running


def test_the_journal_has_the_reason_of_the_loss(refused: dict[str, Any]) -> None:
    assert "holds file locks" in refused["journal"]
    assert "without its state" in refused["journal"]
