//! A fact that may not have been measured. "Not measured" is an answer of its own, never a guess.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A value read from a host, or the reason why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured<T> {
    /// The value as the host gave it.
    Value(T),
    /// The value was not read; the text says what stood in the way.
    NotMeasured(String),
}

impl<T> Measured<T> {
    /// The value, if it was measured.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::NotMeasured(_) => None,
        }
    }

    /// Why the value is missing, if it is.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Value(_) => None,
            Self::NotMeasured(why) => Some(why),
        }
    }

    /// The value made into another one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Measured<U> {
        match self {
            Self::Value(value) => Measured::Value(make(value)),
            Self::NotMeasured(why) => Measured::NotMeasured(why),
        }
    }

    /// Not measured, for `why`.
    pub fn not(why: impl Into<String>) -> Self {
        Self::NotMeasured(why.into())
    }
}

impl<T: PartialEq> Measured<T> {
    /// True only if the value was measured and equals `value`.
    pub fn is(&self, value: &T) -> bool {
        self.value() == Some(value)
    }
}

impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self::NotMeasured(String::from("not looked at"))
    }
}
