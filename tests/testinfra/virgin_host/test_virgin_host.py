# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the collection is needed: the same machine without it, and with only its policy, SELinux enforcing.

The messages are those that operators get; they were recorded on Debian 13 (podman 5.4.2, runc 1.1.15, CRIU 4.1.1).
"""

from __future__ import annotations

import re
from typing import Any, Callable

import pytest

RUN = "podman --runtime runc run -d --network=host --name {name} lab-virgin python3 /app/threads.py"
CHECKPOINT = "podman --runtime runc container checkpoint {name}"
UNIT = "systemd-run --quiet --service-type=oneshot --remain-after-exit --unit {unit} "


def has_boolean(host: Any, name: str) -> bool:
    """Return whether the loaded policy has the boolean.

    getsebool would fail with 255, which testinfra takes for an error of ssh.
    """
    return bool(host.file(f"/sys/fs/selinux/booleans/{name}").exists)


class Attempt:
    """A container that is started and checkpointed in a root shell or in systemd units, with output and logs."""

    def __init__(self, host: Any, name: str, *, unit: bool) -> None:
        before = host.check_output("wc -l < /var/log/audit/audit.log")
        prefix = UNIT.format(unit=f"start-{name}") if unit else ""
        self.started = host.run(prefix + RUN.format(name=name))
        prefix = UNIT.format(unit=f"dump-{name}") if unit else ""
        self.dumped = host.run(prefix + CHECKPOINT.format(name=name))
        said = host.check_output(f"journalctl --no-pager --output cat --unit dump-{name}") if unit else ""
        self.said = self.dumped.stderr + said
        self.status = host.check_output("podman inspect --format '{{.State.Status}}' " + name)
        folder = host.check_output("podman inspect --format '{{.StaticDir}}' " + name)
        self.log = host.run(f"cat {folder}/dump.log").stdout
        self.audit = host.check_output(f"tail -n +{int(before) + 1} /var/log/audit/audit.log")
        host.run(f"podman rm --force --time 0 {name}")

    def denied(self, permission: str, source: str, target: str, kind: str) -> bool:
        """Return whether the audit log has this denial."""
        labels = rf"scontext=\S*:{source}:.*tcontext=\S*:{target}:.*tclass={kind}\b"
        pattern = rf"denied +\{{[^}}]*\b{permission}\b[^}}]*\}}.*{labels}"
        return re.search(pattern, self.audit) is not None


@pytest.fixture(scope="module")
def image(host: Any) -> None:
    """Import the image in a unit: the first caller of podman determines the labels, and here it is systemd."""
    host.check_output("modprobe overlay")  # podman_t may not request the module
    host.check_output("chcon --type container_file_t /var/lib/lab/workload.tar")
    host.check_output("systemd-run --quiet --wait podman import /var/lib/lab/workload.tar lab-virgin")


@pytest.fixture(scope="module")
def from_unit(host: Any, image: None) -> Attempt:
    return Attempt(host, "unit", unit=True)


@pytest.fixture(scope="module")
def from_shell(host: Any, image: None) -> Attempt:
    return Attempt(host, "shell", unit=False)


@pytest.fixture(scope="module")
def with_policy(host: Any, from_unit: Attempt, from_shell: Attempt, seen_by: Callable[..., dict[str, Any]]) -> Any:
    """The same with our policy and the distribution's CRIU; the policy is removed afterwards."""
    seen_by("policy.yml", criu_selinux_state="present")
    yield Attempt(host, "policy", unit=True)
    seen_by("policy.yml", criu_selinux_state="absent")
    assert "criu_hosts" not in host.check_output("semodule -l")
    assert not has_boolean(host, "criu_container_restore")


def test_selinux_is_enforcing(host: Any) -> None:
    assert host.check_output("getenforce") == "Enforcing"


def test_the_distributions_criu_is_not_linked_with_libselinux(host: Any) -> None:
    assert "libselinux" not in host.check_output("ldd /usr/sbin/criu")


@pytest.mark.parametrize("boolean", ["unconfined_dyntrans_all", "criu_container_restore"])
def test_the_booleans_do_not_exist(host: Any, boolean: str) -> None:
    assert not has_boolean(host, boolean)


def test_a_unit_cannot_checkpoint(from_unit: Attempt) -> None:
    assert from_unit.started.rc == 0
    assert from_unit.dumped.rc != 0
    assert "write /proc/thread-self/attr/sockcreate: permission denied" in from_unit.said
    assert from_unit.denied("setsockcreate", "podman_t", "podman_t", "process")


def test_a_container_of_a_shell_cannot_write_to_its_conmon(from_shell: Attempt) -> None:
    assert from_shell.started.rc == 0
    assert from_shell.denied("write", "container_t", "unconfined_t", "fifo_file")


def test_a_shell_cannot_checkpoint(from_shell: Attempt) -> None:
    assert from_shell.dumped.rc != 0
    assert "uffd: Failed to get uffd API: Permission denied" in from_shell.log
    assert from_shell.denied("ioctl", "unconfined_t", "unconfined_t", "anon_inode")


@pytest.mark.parametrize("start", ["from_unit", "from_shell"])
def test_the_container_keeps_running(start: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(start).status == "running"


def test_with_the_policy_the_distributions_criu_is_refused(with_policy: Attempt) -> None:
    assert with_policy.started.rc == 0
    assert with_policy.dumped.rc != 0
    assert "Unable to connect a transport socket: Permission denied" in with_policy.log
    assert with_policy.denied("connectto", "container_t", "podman_t", "unix_stream_socket")
