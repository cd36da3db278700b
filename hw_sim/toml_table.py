"""A TOML file as a table, or one sentence that says why not: the same for every strict list and record of hw_sim."""
from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def read(path: Path, error: type[Exception]) -> dict[str, Any]:
    """The tables of a file, unchecked. Raises `error` with a sentence that names the file, for one that is not there or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise error("%s is not TOML: %s" % (path.name, wrong)) from wrong
    except OSError as wrong:
        raise error("%s cannot be read: %s" % (path.name, wrong.strerror)) from wrong
