//! Debian's Chromium, driven by Playwright (`tests/browser/driver.mjs`): one process for all tests, a window for each person.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// What the driver is given beyond the patience that it has itself.
const GRACE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

static BROWSER: LazyLock<Browser> = LazyLock::new(Browser::start);

/// The driver; it ends when its standard input does, with this process.
struct Browser {
    input: Mutex<(ChildStdin, u64)>,
    told: Arc<Mutex<Told>>,
    _process: Child,
}

#[derive(Default)]
struct Told {
    waiting: HashMap<u64, Sender<Result<Value, String>>>,
    /// Errors of pages, by person.
    troubles: HashMap<String, Vec<String>>,
}

/// Has a person do something, and gives what came of it.
///
/// # Panics
/// It could not be done: with what the page was like.
pub fn command(who: &str, what: &str, how: Value) -> Value {
    attempt(who, what, how).unwrap_or_else(|error| panic!("{who}: {what}: {error}"))
}

/// The same; `Err` is why it could not be done.
pub fn attempt(who: &str, what: &str, mut how: Value) -> Result<Value, String> {
    let patience = how["patience"].as_u64().map_or(PATIENCE, Duration::from_millis);
    how["who"] = json!(who);
    how["do"] = json!(what);
    let answer = BROWSER.send(how);
    answer.recv_timeout(patience + GRACE).unwrap_or_else(|error| Err(format!("no answer of the browser: {error}")))
}

/// What the pages of a person complained of since the last time.
pub fn troubles(who: &str) -> Vec<String> {
    lock(&BROWSER.told).troubles.remove(who).unwrap_or_default()
}

impl Browser {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let mut process = Command::new("node")
            .current_dir(folder)
            .arg("driver.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed (Debian package nodejs); `cargo xtask test` installs it");
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let told = Arc::<Mutex<Told>>::default();
        let heard = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lock(&heard).take(&serde_json::from_str(&line).unwrap_or_else(|_| json!({"who": "", "trouble": line})));
            }
            // whoever waits learns that the browser is gone
            lock(&heard).waiting.clear();
        });
        Self { input: Mutex::new((input, 0)), told, _process: process }
    }

    fn send(&self, mut command: Value) -> Receiver<Result<Value, String>> {
        let (sender, receiver) = channel();
        let mut input = lock(&self.input);
        input.1 += 1;
        command["id"] = json!(input.1);
        lock(&self.told).waiting.insert(input.1, sender);
        writeln!(input.0, "{command}").expect("the browser runs");
        receiver
    }
}

impl Told {
    fn take(&mut self, line: &Value) {
        if let Some(trouble) = line["trouble"].as_str() {
            let who = line["who"].as_str().unwrap_or_default().to_owned();
            return self.troubles.entry(who).or_default().push(trouble.to_owned());
        }
        let Some(waiting) = line["id"].as_u64().and_then(|id| self.waiting.remove(&id)) else { return };
        let _ = waiting.send(match line["failed"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(line["ok"].clone()),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
