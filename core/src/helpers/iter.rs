//! The open-coded iterator over a range of numbers: `struct bpf_iter_num`, on the program's stack.
//!
//! Its eight bytes are the number before the next one and the end of the range, as in the kernel. The compiler has the same inline (`opt::iter`).
//! Source: `bpf_iter_num_new` and its neighbours in the kernel's `kernel/bpf/bpf_iter.c`.

use super::{ArgType, Helper, IterUse, KFUNC_BASE, Proto, RetType};
use crate::error::Errno;
use crate::limits::BPF_MAX_LOOPS;
use crate::vm::Ctx;

/// The numbers of the three functions.
pub(crate) const ITER_NUM_NEW: u32 = KFUNC_BASE + 11;
pub(crate) const ITER_NUM_NEXT: u32 = KFUNC_BASE + 12;
pub(crate) const ITER_NUM_DESTROY: u32 = KFUNC_BASE + 13;

pub(super) const NEW: Helper = Helper {
    id: ITER_NUM_NEW,
    name: "bpf_iter_num_new",
    proto: Proto::new(&[ArgType::IterNum(IterUse::New), ArgType::Scalar, ArgType::Scalar], RetType::Integer),
    func: Some(new),
};

pub(super) const NEXT: Helper = Helper {
    id: ITER_NUM_NEXT,
    name: "bpf_iter_num_next",
    proto: Proto::new(&[ArgType::IterNum(IterUse::Next)], RetType::IterNumOrNull),
    func: Some(next),
};

pub(super) const DESTROY: Helper = Helper {
    id: ITER_NUM_DESTROY,
    name: "bpf_iter_num_destroy",
    proto: Proto::new(&[ArgType::IterNum(IterUse::Destroy)], RetType::Void),
    func: Some(destroy),
};

/// `struct bpf_iter_num`; both are zero at the end, and where it could not be made.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Numbers {
    /// What `next` gave last.
    current: i32,
    /// One behind the last.
    end: i32,
}

unsafe extern "C" fn new(iter: u64, start: u64, end: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    let (start, end) = (start as i32, end as i32);
    let (numbers, result) = match i64::from(end) - i64::from(start) {
        ..0 => (Numbers::default(), Errno::EINVAL.to_ret()),
        n if n > i64::from(BPF_MAX_LOOPS) => (Numbers::default(), Errno::E2BIG.to_ret()),
        _ => (Numbers { current: start.wrapping_sub(1), end }, 0),
    };
    // SAFETY: the verifier proved that r1 is eight bytes of the stack, 8-aligned, that are an iterator's place.
    unsafe { (iter as *mut Numbers).write(numbers) };
    result
}

/// The address of the next number, or null.
unsafe extern "C" fn next(iter: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    // SAFETY: as `new`, and the iterator was made.
    let numbers = unsafe { &mut *(iter as *mut Numbers) };
    let following = numbers.current.wrapping_add(1);
    if following >= numbers.end {
        *numbers = Numbers::default();
        return 0;
    }
    numbers.current = following;
    core::ptr::from_ref(&numbers.current) as u64
}

unsafe extern "C" fn destroy(iter: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    // SAFETY: as `next`.
    unsafe { (iter as *mut Numbers).write(Numbers::default()) };
    0
}
