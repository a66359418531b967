"""JSON Schema whose patterns end where the text ends: Python's ``$`` lets a line break follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft7Validator, ValidationError
from jsonschema.validators import extend


def _pattern(_: Any, pattern: str, found: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(found, str) and not re.search(re.sub(r"\$\Z", r"\\Z", pattern), found):
        yield ValidationError(f"{found!r} does not match {pattern!r}")


Checker: Any = extend(Draft7Validator, {"pattern": _pattern})
