"""Arrow types of the tables' columns."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow


def schema(columns: Mapping[str, str]) -> pyarrow.Schema:
    """The schema of columns whose types are named."""
    evidence = pyarrow.struct(
        [
            ("detector", pyarrow.string()),
            ("label", pyarrow.string()),
            ("camera", pyarrow.string()),
            ("at", pyarrow.float64()),
            ("score", pyarrow.float64()),
            ("contribution", pyarrow.float64()),
        ]
    )
    types = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "strings": pyarrow.list_(pyarrow.string()),
        "evidence": pyarrow.list_(evidence),
        "span": pyarrow.struct([("start", pyarrow.float64()), ("end", pyarrow.float64())]),
    }
    return pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
