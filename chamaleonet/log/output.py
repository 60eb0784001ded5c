"""Output files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from chamaleonet.errors import UserError


class Output(Protocol):
    """What encoders write to: an ``OutputFile``, or one of the store's files."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of ``data`` and return its length."""
        ...

    def flush(self) -> None:
        """Hand what was written to the system."""

    def close(self) -> object:
        """Finish the file."""


class OutputFile:
    """A file written under a temporary name beside its own, and renamed when closed.

    A run that fails never destroys an older file of that name. What cannot be renamed over
    (devices, FIFOs) is written directly.

    Args:
        path: the file's name.

    Raises:
        UserError: the file cannot be created, named in one line. Also by ``write``, ``flush`` and
            ``close`` when the disk is full or the reader of a pipe has gone: the file then keeps
            its temporary name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._target = self._temporary_target()
            name = self.path if self._target is None else self._temporary_name(self._target)
            self._name = Path(name)
            self._file: BinaryIO = self._name.open("wb")
        except OSError as error:
            raise UserError(f"{path}: cannot write: {error.strerror}") from error
        self._failed = False

    def _temporary_target(self) -> Path | None:
        """Return the regular file to replace, or None for what must be written directly."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return Path(os.path.realpath(self.path))
        if stat.S_ISDIR(mode):
            raise UserError(f"{self.path}: cannot write: is a directory")
        if not stat.S_ISREG(mode):
            return None
        # Renaming asks for rights to the folder alone; a protected file must stay protected.
        if not os.access(self.path, os.W_OK):
            raise UserError(f"{self.path}: cannot write: the existing file is read-only")
        return Path(os.path.realpath(self.path))  # a link stays a link

    @staticmethod
    def _temporary_name(target: Path) -> Path:
        return target.with_name(f"{target.name}.{os.getpid()}.partial")

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of ``data`` and return its length."""
        try:
            return self._file.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Hand what was written to the system, so that other processes see it."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> UserError:
        self._failed = True
        kept = "" if self._target is None else f" (what was written is in {self._name})"
        return UserError(f"{self.path}: cannot write: {error.strerror}{kept}")

    def close(self) -> None:
        """Close the file and, unless a write failed, give it its name. May be called twice."""
        if self._file.closed:
            return
        try:
            self._file.close()
            if self._target is not None and not self._failed:
                self._name.replace(self._target)
        except OSError as error:
            raise self._failure(error) from error

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
