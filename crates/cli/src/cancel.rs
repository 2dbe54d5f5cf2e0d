//! Ctrl-C while a transaction runs: the first one asks it to stop and take everything back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use passthru_host::signals;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::error::{Error, Kind, Result};

/// Set by the signals that ask a program to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    stop: Arc<AtomicBool>,
    fresh: Arc<AtomicBool>,
}

impl Cancel {
    /// Catches the signals from now on. A terminal that closes counts too.
    pub(crate) fn catch() -> Result<Self> {
        let cancel = Self::default();
        // Under nohup(1) a terminal may close, which is the point of it.
        let signals = [SIGINT, SIGTERM, SIGHUP].into_iter();
        for signal in signals.filter(|&signal| !(signal == SIGHUP && signals::ignores(signal))) {
            flag::register(signal, Arc::clone(&cancel.stop))
                .and_then(|_| flag::register(signal, Arc::clone(&cancel.fresh)))
                .map_err(|e| {
                    Error::new(Kind::NothingChanged, format!("cannot catch signals: {e}"))
                })?;
        }
        Ok(cancel)
    }

    /// What the transaction looks at.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.stop
    }

    /// True once for each time somebody asked.
    pub(crate) fn asked(&self) -> bool {
        self.fresh.swap(false, Ordering::Relaxed)
    }
}
