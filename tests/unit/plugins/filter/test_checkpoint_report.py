# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import copy
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter import checkpoint_report
from ansible_collections.criu.hosts.plugins.plugin_utils._report import render
from ansible_collections.criu.hosts.tests.unit.pages import Page, contrast

FIXTURES = Path(__file__).parents[2] / "fixtures"
DETAIL = ["files", "memory", "processes", "sockets", "statistics"]


def page_of(*arguments: Any, **options: Any) -> str:
    return checkpoint_report.FilterModule().filters()["checkpoint_report"](*arguments, **options)


@pytest.fixture(name="listed")
def listed_fixture(module: Any, tmp_path: Path) -> list[dict[str, Any]]:
    """What checkpoint_info says about two archives with images of real dumps and a damaged one."""
    for version in ("4.1.1", "4.2.1"):
        (tmp_path / f"{version}.tar.gz").write_bytes((FIXTURES / f"criu/{version}-archive.tar.gz").read_bytes())
    (tmp_path / "half.tar").write_bytes(b"")
    found: list[dict[str, Any]] = module(
        "checkpoint_info", {"path": str(tmp_path), "detail": DETAIL, "verify": True}
    ).result["checkpoints"]
    return found


def with_answers(listed: list[dict[str, Any]], *reasons: dict[str, str]) -> list[dict[str, Any]]:
    """The same, as a host says it that was asked what would make a restore fail."""
    return [{**copy.deepcopy(one), "restorable": not reasons, "reasons": list(reasons)} for one in listed]


KERNEL = {"reason": "kernel_older", "message": "The kernel is older.", "remedy": "Install linux-image-amd64."}


def test_it_shows_the_processes_with_their_memory(listed: list[dict[str, Any]]) -> None:
    text = Page(page_of(listed)).text
    for shown in (
        "14011 python3 3 threads python3 victim.py a b c",
        "14042 sleep 1 thread sleep 86400",
        "4.7 MiB saved",
    ):
        assert shown in text
    # By kind: what the module says about the second archive.
    for kind, size in (("anonymous", "2.1 MiB"), ("heap", "1.2 MiB"), ("stack", "72.0 KiB"), ("kernel", "16.0 KiB")):
        assert f"{kind} {size}" in text
    # The arguments of the other one hold a tab, which the module shows as two characters.
    assert r"/usr/bin/tail -f /dev/null /a b tab\there" in text


def test_it_shows_the_downtime_and_what_is_damaged(listed: list[dict[str, Any]]) -> None:
    html = page_of(listed)
    text = Page(html).text
    assert "192 ms" in text and "819 ms" in text and "Longest freeze 819 ms" in text
    assert "stopping the processes 118 ms, reading their memory 17.8 ms, writing it 2.02 ms, all else" in html
    assert "archive_invalid: Cannot read" in text and "✕" not in text and "damaged" in text


def test_the_bars_of_all_memory_fill_their_width(listed: list[dict[str, Any]]) -> None:
    drawn = re.findall(r'<div class="kinds"><svg.*?</svg></div>', page_of(listed), re.DOTALL)
    assert len(drawn) == 2
    for one_bar in drawn:
        widths = [float(one) for one in re.findall(r'width="([\d.]+)%"', one_bar)]
        assert sum(widths) == pytest.approx(100, abs=1.5)


def test_the_time_line_has_a_mark_for_each_time(listed: list[dict[str, Any]]) -> None:
    assert "Time line" not in page_of(listed), "no record, so no time"
    for hour, one in enumerate(listed[:2]):
        one["record"] = {"checkpointed_at": f"2026-11-30T1{hour}:00:00Z"}
    page = Page(page_of(listed))
    assert [mark["class"] for mark in page.named("circle")] == ["mark good", "mark good"]
    places = [float(mark["cx"].rstrip("%")) for mark in page.named("circle")]
    assert places[0] > places[1], "the newest is the first, and at the right"
    assert "Without a time, and not shown here: 1." in page.text


def test_hosts_are_columns_and_their_blockers_are_said_once(listed: list[dict[str, Any]]) -> None:
    value = {"web1": {"checkpoints": with_answers(listed)}, "web2": with_answers(listed, KERNEL), "web3": listed}
    page = Page(page_of(value, title="All hosts"))
    assert "web1, web2, web3" in page.text.replace(" , ", ", ")
    assert page.text.count("The kernel is older.") == 1 and "Remedy Install linux-image-amd64." in page.text
    cells = re.findall(r'state (\w+)">(.*?)<', page_of(value).partition("</table>")[0])
    whole = [("good", "restores"), ("bad", "1 reason"), ("plain", "not asked")]
    assert cells == [*whole, *[("bad", "1 reason")] * 3]


def test_a_host_without_the_checkpoint_was_not_asked(listed: list[dict[str, Any]]) -> None:
    page = page_of({"web1": with_answers(listed[:1]), "web2": []})
    assert re.findall(r'state (\w+)">(.*?)<', page.partition("</table>")[0]) == [
        ("good", "restores"),
        ("plain", "not asked"),
    ]


def test_what_was_not_asked_for_is_said(listed: list[dict[str, Any]]) -> None:
    for one in listed:
        one.update(memory=None, processes=None, statistics=None)
    text = Page(page_of(listed)).text
    assert "What would fail where" not in Page(page_of(listed[:2])).text
    assert "add memory to the option detail" in text and "add processes to the option detail" in text


def test_a_store_names_its_checkpoints_by_their_ids(listed: list[dict[str, Any]]) -> None:
    one = listed[0]
    one["path"] = "/srv/store/containers/web/20261130T120000Z-1a2b3c4d/archive.tar.gz"
    text = Page(page_of([one])).text
    assert "20261130T120000Z-1a2b3c4d" in text and "2026-11-30 12:00:00" in text


def test_what_is_not_known_is_not_shown(listed: list[dict[str, Any]]) -> None:
    """As of an encrypted archive, or of a store without details."""
    unknown = dict.fromkeys(("process_count", "thread_count", "lock_count", "labels", "processes", "memory"))
    text = Page(page_of([{**one, **unknown} for one in listed])).text
    assert "None" not in text and "File locks" not in text and "Labels none" not in text


def test_nothing_is_a_page_too() -> None:
    assert "There are no checkpoints." in Page(page_of([])).text
    assert "There are no checkpoints." in Page(page_of({"web1": [], "web2": {"checkpoints": []}})).text


HOSTILE = "</bdi></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202egpj.\x1b[2J\n\x00{{ 1 + 1 }}"


def hostile(value: Any) -> Any:
    """The same value with every text in it replaced, but those by which the page finds its way."""
    if isinstance(value, dict):
        return {key: hostile(one) if key not in ("kind", "checkpointed_at") else one for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_texts_stay_texts(listed: list[dict[str, Any]]) -> None:
    one = hostile(with_answers(listed, KERNEL))
    html = page_of({HOSTILE: one, "b": one}, title=HOSTILE)
    page, plain = Page(html), Page(page_of({"a": with_answers(listed, KERNEL), "b": listed}))
    assert {tag for tag, dummy in page.elements} <= {tag for tag, dummy in plain.elements}
    known = {key for dummy, attributes in plain.elements for key in attributes}
    assert {key for dummy, attributes in page.elements for key in attributes} <= known
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", html)
    assert r"\u202egpj.\x1b[2J\x0a\x00{{ 1 + 1 }}" in page.text


def test_a_host_that_is_called_like_a_tag(listed: list[dict[str, Any]]) -> None:
    assert (
        "<b>"
        not in page_of({"<b>": with_answers(listed)})
        .replace("<b><bdi>", "")
        .replace("<b>Remedy", "")
        .replace("</b>", "")
        .split("<main>")[0]
    )


def test_the_page_needs_no_other_file_and_no_script(listed: list[dict[str, Any]]) -> None:
    html = page_of(listed)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {tag for tag, dummy in page.elements}
    for tag, attributes in page.elements:
        assert not {key for key in attributes if key.startswith("on")} and "style" not in attributes, tag
        assert all(attributes[key].startswith("#") for key in ("href", "src", "xlink:href") if key in attributes)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1 and "url(" not in style[0] and "@import" not in style[0]
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(
        one["content"] for one in page.named("meta") if "content-security-policy" in one.get("http-equiv", "").lower()
    )
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_page_can_be_heard(listed: list[dict[str, Any]]) -> None:
    page = Page(page_of({"a": with_answers(listed, KERNEL)}))
    assert page.named("html") == [{"lang": "en"}]
    assert all(one.get("scope") in ("col", "row") for one in page.named("th"))
    assert all("aria-hidden" in one or one.get("aria-label") for one in page.named("svg"))
    levels = [int(tag[1]) for tag, dummy in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    ids = [one["id"] for dummy, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    links = {one["href"] for dummy, one in page.elements if "href" in one}
    labels = {f"#{one['aria-labelledby']}" for dummy, one in page.elements if "aria-labelledby" in one}
    assert links | labels <= {f"#{one}" for one in ids}


def schemes() -> list[Any]:
    css = (render.HERE / "page.css").read_text(encoding="utf-8")
    found = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    return [pytest.param(colors, id=name) for name, colors in zip(("light", "dark"), found)]


@pytest.mark.parametrize("colors", schemes())
def test_the_contrast_is_that_of_wcag_aa(colors: dict[str, str]) -> None:
    for word in ("ink", "soft", "accent", "good", "bad"):
        assert contrast(colors[word], colors["paper"]) >= 4.5, word
    for word in ("ink", "soft", "bad"):
        assert contrast(colors[word], colors["bad-paper"]) >= 4.5, word
    for word in ("anonymous", "heap", "stack", "file_private", "file_shared", "shared", "kernel", "other"):
        assert contrast(colors[word], colors["paper"]) >= 3, word


def test_the_same_result_gives_the_same_page(listed: list[dict[str, Any]]) -> None:
    assert page_of(listed) == page_of(copy.deepcopy(listed))


def test_many_processes_are_cut(listed: list[dict[str, Any]]) -> None:
    one = next(one for one in listed if one["process_count"] == 2)
    one["processes"] = [{**one["processes"][0], "pid": pid, "depth": pid} for pid in range(400)]
    text = Page(page_of([one])).text
    assert "And 100 more processes." in text


@pytest.mark.parametrize("value", [None, "a", 7, [{"name": "web"}], [7], {"a": 7}, {"checkpoints": "x"}])
def test_something_else(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="Cannot render the checkpoints"):
        page_of(value)
