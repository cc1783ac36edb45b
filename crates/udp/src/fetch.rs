//! Memory that is going to be needed: named a few datagrams ahead, it need not be waited for.

/// Bytes that come at a time.
const LINE: usize = 64;

/// Asks the processor to bring the first `bytes` of something near. It reads nothing that anybody could notice: all that
/// changes is how long the next access takes. Where a processor has no such instruction this does nothing.
#[inline]
pub fn prefetch<T: ?Sized>(what: &T, bytes: usize) {
    let start = std::ptr::from_ref(what).cast::<u8>();
    let bytes = bytes.min(size_of_val(what));
    // From the line that it begins in to the line that it ends in.
    let first = start.addr() & !(LINE - 1);
    for line in (first..start.addr() + bytes).step_by(LINE) {
        fetch_line(start.with_addr(line));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint; it faults on no address, and SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn fetch_line(at: *const u8) {
    // SAFETY: a hint; it faults on no address and changes no register.
    unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, preserves_flags, readonly)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn fetch_line(_: *const u8) {}

#[cfg(test)]
mod tests {
    #[test]
    fn anything_may_be_named_and_nothing_changes() {
        let data = [7_u8; 200];
        super::prefetch(&data, 0);
        super::prefetch(&data, 1000);
        super::prefetch(&data[150..], 3);
        super::prefetch("", 1);
        assert_eq!(data, [7; 200]);
    }
}
