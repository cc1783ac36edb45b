//! SIPp processes and their figures.

use std::collections::HashMap;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::engine::{scenario, until};

/// A running SIPp; killed when dropped.
pub struct Sipp {
    process: Child,
    stat: std::path::PathBuf,
    name: String,
}

impl Sipp {
    /// Starts `scenario` in `folder` on `ip:port` with further options.
    pub fn start(folder: &Path, file: &str, ip: &str, port: u16, media_port: u16, options: &[&str]) -> Self {
        let path = scenario(folder, file);
        let name = format!("{}-{port}", file.trim_end_matches(".xml"));
        let stat = folder.join(format!("{name}.csv"));
        let out = std::fs::File::create(folder.join(format!("{name}.out"))).unwrap();
        let process = Command::new("sipp")
            .current_dir(folder)
            .arg("-sf")
            .arg(path)
            .args([
                "-i",
                ip,
                "-p",
                &port.to_string(),
                "-mp",
                &media_port.to_string(),
                "-nostdin",
                "-trace_stat",
                "-fd",
                "1",
                "-stf",
            ])
            .arg(&stat)
            .args(["-trace_err", "-error_file"])
            .arg(folder.join(format!("{name}.err")))
            .args(["-buff_size", "4194304", "-recv_timeout", "15000"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("sipp is installed (Debian package sip-tester); `cargo xtask test` installs it");
        Self { process, stat, name }
    }

    /// Waits until a SIPp that answers has bound its port.
    pub fn listening(self, ip: &str, port: u16) -> Self {
        until("SIPp listens", Duration::from_secs(5), || UdpSocket::bind((ip, port)).is_err());
        self
    }

    /// The same over TCP.
    pub fn accepting(self, ip: &str, port: u16) -> Self {
        until("SIPp takes connections", Duration::from_secs(5), || TcpListener::bind((ip, port)).is_err());
        self
    }

    /// Waits for the end (SIPp stops by itself after `-m` calls) and gives (successful, failed, retransmissions).
    pub fn finish(mut self) -> (u64, u64, u64) {
        self.process.wait().unwrap();
        let text = std::fs::read_to_string(&self.stat).unwrap();
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap().split(';').collect();
        let last: Vec<&str> =
            lines.next_back().unwrap_or_else(|| panic!("{} wrote no figures", self.name)).split(';').collect();
        let row: HashMap<&str, &str> = names.into_iter().zip(last).collect();
        let figure = |name: &str| row[name].parse::<u64>().unwrap();
        (figure("SuccessfulCall(C)"), figure("FailedCall(C)"), figure("Retransmissions(C)"))
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
