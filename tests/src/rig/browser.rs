//! Debian's Chromium on the engine's page, driven by Playwright (`tests/browser/listen.mjs`).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running browser; closed when dropped.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    /// What was heard since it went live, oldest first.
    pub heard: Vec<Heard>,
    /// What the page said, in order.
    pub said: Vec<String>,
    done: Vec<String>,
    is_live: bool,
}

/// What each side held at one moment: share of its power at each frequency that was asked for.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    sides: Value,
}

impl Heard {
    /// Left (the agent) or right (the caller).
    pub fn share(&self, side: &str, hz: u32) -> f64 {
        self.sides[side][hz.to_string()].as_f64().unwrap_or(0.0)
    }
}

impl Browser {
    /// Opens the page and clicks on an agent's Listen.
    pub fn listen(page: &str, agent: &str, hertz: &[u32]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let hertz: Vec<String> = hertz.iter().map(u32::to_string).collect();
        let mut process = Command::new("node")
            .current_dir(folder)
            .args(["listen.mjs", page, agent, &hertz.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed (Debian package nodejs); `cargo xtask test` installs it");
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let told = serde_json::from_str(&line).unwrap_or_else(|_| Value::from(line));
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        Self { process, input, lines, heard: Vec::new(), said: Vec::new(), done: Vec::new(), is_live: false }
    }

    /// Waits until it has connected.
    pub fn until_live(&mut self) {
        self.until("the browser is live", Duration::from_secs(30), |browser| browser.is_live);
    }

    /// Tells it something, and waits until it has done so.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        self.until(command, Duration::from_secs(10), |browser| browser.done.iter().any(|done| done == command));
        self.done.clear();
    }

    /// Waits for something that it tells of.
    ///
    /// # Panics
    /// It does not come, the page has an error, or the browser ends.
    pub fn until(&mut self, what: &str, patience: Duration, so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !so(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.lines.recv_timeout(left);
            let told = told.unwrap_or_else(|error| panic!("{what}: {error}; the page said {:?}", self.said));
            self.take(told);
        }
    }

    /// Listens for so long.
    pub fn listen_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(told) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.take(told);
        }
    }

    /// What was heard after an instant.
    pub fn since(&self, at: Instant) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.at >= at)
    }

    fn take(&mut self, told: Value) {
        assert!(told.get("trouble").is_none() && told.is_object(), "the browser has trouble: {told}");
        self.is_live |= told["live"] == true;
        self.said.extend(told["status"].as_str().map(str::to_owned));
        self.done.extend(told["done"].as_str().map(str::to_owned));
        if let Some(sides) = told.get("heard") {
            self.heard.push(Heard { at: Instant::now(), sides: sides.clone() });
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let asked = writeln!(self.input, "quit").is_ok();
        let deadline = Instant::now() + Duration::from_secs(5);
        while asked && Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
