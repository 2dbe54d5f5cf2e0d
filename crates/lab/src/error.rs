//! Errors are sentences for the person who runs the lab.

use std::error::Error;

/// Any failure, with the context in its message.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What everything in the lab returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts `what` in front of the message.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| format!("{}: {}", what(), error.into()).into())
    }
}

/// Returns early with a formatted failure.
#[macro_export]
macro_rules! bail {
    ($($word:tt)*) => { return Err(format!($($word)*).into()) };
}

/// Returns early with a formatted failure unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($word:tt)*) => { if !$condition { $crate::bail!($($word)*); } };
}
