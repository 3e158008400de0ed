# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command writes into a pipe is stored in one pass, and no failure of one side leaves the other waiting."""

from __future__ import annotations

import hashlib
import os
import signal
import zlib
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import pipe
from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream, Streamed
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakePipe, Plan, Remove, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdReader, ZstdWriter

# Several times more than a pipe holds.
DATA = os.urandom(1 << 21) + b"a" * (1 << 22)
KINDS: dict[str, tuple[Callable[[], Any] | None, Callable[[Path], bytes]]] = {
    "none": (None, lambda path: path.read_bytes()),
    "gzip": (lambda: zlib.compressobj(6, wbits=31), lambda path: zlib.decompress(path.read_bytes(), wbits=31)),
    "zstd": (lambda: ZstdWriter(3), lambda path: ZstdReader(path.open("rb")).read(len(DATA) + 1)),
}


def plan(folder: Path, *argv: str, compressor: Any = None, to: str = "stored", **more: Any) -> tuple[Plan, list[Any]]:
    found: list[Any] = []
    fifo, path = str(folder / "pipe"), str(folder / to)
    stream = Stream(fifo, path, found.append, compressor)
    steps = (
        *(() if (folder / to).exists() else (WriteFile(path, ""),)),
        MakePipe(fifo, why="make the pipe"),
        Command(argv, why="dump", finish=True, stream=stream, **more),
        Remove(fifo, always=True),
    )
    return Plan(steps=steps), found


@pytest.mark.parametrize("kind", list(KINDS))
def test_all_is_stored_with_its_digest(tmp_path: Path, kind: str) -> None:
    compressor, read = KINDS[kind]
    (tmp_path / "data").write_bytes(DATA)
    made, found = plan(tmp_path, "cp", str(tmp_path / "data"), str(tmp_path / "pipe"), compressor=compressor)
    apply_plan(ProgramRunner(), made)
    stored = tmp_path / "stored"
    assert read(stored) == DATA
    assert found == [Streamed(stored.stat().st_size, hashlib.sha256(stored.read_bytes()).hexdigest(), "", 0)]
    assert not (tmp_path / "pipe").exists() and stored.stat().st_mode & 0o777 == 0o600


def test_the_pipe_is_for_its_owner_alone(tmp_path: Path) -> None:
    seen = ["sh", "-c", f"stat -c '%a %F' {tmp_path}/pipe"]
    made, dummy_found = plan(tmp_path, *seen, label="look")
    assert apply_plan(ProgramRunner(), made).output("look") == "600 fifo\n"


def test_a_writer_that_reads_as_well_ends(tmp_path: Path) -> None:
    """As podman, whose os.Create opens the pipe for both: it gets no SIGPIPE."""
    made, found = plan(tmp_path, "sh", "-c", f"exec 3<>{tmp_path}/pipe; head -c 3000000 /dev/zero >&3")
    apply_plan(ProgramRunner(), made)
    assert found[0].size_bytes == 3000000


def test_the_cause_is_that_of_the_command(tmp_path: Path) -> None:
    script = f"head -c 300000 /dev/zero >{tmp_path}/pipe; echo 'no room' >&2; exit 7"
    made, found = plan(tmp_path, "sh", "-c", script)
    with pytest.raises(CommandError, match="Cannot dump: no room") as caught:
        apply_plan(ProgramRunner(), made)
    assert caught.value.facts["rc"] == 7 and not found and not (tmp_path / "pipe").exists()


def test_a_command_that_does_not_open_the_pipe(tmp_path: Path) -> None:
    made, found = plan(tmp_path, "false")
    with pytest.raises(CommandError):
        apply_plan(ProgramRunner(), made)
    assert not found


@pytest.mark.parametrize("opened", [">", "<>"])
def test_a_full_disk_lets_the_command_end(tmp_path: Path, opened: str) -> None:
    script = f"exec 3{opened}{tmp_path}/pipe; head -c 9000000 /dev/zero >&3; echo >{tmp_path}/ended"
    made, found = plan(tmp_path, "sh", "-c", script, to="full")
    (tmp_path / "full").write_bytes(b"")
    full = Stream(str(tmp_path / "pipe"), "/dev/full", found.append)
    made = Plan(steps=tuple(_with(one, full) for one in made.steps))
    with pytest.raises(CheckpointError, match="Cannot write '/dev/full': No space left on device") as caught:
        apply_plan(ProgramRunner(), made)
    assert caught.value.reason == "disk_full" and not found and (tmp_path / "ended").exists()


def _with(step: Any, stream: Stream) -> Any:
    return Command(step.argv, why=step.why, finish=True, stream=stream) if isinstance(step, Command) else step


class Broken:
    """A compressor that fails after the first piece."""

    def compress(self, data: bytes) -> bytes:
        raise ValueError("it is broken")


def test_a_compressor_that_fails_lets_the_command_end(tmp_path: Path) -> None:
    made, found = plan(tmp_path, "sh", "-c", f"head -c 9000000 /dev/zero 1<>{tmp_path}/pipe", compressor=Broken)
    with pytest.raises(CheckpointError, match=r"Cannot write '.*': it is broken") as caught:
        apply_plan(ProgramRunner(), made)
    assert caught.value.reason == "file_failed" and not found


def test_a_reader_that_is_killed_lets_the_command_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*dummy: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(pipe, "_write", die)
    made, found = plan(tmp_path, "sh", "-c", f"head -c 9000000 /dev/zero 1<>{tmp_path}/pipe")
    with pytest.raises(CheckpointError, match="its reader was killed") as caught:
        apply_plan(ProgramRunner(), made)
    assert caught.value.reason == "file_failed" and not found


def test_a_command_that_takes_too_long(tmp_path: Path) -> None:
    made, found = plan(tmp_path, "sh", "-c", f"exec 3>{tmp_path}/pipe; sleep 60", time_limit=0.5)
    with pytest.raises(CommandError) as caught:
        apply_plan(ProgramRunner(), made)
    assert caught.value.reason == "timed_out" and not found


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"kept")
    (tmp_path / "stored").symlink_to("other")
    made, found = plan(tmp_path, "sh", "-c", f"echo >{tmp_path}/pipe")
    with pytest.raises(CheckpointError, match="Too many levels"):
        apply_plan(ProgramRunner(), made)
    assert (tmp_path / "other").read_bytes() == b"kept" and not found


def filtered(tmp_path: Path, *filter_argv: str, path: str = "") -> tuple[bytes, list[Streamed]]:
    """Stores what a command writes through a filter; returns the file, and what was noticed."""
    found: list[Streamed] = []
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "stored").write_bytes(b"")
    stream = Stream(
        str(tmp_path / "pipe"),
        path or str(tmp_path / "stored"),
        found.append,
        filter=filter_argv,
        failed=lambda said: CheckpointError(f"filter: {said}", reason="encryption_failed"),
    )
    argv = ("sh", "-c", f"head -c 9000000 /dev/zero > {tmp_path}/pipe")
    step = Command(argv, why="write", finish=True, stream=stream)
    apply_plan(ProgramRunner(), Plan(steps=(step,)))
    return (tmp_path / "stored").read_bytes(), found


def test_a_filter_makes_what_is_stored(tmp_path: Path) -> None:
    data, found = filtered(tmp_path, "tr", r"\0", "a")
    assert data == b"a" * 9_000_000
    assert found == [Streamed(len(data), hashlib.sha256(data).hexdigest(), "", 0)]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param(("sh", "-c", "cat > /dev/null; echo broken >&2; exit 3"), "broken", id="at-the-end"),
        pytest.param(("sh", "-c", "head -c 5; exit 3"), "exit status 3", id="in-the-middle"),
        pytest.param(("sh", "-c", "head -c 5"), "exit status 0", id="in-the-middle-without-an-error"),
        pytest.param(("sh", "-c", "kill -9 $$"), "exit status -9", id="killed"),
        pytest.param(("/nothing/of/the/kind",), "No such file or directory: /nothing", id="missing"),
    ],
)
def test_a_filter_that_fails_lets_the_command_end(tmp_path: Path, argv: tuple[str, ...], says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        filtered(tmp_path, *argv)
    assert caught.value.reason == "encryption_failed"


def test_a_full_disk_behind_a_filter(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        filtered(tmp_path, "cat", path="/dev/full")
    assert caught.value.reason == "disk_full"
