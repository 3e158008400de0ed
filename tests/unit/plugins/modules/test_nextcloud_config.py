# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import command
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.settings import Console, Settings, import_script
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write

PHP = ["podman", "exec", "--user", "www-data", "cloud", "php"]
LIST = [*PHP, "/var/www/html/occ", "config:list", "--private", "--output=json"]
IMPORT = ["podman", "exec", "--interactive", *PHP[2:]]

NOW = {
    "system": {
        "trusted_domains": ["localhost"],
        "dbpassword": "hush",
        "mail_smtppassword": "old-word",
        "loglevel": 2,
        "installed": True,
    },
    "apps": {"core": {"backgroundjobs_mode": "ajax", "lastcron": 12}, "files": None},
}


def changed(system: dict[str, Any], apps: dict[str, Any] | None = None) -> dict[str, Any]:
    merged = {**NOW["system"], **system}
    return {
        "system": {key: value for key, value in merged.items() if value is not None},
        "apps": {**NOW["apps"], **(apps or {})},
    }


def host(after: dict[str, Any] | None, **options: Any) -> Host:
    notice = "Nextcloud is in maintenance mode, no apps are loaded.\n"
    replies: list[Reply | Write] = [
        Reply(LIST, json.dumps(NOW) + "\n", state="before" if after else "any"),
        Reply(LIST, notice + json.dumps(after), state="after"),
        Write(IMPORT, out="Config successfully imported from: /tmp/occAbCdEf\n", turns=True, **options),
    ]
    return Host(replies=replies)


def case(params: dict[str, Any], after: dict[str, Any] | None) -> Any:
    return lambda dummy_folder: ({"container": "cloud", **params}, host(after))


DOMAINS = {"trusted_domains": ["cloud.example.com"]}

CONTRACT_CASES = [
    Case("system", case({"system": DOMAINS}, changed(DOMAINS))),
    Case("removed", case({"system": {"loglevel": None}}, changed({"loglevel": None}))),
    Case("secret", case({"secrets": {"mail_smtppassword": "new"}}, changed({"mail_smtppassword": "new"}))),
    Case(
        "app",
        case(
            {"apps": {"core": {"backgroundjobs_mode": "cron", "lastcron": 12}}},
            changed({}, {"core": {"backgroundjobs_mode": "cron", "lastcron": "12"}}),
        ),
    ),
    Case("new-app", case({"apps": {"x": {"enabled": "yes"}}}, changed({}, {"x": {"enabled": "yes"}}))),
    Case(
        "right-already",
        case({"system": {"loglevel": 2, "nosuch": None}, "apps": {"core": {"lastcron": "12"}}}, None),
        changed=False,
    ),
]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What commands get on their standard input."""
    given: list[str] = []
    run = command.ModuleRunner.run

    def keep(self: Any, argv: Any, **options: Any) -> Any:
        if options.get("stdin"):
            given.append(options["stdin"])
        return run(self, argv, **options)

    monkeypatch.setattr(command.ModuleRunner, "run", keep)
    return given


def imported(script: str) -> Any:
    """What the script of PHP has occ import."""
    found = re.search(r"file_put_contents\(\$file, base64_decode\('([^']+)'\)\)", script)
    assert found
    return json.loads(base64.b64decode(found.group(1)))


def test_only_what_differs_is_imported_by_standard_input(module: Any, stdin: list[str]) -> None:
    params = {"container": "cloud", "system": {**DOMAINS, "loglevel": 2}, "secrets": {"dbpassword": "word"}}
    run = module("nextcloud_config", params, host=host(changed({**DOMAINS, "dbpassword": "word"})))
    assert imported(stdin[0]) == {"system": {**DOMAINS, "dbpassword": "word"}, "apps": {}}
    assert run.result["commands"] == [IMPORT]
    assert run.result["config"]["system"] == {**DOMAINS, "loglevel": 2, "dbpassword": "(hidden)"}


def test_nothing_of_a_secret_is_returned(module: Any) -> None:
    params = {"container": "cloud", "system": {"dbpassword": "hush"}, "secrets": {"mail_smtppassword": "new-word"}}
    run = module("nextcloud_config", params, host=host(changed({"mail_smtppassword": "new-word"})))
    # What Ansible returns of the parameters themselves is no matter of the module's.
    told = json.dumps({key: value for key, value in run.result.items() if key != "invocation"})
    assert not [word for word in ("hush", "old-word", "new-word") if word in told]
    assert run.result["diff"]["before"]["system"] == {"dbpassword": "(hidden)", "mail_smtppassword": "(hidden)"}
    assert run.result["diff"]["after"]["system"]["mail_smtppassword"] == "(hidden, value changed)"


def test_what_is_removed_is_null(module: Any) -> None:
    params = {"container": "cloud", "secrets": {"dbpassword": None}}
    run = module("nextcloud_config", params, host=host(changed({"dbpassword": None})))
    assert run.result["diff"]["after"]["system"] == {"dbpassword": None}


def test_a_setting_that_something_else_sets(module: Any) -> None:
    run = module("nextcloud_config", {"container": "cloud", "system": DOMAINS}, host=host(changed({})))
    assert (run.result["reason"], run.result["lost"]) == ("change_lost", ["trusted_domains"])


def test_an_app_that_does_not_keep_its_setting(module: Any) -> None:
    params = {"container": "cloud", "apps": {"core": {"a": "b"}}}
    run = module("nextcloud_config", params, host=host(changed({})))
    assert (run.result["reason"], run.result["lost"]) == ("change_lost", ["core/a"])


@pytest.mark.parametrize(
    ("reply", "reason", "word"),
    [
        pytest.param(
            Reply(LIST, err='Error: no container with name or ID "cloud" found: no such container\n', rc=125),
            "occ_failed",
            "no such container",
            id="no-container",
        ),
        pytest.param(Reply(LIST, '{"apps": {}}'), "answer_invalid", "config:list", id="not-installed"),
        pytest.param(Reply(LIST, "hush\n"), "answer_invalid", "config:list", id="no-json"),
        pytest.param(Reply(LIST, '{"system": 1}'), "answer_invalid", "config:list", id="system-of-another-type"),
        pytest.param(Reply(LIST, '{"system": {}, "apps": "x"}'), "answer_invalid", "config:list", id="apps"),
        pytest.param(Reply(LIST, '{"system": {}, "apps": {"x": [1]}}'), "answer_invalid", "config:list", id="app"),
        pytest.param(Reply(LIST, '{"system": ' * 90_000), "answer_invalid", "config:list", id="nested"),
        pytest.param(Reply(LIST, '{"system": {"a": NaN}}'), "answer_invalid", "config:list", id="no-number"),
        pytest.param(Reply(LIST, '{"system": {"a": "\0\udcff"'), "answer_invalid", "config:list", id="not-utf-8"),
    ],
)
def test_settings_that_cannot_be_read(module: Any, reply: Reply, reason: str, word: str) -> None:
    run = module("nextcloud_config", {"container": "cloud", "system": DOMAINS}, commands=[reply])
    assert run.result["reason"] == reason and word in run.result["msg"] and "hush" not in str(run.result)


def test_an_import_that_fails(module: Any) -> None:
    failing = Write(IMPORT, rc=1, out="The file must contain a valid json array\n")
    run = module(
        "nextcloud_config",
        {"container": "cloud", "system": DOMAINS},
        commands=[Reply(LIST, json.dumps(NOW)), failing],
    )
    assert run.result["reason"] == "occ_failed" and "valid json array. Check" in run.result["msg"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"apps": {"core": {"a": True}}}, "value_invalid"),
        ({"apps": {"core": {"a": [1]}}}, "value_invalid"),
        ({"apps": {"core": "on"}}, "value_invalid"),
        ({"system": {"a": "1"}, "secrets": {"a": "2"}}, "options_conflict"),
    ],
)
def test_what_cannot_be_wanted(module: Any, params: dict[str, Any], reason: str) -> None:
    assert module("nextcloud_config", {"container": "cloud", **params}).result["reason"] == reason


def test_a_flag_of_an_app_is_text(module: Any) -> None:
    now = {"system": {}, "apps": {"core": {"a": True, "b": False}}}
    params = {"container": "cloud", "apps": {"core": {"a": "1", "b": 0}}}
    run = module("nextcloud_config", params, commands=[Reply(LIST, json.dumps(now))])
    assert run.result["changed"] is False


def test_another_user_and_folder(module: Any) -> None:
    argv = ["podman", "exec", "--user", "33", "cloud", "php", "/srv/occ", "config:list", "--private", "--output=json"]
    params = {"container": "cloud", "system": {"loglevel": 2}, "user": "33", "path": "/srv/"}
    assert module("nextcloud_config", params, commands=[Reply(argv, json.dumps(NOW))]).result["changed"] is False


def test_the_script_quotes_nothing_it_was_given(tmp_path: Path) -> None:
    value = 'it\'s "quoted" $here <?php ?> \u00e4'
    script = import_script(Settings({"a": value}, {}), "/var/www/it's")
    assert value not in script and "it's" not in script
    assert imported(script)["system"] == {"a": value}
    assert Console(Podman(), "c", "u", "/p").occ("status") == (
        "podman",
        "exec",
        "--user",
        "u",
        "c",
        "php",
        "/p/occ",
        "status",
    )
