"""``commit.json``: up to where the verdict stream is in the files, and how long they are."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chamaleonet.errors import UserError
from chamaleonet.log.store import layout
from chamaleonet.log.stream.position import Position  # noqa: TC001 (pydantic looks it up)

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_NAME, _NEW = "commit.json", "commit.json.new"
_VERSION = 1  # raised with any change of what a partial file holds, such as FLOW's layout


class Commit(BaseModel):
    """What was committed last.

    Attributes:
        version: of the format.
        position: up to where the verdict stream is in the files; None before its first record.
        files: committed bytes of each partial file, by its path relative to the directory.
        note: what the store's user wants to know at the next start, in hexadecimal.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    version: int = _VERSION
    position: Position | None = None
    files: dict[str, Annotated[int, Field(ge=0)]] = {}
    note: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")] = ""

    def write(self, directory: Path) -> None:
        """Replace the file; whoever reads it finds the old one or the new one.

        Raises:
            OSError: it cannot be written; the old one is still there.
        """
        new = directory / _NEW
        with os.fdopen(layout.create(new), "w") as file:
            file.write(self.model_dump_json() + "\n")
        new.replace(directory / _NAME)


def read_commit(directory: Path) -> Commit | None:
    """Return what was committed last; None if that is not to be known.

    Raises:
        OSError: the file cannot be read.
        UserError: another version of the package wrote it.
    """
    path = directory / _NAME
    (directory / _NEW).unlink(missing_ok=True)
    try:
        commit = Commit.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        log.warning("%s is damaged: files are adopted up to their last whole record", path)
        return None
    if commit.version != _VERSION:
        raise UserError(
            f"{path}: written by another version of ChamaleoNet; start and stop that one first"
        )
    return commit
