"""Lines on their way to a file: written in order, bounded, and never at a call's cost."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ambassador_lib.runtime import log_writer
from ambassador_lib.runtime.log_writer import close_log, open_log


def test_lines_of_all_who_share_a_path_are_written(tmp_path: Path) -> None:
    """Each thread's lines stay in their order and whole; the last user to go waits for them."""
    path = tmp_path / "log"
    files = [open_log(str(path)) for _ in range(4)]
    assert all(file is files[0] for file in files)

    def work(name: int) -> None:
        for number in range(100):
            files[name].write(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for file in files:
        close_log(file)
    lines = [tuple(map(int, line.split())) for line in path.read_text().splitlines()]
    assert len(lines) == 400
    for name in range(4):
        assert [number for owner, number in lines if owner == name] == list(range(100))


def test_the_thread_ends_with_the_last_log(tmp_path: Path) -> None:
    """Nothing runs on for nobody."""
    file = open_log(str(tmp_path / "log"))
    file.write(b"x\n")
    assert any(thread.name == "ambassador-access-log" for thread in threading.enumerate())
    close_log(file)
    for thread in threading.enumerate():
        if thread.name == "ambassador-access-log":
            thread.join(10)
            assert not thread.is_alive()


def test_what_does_not_fit_is_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that nobody empties does not grow."""
    monkeypatch.setattr(log_writer, "MOST_PENDING", 3)
    file = log_writer.LogFile(str(tmp_path / "log"))
    monkeypatch.setattr(log_writer._writer, "wanted", lambda: None)
    for number in range(5):
        file.write(b"%d\n" % number)
    assert file.lost == 2
    file.drain()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"0\n1\n2\n"


def test_a_file_that_cannot_be_opened_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lines are lost, the log says so, and it is tried again with the next ones."""
    path = tmp_path / "no" / "log"
    file = log_writer.LogFile(str(path))
    for number in range(2):
        file._lines.append(b"%d\n" % number)
        file.drain()
    assert file.lost == 2
    assert len(caplog.records) == 1
    path.parent.mkdir()
    file._lines.append(b"2\n")
    file.drain()
    file.close()
    assert path.read_bytes() == b"2\n"


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@needs_pipes
def test_a_pipe_that_nobody_reads_loses_its_own_lines_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread that writes for all never waits for a reader."""
    os.mkfifo(tmp_path / "pipe")
    pipe, file = open_log(str(tmp_path / "pipe")), open_log(str(tmp_path / "log"))
    pipe.write(b"lost\n")
    file.write(b"written\n")
    close_log(file)
    assert (tmp_path / "log").read_bytes() == b"written\n"
    assert pipe.lost == 1
    assert len(caplog.records) == 1
    close_log(pipe)


@needs_pipes
def test_a_full_pipe_keeps_its_lines_for_later(tmp_path: Path) -> None:
    """A reader that stops for a while holds nobody up, and finds whole lines in their order."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        log = log_writer.LogFile(str(path))
        text = [b"%d %s\n" % (number, b"x" * 999) for number in range(200)]
        log._lines.extend(text)
        log.drain()
        log._lines.append(b"last\n")
        found = b""
        while not found.endswith(b"last\n"):
            found += reader.read(1 << 16)
            log.drain()
        log.close()
    assert found == b"".join((*text, b"last\n"))
    assert log.lost == 0


@pytest.mark.skipif(not hasattr(os, "set_blocking"), reason="needs pipes that do not block")
def test_a_standard_stream_that_does_not_block_is_no_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the other end may have set it so; what does not fit waits."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    monkeypatch.setitem(log_writer._STREAMS, "/dev/stdout", writer)
    log = log_writer.LogFile("/dev/stdout")
    log._lines.append(b"x" * (1 << 20) + b"\n")
    log.drain()
    log.close()
    assert log.lost == 1
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_writes_its_own_lines_only(tmp_path: Path) -> None:
    """What waits at the fork is the parent's; the child starts a thread of its own."""
    path = tmp_path / "log"
    file = open_log(str(path))
    file.write(b"parent\n")
    child = os.fork()
    if not child:
        try:
            file.write(b"child\n")
            log_writer._writer.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    close_log(file)
    assert sorted(path.read_text().splitlines()) == ["child", "parent"]
