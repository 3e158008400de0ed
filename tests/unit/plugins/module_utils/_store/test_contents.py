# SPDX-License-Identifier: GPL-3.0-or-later
"""What is returned of tables that no CRIU would write."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import CoreThread, ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_tables import (
    ENTRIES,
    IMAGES_LIMIT,
    Process,
    Tables,
    address_of,
    read_image,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import LENGTH, describe, escaped, in_tree_order

PROCESSES = frozenset(("processes",))


def order(*pairs: tuple[int, int]) -> list[tuple[int, int]]:
    return [(one.pid, depth) for one, depth in in_tree_order([Process(pid, parent, ()) for pid, parent in pairs])]


def test_a_parent_comes_before_its_children() -> None:
    assert order((3, 1), (1, 0), (2, 1), (4, 3), (10, 2)) == [(1, 0), (2, 1), (10, 2), (3, 1), (4, 2)]


def test_processes_in_a_ring_are_shown_once() -> None:
    assert order((1, 0), (2, 3), (3, 2), (4, 4)) == [(1, 0), (2, 0), (3, 0), (4, 0)]


def test_labels_and_threads_of_a_confined_process() -> None:
    label = "system_u:system_r:container_t:s0:c1,c2"
    tables = Tables(PROCESSES, lsm="selinux", processes=[Process(1, 0, (1, 7))])
    tables.cores.update({1: CoreThread("sh", label, 1), 7: CoreThread("a\nb", label)})
    found = describe(tables)
    assert (found["lsm"], found["labels"], found["thread_count"]) == ("selinux", [label], 2)
    assert found["processes"][0]["threads"][1] == {"tid": 7, "command": r"a\nb", "label": label}
    assert (found["processes"][0]["task_state"], found["processes"][0]["cmdline"]) == ("Alive", None)


def test_an_image_that_is_missing_is_not_known() -> None:
    (found,) = describe(Tables(PROCESSES, processes=[Process(1, 0, ())]))["processes"]
    assert (found["command"], found["task_state"], found["threads"][0]["tid"]) == (None, None, 1)


def test_many_processes_that_share_their_files_are_refused() -> None:
    tables = Tables(frozenset(("files",)), processes=[Process(pid, 0, ()) for pid in range(1 + ENTRIES // 1024)])
    tables.file_ids.update(dict.fromkeys(range(len(tables.processes)), 1))
    tables.open[1] = [(fd, 1, fd) for fd in range(1024)]
    with pytest.raises(ValueError, match="open files"):
        describe(tables)


def test_images_have_a_limit_together() -> None:
    with pytest.raises(ImageError, match=f"more than {IMAGES_LIMIT} bytes"):
        read_image(Tables(PROCESSES), "pstree.img", IMAGES_LIMIT + 1, lambda size: b"")
    tables = Tables(PROCESSES)
    with pytest.raises(ImageError, match="entries"):
        tables.keep(ENTRIES + 1)


@pytest.mark.parametrize(
    ("text", "shown"), [("plain é", "plain é"), ("\x1b[2J", r"\x1b[2J"), ("\udcff", r"\udcff"), ("\u202e", r"\u202e")]
)
def test_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_long_texts_are_cut() -> None:
    assert escaped("x" * (LENGTH + 1)) == f"{'x' * LENGTH}..."


@pytest.mark.parametrize(
    ("words", "text"), [((0x0100007F,), "127.0.0.1"), ((0, 0, 0, 0x01000000), "::1"), ((), ""), ((1, 2), "")]
)
def test_addresses(words: tuple[int, ...], text: str) -> None:
    assert address_of(words) == text
