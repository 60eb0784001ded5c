"""The key of the anonymisation, in a file of its own: 64 hexadecimal digits and a newline.

Whoever has the key can undo the anonymisation, so it is read only from a file that nobody but its
owner can read, and that nobody but the owner can have put there.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from chamaleonet.errors import UserError
from chamaleonet.log.anonymise.cryptopan import KEY_BYTES

_MODE = 0o600
_TEXT = re.compile(rb"([0-9a-fA-F]{%d})\n?" % (2 * KEY_BYTES))


def read_key(path: str | Path) -> bytes:
    """Return the key, KEY_BYTES bytes.

    Raises:
        UserError: the file cannot be read, is no regular file, is not the effective user's, has
            another mode than 0600, or holds no key.
    """
    try:
        # What is checked is what is read: the open file. A FIFO must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file ({_new_one(path)})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the key: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor))
        text = os.read(descriptor, 2 * KEY_BYTES + 2)
    except OSError as error:
        raise UserError(f"{path}: cannot read the key: {error.strerror}") from error
    finally:
        os.close(descriptor)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UserError(f"{path}: is no key of {2 * KEY_BYTES} hex digits ({_new_one(path)})")
    return bytes.fromhex(match[1].decode())


def _check(path: str | Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is no regular file ({_new_one(path)})")
    user = os.geteuid()
    if status.st_uid != user:
        raise UserError(
            f"{path}: belongs to user {status.st_uid}, not to {user} who runs this"
            f" (chown {user} {path})"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode != _MODE:
        raise UserError(f"{path}: has mode {mode:04o}, not 0600 (chmod 0600 {path})")


def write_key(path: str | Path) -> None:
    """Write a new random key to a new file of mode 0600, whatever the umask.

    Raises:
        UserError: the file exists already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        raise UserError(
            f"{path}: exists already, and is not overwritten: under another key the same address"
            " becomes another one"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot write the key: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)
            file.write(secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        Path(path).unlink()
        raise UserError(f"{path}: cannot write the key: {error.strerror}") from error


def _new_one(path: str | Path) -> str:
    return f"make a key with: chamaleonet keygen {path}"
