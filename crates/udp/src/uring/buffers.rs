//! Buffers that the kernel picks from when a datagram arrives (a provided-buffer ring).

use std::io;
use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags};

use crate::socket::canonical;
use crate::{LONGEST, name};

/// `struct io_uring_recvmsg_out`: lengths of name, control and payload, then flags.
const HEADER: usize = 16;
/// Where the payload begins: header and name come first.
const PAYLOAD: usize = HEADER + name::BYTES;
/// Bytes of one buffer; what it holds of a datagram is a little more than `LONGEST`, so that longer ones show.
const BYTES: usize = 2048;
const _: () = assert!(BYTES > PAYLOAD + LONGEST);
/// The group that requests name.
pub(super) const GROUP: u16 = 0;

/// See [the module](self).
#[derive(Debug)]
pub(super) struct Buffers {
    entries: Region,
    data: Region,
    /// How many there are: a power of two.
    count: u16,
    tail: u16,
    /// Buffers that the kernel has.
    free: usize,
}

impl Buffers {
    /// Registers them with a ring, which must be gone, or rid of them, before they are.
    pub(super) fn register(submitter: &Submitter<'_>, count: u16) -> io::Result<Self> {
        let entries = Region::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let data = Region::new(usize::from(count) * BYTES)?;
        // SAFETY: the region holds `count` entries, is page-aligned and zeroed, and stays mapped until it is dropped,
        // before which `Uring` unregisters the group.
        unsafe { submitter.register_buf_ring_with_flags(entries.base.as_ptr() as u64, count, GROUP, 0)? };
        let mut buffers = Self { entries, data, count, tail: 0, free: 0 };
        (0..count).for_each(|id| {
            buffers.free += 1;
            buffers.put(id);
        });
        Ok(buffers)
    }

    /// Buffers that the kernel has left.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// The kernel has put a datagram into one.
    pub(super) fn taken(&mut self) {
        self.free = self.free.saturating_sub(1);
    }

    /// The kernel may use this one again.
    pub(super) fn give_back(&mut self, id: u16) {
        if id < self.count {
            self.free += 1;
            self.put(id);
        }
    }

    /// Copies a datagram out: its whole length, which may be more than was copied, and who sent it.
    pub(super) fn read(&self, id: u16, written: usize, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if id >= self.count || written < PAYLOAD {
            return None;
        }
        let mut head = [0_u8; PAYLOAD];
        // SAFETY: buffer `id` lies in the region and has `BYTES` > `PAYLOAD` bytes; the kernel has handed it to us and
        // does not write to it until it is given back.
        unsafe { self.at(id).copy_to_nonoverlapping(NonNull::from(&mut head).cast(), PAYLOAD) };
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (name_length, length) = (word(0).min(name::BYTES), word(8));
        let from = name::Name::read(&head[HEADER..HEADER + name_length])?;
        let copied = length.min(written.min(BYTES) - PAYLOAD).min(buffer.len());
        // SAFETY: as above, and `copied` fits behind the head as well as into the caller's buffer.
        unsafe { self.at(id).add(PAYLOAD).copy_to_nonoverlapping(NonNull::from(buffer).cast(), copied) };
        Some((length, canonical(from)))
    }

    /// Never unmaps them.
    pub(super) fn leak(&mut self) {
        (self.entries.bytes, self.data.bytes) = (0, 0);
    }

    fn put(&mut self, id: u16) {
        let first = self.entries.base.cast::<BufRingEntry>();
        // SAFETY: the index is below `count`, the region's number of entries; the kernel reads this entry only after
        // the tail is stored below. The setters leave alone the tail, which lies in the first entry.
        unsafe {
            let entry = first.add(usize::from(self.tail & (self.count - 1))).as_ptr();
            (*entry).set_addr(self.at(id).as_ptr() as u64);
            (*entry).set_len(BYTES as u32);
            (*entry).set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is an aligned u16 in the first entry; only we write it, the kernel reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(first.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn at(&self, id: u16) -> NonNull<u8> {
        // SAFETY: callers have checked that `id` is below `count`.
        unsafe { self.data.base.add(usize::from(id) * BYTES) }
    }
}

/// Zeroed pages that the kernel may write to.
#[derive(Debug)]
struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

impl Region {
    fn new(bytes: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choosing touches nobody's memory.
        let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE)? };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, bytes })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        // SAFETY: `new` mapped exactly this, and nobody has a pointer into it any more: see `Uring`'s drop.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
