//! Programs of other languages that drive the engine's API: in Python's environment of the tests, or in TypeScript, compiled
//! strictly before it runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// `tests/clients`, where npm put what TypeScript programs use.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A program of Python's environment (`python`, `schemathesis`, …).
pub fn python(program: &str) -> Command {
    let programs = std::env::var_os("MEDLYTT_PYTHON").expect("MEDLYTT_PYTHON names it: run `cargo xtask test`");
    Command::new(Path::new(&programs).join(program))
}

/// A program that npm installed in `tests/clients`.
pub fn npm(program: &str) -> Command {
    Command::new(clients().join("node_modules/.bin").join(program))
}

/// Runs to the end, and fails with what it said if it fails.
pub fn run(what: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{what}: {}\n{}\n{}", output.status, said[0], said[1]);
    said[0].clone()
}

/// Compiles every `.ts` in `folder`, strictly, to `.js` beside it.
pub fn compile(folder: &Path) {
    let modules = folder.join("node_modules");
    if !modules.exists() {
        std::os::unix::fs::symlink(clients().join("node_modules"), modules).unwrap();
    }
    std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
    std::fs::copy(clients().join("tsconfig.json"), folder.join("tsconfig.json")).unwrap();
    run("tsc", npm("tsc").current_dir(folder).args(["--project", "."]));
}

/// A running program, line by line; killed when dropped.
pub struct Script {
    name: String,
    process: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    pub stdin: Option<ChildStdin>,
}

impl Script {
    /// Starts it; what it complains of goes where its words go.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (told, lines) = channel();
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let other = told.clone();
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| told.send(l)));
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|l| other.send(l)));
        let stdin = process.stdin.take();
        Self { name: name.to_owned(), process, lines, said: Vec::new(), stdin }
    }

    /// Waits until it says this line.
    pub fn until_it_says(&mut self, wanted: &str, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == wanted => return self.said.push(line),
                Ok(line) => self.said.push(line),
                Err(_) => panic!("{} never said {wanted:?}; it said:\n{}", self.name, self.said.join("\n")),
            }
        }
    }

    /// Waits for its end, which must be a success, and gives what it said.
    pub fn finish(mut self, limit: Duration) -> Vec<String> {
        drop(self.stdin.take());
        let end = Instant::now() + limit;
        // both pipes are closed when it ends
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < end, "{} did not end; it said:\n{}", self.name, self.said.join("\n"));
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{}: {status}; it said:\n{}", self.name, self.said.join("\n"));
        std::mem::take(&mut self.said)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
