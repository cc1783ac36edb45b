//! What every trial shares: cores, real-time priority, times. From the command line or, for scripts, the environment.

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

/// See [the module](self).
#[derive(Args, Clone, Debug)]
pub(crate) struct Setting {
    /// Core of the generator
    #[arg(long, env = "GEN_CPU", default_value_t = 0, global = true)]
    generator_core: usize,
    /// Core of what is measured
    #[arg(long, env = "DUT_CPU", default_value_t = second_core(), global = true)]
    device_core: usize,
    /// Real-time priority of both, where it is permitted; 0: none
    #[arg(long, env = "RT", default_value_t = 5, global = true)]
    priority: u8,
    /// Seconds of each trial before it counts
    #[arg(long, env = "WARM", default_value = "1", value_parser = seconds, global = true)]
    pub(crate) warm: Duration,
    /// Seconds of each trial that count
    #[arg(long = "secs", env = "SECS", default_value = "5", value_parser = seconds, global = true)]
    pub(crate) measured: Duration,
    /// Trials of each peer; peers come by turns and medians are told
    #[arg(long, env = "REPEAT", default_value_t = 5, global = true)]
    pub(crate) repeat: usize,
    /// The generator looks for packets by itself, so that the relay's sends wake nobody
    #[arg(long, global = true)]
    pub(crate) no_wake: bool,
    /// SRTP on both legs, AES_CM_128_HMAC_SHA1_80 with keys in the descriptions
    #[arg(long, global = true)]
    pub(crate) srtp: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().ok().and_then(|n: f64| Duration::try_from_secs_f64(n).ok()).ok_or_else(|| "seconds".to_owned())
}

/// The first one where there is no second: what then runs shows that it works, and no figures.
fn second_core() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| (cores.get() - 1).min(1))
}

impl Setting {
    /// A command that runs a program on the core of what is measured.
    pub(crate) fn on_device_core(&self, program: &str) -> Command {
        let mut command = if self.is_real_time() {
            let mut command = Command::new("chrt");
            command.args(["--rr", &self.priority.to_string(), "taskset"]);
            command
        } else {
            Command::new("taskset")
        };
        command.args(["--cpu-list", &self.device_core.to_string(), program]);
        command
    }

    /// Gives the calling thread the generator's core and priority.
    pub(crate) fn become_generator(&self) {
        let mut core = CpuSet::new();
        core.set(self.generator_core);
        if sched_setaffinity(None, &core).is_err() {
            eprintln!("core {} is not to be had: the generator runs anywhere", self.generator_core);
        }
        if self.is_real_time() {
            let thread = gettid().as_raw_nonzero().to_string();
            let _ = Command::new("chrt").args(["--fifo", "--pid", &self.priority.to_string(), &thread]).status();
        }
    }

    pub(crate) fn priority(&self) -> u8 {
        self.priority
    }

    /// Whether this user may have a real-time priority.
    pub(crate) fn is_real_time(&self) -> bool {
        let mut probe = Command::new("chrt");
        probe.args(["--rr", &self.priority.to_string(), "true"]).stderr(Stdio::null());
        self.priority > 0 && probe.status().is_ok_and(|status| status.success())
    }
}
