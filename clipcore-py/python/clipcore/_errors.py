"""What can go wrong, one exception a kind; the names are those of the library."""

from __future__ import annotations

from collections.abc import Mapping


class Error(Exception):
    """The one error of clipcore; its subclasses say what a caller can do about it.

    Attributes:
        kind: The kind in words, for example ``"not found"``.
        message: What went wrong, without place and hint.
        retryable: Whether the same call may succeed later.
        operation: What was being done, where that is known.
        hint: What to do about it, where that is known.
        context: Where: pairs such as ``path`` or ``stream``.
    """

    kind: str = "internal"

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        operation: str | None = None,
        hint: str | None = None,
        context: Mapping[str, str] | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.operation = operation
        self.hint = hint
        self.context: dict[str, str] = dict(context or {})
        self.source = source

    def add_context(self, key: str, value: str) -> None:
        """Adds a pair that says where."""
        self.context[key] = value

    def __str__(self) -> str:
        text = self.message
        if self.context:
            text += " (" + ", ".join(f"{key}: {value}" for key, value in self.context.items()) + ")"
        if self.source:
            text += f": {self.source}"
        if self.hint:
            text += f"; {self.hint}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.message, self.retryable, self.operation, self.hint, self.context, self.source)


def _again(
    cls: type[Error],
    message: str,
    retryable: bool,
    operation: str | None,
    hint: str | None,
    context: Mapping[str, str],
    source: str | None,
) -> Error:
    return cls(message, retryable=retryable, operation=operation, hint=hint, context=context, source=source)


class ConfigError(Error, ValueError):
    """A setting is unknown, out of range or contradicts another."""

    kind = "config"


class InvalidInput(Error, ValueError):
    """Bytes, a file or an event from outside do not have the form they should."""

    kind = "invalid input"


class NotFound(Error, FileNotFoundError):
    """The named stream, file, recording or record is not there."""

    kind = "not found"


class Unsupported(Error):
    """The input is well formed, but this build or machine cannot handle it."""

    kind = "unsupported"


class InputOutputError(Error, OSError):
    """The operating system refused a read or write."""

    kind = "i/o"


class DiskFull(InputOutputError):
    """No space is left, or the byte budget is spent."""

    kind = "disk full"


class MediaError(Error):
    """The media tool failed or produced something that did not verify."""

    kind = "media"


class Timeout(Error, TimeoutError):
    """The operation took longer than it may."""

    kind = "timeout"


class Unavailable(Error, ConnectionError):
    """A server or device cannot be reached right now."""

    kind = "unavailable"


class Conflict(Error):
    """Somebody else owns this now."""

    kind = "conflict"


class Corrupt(Error):
    """Stored data fails its checksum or contradicts itself."""

    kind = "corrupt"


class ConsentRequired(Error, PermissionError):
    """The stream's consent does not cover what was asked."""

    kind = "consent required"


class Cancelled(Error):
    """The pipeline is shutting down."""

    kind = "cancelled"


class InternalError(Error):
    """A bug in clipcore, or an exception of user code that clipcore ran: that one is ``__cause__``."""

    kind = "internal"


_KINDS: dict[str, type[Error]] = {
    cls.kind: cls
    for cls in (
        ConfigError,
        InvalidInput,
        NotFound,
        Unsupported,
        InputOutputError,
        DiskFull,
        MediaError,
        Timeout,
        Unavailable,
        Conflict,
        Corrupt,
        ConsentRequired,
        Cancelled,
        InternalError,
    )
}


def build(
    kind: str,
    message: str,
    retryable: bool,
    operation: str | None,
    hint: str | None,
    context: Mapping[str, str],
    source: str | None,
) -> Error:
    """Makes the exception for an error of the library."""
    return _again(_KINDS.get(kind, InternalError), message, retryable, operation, hint, context, source)


class DetectorWarning(UserWarning):
    """A detector in Python raised: its stream went on without it."""


class ReplayWarning(UserWarning):
    """Lines of a recording could not be read and were passed over."""
