//! `medlytt serve`: the engine until a signal ends it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{self, Config, Loaded};
use crate::engine_task::Control;
use crate::shell::{Shell, apply};
use crate::{first_admin, limits, logging};

/// So long it may take until ports are ready and the store answers; then the start is announced all the same.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Runs until everything is over.
pub(crate) fn run(path: PathBuf, loaded: Loaded) -> ExitCode {
    let Loaded { mut config, warnings, .. } = loaded;
    first_admin::add(&mut config);
    logging::start(&config.log);
    warn_all(&path, &warnings);
    let mut shell = match Shell::start(&config) {
        Ok(shell) => shell,
        Err(error) => {
            eprintln!("medlytt: {error}");
            return ExitCode::FAILURE;
        }
    };
    limits::tell(&shell.bound.capacity);
    let signals = {
        let _inside = shell.enter();
        Signals::receive()
    };
    let Ok(signals) = signals.inspect_err(|error| tracing::error!(%error, "signals cannot be received")) else {
        return ExitCode::FAILURE;
    };
    if !shell.until_ready(READY_WITHIN) {
        tracing::warn!("started, but not ready: GET /readyz says why");
    }
    first_admin::let_in(&shell.api, &config, shell.bound.http);
    println!("medlytt {} listens on {}", env!("CARGO_PKG_VERSION"), shell.bound);
    tracing::info!(sip = ?shell.bound.sip, http = %shell.bound.http, media = ?shell.bound.media, room = shell.bound.capacity.calls, "started");
    let orders = Orders { path, control: shell.control(), api: shell.api.clone(), running: config };
    shell.run_until_ended(orders.follow(signals));
    shell.close();
    tracing::info!("ended");
    ExitCode::SUCCESS
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn receive() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// What signals do.
struct Orders {
    path: PathBuf,
    control: mpsc::Sender<Control>,
    api: api::Api,
    /// What runs now.
    running: Config,
}

impl Orders {
    /// Follows signals as long as the engine lives: SIGTERM drains, a second one and SIGINT stop, SIGHUP reloads.
    async fn follow(mut self, mut signals: Signals) {
        let mut draining = false;
        loop {
            let order = tokio::select! {
                _ = signals.terminate.recv() => match std::mem::replace(&mut draining, true) {
                    false => Some(Control::Drain(self.running.drain_timeout)),
                    true => Some(Control::Stop),
                },
                _ = signals.interrupt.recv() => Some(Control::Stop),
                _ = signals.hangup.recv() => self.reload(),
            };
            if let Some(order) = order {
                // An engine that has ended takes no orders, and its end ends this, too.
                let _ = self.control.send(order).await;
            }
        }
    }

    /// Reads the configuration again: all of it is taken, or nothing.
    fn reload(&mut self) -> Option<Control> {
        // Hosts are resolved meanwhile; the engine goes on.
        let loaded = tokio::task::block_in_place(|| config::load(&self.path));
        let Loaded { mut config, warnings, .. } = match loaded {
            Ok(loaded) => loaded,
            Err(report) => {
                report.to_string().lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("the configuration was not reloaded: everything stays as it was");
                return None;
            }
        };
        first_admin::add(&mut config);
        warn_all(&self.path, &warnings);
        for key in config.needing_restart(&self.running) {
            tracing::warn!(key, "changed, but takes effect after a restart only");
        }
        self.api.credentials(config.credentials.clone());
        self.api.webhook_settings(config.webhooks.clone());
        apply(&self.api, &config.api);
        let order = Control::Reload(config.directory.clone(), Box::new(config.engine()));
        self.running = config;
        tracing::info!("the configuration was reloaded");
        Some(order)
    }
}

fn warn_all(path: &Path, warnings: &[config::Problem]) {
    for warning in warnings {
        tracing::warn!("{}", warning.line(&path.display().to_string()));
    }
}
