//! Exit codes that scripts rely on.

use std::fmt;
use std::process::ExitCode;

use clipcore::ErrorKind;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// A bug in clipcore.
    Internal = 1,
    /// The arguments or the configuration are wrong, or the machine lacks what is needed.
    Usage = 2,
    /// An input could not be read.
    Input = 3,
    /// A sink failed for good: something found was not delivered.
    Sink = 4,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with the exit code that it leads to, where the kind of error does not say.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    source: anyhow::Error,
}

impl Failure {
    /// Marks `source` to end the program with `exit`.
    pub fn wrap(exit: Exit, source: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Self { exit, source: source.into() })
    }

    /// The error itself.
    pub fn source(&self) -> &anyhow::Error {
        &self.source
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.chain().nth(1)
    }
}

/// The exit code of an error: what a [`Failure`] in its chain says, else what its kind means.
pub fn of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::BrokenPipe
        {
            return Exit::Done;
        }
        if let Some(error) = cause.downcast_ref::<clipcore::Error>() {
            return match error.kind() {
                ErrorKind::Config | ErrorKind::ConsentRequired => Exit::Usage,
                ErrorKind::Cancelled => Exit::Interrupted,
                ErrorKind::Internal => Exit::Internal,
                _ => Exit::Input,
            };
        }
    }
    Exit::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_error_decides_unless_a_failure_does() {
        let error = |kind| anyhow::Error::new(clipcore::Error::new(kind, "x"));
        assert_eq!(of(&error(ErrorKind::Config)), Exit::Usage);
        assert_eq!(of(&error(ErrorKind::ConsentRequired)), Exit::Usage);
        assert_eq!(of(&error(ErrorKind::NotFound)), Exit::Input);
        assert_eq!(of(&error(ErrorKind::Cancelled)), Exit::Interrupted);
        assert_eq!(of(&error(ErrorKind::NotFound).context("while reading")), Exit::Input);
        let sink = Failure::wrap(Exit::Sink, clipcore::Error::new(ErrorKind::DiskFull, "full"));
        assert_eq!(of(&sink), Exit::Sink);
        assert_eq!(of(&anyhow::anyhow!("a bug")), Exit::Internal);
        let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(of(&anyhow::Error::new(closed)), Exit::Done);
    }
}
