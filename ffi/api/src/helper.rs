//! A helper of a C host's own: what it looks like to C, and the row that the verifier and the engines get of it.
//!
//! Refused: a number or kind that is none, memory without its size, sizes, keys and values without what they are of.

use crate::status::{Failed, fail};
use crate::uxdp_ctx;
use core::ffi::{CStr, c_char};
use uxdp_core::error::Errno;
use uxdp_core::helpers::{Access, ArgType, Helper, HelperFn, KFUNC_BASE, Proto, RetType};

/// What an argument of a host's helper has to be; the verifier proves it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_arg {
    /// There is no such argument.
    UXDP_ARG_NONE = 0,
    /// Anything that was ever written.
    UXDP_ARG_ANYTHING = 1,
    /// The context.
    UXDP_ARG_CTX = 2,
    /// A map.
    UXDP_ARG_MAP = 3,
    /// A key of the map before it.
    UXDP_ARG_MAP_KEY = 4,
    /// A value of the map before it, to be read.
    UXDP_ARG_MAP_VALUE = 5,
    /// Memory to be read; the next argument is its size.
    UXDP_ARG_MEM = 6,
    /// Memory to be written; the next argument is its size.
    UXDP_ARG_MEM_OUT = 7,
    /// The size of the memory before it, not zero.
    UXDP_ARG_SIZE = 8,
    /// The size of the memory before it, or zero.
    UXDP_ARG_SIZE_OR_ZERO = 9,
    /// Eight aligned bytes to be written.
    UXDP_ARG_LONG_OUT = 10,
    /// Constant text that ends with NUL.
    UXDP_ARG_CONST_STR = 11,
}

/// What a host's helper returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_ret {
    /// A number.
    UXDP_RET_INTEGER = 0,
    /// Nothing.
    UXDP_RET_VOID = 1,
}

/// Flag of a helper: it moves the packet's ends, so that pointers into the packet end with the call.
pub const UXDP_HELPER_CHANGES_PACKET: u32 = 1;

/// Flag of a helper: its memory arguments may be in the packet.
pub const UXDP_HELPER_TAKES_PACKET: u32 = 2;

/// The numbers of a host's helpers begin here; they end below 65536.
pub const UXDP_HELPER_FIRST: u32 = 32768;

const _: () = assert!(UXDP_HELPER_FIRST == uxdp_core::helpers::HOST_FIRST);

/// A helper of the host's own. Programs call it by its number, `static long (*mine)(void *ctx) = (void *)40000;`, or by its name,
/// `extern long mine(struct xdp_md *ctx) __ksym;`: with `__weak` as well, and `mine` tested first (`bpf_ksym_exists`), they run where there is none.
///
/// It is called on a worker's thread, in the middle of a run: it must neither wait nor call uxdp, nor touch memory beyond what its arguments are said to be.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_helper {
    /// `sizeof(struct uxdp_helper)`.
    pub sz: usize,
    /// Its name, that programs call it by and that messages show; copied. No other helper or kernel function has it.
    pub name: *const c_char,
    /// The function: the arguments as the program gives them, and the run's context.
    pub func:
        Option<unsafe extern "C" fn(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64, ctx: *mut uxdp_ctx) -> u64>,
    /// Its number, from UXDP_HELPER_FIRST on.
    pub id: u32,
    /// The arguments in order, each one of `enum uxdp_arg`.
    pub args: [u32; 5],
    /// One of `enum uxdp_ret`.
    pub ret: u32,
    /// UXDP_HELPER_CHANGES_PACKET, UXDP_HELPER_TAKES_PACKET.
    pub flags: u32,
}

/// # Safety
/// `p` is NULL or NUL-terminated.
pub(crate) unsafe fn text<'a>(p: *const c_char) -> Result<&'a str, Failed> {
    if p.is_null() {
        return Err(fail(Errno::EINVAL, format_args!("a helper has no name")));
    }
    // SAFETY: the caller's word.
    let text = unsafe { CStr::from_ptr(p) };
    text.to_str().map_err(|_| fail(Errno::EINVAL, format_args!("a helper's name is no text")))
}

/// Kinds of arguments by number, as `uxdp_arg` has them.
const ARGS: [ArgType; 12] = {
    use ArgType::{
        Anything, ConstMapPtr, ConstSize, ConstSizeOrZero, ConstStr, DontCare, MapKey, MapValue, Mem,
    };
    [
        DontCare,
        Anything,
        ArgType::Ctx,
        ConstMapPtr,
        MapKey,
        MapValue(Access::Read),
        Mem { access: Access::Read, nullable: false },
        Mem { access: Access::Write, nullable: false },
        ConstSize,
        ConstSizeOrZero,
        ArgType::FixedMem { access: Access::Write, size: 8, aligned: true },
        ConstStr,
    ]
};

/// A row from what the host says.
pub(crate) fn row(h: &uxdp_helper, name: &'static str) -> Result<Helper, Failed> {
    let wrong = |why: &str| fail(Errno::EINVAL, format_args!("helper {name}: {why}"));
    let func = h.func.ok_or_else(|| wrong("it has no function"))?;
    if !(UXDP_HELPER_FIRST..KFUNC_BASE).contains(&h.id) {
        return Err(wrong("its number is not from UXDP_HELPER_FIRST to 65535"));
    }
    let mut args = [ArgType::DontCare; 5];
    for (place, &number) in args.iter_mut().zip(&h.args) {
        *place =
            *ARGS.get(number as usize).ok_or_else(|| wrong("an argument is not one of enum uxdp_arg"))?;
    }
    check_order(&args).map_err(wrong)?;
    let ret = match h.ret {
        0 => RetType::Integer,
        1 => RetType::Void,
        _ => return Err(wrong("its result is not one of enum uxdp_ret")),
    };
    let mut proto = Proto::new(&args, ret);
    proto.changes_packet = h.flags & UXDP_HELPER_CHANGES_PACKET != 0;
    proto.takes_packet = h.flags & UXDP_HELPER_TAKES_PACKET != 0;
    if h.flags & !(UXDP_HELPER_CHANGES_PACKET | UXDP_HELPER_TAKES_PACKET) != 0 {
        return Err(wrong("a flag is not known to this version"));
    }
    // SAFETY: the same function but for the context's type, which is one struct under two names.
    let func = unsafe {
        core::mem::transmute::<unsafe extern "C" fn(u64, u64, u64, u64, u64, *mut uxdp_ctx) -> u64, HelperFn>(
            func,
        )
    };
    Ok(Helper { id: h.id, name, proto, func: Some(func) })
}

/// Memory has its size behind it, sizes memory before them, keys and values a map; nothing stands behind what is not there.
fn check_order(args: &[ArgType; 5]) -> Result<(), &'static str> {
    let size = |a: Option<&ArgType>| matches!(a, Some(ArgType::ConstSize | ArgType::ConstSizeOrZero));
    let mut map = false;
    for (i, arg) in args.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|b| args.get(b));
        match arg {
            ArgType::Mem { .. } if !size(args.get(i + 1)) => return Err("memory without a size"),
            ArgType::ConstSize | ArgType::ConstSizeOrZero if !matches!(before, Some(ArgType::Mem { .. })) => {
                return Err("a size without memory");
            }
            ArgType::MapKey | ArgType::MapValue(_) if !map => return Err("a key or value before its map"),
            ArgType::ConstMapPtr if map => return Err("two maps"),
            ArgType::DontCare => {}
            _ if before == Some(&ArgType::DontCare) => {
                return Err("an argument behind one that is not there");
            }
            _ => {}
        }
        map |= *arg == ArgType::ConstMapPtr;
    }
    Ok(())
}
