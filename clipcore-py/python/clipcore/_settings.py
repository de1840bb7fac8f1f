"""Settings as calls take them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Union

from clipcore import _clipcore, _tools

Config = Union[str, "os.PathLike[str]", Mapping[str, Any], None]
"""A TOML file as the program's ``--config`` takes it, or a mapping with the same sections and keys."""

Consent = Union[str, Iterable[str], None]
"""What the people concerned agreed to: ``"chat_text"``, ``"face"``, both with a comma or in a list; ``None`` is neither."""


class Settings(TypedDict):
    """What the compiled part takes."""

    file: str | None
    values: str | None
    stream: str | None
    out: str | None
    consent: str | None
    weights: str | None


def path(value: str | os.PathLike[str] | None) -> str | None:
    """A path as text."""
    return None if value is None else os.fspath(value)


def settings(
    config: Config,
    *,
    consent: Consent = None,
    weights: str | os.PathLike[str] | None = None,
    stream: str | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Settings:
    """Puts the arguments of a call together."""
    _tools.prepare()
    mapping = isinstance(config, Mapping)
    return {
        "file": None if mapping else path(config),  # type: ignore[arg-type]
        "values": json.dumps(config) if mapping else None,
        "stream": stream,
        "out": path(out),
        "consent": consent if consent is None or isinstance(consent, str) else ",".join(consent),
        "weights": path(weights),
    }


def config_toml(config: Config = None, *, consent: Consent = None) -> str:
    """All settings in force, as the TOML that ``config`` of other calls may name in a file.

    Raises:
        ConfigError: A key does not exist or its value does not fit; the error names it.
    """
    return _clipcore.settings(settings(config, consent=consent))
