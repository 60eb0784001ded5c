import os
import threading

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.output import OutputFile


def test_the_name_appears_when_the_file_is_closed(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with OutputFile(path) as output:
        output.write(b"new")
        output.flush()
        assert path.read_bytes() == b"old"
        [temporary] = set(tmp_path.iterdir()) - {path}
        assert temporary.read_bytes() == b"new"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    output.close()  # a second time does nothing
    assert path.read_bytes() == b"new"


def test_the_file_has_the_mode_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        OutputFile(tmp_path / "out").close()
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with OutputFile(link) as output:
        output.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_devices_and_fifos_are_written_directly(tmp_path):
    with OutputFile("/dev/null") as output:
        output.write(b"gone")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with OutputFile(fifo) as output:
        output.write(b"through")
    reader.join()
    assert got == [b"through"]
    assert fifo.is_fifo()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is a directory"),
        ("missing/out", "No such file or directory"),
        ("file/out", "Not a directory"),
    ],
)
def test_what_cannot_be_written_is_named_at_once(tmp_path, name, reason):
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(UserError) as caught:
        OutputFile(path)
    assert str(caught.value) == f"{path}: cannot write: {reason}"


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.touch(mode=0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(UserError, match="read-only"):
        OutputFile(path)


def test_a_full_disk_is_an_error_and_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    output = OutputFile(path)

    def full(_):
        raise OSError(28, "No space left on device")

    class Full:
        closed = False
        write = staticmethod(full)

        def close(self):
            self.closed = True

    output._file.close()
    output._file = Full()
    with pytest.raises(UserError, match=r"out: cannot write: No space left.*\.partial\)"):
        output.write(b"new")
    output.close()
    assert path.read_bytes() == b"old"


def test_what_a_device_refuses_is_an_error():
    output = OutputFile("/dev/full")
    output.write(b"x")
    with pytest.raises(UserError, match="/dev/full: cannot write: No space left on device"):
        output.flush()
    with pytest.raises(UserError, match="No space left"):
        output.close()
    output.close()
