//! A disk that can be taken away under a running engine and given back.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How it is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file system of 3 MB that something else fills: writes get ENOSPC. Takes root and the right to mount.
    Full,
    /// A limit on the size of the process's files: every write gets EFBIG, wherever it goes.
    Refusing,
}

/// Where a store lies. Unmounted and removed when dropped.
pub struct Disk {
    kind: Kind,
    pub folder: PathBuf,
}

impl Disk {
    /// `None`: this machine does not let us mount.
    pub fn new(kind: Kind, folder: &Path) -> Option<Self> {
        let folder = folder.join("disk");
        std::fs::create_dir_all(&folder).unwrap();
        let mount = || {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=3m", "medlytt-test"]).arg(&folder);
            mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        (kind == Kind::Refusing || mount()).then(|| Self { kind, folder })
    }

    pub fn take_away(&self, pid: u32) {
        match self.kind {
            Kind::Full => {
                let mut filler = File::create(self.folder.join("filler")).unwrap();
                for size in [65_536, 4_096, 1] {
                    while filler.write_all(&vec![0; size]).is_ok() {}
                }
            }
            Kind::Refusing => limit(pid, "0"),
        }
    }

    pub fn give_back(&self, pid: u32) {
        match self.kind {
            Kind::Full => std::fs::remove_file(self.folder.join("filler")).unwrap(),
            Kind::Refusing => limit(pid, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.kind == Kind::Full {
            // Lazily: an engine that outlives a failed test still has its files open.
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}

fn limit(pid: u32, size: &str) {
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={size}:unlimited")]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit (package util-linux) sets the limit of file sizes");
}
