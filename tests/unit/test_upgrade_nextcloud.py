# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook upgrade_nextcloud on this machine, with stand-ins for podman, rsync and the modules.

The stand-ins store the state of the host in one file: version, database, image and what is running. Folders are real.
The lab tests how a real database and a real container are restored.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.modules import container_checkpoint, container_restore, container_unit
from ansible_collections.criu.hosts.tests.unit import plays, stand_ins
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Shown

# The options that the tasks pass to modules with a stand-in.
OPTIONS = {
    *container_unit.SPEC,
    *container_checkpoint.SPEC,
    *container_restore.SPEC,
    *"force login_host login_port login_user login_db query target target_opts owner encoding".split(),
    *"lc_collate lc_ctype conn_limit template".split(),
}
VERSIONS = {"30": "30.0.17", "31": "31.0.10", "32": "32.0.1"}

HOST = (
    stand_ins.HOST
    + """\
import shutil, signal, sys
VERSIONS = json.loads(os.environ["VERSIONS"])
def major(image):
    return image[2:] if image.startswith("id") else image.rsplit(":", 1)[1].split("-")[0]
def read(path):
    with open(path) as handle:
        return handle.read()
def write(path, text):
    with open(path, "w") as handle:
        handle.write(text)
"""
)
MODULE = (
    "#!/usr/bin/python\n"
    + HOST
    + """\
from ansible.module_utils.basic import AnsibleModule
SPEC = {name: {"type": "raw"} for name in os.environ["OPTIONS"].split()}
SPEC["login_password"] = {"no_log": True}
module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
params = module.params
host = load()
if not module.check_mode:
    what = params["image"] or params["archive_path"] or params["name"] or ""
    host["calls"].append([NAME, params["state"] or "", what])
save(host)
"""
)
MODULES = {
    ("criu", "hosts", "container_unit"): """\
if module.check_mode:
    module.exit_json(changed=host["image"] != params["image"] or host["breaks"] == "options")
host["image"], host["running"] = params["image"], params["state"] == "started"
""",
    ("criu", "hosts", "container_checkpoint"): """\
if params["archive_path"] and not params["state"]:
    if host["breaks"] == "checkpoint":
        module.fail_json(msg="CRIU says no.", reason="tool_failed")
    write(params["archive_path"], "memory of " + host["image"])
elif not params["state"]:
    host["running"] = False
""",
    ("criu", "hosts", "container_restore"): """\
host["memory"] = read(params["archive_path"])
""",
    ("containers", "podman", "podman_container"): "",
    ("containers", "podman", "podman_image"): "",
    ("containers", "podman", "podman_secret_info"): "",
    ("community", "postgresql", "postgresql_query"): "",
    ("community", "postgresql", "postgresql_db"): """\
if params["state"] == "dump":
    write(params["target"], host["database"])
elif params["state"] == "absent":
    host["database"] = None
elif params["state"] == "restore":
    assert host["database"] == ""
    host["database"] = read(params["target"])
else:
    assert host["database"] is None and params["owner"] == "cloud"
    host["database"] = ""
""",
}
END = """\
save(host)
rows = [{"bytes": 1, "encoding": "UTF8", "lc_collate": "C", "lc_ctype": "C", "conn_limit": -1, "owner": "cloud"}]
module.exit_json(changed=True, secrets=[], query_result=rows)
"""
PODMAN = (
    f"#!{sys.executable}\n"
    + HOST
    + """\
host, args = load(), sys.argv[1:]
host["calls"].append(["podman", args[0], args[-1]])
save(host)
folder = host["folder"]
now = read(folder + "/html/version.php").split("'")[1]
if args[:2] == ["container", "inspect"]:
    state = {"Status": "running" if host["running"] else "exited", "Pid": int(host["running"])}
    image = {"ImageName": host["image"], "Image": "id" + major(host["image"])}
    print(json.dumps([{"Id": "c1", "Name": "cloud", "State": state, **image}]))
elif args[:2] == ["image", "inspect"]:
    if major(args[2]) not in VERSIONS or args[2] in host["missing"]:
        sys.exit(125)
    environment = ["NEXTCLOUD_VERSION=" + VERSIONS[major(args[2])]]
    print(json.dumps([{"Id": "id" + major(args[2]), "Config": {"Env": environment}}]))
elif args[0] == "pull":
    host["missing"] = [name for name in host["missing"] if name != args[-1]]
    print("id" + major(args[-1]))
elif args[0] == "wait":
    sys.exit(125)
elif "app:list" in args:
    print('{"enabled": {}}')
elif "status" in args:
    needs = host["database"] != "tables of " + now
    print(json.dumps({"installed": True, "versionstring": now, "needsDbUpgrade": needs, "maintenance": False}))
elif "maintenance:mode" in args:
    if host["breaks"] == args[-1]:
        sys.exit(1)
    write(folder + "/config/config.php", "maintenance " + args[-1])
elif "upgrade" in args:
    host["database"] = "tables of " + now
elif args[0] == "run":
    to = VERSIONS[major(args[-2])]
    numbers = to.replace(".", ",")
    write(folder + "/html/version.php", f"<?php $OC_Version = [{numbers}]; $OC_VersionString = '{to}';")
    write(folder + "/html/new", to)
    host["database"] = "half of " + to
    save(host)
    if host["breaks"] == major(args[-2]):
        print("Update failed")
        sys.exit(1)
    if host["breaks"] == "ansible":
        os.killpg(int(os.environ["PLAY"]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    host["database"] = "tables of " + to
elif args[0] == "exec":
    host["renewed"] = "posix_kill" in args[-1]
save(host)
"""
)
RSYNC = (
    f"#!{sys.executable}\n"
    + HOST
    + """\
source, target = sys.argv[-2].rstrip("/"), sys.argv[-1].rstrip("/")
shutil.rmtree(target, ignore_errors=True)
shutil.copytree(source, target)
print("x")
"""
)


# What is written to the disks, with the phase that is recorded at that moment.
SYNC = (
    f"#!{sys.executable}\n"
    + HOST
    + """\
host = load()
record = os.path.dirname(host["folder"]) + "/saved/cloud.json"
phase = json.loads(read(record))["phase"] if os.path.exists(record) else ""
host["calls"].append(["sync", phase, " ".join(sys.argv[1:])])
save(host)
"""
)


class Host:
    """A host, as the stand-ins present it; its name is that of its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "host.json"
        self.state = folder / "saved/cloud.json"
        self.cloud = folder / "cloud"
        for name in ("html", "config", "apps", "data"):
            (self.cloud / name).mkdir(parents=True)
        (self.cloud / "html/version.php").write_text(
            "<?php $OC_Version = [30,0,17,2]; $OC_VersionString = '30.0.17';", encoding="utf-8"
        )
        (self.cloud / "config/config.php").write_text("maintenance not known", encoding="utf-8")
        self.change(folder=str(self.cloud), database="tables of 30.0.17", image="id30", running=True, breaks="")

    def change(self, **what: Any) -> None:
        known = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        self.file.write_text(
            json.dumps({**known, "calls": [], "memory": "", "renewed": False, "missing": [], **what}), "utf-8"
        )

    def variables(self, to: str, **variables: Any) -> dict[str, Any]:
        """The variables of the host in a play that upgrades it."""
        given = {
            "nextcloud_name": "cloud",
            "nextcloud_directory": str(self.cloud),
            "nextcloud_database_password": "p",
            "nextcloud_redis_host": "",
            "nextcloud_cron_calendar": "",
            "nextcloud_web_server": "none",
            "nextcloud_listen": "127.0.0.1:9000",
            "nextcloud_upgrade_image": "r/cloud:{major}-fpm",
            "nextcloud_upgrade_path": str(self.state.parent),
            "nextcloud_upgrade_to": to,
        }
        return plays.host(self.file, **{**given, **variables})

    def play(self, to: str, *arguments: str, **variables: Any) -> plays.Played:
        """Upgrades this host alone."""
        return play(self.folder.parent, {self.folder.name: self.variables(to, **variables)}, *arguments)

    @property
    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return found

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        return found

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.cloud)): path.read_text(encoding="utf-8")
            for path in self.cloud.rglob("*")
            if path.is_file()
        }

    def is_as_before(self, files: dict[str, str]) -> bool:
        now = self.now
        known = {key: now[key] for key in ("database", "image", "running")}
        return self.files() == files and known == {
            "database": "tables of 30.0.17",
            "image": "id30",
            "running": True,
        }


def stage(folder: Path) -> None:
    """Puts the collections and the programs into the folder of a play."""
    collections = folder / "ansible_collections"
    hosts = collections / "criu/hosts"
    for (space, name, module), text in MODULES.items():
        modules = collections / space / name / "plugins/modules"
        modules.mkdir(parents=True, exist_ok=True)
        (modules / f"{module}.py").write_text(f"NAME = {module!r}\n{MODULE}{text}{END}", encoding="utf-8")
    for name in ("nextcloud_info", "nextcloud_upgrade_info"):
        (hosts / f"plugins/modules/{name}.py").symlink_to(ROOT / f"plugins/modules/{name}.py")
    for name in ("plugins/filter", "plugins/module_utils", "plugins/plugin_utils", "plugins/doc_fragments", "roles"):
        (hosts / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for name, text in (("podman", PODMAN), ("rsync", RSYNC), ("sync", SYNC)):
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)


def play(folder: Path, hosts: dict[str, dict[str, Any]], *arguments: str) -> plays.Played:
    """Runs the playbook on hosts."""
    playbook = (str(ROOT / "playbooks/upgrade_nextcloud.yml"), "-e", "upgrade_nextcloud_hosts=all")
    env = {"VERSIONS": json.dumps(VERSIONS), "OPTIONS": " ".join(sorted(OPTIONS))}
    return plays.play(folder, hosts, *arguments, *playbook, **env)


@pytest.fixture
def one(tmp_path: Path) -> Host:
    stage(tmp_path)
    return Host(tmp_path / "one")


# The hosts of one play: the version that is asked for, what breaks, the missing images, the variables.
CASES: dict[str, tuple[str, str, list[str], dict[str, Any]]] = {
    "two-versions": ("32", "", [], {}),
    "breaks-half-way": ("32", "31", [], {}),
    "breaks-before": ("31", "checkpoint", [], {}),
    # Nothing is upgraded after the pull.
    "pull-missing": ("31", "options", [], {"nextcloud_pull": "missing"}),
    "pull-missing-is-missing": ("31", "options", ["r/cloud:31-fpm"], {"nextcloud_pull": "missing"}),
    "pull-always": ("31", "options", [], {"nextcloud_pull": "always"}),
    "pull-newer": ("31", "options", ["r/cloud:31-fpm"], {"nextcloud_pull": "newer"}),
    "pull-never": ("31", "options", [], {"nextcloud_pull": "never"}),
    "downgrade": ("29", "", [], {"nextcloud_pull": "never"}),
}


@dataclass(frozen=True)
class Upgraded:
    """The hosts of the play, and what it has printed about each."""

    hosts: dict[str, Host]
    files: dict[str, str]
    planned: Shown
    shown: dict[str, Shown]


@pytest.fixture(name="upgraded", scope="module")
def upgraded_fixture(tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    folder = tmp_path_factory.mktemp("upgraded")
    stage(folder)
    hosts, variables = {}, {}
    for name, (to, breaks, missing, given) in CASES.items():
        hosts[name] = Host(folder / name)
        hosts[name].change(breaks=breaks, missing=missing)
        variables[name] = hosts[name].variables(to, **given)
    files = hosts["two-versions"].files()
    planned = hosts["two-versions"].play("32", "--check").of("two-versions")
    assert not hosts["two-versions"].state.parent.exists()
    done = play(folder, variables)
    return Upgraded(hosts, files, planned, {name: done.of(name) for name in CASES})


@pytest.mark.slow
def test_one_version_after_the_other_and_then_nothing(upgraded: Upgraded) -> None:
    assert not upgraded.planned.failed and upgraded.planned.counts["changed"] == 1, upgraded.planned.output
    shown, host = upgraded.shown["two-versions"], upgraded.hosts["two-versions"]
    assert not shown.failed, shown.output
    assert host.record["phase"] == "done" and host.record["to"] == "32.0.1"
    now = host.now
    assert now["database"] == "tables of 32.0.1" and now["image"] == "id32" and now["running"]
    units = [call[1:] for call in now["calls"] if call[0] == "container_unit"]
    assert units == [[state, image] for image in ("id31", "id32") for state in ("stopped", "started")]
    assert host.files()["config/config.php"] == "maintenance --off"
    assert host.state.stat().st_mode & 0o777 == 0o600
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (host.state.parent, host.state.parent / "cloud"))

    again = host.play("32").of("two-versions")
    assert not again.failed and again.counts["changed"] == 0, again.output


@pytest.mark.slow
def test_what_breaks_half_way_leaves_nothing_behind(upgraded: Upgraded) -> None:
    shown, host = upgraded.shown["breaks-half-way"], upgraded.hosts["breaks-half-way"]
    assert shown.failed and "Update failed" in shown.output
    assert "the state before it was restored" in shown.output
    assert host.is_as_before(upgraded.files) and host.record["phase"] == "rolled_back"
    assert host.now["memory"] == "memory of id30" and host.now["renewed"]


@pytest.mark.slow
def test_what_breaks_before_the_upgrade_touches_only_maintenance_mode(upgraded: Upgraded) -> None:
    shown, host = upgraded.shown["breaks-before"], upgraded.hosts["breaks-before"]
    assert shown.failed and "CRIU says no." in shown.output
    assert host.is_as_before(upgraded.files) and host.record["phase"] == "rolled_back"
    assert not [call for call in host.now["calls"] if call[0] in ("container_unit", "container_restore")]


@pytest.mark.long
def test_interrupted_then_brought_back_or_continued(one: Host) -> None:
    before = one.files()
    one.change(breaks="ansible")
    assert one.play("31").returncode == -9 and one.record["phase"] == "saved"
    one.change(breaks="")
    half_way = one.now, one.files()

    refused = one.play("31")
    assert refused.returncode and "was interrupted in the phase saved" in refused.stdout
    assert (one.now, one.files()) == half_way

    back = one.play("31", nextcloud_upgrade_interrupted="rollback")
    assert back.returncode == 0, back.stdout
    assert one.is_as_before(before) and one.record["phase"] == "rolled_back"

    # The other choice, from the same point.
    one.state.write_text(json.dumps({**one.record, "phase": "saved"}), encoding="utf-8")
    one.file.write_text(json.dumps(half_way[0]), encoding="utf-8")
    for name, text in half_way[1].items():
        (one.cloud / name).write_text(text, encoding="utf-8")
    on = one.play("31", nextcloud_upgrade_interrupted="continue")
    assert on.returncode == 0, on.stdout
    assert one.record["phase"] == "done" and one.now["database"] == "tables of 31.0.10"
    assert not [call for call in one.now["calls"] if call[0] == "container_checkpoint"]


@pytest.mark.long
def test_phases_claim_only_what_is_on_the_disks(one: Host) -> None:
    done = one.play("31")
    assert done.returncode == 0, done.stdout
    found = [call[1:] for call in one.now["calls"] if call[0] == "sync"]
    saved, cloud = one.state.parent, one.cloud
    everything = f"--file-system {saved} {cloud}/config {cloud}/apps {cloud}/html"
    for before, after in zip(["", "saving", "saved", "upgraded"], ["saving", "saved", "upgraded", "done"]):
        assert found[:3] == [[before, everything], [before, f"{one.state}.new"], [after, str(saved)]]
        found = found[3:]
    assert found == []


@pytest.mark.long
def test_damaged_copy_is_never_brought_back(one: Host) -> None:
    one.change(breaks="ansible")
    assert one.play("31").returncode == -9
    one.change(breaks="")
    version = one.state.parent / "cloud/html/version.php"
    times = version.stat()
    good = version.read_bytes()
    version.write_bytes(b"\0" * len(good))
    os.utime(version, ns=(times.st_atime_ns, times.st_mtime_ns))
    half_way = one.now, one.files()
    refused = one.play("31", nextcloud_upgrade_interrupted="rollback")
    assert refused.returncode and "are not those that were made: html" in refused.stdout.replace("\n", " ")
    assert one.files() == half_way[1] and one.now["database"] == half_way[0]["database"]
    assert not [call for call in one.now["calls"] if call[0] in ("container_unit", "postgresql_db")]


@pytest.mark.long
def test_what_fails_after_the_upgrade_is_not_rolled_back(one: Host) -> None:
    """Visitors may have written since maintenance mode was switched off."""
    one.change(breaks="--off")
    broken = one.play("31")
    assert broken.returncode and one.record["phase"] == "upgraded"
    assert one.now["database"] == "tables of 31.0.10" and one.now["image"] == "id31"
    one.change(breaks="")
    done = one.play("31", nextcloud_upgrade_interrupted="continue")
    assert done.returncode == 0 and one.record["phase"] == "done", done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("pull-")])
def test_pull(upgraded: Upgraded, name: str) -> None:
    shown = upgraded.shown[name]
    assert shown.failed and "its unit differs from the variables" in shown.text
    pulled = [call[2] for call in upgraded.hosts[name].now["calls"] if call[:2] == ["podman", "pull"]]
    assert pulled == (["r/cloud:31-fpm"] if name in ("pull-missing-is-missing", "pull-always", "pull-newer") else [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word"),
    [("downgrade", "cannot be downgraded"), ("pull-never", "its unit differs from the variables")],
)
def test_refused_before_anything_is_touched(upgraded: Upgraded, name: str, word: str) -> None:
    shown, host = upgraded.shown[name], upgraded.hosts[name]
    assert shown.failed and word in shown.output
    assert host.is_as_before(upgraded.files) and not host.state.parent.exists()


def test_refusals_and_a_pull_on_each_ansible_core(tmp_path: Path) -> None:
    stage(tmp_path)
    cases = {name: CASES[name] for name in ("downgrade", "pull-missing-is-missing")}
    hosts = {name: Host(tmp_path / name) for name in cases}
    before = hosts["downgrade"].files()
    for name, (dummy_to, breaks, missing, dummy_given) in cases.items():
        hosts[name].change(breaks=breaks, missing=missing)
    done = play(tmp_path, {name: hosts[name].variables(case[0], **case[3]) for name, case in cases.items()})
    assert done.of("downgrade").failed and "cannot be downgraded" in done.of("downgrade").output
    assert "its unit differs from the variables" in done.of("pull-missing-is-missing").text
    assert ["podman", "pull", "r/cloud:31-fpm"] in hosts["pull-missing-is-missing"].now["calls"]
    for host in hosts.values():
        assert host.is_as_before(before) and not host.state.parent.exists()
