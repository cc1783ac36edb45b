//! The write-ahead log as the next start would read it: a chain of checksums from its header on. SQLite checks them when
//! it opens the file and not again, so a running engine would go on acknowledging into a log that nobody can read any more.
//!
//! <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says in which byte order the checksums are.
const MAGIC: u32 = 0x377F_0682;
/// Frames that one look goes through at most: the length that the log is cut back to.
const FRAMES_LOOKED_AT: u32 = 16_384;

/// How far the log is known to be good: up to the end of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Of this round of the log: others after it begins anew.
    salts: [u8; 8],
    frames: u32,
    sum: Sum,
}

impl Chain {
    /// What follows a chain in the log at a path, or the whole where a new round has begun. `None`: there is no log, or it
    /// is empty, as after all of it went into the main file.
    pub(super) fn follow(path: &Path, known: Option<Self>) -> Option<Self> {
        let log = Log::open(path)?;
        let begin = log.begin();
        let from = known.filter(|known| known.salts == begin.salts).unwrap_or(begin);
        Some(log.walk(from, u32::MAX))
    }

    /// Whether this much is still there, or only its first frame.
    pub(super) fn is_there(self, path: &Path, to_its_end: bool) -> Result<(), &'static str> {
        let length = std::fs::metadata(path).map_err(|_| "the log is gone")?.len();
        if self.frames == 0 || length == 0 {
            return Ok(());
        }
        let log = Log::open(path).ok_or("the header of the log")?;
        let begin = log.begin();
        if begin.salts != self.salts {
            return Ok(());
        }
        let wanted = if to_its_end { self.frames.min(FRAMES_LOOKED_AT) } else { 1 };
        let mut found = begin;
        while found.frames < wanted {
            found = log.next(found).ok_or("a page in the log")?.0;
        }
        if found.frames == self.frames && found.sum != self.sum {
            return Err("a page in the log");
        }
        Ok(())
    }
}

struct Log {
    file: File,
    big_endian: bool,
    page: usize,
    salts: [u8; 8],
    sum: Sum,
}

impl Log {
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        let magic = word(&header, 0)?;
        let big_endian = magic & 1 == 1;
        let sum = Sum::default().over(header.get(..24)?, big_endian);
        let page = usize::try_from(word(&header, 8)?).ok()?;
        let sound = magic & !1 == MAGIC && sum.is_at(&header, 24) && (512..=65_536).contains(&page);
        sound.then_some(Self { file, big_endian, page, salts: header.get(16..24)?.try_into().ok()?, sum })
    }

    fn begin(&self) -> Chain {
        Chain { salts: self.salts, frames: 0, sum: self.sum }
    }

    /// To the last commit that can be read.
    fn walk(&self, from: Chain, frames: u32) -> Chain {
        let (mut good, mut here) = (from, from);
        while here.frames < frames {
            let Some((next, commits)) = self.next(here) else { break };
            here = next;
            if commits {
                good = here;
            }
        }
        good
    }

    /// The frame after these, if its checksum follows from theirs, and whether it ends a commit.
    fn next(&self, after: Chain) -> Option<(Chain, bool)> {
        let mut frame = vec![0; FRAME_HEADER + self.page];
        let place = HEADER as u64 + u64::from(after.frames) * frame.len() as u64;
        self.file.read_exact_at(&mut frame, place).ok()?;
        let sum = after.sum.over(frame.get(..8)?, self.big_endian).over(frame.get(FRAME_HEADER..)?, self.big_endian);
        let sound = frame.get(8..16)? == self.salts && sum.is_at(&frame, 16);
        sound.then_some((Chain { salts: self.salts, frames: after.frames + 1, sum }, word(&frame, 4)? != 0))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn over(mut self, bytes: &[u8], big_endian: bool) -> Self {
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let number = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            self.0 = self.0.wrapping_add(number([a, b, c, d])).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(number([e, f, g, h])).wrapping_add(self.0);
        }
        self
    }

    fn is_at(self, bytes: &[u8], at: usize) -> bool {
        word(bytes, at) == Some(self.0) && word(bytes, at + 4) == Some(self.1)
    }
}

/// Numbers in headers are big-endian.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
