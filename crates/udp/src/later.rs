//! Datagrams that wait for the end of a turn: those of one socket that follow each other leave in one system call.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use crate::name::Name;
use crate::socket::Bound;
use crate::{Counters, Key};

/// Datagrams that wait at most, and their bytes; then they leave early.
const DATAGRAMS: usize = 256;
const BYTES: usize = 256 * 1024;
/// Datagrams in one `sendmmsg`.
const BATCH: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Later {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    to: SocketAddr,
    start: usize,
    length: usize,
}

impl Later {
    /// False: it is full, and has to be sent first.
    pub(crate) fn push(&mut self, key: Key, to: SocketAddr, data: &[u8]) -> bool {
        if self.entries.len() == DATAGRAMS || (!self.entries.is_empty() && self.bytes.len() + data.len() > BYTES) {
            return false;
        }
        self.entries.push(Entry { key, to, start: self.bytes.len(), length: data.len() });
        self.bytes.extend_from_slice(data);
        true
    }

    /// Sends all of them.
    pub(crate) fn send<'a>(&mut self, bound: impl Fn(Key) -> Option<&'a Bound>, counters: &mut Counters) {
        for run in self.entries.chunk_by(|a, b| a.key == b.key) {
            let Some(bound) = bound(run[0].key) else { continue };
            for batch in run.chunks(BATCH) {
                let sent = if batch.len() > 1 { send_batch(bound, batch, &self.bytes) } else { 0 };
                counters.sent += sent as u64;
                // What the kernel stopped at goes alone, and is counted there.
                for entry in &batch[sent..] {
                    bound.send(entry.to, entry.data(&self.bytes), counters);
                }
            }
        }
        self.entries.clear();
        self.bytes.clear();
    }
}

impl Entry {
    fn data<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.start + self.length]
    }
}

/// Returns how many the kernel took before it stopped at one.
fn send_batch(bound: &Bound, batch: &[Entry], bytes: &[u8]) -> usize {
    let mut names = [Name::EMPTY; BATCH];
    let mut slices = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
    // SAFETY: a message header of zeroes is one without address, data and control.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (index, entry) in batch.iter().enumerate() {
        let data = entry.data(bytes);
        slices[index] = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        let header = &mut headers[index].msg_hdr;
        if bound.peer != Some(entry.to) {
            names[index] = Name::of(bound.spelled(entry.to));
            header.msg_name = names[index].as_ptr().cast_mut().cast();
            header.msg_namelen = names[index].length();
        }
        header.msg_iov = &raw mut slices[index];
        header.msg_iovlen = 1;
    }
    let (fd, count) = (bound.as_fd().as_raw_fd(), batch.len().min(BATCH) as u32);
    // SAFETY: the first `count` headers point to names, slices and data that live until the end of this function; the
    // kernel reads those, and writes to the headers alone.
    let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).unwrap_or(0)
}
