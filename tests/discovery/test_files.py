"""Following files: what counts as an update, and what is left behind (semantics 8.3)."""

from __future__ import annotations

import asyncio
import os
import pathlib
from typing import Any

import pytest

from ambassador_lib.discovery.files import POLL_INTERVAL, FileWatcher, FollowedFile


def moved(path: pathlib.Path, text: str) -> None:
    """Bring a file to the path as one should."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)


def settled(file: FollowedFile) -> list[str]:
    """Look until everything that was there has been seen."""
    seen: list[str] = []
    for _ in range(3):
        file.look(lambda content: seen.append(content.decode()))
    return seen


def followed(path: pathlib.Path, **options: Any) -> FollowedFile:
    file = FollowedFile(os.fspath(path), **options)
    file.read()
    return file


def test_a_file_moved_to_the_path_is_an_update(tmp_path: pathlib.Path) -> None:
    """A rename onto the path is seen, once."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    assert settled(file) == []
    moved(path, "two")
    assert settled(file) == ["two"]
    assert settled(file) == []
    file.close()


def test_of_two_updates_between_two_looks_the_last_one_is_seen(tmp_path: pathlib.Path) -> None:
    """A file system that gives the first file's number to the third does not hide it."""
    path = tmp_path / "eds.yaml"
    path.write_text("0")
    file = followed(path)
    for number in range(1, 20):
        moved(path, f"{number}, first")
        moved(path, f"{number}")
        assert settled(file) == [f"{number}"]
    file.close()


def test_writing_into_the_file_is_no_update(tmp_path: pathlib.Path) -> None:
    """What is written in place may be half a file."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    path.write_text("two")
    assert settled(file) == []
    file.close()


def test_watch_modify_sees_what_is_written_in_place(tmp_path: pathlib.Path) -> None:
    """With `watched_directory.watch_modify` writing counts, once the file rests."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path, directory=os.fspath(tmp_path), watch_modify=True)
    path.write_text("tw")
    seen: list[bytes] = []
    file.look(seen.append)
    path.write_text("two")
    file.look(seen.append)
    assert seen == []
    assert settled(file) == ["two"]


def test_a_deleted_file_changes_nothing_and_its_successor_counts(tmp_path: pathlib.Path) -> None:
    """Deletion keeps what was read; a file that comes back by a move is read."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    path.unlink()
    assert settled(file) == []
    moved(path, "two")
    assert settled(file) == ["two"]
    file.close()


def test_a_file_created_at_the_path_is_read_when_it_rests(tmp_path: pathlib.Path) -> None:
    """Between two looks at it nothing may have been written."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    path.unlink()
    seen: list[bytes] = []
    with path.open("w") as half:
        for part in ("two", " and", " a half"):
            half.write(part)
            half.flush()
            file.look(seen.append)
    assert seen == []
    assert settled(file) == ["two and a half"]
    file.close()


def test_the_same_content_again_is_no_update(tmp_path: pathlib.Path) -> None:
    """A file that was replaced by its like is not told of."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    moved(path, "one")
    assert settled(file) == []
    file.close()


def test_links_are_swapped_as_kubernetes_does(tmp_path: pathlib.Path) -> None:
    """In a mounted ConfigMap the path leads through a link in the watched directory that is moved."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "eds.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "eds.yaml").symlink_to("..data/eds.yaml")
    watched = followed(tmp_path / "eds.yaml", directory=os.fspath(tmp_path))
    unwatched = followed(tmp_path / "eds.yaml")
    (tmp_path / "..data_tmp").symlink_to("v2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    assert settled(watched) == ["v2"]
    assert settled(unwatched) == []
    unwatched.close()


def test_a_link_moved_to_the_path_is_an_update(tmp_path: pathlib.Path) -> None:
    """The path itself may be a link; what it leads to is read."""
    (tmp_path / "v1").write_text("v1")
    (tmp_path / "v2").write_text("v2")
    path = tmp_path / "eds.yaml"
    path.symlink_to("v1")
    file = followed(path)
    (tmp_path / "next").symlink_to("v2")
    os.replace(tmp_path / "next", path)
    assert settled(file) == ["v2"]
    file.close()


def test_a_file_that_cannot_be_read_is_told_of(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory at the path is no update, and is said once."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    file = followed(path)
    path.unlink()
    path.mkdir()
    assert settled(file) == []
    assert [record.message for record in caplog.records] == [f"{path} cannot be read: Is a directory"]
    file.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_at_the_path_holds_nobody_up(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody writes, reading would never end: at the start it is an error, later on it is said once."""
    pipe, path = tmp_path / "pipe", tmp_path / "eds.yaml"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        FollowedFile(os.fspath(pipe)).read()
    path.write_text("one")
    file = followed(path)
    os.replace(pipe, path)
    assert settled(file) == []
    assert [record.message for record in caplog.records] == [f"{path} cannot be read: it is no regular file"]
    moved(path, "two")
    assert settled(file) == ["two"]
    file.close()


def test_the_first_reading_fails_without_a_file(tmp_path: pathlib.Path) -> None:
    """Whoever follows a file must have it."""
    with pytest.raises(FileNotFoundError):
        FollowedFile(os.fspath(tmp_path / "none")).read()


def test_a_missing_file_waits_for_the_directory_that_is_watched(tmp_path: pathlib.Path) -> None:
    """A file that was not there at first is read when the watched directory changes, not when it appears itself."""
    watched, path = tmp_path / "watched", tmp_path / "a"
    watched.mkdir()
    file = FollowedFile(os.fspath(path), directory=os.fspath(watched))
    with pytest.raises(FileNotFoundError):
        file.read()
    moved(path, "1")
    assert settled(file) == []
    moved(watched / "trigger", "now")
    assert settled(file) == ["1"]


def test_the_watcher_looks_by_its_clock_and_ends_with_the_last_file(kit: Any, tmp_path: pathlib.Path) -> None:
    """Nothing runs without a file to follow; one broken user does not keep another from its update."""

    def broken(_content: bytes) -> None:
        raise ValueError("not mine")

    async def scenario() -> None:
        watcher = FileWatcher(clock=kit.clock, random=kit.random, control=kit.control)
        assert kit.control.tasks == []
        paths = [tmp_path / "a", tmp_path / "b"]
        seen: list[bytes] = []
        ends = []
        for path, use in zip(paths, (broken, seen.append), strict=True):
            path.write_text("one")
            ends.append(watcher.follow(followed(path), use))
        assert kit.control.names == ["files"]
        for path in paths:
            moved(path, "two")
        await kit.clock.advance(POLL_INTERVAL * 3)
        assert seen == [b"two"]
        ends[0]()
        assert not kit.control.tasks[0].cancelling()
        ends[1]()
        await kit.control.close()
        assert kit.control.tasks[0].cancelled()
        assert len(kit.control.tasks) == 1

    asyncio.run(scenario())


@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="no file is held open here")
def test_no_file_is_left_open(tmp_path: pathlib.Path) -> None:
    """Closing gives the descriptor back, and so does forgetting."""
    path = tmp_path / "eds.yaml"
    path.write_text("one")
    before = len(os.listdir("/proc/self/fd"))
    file = followed(path)
    for number in range(5):
        moved(path, str(number))
        settled(file)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    file.close()
    followed(path)
    assert len(os.listdir("/proc/self/fd")) == before
