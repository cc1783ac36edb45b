//! Log lines to standard error: for people on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Installs the subscriber; a second call changes nothing. `RUST_LOG` wins over the configured level.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.level));
    let human = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A log on a full disk: saying so on the same log panics, and would end the calls.
        .log_internal_errors(false);
    let started = if human {
        subscriber.with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        subscriber.json().flatten_event(true).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "a log is running already");
    }
}
