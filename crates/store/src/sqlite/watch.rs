//! Whether the files are still what was written to them. SQLite has their pages in memory and would go on for days after
//! somebody wrote over them, acknowledging what no start could read again.
//!
//! Before each transaction: the first page and the beginning of the log. After it: that it is in the log. With each probe
//! (once a second): the whole log, and from the disk the first and the last row of every table. Not seen before it is read
//! is damage in the middle of a large table.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::log::Chain;
use crate::StoreError;

const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE: usize = 4096;
/// In the first page, whose it is; zeros; and where the header of its tree begins.
const APPLICATION: std::ops::Range<usize> = 68..72;
const ZEROS: std::ops::Range<usize> = 72..92;
const TREE: usize = 100;

/// What is known of the files.
#[derive(Debug)]
pub(super) struct Watch {
    /// Stays open as long as SQLite has the file: closing any descriptor of it drops the locks of all (POSIX).
    main: File,
    first_page: Box<[u8; PAGE]>,
    chain: Option<Chain>,
}

impl Watch {
    /// Of files that SQLite has just opened.
    pub(super) fn begin(path: &Path, log: &Path) -> Option<Self> {
        let main = File::open(path).ok()?;
        let first_page = first_page(&main)?;
        Some(Self { main, first_page, chain: Chain::follow(log, None) })
    }

    /// Before a transaction.
    pub(super) fn check(&mut self, log: &Path) -> Result<(), StoreError> {
        self.check_first_page().and_then(|()| self.check_log(log, false)).map_err(damaged)
    }

    /// After it, as far as it went into the log; and some of the log may have gone into the main file.
    pub(super) fn written(&mut self, log: &Path) -> Result<(), StoreError> {
        if let Some(chain) = Chain::follow(log, self.chain) {
            self.chain = Some(chain);
        }
        self.check_first_page().map_err(damaged)
    }

    /// The log went into the main file, or is not this file's: nothing of it is expected.
    pub(super) fn closed(&mut self) {
        self.chain = None;
    }

    /// With each probe, and before files that were found damaged are used again.
    pub(super) fn look(&mut self, log: &Path) -> Result<(), StoreError> {
        self.check_first_page().and_then(|()| self.check_log(log, true)).map_err(damaged)
    }

    /// A file that somebody copied over the damaged one: the log is not its.
    pub(super) fn is_another(&self) -> bool {
        first_page(&self.main).is_some_and(|page| page != self.first_page)
    }

    fn check_log(&self, log: &Path, to_its_end: bool) -> Result<(), &'static str> {
        self.chain.map_or(Ok(()), |chain| chain.is_there(log, to_its_end))
    }

    /// It changes when the log goes into the main file; then it must look like one of ours.
    fn check_first_page(&mut self) -> Result<(), &'static str> {
        let found = first_page(&self.main).ok_or("its first page is gone")?;
        if found != self.first_page {
            if !is_ours(&found[..]) {
                return Err("its first page");
            }
            self.first_page = found;
        }
        Ok(())
    }
}

fn is_ours(page: &[u8]) -> bool {
    let ours = u32::try_from(super::schema::APPLICATION_ID).unwrap_or(0).to_be_bytes();
    page.starts_with(MAGIC)
        && page.get(APPLICATION) == Some(&ours[..])
        && page.get(ZEROS).is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0))
        && cells_are_inside(page) == Some(true)
}

/// The header of a tree's page: its kind, how many cells, where they begin; then where each is.
fn cells_are_inside(page: &[u8]) -> Option<bool> {
    let number = |at: usize| Some(usize::from(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?)));
    let pointers = match page.get(TREE)? {
        5 => TREE + 12,
        13 => TREE + 8,
        _ => return Some(false),
    };
    let (cells, begin) = (number(TREE + 3)?, number(TREE + 5)?);
    let inside = |cell: usize| number(pointers + 2 * cell).is_some_and(|at| (begin..PAGE).contains(&at));
    Some(pointers + 2 * cells <= begin && (0..cells).all(inside))
}

fn first_page(main: &File) -> Option<Box<[u8; PAGE]>> {
    let mut page = Box::new([0; PAGE]);
    main.read_exact_at(&mut page[..], 0).ok()?;
    Some(page)
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("the file is damaged: {what}"))
}

/// Reads the first and the last row of every table and of its key, on a connection that has nothing in memory.
pub(super) fn read_edges(fresh: &Connection) -> Result<(), StoreError> {
    for (table, keys) in [
        ("request", &["rowid", "id"][..]),
        ("listening", &["rowid", "id"]),
        ("call", &["rowid", "id"]),
        ("agent", &["rowid", "id"]),
        ("audit", &["rowid"]),
        ("audit_head", &["rowid"]),
        ("answer", &["user"]),
        ("registration", &["user"]),
        ("dialog", &["key"]),
        ("claim", &["listening"]),
        ("probe", &["rowid"]),
    ] {
        for key in keys {
            for end in ["ASC", "DESC"] {
                let mut edge = fresh.prepare(&format!("SELECT * FROM {table} ORDER BY {key} {end} LIMIT 1"))?;
                let columns = edge.column_count();
                let mut rows = edge.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        row.get_ref(column)?;
                    }
                }
            }
        }
    }
    Ok(())
}
