# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._unit import ensure, goal, plan
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import Current
from ansible_collections.criu.hosts.tests.unit.container_units import UnitHost, make_quadlet_file
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, run_main

BASE = {"name": "web", "image": "localhost/web:1"}
SECRET = "correct horse battery"


def installed(folder: Path, params: dict[str, Any], *, quadlet: bool) -> UnitHost:
    """A host on which the module has been run before."""
    host = UnitHost(folder=folder)
    if quadlet:
        host.with_quadlet()
    import io
    from contextlib import redirect_stdout

    class Capture:
        def readouterr(self) -> Any:
            text = out.getvalue()
            out.seek(0)
            out.truncate()
            return type("Read", (), {"out": text})

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        run = run_main(patch, Capture(), "container_unit", params, host=host)  # type: ignore[arg-type]
    assert not run.failed, run.result
    host.ran.clear()
    host.wrote.clear()
    return host


def case(
    first: dict[str, Any] | None, then: dict[str, Any] | None = None, *, quadlet: bool = True, **attributes: Any
) -> Any:
    """Start with nothing or with the unit of ``first``, and ask for ``then`` in addition."""

    def build(folder: Path) -> Any:
        if first is None:
            host = UnitHost(folder=folder)
            if quadlet:
                host.with_quadlet()
        else:
            host = installed(folder, {**BASE, **first}, quadlet=quadlet)
        for name, value in attributes.items():
            setattr(host, name, value)
        return {**BASE, **(first or {}), **(then or {})}, host

    return build


def labelled(**types: str) -> Any:
    """A host with SELinux, and volumes of which two are to have the containers' label."""

    def build(folder: Path) -> Any:
        host = UnitHost(folder=folder).with_quadlet().with_selinux(**types)
        kinds = {"a": "private", "b": "shared", "c": "none"}
        volumes = [{"source": f"/srv/{one}", "target": f"/{one}", "relabel": kind} for one, kind in kinds.items()]
        return {**BASE, "volumes": [*volumes, {"source": "data", "target": "/d", "relabel": "private"}]}, host

    return build


CONTRACT_CASES = [
    Case("labels-wrong", labelled(a="var_t", b="var_t", c="var_t")),
    Case("podmans-words", case(None, {"ports": ["80"], "volumes": ["data:/data:ro"], "env": {"A": SECRET}})),
    Case("quadlet-new", case(None)),
    Case("plain-new", case(None, quadlet=False)),
    Case("stateful-new", case(None, {"stateful": True})),
    Case("secret-new", case(None, {"environment": {"PASSWORD": SECRET}})),
    Case("present-only", case(None, {"state": "present"})),
    Case("stopped-new", case(None, {"state": "stopped", "enabled": False})),
    Case("quadlet-that-requires", case(None, {"requires": ["a.service"], "after": ["a.service"]})),
    Case("quadlet-other-image", case({}, {"image": "localhost/web:2"})),
    Case("quadlet-other-description", case({}, {"description": "Another"})),
    Case("secret-other-value", case({"environment": {"A": SECRET}}, {"environment": {"A": "something else"}})),
    Case("secret-gone", case({"environment": {"A": SECRET}}, {"environment": {}})),
    Case("plain-to-quadlet", case({"unit_kind": "plain"}, {"unit_kind": "quadlet"})),
    Case("quadlet-to-stateful", case({}, {"stateful": True})),
    Case("stateful-to-quadlet", case({"stateful": True}, {"stateful": False})),
    Case("plain-disabled", case({"unit_kind": "plain"}, {"enabled": False})),
    Case("quadlet-disabled", case({}, {"enabled": False})),
    Case("stopped", case({}, {"state": "stopped"})),
    Case("was-stopped", case({}, active="inactive")),
    Case("had-failed", case({}, active="failed")),
    Case("restarts-by-itself", case({}, active="activating")),
    Case("reload-was-cut-off", case({}, stale=True)),
    Case("quadlet-removed", case({}, {"state": "absent"})),
    Case("plain-removed", case({"unit_kind": "plain"}, {"state": "absent"})),
    Case("stateful-removed", case({"stateful": True, "environment": {"A": "1"}}, {"state": "absent"})),
    Case("failed-removed", case({}, {"state": "absent"}, active="failed")),
    Case("quadlet-right", case({}), changed=False),
    Case("volumes-right", case({"volumes": ["/srv/web:/a:ro", {"source": "b", "target": "/b"}]}), changed=False),
    Case("plain-right", case({}, quadlet=False), changed=False),
    Case("stateful-right", case({"stateful": True, "environment": {"A": "1"}}), changed=False),
    Case("stopped-right", case({"state": "stopped"}), changed=False),
    Case("absent-right", case(None, {"state": "absent"}), changed=False),
]


def of(name: str) -> Case:
    return next(one for one in CONTRACT_CASES if one.id == name)


def verbs(run: Any) -> list[str]:
    return [argv[1] for argv in run.result["commands"] if argv[0] == "systemctl"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quadlet-new", ["daemon-reload", "start"]),
        ("plain-new", ["daemon-reload", "enable", "start"]),
        ("quadlet-other-image", ["daemon-reload", "restart"]),
        ("quadlet-other-description", ["daemon-reload"]),
        ("secret-other-value", ["restart"]),
        ("plain-to-quadlet", ["stop", "disable", "daemon-reload", "start"]),
        ("quadlet-to-stateful", ["stop", "daemon-reload", "enable", "start"]),
        ("stateful-to-quadlet", ["stop", "disable", "daemon-reload", "start"]),
        ("had-failed", ["reset-failed", "start"]),
        ("reload-was-cut-off", ["daemon-reload"]),
        ("plain-removed", ["stop", "disable", "daemon-reload"]),
    ],
)
def test_systemd_is_told_no_more_than_needed(tmp_path: Path, module: Any, name: str, expected: list[str]) -> None:
    params, host = of(name).build(tmp_path)
    assert verbs(module("container_unit", params, host=host)) == expected


def test_result_of_a_quadlet(tmp_path: Path, module: Any) -> None:
    params, host = case(None)(tmp_path)
    run = module("container_unit", params, host=host)
    assert run.result["container_unit"] == {
        "name": "web",
        "path": str(host.quadlet),
        "kind": "quadlet",
        "state": "active",
        "enabled": True,
        "main_pid": 1207,
        "stateful": False,
        "container": "web",
    }
    assert "Image=localhost/web:1" in run.result["diff"]["after"]["unit"]
    assert host.checked == [host.quadlet.read_text()]
    assert not host.path("run/criu-hosts/check-web").exists()


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        pytest.param({"a": "var_t", "b": "container_file_t", "c": "var_t"}, ["/srv/a"], id="only-what-is-asked-for"),
        pytest.param({"a": "container_ro_file_t", "b": "container_file_t"}, [], id="containers-already"),
        pytest.param({}, [], id="not-there"),
    ],
)
def test_volumes_get_the_type_that_podman_may_relabel(
    tmp_path: Path, module: Any, types: dict[str, str], expected: list[str]
) -> None:
    params, host = labelled(**types)(tmp_path)
    run = module("container_unit", params, host=host)
    assert [argv[-1] for argv in run.result["commands"] if argv[0] == "chcon"] == expected
    assert run.result["diff"]["after"].get("relabelled", []) == expected


def test_restart_is_always_a_change(tmp_path: Path, module: Any) -> None:
    params, host = case({}, {"state": "restarted"})(tmp_path)
    assert verbs(module("container_unit", params, host=host)) == ["restart"]
    assert verbs(module("container_unit", params, host=host)) == ["restart"]


def test_values_of_the_environment_are_nowhere_but_in_their_file(tmp_path: Path, module: Any) -> None:
    params, host = case(None, {"environment": {"PASSWORD": SECRET, "USER": "web", "ON": True}})(tmp_path)
    run = module("container_unit", params, host=host)
    assert SECRET not in str(run.result)
    assert run.result["container_unit"]["name"] == "web", "a short value is no secret"
    file = host.path("etc/criu-hosts/units/web.env")
    assert file.stat().st_mode & 0o777 == 0o600 and f"PASSWORD={SECRET}\n" in file.read_text()
    assert "ON=true\n" in file.read_text()
    assert SECRET not in host.quadlet.read_text()
    assert run.result["diff"]["after"]["environment"] == ["ON", "PASSWORD", "USER"]


def test_podmans_words_are_aliases(tmp_path: Path, module: Any) -> None:
    own = {
        "environment": {"PASSWORD": SECRET},
        "publish": ["8080:80"],
        "capabilities_add": ["NET_ADMIN"],
        "capabilities_drop": ["all"],
        "security_options": ["no-new-privileges"],
    }
    words = dict(zip(("env", "ports", "cap_add", "cap_drop", "security_opt"), own.values()))
    dummy_params, host = case(own)(tmp_path)
    run = module("container_unit", {**BASE, **words}, host=host)
    assert run.result["changed"] is False
    assert SECRET not in str(run.result), "the alias is in the parameters too"
    assert "PublishPort=8080:80\n" in host.quadlet.read_text()


def test_volumes_as_texts_and_as_dictionaries_make_the_same_unit(tmp_path: Path, module: Any) -> None:
    mapping = {"source": "/srv/a", "target": "/a", "relabel": "private", "read_only": True, "options": ["U"]}
    params, host = case({"volumes": [mapping]})(tmp_path)
    assert "Volume=/srv/a:/a:Z,ro,U\n" in host.quadlet.read_text()
    assert module("container_unit", {**params, "volumes": ["/srv/a:/a:Z,ro,U"]}, host=host).result["changed"] is False


def stateful(folder: Path, **more: Any) -> tuple[dict[str, Any], UnitHost]:
    params, host = case(None, {"stateful": True, "volumes": ["/srv/link:/data"], **more})(folder)
    (folder / "srv/real").mkdir(parents=True)
    (folder / "srv/link").symlink_to("real")
    return params, host


def test_a_linked_source_of_a_stateful_unit_is_followed(tmp_path: Path, module: Any) -> None:
    params, host = stateful(tmp_path)
    assert module("container_unit", params, host=host, check=True).result["changed"]
    assert module("container_unit", params, host=host).result["changed"]
    spec = json.loads((tmp_path / "etc/criu-hosts/units/web.json").read_text())
    assert "--volume=/srv/real:/data" in spec["create"]
    assert module("container_unit", params, host=host).result["changed"] is False


def test_a_linked_source_of_another_unit_stays(tmp_path: Path, module: Any) -> None:
    params, host = stateful(tmp_path, stateful=False)
    assert module("container_unit", params, host=host).result["changed"]
    assert "Volume=/srv/link:/data\n" in host.quadlet.read_text()


def test_a_link_to_what_no_volume_may_have_is_refused(tmp_path: Path, module: Any) -> None:
    params, host = stateful(tmp_path)
    (tmp_path / "srv/link").unlink()
    (tmp_path / "srv/a b").mkdir()
    (tmp_path / "srv/link").symlink_to("a b")
    result = module("container_unit", params, host=host).result
    assert (result["reason"], result["option"], host.wrote) == ("option_invalid", "volumes.source", [])


@pytest.mark.parametrize("runtime, found", [("runc", 1), ("crun", 0), (None, 0)])
def test_a_mount_below_a_source_of_a_stateful_unit_is_a_warning(
    tmp_path: Path, module: Any, runtime: str | None, found: int
) -> None:
    params, host = stateful(tmp_path, **({"runtime": runtime} if runtime else {}))
    (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
    mounts = "10 1 8:1 / / rw shared:1 - ext4 d rw\n20 10 0:2 / /srv/real/disk rw shared:2 - tmpfs t rw\n"
    (tmp_path / "proc/self/mountinfo").write_text(mounts)
    result = module("container_unit", params, host=host).result
    texts = [str(one) for one in result.get("warnings", []) if "'/srv/real/disk'" in str(one)]
    assert len(texts) == found


def test_bad_volume_is_one_line(tmp_path: Path, module: Any) -> None:
    params, host = case(None, {"volumes": ["./data:/data"]})(tmp_path)
    run = module("container_unit", params, host=host)
    assert (run.result["reason"], run.result["option"]) == ("option_invalid", "volumes.source")
    assert run.result["msg"].startswith("Cannot use volumes.source './data': ") and "\n" not in run.result["msg"]
    assert host.ran == []


@pytest.mark.parametrize("one", CONTRACT_CASES, ids=lambda one: one.id)
def test_goal_is_reached_if_nothing_is_planned(
    one: Case, tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def both(current: Any, wanted: Any) -> bool:
        seen.append((goal.is_reached(current, wanted), not plan.steps_to(current, wanted)))
        return seen[-1][0]

    monkeypatch.setattr(ensure, "is_reached", both)
    params, host = one.build(tmp_path)
    for dummy_run in range(2):
        module("container_unit", params, host=host)
    assert all(reached == nothing for reached, nothing in seen)
    assert params.get("state") == "absent" or len(seen) >= 2


def test_start_of_the_module_loads_only_what_every_task_needs() -> None:
    package = "ansible_collections.criu.hosts.plugins"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(ensure.__file__).parents[6])!r})\n"
        f"import {package}.modules.container_unit; print('\\n'.join(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    own = [name[len(f"{package}.module_utils.") :] for name in loaded.split() if name.startswith(f"{package}.")]
    assert "_unit.ensure" in own
    late = ("_engines", "_lsm", "_container", "_unit.stateful", "_unit.plan", "_unit.volumes", "_unit.failure")
    assert [name for name in own if name.startswith(late)] == []


def test_other_value_is_shown_without_it(tmp_path: Path, module: Any) -> None:
    params, host = of("secret-other-value").build(tmp_path)
    run = module("container_unit", params, host=host)
    assert run.result["diff"]["after"]["environment"] == ["A (value changed)"]


def test_restart_that_was_cut_off_is_made_up_for(tmp_path: Path, module: Any) -> None:
    params, host = case({}, {"image": "localhost/web:2"}, failure="Job for web.service failed.\n")(tmp_path)
    run = module("container_unit", params, host=host)
    assert run.result["reason"] == "start_failed"
    host.failure, host.active = "", "active"  # as if the task had been cut off before the restart
    assert verbs(module("container_unit", params, host=host)) == ["restart"]
    assert module("container_unit", params, host=host).result["changed"] is False


def test_present_leaves_a_restart_to_started(tmp_path: Path, module: Any) -> None:
    params, host = case({}, {"image": "localhost/web:2", "state": "present"})(tmp_path)
    assert verbs(module("container_unit", params, host=host)) == ["daemon-reload"]
    assert module("container_unit", params, host=host).result["changed"] is False
    assert verbs(module("container_unit", {**params, "state": "started"}, host=host)) == ["restart"]


def test_refused_unit_is_not_installed(tmp_path: Path, module: Any, fixture_text: Any) -> None:
    params, host = case(None, {"network": "nosuch.network"})(tmp_path)
    host.refusal = fixture_text("podman/5.4.2-quadlet-refuses-network.txt")
    run = module("container_unit", params, host=host)
    assert run.result["reason"] == "unit_refused" and "nosuch.network was not found" in run.result["msg"]
    assert not host.quadlet.exists() and not host.path("run/criu-hosts/check-web").exists()


@pytest.mark.parametrize("there", [True, False])
def test_other_files_of_quadlet_are_shown_to_the_check(tmp_path: Path, module: Any, there: bool) -> None:
    params, host = case(None, {"network": "shop.network"})(tmp_path)
    if there:
        make_quadlet_file(tmp_path, "[Network]\n").rename(host.quadlet.with_name("shop.network"))
    seen = []
    original = host.change
    host.change = lambda args: seen.append([p.name for p in host.path("run").rglob("*.network")]) or original(args)
    assert not module("container_unit", params, host=host).failed
    assert seen[0] == (["shop.network"] if there else [])


def test_required_unit_is_looked_for(tmp_path: Path, module: Any) -> None:
    params, host = case(None, {"requires": ["a.service", "nosuch.service"]})(tmp_path)
    run = module("container_unit", params, host=host)
    assert run.result["reason"] == "unit_refused" and "No files found for nosuch.service. " in run.result["msg"]
    assert not host.quadlet.exists()


@pytest.mark.parametrize("ends", [False, True], ids=["refused-by-podman", "ends-at-once"])
def test_failing_start_says_why(tmp_path: Path, module: Any, ends: bool) -> None:
    params, host = case(None)(tmp_path)
    event = "2026-11-23 08:37:11.16 +0000 UTC m=+3.14 container create 28"
    host.journal = f"Starting web...\n{event}\nError: localhost/web:1: image not known\nweb.service: Failed.\n"
    host.failure, host.ends_at_once = ("" if ends else "Job for web.service failed.\n"), ends
    run = module("container_unit", params, host=host)
    assert run.result["reason"] == "start_failed" and len(run.result["journal"]) == 3
    assert ("failed right after its start" if ends else "image not known") in run.result["msg"]


def test_somebody_elses_unit_is_left_alone(tmp_path: Path, module: Any) -> None:
    params, host = case(None)(tmp_path)
    file = make_quadlet_file(tmp_path, "[Container]\nImage=other\n")
    for state in ("started", "absent"):
        run = module("container_unit", {**params, "state": state}, host=host)
        assert run.result["reason"] == "unit_foreign" and run.result["path"] == str(file)


def test_package_unit_is_not_shadowed(tmp_path: Path, module: Any) -> None:
    file = tmp_path / "web.service"
    file.write_text("[Service]\n")
    params, host = case(None, foreign=str(file))(tmp_path)
    assert module("container_unit", params, host=host).result["reason"] == "unit_foreign"


def test_somebody_elses_container_is_left_alone(tmp_path: Path, module: Any) -> None:
    params, host = case(None, container=True)(tmp_path)
    assert module("container_unit", params, host=host).result["reason"] == "name_in_use"


def test_podman_missing(tmp_path: Path, module: Any) -> None:
    params, host = case(None)(tmp_path)
    host.missing = ["podman"]
    assert module("container_unit", params, host=host).result["reason"] == "podman_missing"


HEALTH = {"command": ["/bin/ls", "/"], "interval": "30s"}


@pytest.mark.parametrize(
    ("version", "options", "reason"),
    [
        ("5.2.1", {"stateful": True, "health": HEALTH}, "health_not_kept"),
        ("5.4.2", {"stateful": True, "health": HEALTH}, None),
        ("4.3.1", {"stateful": True, "health": HEALTH}, None),
        ("5.2.1", {"stateful": True, "health": {**HEALTH, "interval": "disable"}}, None),
        ("5.2.1", {"health": HEALTH}, None),
    ],
)
def test_a_stateful_unit_whose_health_checks_would_end_is_refused(
    tmp_path: Path, module: Any, version: str, options: dict[str, Any], reason: str | None
) -> None:
    params, host = case(None, options)(tmp_path)
    host.version = version
    assert module("container_unit", params, host=host, check=True).result.get("reason") == reason


def test_quadlet_missing(tmp_path: Path, module: Any) -> None:
    params, host = case(None, {"unit_kind": "quadlet"}, quadlet=False)(tmp_path)
    assert module("container_unit", params, host=host).result["reason"] == "quadlet_missing"


def test_image_needed(tmp_path: Path, module: Any) -> None:
    dummy_params, host = case(None)(tmp_path)
    assert module("container_unit", {"name": "web"}, host=host).result["reason"] == "image_needed"


def test_digest_needs_the_key_of_the_host(tmp_path: Path, module: Any) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        host = UnitHost(folder=folder)
        run = module("container_unit", {**BASE, "stateful": True, "environment": {"PIN": "1234"}}, host=host)
        assert not run.failed, run.result
        key = folder / "var/lib/criu-hosts/digest.key"
        assert key.stat().st_mode & 0o777 == 0o600
        spec = (folder / "etc/criu-hosts/units/web.json").read_text()
        digests.append(plan.spec_digest(spec))
        assert key.read_text().strip() not in json.dumps(run.result) + spec
    assert len(set(digests)) == 2, "the same container on two hosts: nobody can compare, or try short secrets"


@pytest.mark.parametrize("text", ["", "short", "Z" * 64, "\udcff"])
def test_key_that_is_torn_is_made_anew_once(tmp_path: Path, module: Any, text: str) -> None:
    host = UnitHost(folder=tmp_path)
    key = tmp_path / "var/lib/criu-hosts/digest.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(text.encode("utf-8", "surrogateescape"))
    params = {**BASE, "stateful": True}
    assert module("container_unit", params, host=host).result["changed"]
    first = key.read_text()
    assert not module("container_unit", params, host=host).result["changed"]
    assert key.read_text() == first


def test_a_container_of_an_earlier_release_keeps_its_state(tmp_path: Path, module: Any) -> None:
    params = {**BASE, "stateful": True}
    host = installed(tmp_path, params, quadlet=False)
    spec = tmp_path / "etc/criu-hosts/units/web.json"
    new = spec.read_text()
    former = plan.spec_digest(new, "former_digest") or ""
    spec.write_text(new.replace(plan.spec_digest(new) or "", former))
    host.wrote.clear()
    run = module("container_unit", params, host=host)
    assert run.result["changed"] and spec.read_text() == new
    assert not [argv for argv in host.wrote if argv[1:2] in (["restart"], ["stop"], ["rm"])]
    assert not module("container_unit", params, host=host).result["changed"]


@pytest.mark.parametrize("state", ["started", "absent"])
def test_one_task_at_a_time_works_on_a_unit(
    tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    host = installed(tmp_path, {**BASE, "stateful": True}, quadlet=False)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.0)
    with lock.hold(lock.lock_path(PLACE.paths, 0, "unit", "web.service"), "unit 'web.service'"):
        run = module("container_unit", {**BASE, "stateful": True, "image": "x:2", "state": state}, host=host)
    assert (run.result["reason"], host.wrote) == ("busy", [])


def test_container_that_a_task_works_on_is_not_removed(
    tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = installed(tmp_path, {**BASE, "stateful": True}, quadlet=False)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.0)
    with lock.hold(lock.lock_path(PLACE.paths, 0, "container", "web"), "container 'web'"):
        run = module("container_unit", {"name": "web", "state": "absent"}, host=host)
    assert run.result["reason"] == "busy"
    assert ["podman", "rm"] not in [argv[:2] for argv in host.wrote]
    assert not module("container_unit", {"name": "web", "state": "absent"}, host=host).failed


def test_unit_file_that_is_a_folder_is_a_failure_in_one_line(tmp_path: Path, module: Any) -> None:
    host = UnitHost(folder=tmp_path)
    host.plain.mkdir(parents=True)
    run = module("container_unit", {**BASE, "stateful": True}, host=host)
    assert (run.result["reason"], run.result["path"]) == ("file_failed", str(host.plain))


@pytest.mark.parametrize("kind", ["quadlet", "plain"])
def test_a_foreign_container_whose_id_begins_with_the_name_does_not_count(
    module: Any, tmp_path: Path, kind: str
) -> None:
    host = UnitHost(folder=tmp_path)
    asked: list[list[str]] = []
    ask = host.run_command

    def run_command(dummy: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args[:2] == ["podman", "ps"]:
            asked.append(args)
            return 0, "", ""
        assert args[:3] != ["podman", "container", "exists"], "podman would say yes"
        return ask(dummy, args, **options)

    host.run_command = run_command  # type: ignore[method-assign]
    if kind == "quadlet":
        host.with_quadlet()
    params = {"name": "db", "image": "localhost/web:1"}
    assert module("container_unit", params, host=host, check=True).result["changed"]
    assert [argv[5] for argv in asked] == ["name=^db$"]


def test_a_removal_names_exactly_one_container() -> None:
    found = plan.plan_absent(Current("db", plain=f"{HEADER}\n"), ())
    assert ["podman", "rm", "--force", "--ignore", "--volumes", "--filter", "name=^db$"] in found.commands
