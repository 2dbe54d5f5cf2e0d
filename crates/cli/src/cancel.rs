//! Ctrl-C while a transaction runs: the first one asks it to stop and take everything back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{Error, Kind, Result};

/// Set by SIGINT and SIGTERM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    flag: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

impl Cancel {
    /// Catches the signals from now on.
    pub(crate) fn catch() -> Result<Self> {
        let cancel = Self::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&cancel.flag))
                .and_then(|_| counter(signal, &cancel.count))
                .map_err(|e| Error::new(Kind::NothingChanged, format!("cannot catch signals: {e}")))?;
        }
        Ok(cancel)
    }

    /// What the transaction looks at.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}
