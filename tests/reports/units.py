# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports about the systemd units of containers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from host import COUNTER, alive, changed, command, container, count, failed, inspect, report, run_task, until
from world import FOLDER, IMAGE

PLAIN = {"image": IMAGE, "pull": "never", "network": "none", "unit_kind": "plain", "enabled": False}


def options(name: str, program: str = COUNTER, **more: Any) -> dict[str, Any]:
    """Return the options of a unit whose container counts."""
    command = ["python3", "-IS", "-c", program, "/n", f"report-{name}"]
    return {**PLAIN, "name": name, "command": command, **more}


def unit(name: str, **more: Any) -> list[str]:
    """Make a unit and start its container; return what is wrong."""
    found = changed("container_unit", **options(name, **more))
    until(f"the container of {name}", lambda: count(name))
    return found


def restarted(name: str) -> list[str]:
    """Restart a stateful unit; return what is wrong with its state."""
    seen = count(name)
    command("systemctl", "restart", f"{name}.service")
    return alive(name, seen)


@report("stateful units")
def a_restart_keeps_the_state() -> list[str]:
    return unit("report-state", stateful=True) + restarted("report-state") + restarted("report-state")


@report("moby/moby#45362, containers/podman#3487, #18471: the stop of a unit whose name begins an id")
def the_stop_of_a_unit_leaves_foreign_containers_alone() -> list[str]:
    container("foreign")
    name = inspect("foreign", "{{.Id}}")[:2]
    found = unit(name)
    command("systemctl", "stop", f"{name}.service")
    found += alive("foreign")
    gone = run_task("container_unit", name=name, state="absent")
    return found + ([gone.line] if gone.failed else []) + alive("foreign")


@report("containers/podman#12069: the container of an active unit")
def the_container_of_an_active_unit_is_refused() -> list[str]:
    found = unit("report-managed", stateful=True)
    return found + failed(
        run_task("container_checkpoint", name="report-managed"), "unit_managed", "report-managed.service"
    )


@report("containers/podman#24590, #4790: a stop of the unit of a paused container")
def a_paused_unit_stops_and_keeps_its_state() -> list[str]:
    name = "report-paused"
    found = unit(name, stateful=True)
    seen = count(name)
    command("podman", "pause", name)
    began = time.monotonic()
    command("systemctl", "stop", f"{name}.service")
    if time.monotonic() - began > 120:
        found.append("the stop of the paused unit waited for a time limit")
    command("systemctl", "start", f"{name}.service")
    return found + alive(name, seen)


@report("containers/podman#24590, #25128, #19326: health checks")
def a_health_check_goes_on_after_a_restore() -> list[str]:
    name = "report-health"
    health = {"command": ["python3", "-IS", "-c", "import os; os.stat('/ok')"], "interval": "1s", "retries": 1}
    program = "open('/ok', 'w').close()\n" + COUNTER
    found = unit(name, program=program, stateful=True, health=health)
    until("it is healthy", lambda: inspect(name, "{{.State.Health.Status}}") == "healthy")
    found += restarted(name)
    Path(f"/proc/{inspect(name, '{{.State.Pid}}')}/root/ok").unlink()
    try:
        until("the check after the restore", lambda: inspect(name, "{{.State.Health.Status}}") == "unhealthy")
    except RuntimeError as error:
        found.append(str(error))
    return found


@report("ansible/ansible-modules-core#4188, checkpoint-restore/criu#9: in a unit")
def a_unit_with_a_replaced_mount_stops_without_a_dump() -> list[str]:
    name, conf = "report-replaced", FOLDER / "unit.conf"
    conf.write_text("v1\n")
    found = unit(name, stateful=True, volumes=[{"source": str(conf), "target": "/etc/app.conf"}])
    (FOLDER / "new").write_text("v2\n")
    (FOLDER / "new").rename(conf)
    command("systemctl", "restart", f"{name}.service")
    found += alive(name)
    journal = command("journalctl", "--unit", f"{name}.service", "--no-pager", "--output=cat")
    return found + ([] if "replaced" in journal else [f"the journal does not say it: {journal[-400:]}"])


@report("opencontainers/runc#2902, #3442: in a unit")
def a_unit_with_a_link_as_source_keeps_its_state_or_is_refused() -> list[str]:
    (FOLDER / "real").mkdir()
    (FOLDER / "link").symlink_to("real")
    wanted = options("report-link", stateful=True, volumes=[{"source": str(FOLDER / "link"), "target": "/data"}])
    result = run_task("container_unit", **wanted)
    if result.failed:
        return failed(result, "option_invalid", "link")
    until("the container", lambda: count("report-link"))
    return restarted("report-link")


@report("containers/podman#26259, SEIAROTg/quadlet-nix#42: the environment of units")
def odd_values_of_the_environment_are_kept_in_units() -> list[str]:
    values = {"A": "a b", "B": "100%n", "C": "$HOME", "D": "'\"'", "E": "a=b", "F": "\\n\\", "G": "ä", "H": ""}
    found = []
    for name, stateful in (("report-env", False), ("report-envs", True)):
        found += unit(name, environment=values, stateful=stateful)
        kept = dict(
            one.split("=", 1)
            for one in Path(f"/proc/{inspect(name, '{{.State.Pid}}')}/environ").read_text().split("\0")
            if one
        )
        found += [f"{name}: {key} is {kept.get(key)!r}" for key, value in values.items() if kept.get(key) != value]
    return found


@report("containers/podman#3774: the unit of a container is removed with its container")
def an_absent_unit_leaves_nothing() -> list[str]:
    found = unit("report-gone", stateful=True)
    found += changed("container_unit", name="report-gone", state="absent")
    left = command("podman", "ps", "--all", "--quiet", "--filter=name=^report-gone$")
    return found + ([f"the container is there: {left}"] if left else [])
