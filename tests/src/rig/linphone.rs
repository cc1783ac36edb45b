//! linphone's console phone: answers by itself, and writes down what it hears instead of playing it.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::baresip::{Recording, recording};
use super::engine::{free_port, until};

const IP: &str = "127.0.0.1";

/// A running linphonec; killed when dropped.
pub struct Linphone {
    process: Child,
    folder: PathBuf,
    /// Its SIP address.
    pub address: String,
}

impl Linphone {
    pub fn start(folder: &Path) -> Self {
        let folder = folder.join("linphone");
        // It makes no folders, and without them it keeps nothing.
        for own in [".local/share/linphone", ".config/linphone"] {
            std::fs::create_dir_all(folder.join(own)).unwrap();
        }
        let (port, rtp) = (free_port(IP), free_port(IP) & !1);
        // The forced address of a NAT keeps it from naming an interface that leads elsewhere.
        let config = format!(
            "[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nguess_hostname=0\n\n\
             [rtp]\naudio_rtp_port={rtp}\n\n[net]\nfirewall_policy=1\nnat_address={IP}\n"
        );
        std::fs::write(folder.join("linphonerc"), config).unwrap();
        let out = std::fs::File::create(folder.join("out.txt")).unwrap();
        let process = Command::new("linphonec")
            .current_dir(&folder)
            .env("HOME", &folder)
            .args(["-a", "-d", "0", "-c", "linphonerc"])
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("linphonec is installed (Debian package linphone-cli); `cargo xtask test` installs it");
        let heard = folder.join("heard.wav");
        write!(process.stdin.as_ref().unwrap(), "soundcard use files\nrecord {}\n", heard.display()).unwrap();
        let phone = Self { process, folder, address: format!("{IP}:{port}") };
        until("linphone listens", Duration::from_secs(10), || UdpSocket::bind(&phone.address).is_err());
        until("linphone records", Duration::from_secs(10), || phone.says().contains("record"));
        phone
    }

    /// Its console.
    pub fn says(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("out.txt")).unwrap_or_default()).into_owned()
    }

    /// What it has decoded.
    pub fn recording(&self) -> Recording {
        recording(&std::fs::read(self.folder.join("heard.wav")).unwrap_or_default())
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
