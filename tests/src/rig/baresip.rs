//! baresip as a phone: registers, answers by itself, sends a tone, and dumps what it hears to a WAV file.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::engine::{free_port, until};
use super::tone;

/// A running baresip; killed when dropped.
pub struct Baresip {
    process: Child,
    folder: PathBuf,
}

/// Who it is.
pub struct Account<'a> {
    pub user: &'a str,
    pub password: &'a str,
    /// The engine's SIP address.
    pub registrar: &'a str,
    /// `udp` or `tcp`.
    pub transport: &'a str,
    /// Its address: 127.0.0.1, from which the system sends what baresip sends by a socket on 0.0.0.0.
    pub ip: &'a str,
    /// What it says.
    pub hz: f64,
    /// Its media encryption: empty for none, `srtp` (RTP/AVP with keys, taken where the other side has it), `srtp-mand`
    /// (RTP/SAVP).
    pub mediaenc: &'a str,
    /// The one codec that it speaks: empty for G.711, `g722`, `opus` (two channels).
    pub codec: &'a str,
}

/// What it decoded of one call.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// Left and right, or both the same.
    pub channels: [Vec<i16>; 2],
}

impl Recording {
    /// Share of a side's energy at a frequency; 0 in silence.
    pub fn share(&self, channel: usize, hz: f64) -> f64 {
        tone::share(&self.channels[channel], hz, f64::from(self.rate))
    }
}

impl Baresip {
    pub fn start(folder: &Path, account: &Account<'_>) -> Self {
        let folder = folder.join(account.user);
        std::fs::create_dir_all(&folder).unwrap();
        let wav = folder.join("tone.wav");
        let (rate, channels, modules) = match account.codec {
            "" => (8000, 1, "module g711.so\n"),
            "g722" => (16_000, 1, "module g722.so\n"),
            "opus" => (48_000, 2, "module opus.so\nopus_stereo yes\nopus_sprop_stereo yes\nopus_inbandfec yes\n"),
            other => panic!("{other}: not a codec of this rig"),
        };
        // baresip resamples nothing: what it says is at its codec's rate
        std::fs::write(&wav, wav_file(&tone::sine_at(account.hz, 8000.0, rate).repeat(60), rate, channels)).unwrap();
        let (port, rtp) = (sip_port(account.ip), free_port(account.ip) & !1);
        let config = format!(
            "module_path /usr/lib/baresip/modules\nsip_listen {ip}:{port}\nnet_interface {ip}\naudio_source aufile,{wav}\naudio_alert none\n\
             snd_path {dir}\nrtp_ports {rtp}-{}\n{modules}module srtp.so\nmodule aufile.so\nmodule sndfile.so\nmodule_app account.so\nmodule_app menu.so\n",
            rtp.saturating_add(100),
            ip = account.ip,
            wav = wav.display(),
            dir = folder.display(),
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let line = format!(
            "<sip:{}@medlytt.test;transport={transport}>;auth_pass={};answermode=auto;regint=60;outbound=\"sip:{};transport={transport}\"{mediaenc}\n",
            account.user,
            account.password,
            account.registrar,
            transport = account.transport,
            mediaenc = match account.mediaenc {
                "" => String::new(),
                menc => format!(";mediaenc={menc}"),
            },
        );
        std::fs::write(folder.join("accounts"), line).unwrap();
        std::fs::write(folder.join("contacts"), "").unwrap();
        let out = std::fs::File::create(folder.join("out.txt")).unwrap();
        let process = Command::new("baresip")
            .arg("-f")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("baresip is installed (Debian package baresip-core); `cargo xtask test` installs it");
        let phone = Self { process, folder };
        until("baresip has registered", Duration::from_secs(10), || phone.says().contains("200 OK"));
        phone
    }

    /// Its console.
    pub fn says(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("out.txt")).unwrap_or_default()).into_owned()
    }

    /// Everything it has decoded so far, all calls together.
    pub fn heard(&self) -> Vec<i16> {
        self.recordings().into_iter().flat_map(|recording| recording.channels[0].clone()).collect()
    }

    /// What it has decoded, call by call.
    pub fn recordings(&self) -> Vec<Recording> {
        let mut names: Vec<_> = std::fs::read_dir(&self.folder).unwrap().filter_map(|e| Some(e.ok()?.path())).collect();
        names.retain(|p| p.to_string_lossy().ends_with("-dec.wav"));
        names.sort();
        names.iter().map(|p| recording(&std::fs::read(p).unwrap_or_default())).collect()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port for SIP: baresip takes it by UDP and TCP, and the next one for TLS, and ends if one of them is taken.
fn sip_port(ip: &str) -> u16 {
    let is_free = |port: &u16| {
        let stream = |port: u16| TcpListener::bind((ip, port));
        stream(*port).is_ok() && port.checked_add(1).is_some_and(|next| stream(next).is_ok())
    };
    (0..100).map(|_| free_port(ip)).find(is_free).expect("a port that is free, and the next")
}

fn wav_file(samples: &[i16], rate: u32, channels: u16) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2 * u32::from(channels);
    let mut out = Vec::new();
    out.extend(b"RIFF");
    out.extend((36 + bytes).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    for field in [1u16, channels] {
        out.extend(field.to_le_bytes());
    }
    out.extend(rate.to_le_bytes());
    out.extend((rate * 2 * u32::from(channels)).to_le_bytes());
    for field in [2 * channels, 16] {
        out.extend(field.to_le_bytes());
    }
    out.extend(b"data");
    out.extend(bytes.to_le_bytes());
    for sample in samples {
        (0..channels).for_each(|_| out.extend(sample.to_le_bytes()));
    }
    out
}

/// A WAV file of 16-bit samples; one that is being written may have no length in its header.
pub(super) fn recording(wav: &[u8]) -> Recording {
    let (Some(channels), Some(rate)) = (wav.get(22..24), wav.get(24..28)) else { return Recording::default() };
    let channels = usize::from(u16::from_le_bytes([channels[0], channels[1]])).max(1);
    let rate = u32::from_le_bytes([rate[0], rate[1], rate[2], rate[3]]);
    let data = wav.windows(4).position(|w| w == b"data").map_or(wav.len(), |at| (at + 8).min(wav.len()));
    let samples: Vec<i16> = wav[data..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let channel = |n: usize| samples.iter().skip(n.min(channels - 1)).step_by(channels).copied().collect();
    Recording { rate, channels: [channel(0), channel(1)] }
}
