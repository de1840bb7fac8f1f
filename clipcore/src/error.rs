use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is unknown, out of range or contradicts another.
    Config,
    /// Bytes, a file or an event from outside do not have the form they should.
    InvalidInput,
    /// The named stream, file, recording or record is not there.
    NotFound,
    /// The input is well formed, but this build or machine cannot handle it.
    Unsupported,
    /// The operating system refused a read or write.
    Io,
    /// No space is left, or the byte budget is spent.
    DiskFull,
    /// The media tool failed or produced something that did not verify.
    Media,
    /// The operation took longer than it may.
    Timeout,
    /// A server or device cannot be reached right now.
    Unavailable,
    /// Somebody else owns this now: a lease or token is stale.
    Conflict,
    /// Stored data fails its checksum or contradicts itself.
    Corrupt,
    /// The stream's consent does not cover what was asked.
    ConsentRequired,
    /// The pipeline is shutting down.
    Cancelled,
    /// A bug in clipcore.
    Internal,
}

impl ErrorKind {
    /// The kind in lower case, as logs and metrics print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::Unsupported => "unsupported",
            Self::Io => "i/o",
            Self::DiskFull => "disk full",
            Self::Media => "media",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::ConsentRequired => "consent required",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// The one error of clipcore.
///
/// It names what failed (`message`), while doing what (`operation`), where (`context` pairs such as
/// `path` or `stream`), what to do (`hint`), and whether trying again can help. Errors of redis,
/// ort or ffmpeg appear only as text or as an opaque `source`.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    retryable: bool,
    retry_after: Option<Duration>,
    message: Cow<'static, str>,
    operation: Option<&'static str>,
    hint: Option<Cow<'static, str>>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; [`Timeout`](ErrorKind::Timeout) and [`Unavailable`](ErrorKind::Unavailable)
    /// start out retryable, all others permanent.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retryable = matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable);
        Self {
            inner: Box::new(Inner {
                kind,
                retryable,
                retry_after: None,
                message: message.into(),
                operation: None,
                hint: None,
                context: Vec::new(),
                source: None,
            }),
        }
    }

    /// Shorthand for [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Shorthand for [`ErrorKind::Config`].
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// An I/O error on `path`, with the kind that follows from the operating system's code.
    pub fn io(source: std::io::Error, path: impl AsRef<std::path::Path>) -> Self {
        Self::from(source).with_context("path", path.as_ref().display())
    }

    /// Names what was being done, for example `recorder::append`. The innermost name is kept.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.inner.operation.get_or_insert(operation);
        self
    }

    /// Adds a `key: value` pair that says where.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((key, value.to_string()));
        self
    }

    /// Says what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Attaches the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Marks the error as worth retrying, or not.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.inner.retryable = retryable;
        self
    }

    /// Says how long the other side asks to be left alone; the error is then worth retrying.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.inner.retry_after = Some(pause);
        self.with_retryable(true)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.inner.retryable
    }

    /// How long the other side asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// The message without operation, context and hint.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What was being done.
    pub fn operation(&self) -> Option<&'static str> {
        self.inner.operation
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The `key: value` pairs, outermost last.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.inner.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if !self.inner.context.is_empty() {
            f.write_str(" (")?;
            for (i, (key, value)) in self.inner.context.iter().enumerate() {
                write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")?;
        }
        if let Some(source) = &self.inner.source {
            write!(f, ": {source}")?;
        }
        if let Some(hint) = &self.inner.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, "there is no such file or folder"),
            Io::StorageFull => (ErrorKind::DiskFull, "the disk is full"),
            Io::QuotaExceeded => (ErrorKind::DiskFull, "the disk quota is used up"),
            Io::TimedOut => (ErrorKind::Timeout, "it took too long"),
            Io::ConnectionRefused | Io::ConnectionReset | Io::ConnectionAborted => {
                (ErrorKind::Unavailable, "the other side cannot be reached")
            }
            Io::PermissionDenied => (ErrorKind::Io, "access is denied"),
            Io::ReadOnlyFilesystem => (ErrorKind::Io, "the file system is read-only"),
            Io::AlreadyExists => (ErrorKind::Io, "something of that name is in the way"),
            Io::NotADirectory => (ErrorKind::Io, "part of the path is a file, not a folder"),
            Io::IsADirectory => (ErrorKind::Io, "this is a folder, not a file"),
            _ => (ErrorKind::Io, "the operating system refused a read or write"),
        };
        Self::new(kind, message).with_source(source)
    }
}

impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::invalid("not the JSON that was expected").with_source(source)
    }
}
