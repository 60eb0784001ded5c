"""The key file: who may read it, and what it holds."""

from __future__ import annotations

import os
import re

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.anonymise.keyfile import read_key, write_key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "anonymise.key"


def put(path, text, mode=0o600):
    path.write_bytes(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_a_new_key_can_be_read_and_has_mode_0600_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        write_key(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert re.fullmatch(rb"[0-9a-f]{64}\n", path.read_bytes())
    assert read_key(path) == bytes.fromhex(path.read_text())


def test_no_two_keys_are_the_same(tmp_path):
    for name in "ab":
        write_key(tmp_path / name)
    assert read_key(tmp_path / "a") != read_key(str(tmp_path / "b"))


@pytest.mark.parametrize("text", [b"0" * 64, b"aB" * 32 + b"\n"])
def test_what_is_a_key(path, text):
    assert read_key(put(path, text)) == bytes.fromhex(text.decode())


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"0" * 63, b"0" * 62 + b"\n", b"0" * 66, b"0" * 64 + b"\n\n", b" " + b"0" * 64,
     b"0" * 64 + b"\r\n", b"0" * 63 + b"g\n", bytes(32), b"0 " * 32, b"\xb2" * 64],
)  # fmt: skip
def test_what_is_no_key(path, text):
    with pytest.raises(UserError, match=f"{path}: is no key of 64 hex digits .*keygen {path}"):
        read_key(put(path, text))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601, 0o700, 0o400, 0o4600, 0o666])
def test_any_other_mode_is_refused(path, mode):
    put(path, b"0" * 64, mode)
    with pytest.raises(UserError, match=f"{path}: has mode {mode:04o}, not 0600 .*chmod 0600"):
        read_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_of_another_user_is_refused(path):
    put(path, b"0" * 64)
    os.chown(path, 12345, -1)
    with pytest.raises(UserError, match=f"{path}: belongs to user 12345"):
        read_key(path)


def test_what_is_no_regular_file_is_refused(path, tmp_path):
    with pytest.raises(UserError, match="no regular file"):
        read_key(tmp_path)
    os.mkfifo(path, 0o600)  # nobody writes: this must not wait
    with pytest.raises(UserError, match=f"{path}: is no regular file"):
        read_key(path)


def test_a_missing_file_tells_how_to_make_one(path):
    with pytest.raises(UserError, match=f"{path}: no such file .*chamaleonet keygen {path}"):
        read_key(path)
    with pytest.raises(UserError, match="cannot read the key: Not a directory"):
        read_key(put(path, b"") / "key")


def test_an_existing_file_is_not_overwritten(path):
    put(path, b"precious", 0o644)
    with pytest.raises(UserError, match=f"{path}: exists already"):
        write_key(path)
    assert path.read_bytes() == b"precious"
    link = path.with_name("link")
    link.symlink_to(path.with_name("nothing"))
    with pytest.raises(UserError, match=f"{link}: exists already"):
        write_key(link)


def test_a_key_that_cannot_be_written_leaves_no_file(path, monkeypatch):
    with pytest.raises(UserError, match="cannot write the key: No such file or directory"):
        write_key(path / "key")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=f"{path}: cannot write the key: No space left"):
        write_key(path)
    assert not path.exists()
