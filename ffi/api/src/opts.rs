//! Option structs, and how a call reads them.
//!
//! Each begins with `sz`, the size that the caller was compiled with: a smaller one leaves the fields beyond it at their defaults, a larger
//! one is fine as long as what this library does not know is zero. None has padding, so that every byte of a newer struct is a field.

use crate::status::{Failed, fail};
use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use uxdp_core::error::Errno;

/// Where map memory comes from. The memory need not be zeroed; it is never moved.
///
/// Both functions may be called from any thread that loads or frees; `arg` is handed to them. Memory is given back when no program, no
/// worker and no handle can reach it any more: in uxdp_synchronize, in the last worker's uxdp_worker_quiescent, or in the call that drops
/// the last reference.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_mem_ops {
    /// `size` bytes aligned to `align` (a power of two, at most a page) for the map `name`, on `numa_node` (-1: any); NULL when it cannot be had.
    pub alloc: Option<
        unsafe extern "C" fn(
            arg: *mut c_void,
            name: *const c_char,
            size: usize,
            align: usize,
            numa_node: c_int,
        ) -> *mut c_void,
    >,
    /// Gives back what `alloc` returned for that size.
    pub free: Option<unsafe extern "C" fn(arg: *mut c_void, p: *mut c_void, size: usize)>,
    /// The caller's own.
    pub arg: *mut c_void,
}

/// How an object is opened. Declare one with `UXDP_OPEN_OPTS(opts, .name = "x", ...)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_open_opts {
    /// `sizeof(struct uxdp_open_opts)`.
    pub sz: usize,
    /// The object's name in messages; NULL: the file's name, or "object".
    pub name: *const c_char,
    /// The environment; NULL: the default one.
    pub env: *mut crate::uxdp_env,
    /// Slots of per-CPU maps, which an environment fixes once: the first open decides for the default one. 0: whatever the environment has.
    pub nr_cpus: u32,
    /// NUMA node for map memory; -1, which UXDP_OPEN_OPTS sets: any.
    pub numa_node: c_int,
    /// Where maps live; NULL: anonymous pages. Copied; `arg` and the functions stay in use as long as the maps.
    pub map_mem: *const uxdp_mem_ops,
    /// Gets the reason of a refusal, NUL-terminated; NULL: none. Used during the call only.
    pub log_buf: *mut c_char,
    /// Bytes of `log_buf`.
    pub log_size: usize,
    /// 0: errors only.
    pub log_level: u32,
    /// 0.
    pub reserved: u32,
    /// The types that CO-RE relocations are applied against, for example the contents of /sys/kernel/btf/vmlinux, or of an object file; NULL: the object's own, which
    /// is what packets and maps need. Used during the call only.
    pub btf: *const c_void,
    /// Bytes of `btf`.
    pub btf_size: usize,
}

/// Which engine runs a program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_engine {
    /// Compiled code where the machine allows it, else the interpreter.
    UXDP_ENGINE_AUTO = 0,
    /// Compiled code, or the load fails with -EOPNOTSUPP.
    UXDP_ENGINE_JIT = 1,
    /// The interpreter.
    UXDP_ENGINE_INTERP = 2,
}

/// Load flag: every run is counted by its action, at about a nanosecond a run. Without it, aborted runs alone are.
pub const UXDP_LOAD_COUNT_ACTIONS: u32 = 1;

/// Load flag: programs that store pointers into maps, packets or records, or let a helper read one from the stack, are refused. Numbers made from pointers are not
/// followed.
pub const UXDP_LOAD_HYGIENE: u32 = 2;

/// Load flag: as UXDP_LOAD_HYGIENE; programs that make numbers from pointers, compare them other than with null or the packet's end, or read stack that was never
/// written, are refused too.
pub const UXDP_LOAD_STRICT: u32 = 4;

/// How an object is loaded. Declare one with `UXDP_LOAD_OPTS(opts, .log_buf = buf, .log_size = sizeof(buf))`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_load_opts {
    /// `sizeof(struct uxdp_load_opts)`.
    pub sz: usize,
    /// One of `enum uxdp_engine`.
    pub engine: u32,
    /// 0, or UXDP_LOAD_COUNT_ACTIONS, UXDP_LOAD_HYGIENE, UXDP_LOAD_STRICT together.
    pub flags: u32,
    /// Most bytes that verifying one program may take; 0: the default.
    pub verifier_mem: usize,
    /// Gets the verifier's log, NUL-terminated, its last lines where it is cut; NULL: none. Used during the call only.
    pub log_buf: *mut c_char,
    /// Bytes of `log_buf`.
    pub log_size: usize,
    /// As the kernel's: 0 the reason of a refusal only, 1 each instruction once with its state, 2 every visit, 4 the closing counts.
    pub log_level: u32,
    /// 0.
    pub reserved: u32,
    /// Instructions that a run may take before it is aborted (UXDP_ABORT_LIMIT), counted where it could go on and on: entering a function costs its length, a jump back the
    /// slots from its target on. What an aborted run holds (a lock, records of rings, objects of the host) goes back. 0: no limit.
    pub run_limit: u64,
    /// Nanoseconds that a run may take before it is aborted (UXDP_ABORT_TIME). The clock is read every 4,096 instructions that count, as above, and the time begins with the first
    /// reading; what a helper takes is seen when it is over. 0: no limit. -EOPNOTSUPP where the platform has no clock.
    pub run_time_limit: u64,
}

/// How an environment is made. Declare one with `UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 4)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_env_opts {
    /// `sizeof(struct uxdp_env_opts)`.
    pub sz: usize,
    /// Slots of workers and of per-CPU maps; 0: the number of possible CPUs.
    pub nr_cpus: u32,
    /// 0.
    pub reserved: u32,
    /// What only the host can do; NULL: nothing. Copied; functions and `arg` stay in use as long as the process.
    pub host: *const crate::uxdp_host_ops,
    /// Helpers of the host's own; NULL: none. Copied; the functions stay in use as long as the process.
    pub helpers: *const crate::uxdp_helper,
    /// How many of them.
    pub nr_helpers: usize,
}

/// How a hook is made: what contexts of it start with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_hook_opts {
    /// `sizeof(struct uxdp_hook_opts)`.
    pub sz: usize,
    /// Where its packets come in; 0 is no interface.
    pub ingress_ifindex: u32,
    /// On which queue.
    pub rx_queue_index: u32,
    /// What the port offers: UXDP_OFFERS_STATED and any of UXDP_OFFERS_*. 0: nothing is said of it, and every program fits.
    pub offers: u32,
    /// 0.
    pub reserved: u32,
    /// The port's MTU: bytes of its largest packet without the Ethernet header. 0, with `buffer_size`: nothing is said of it. It counts without UXDP_OFFERS_STATED, too.
    pub mtu: u32,
    /// Bytes of a packet that one buffer holds, the Ethernet header included and headroom not. Where the MTU does not fit, programs without `xdp.frags` are not attached.
    pub buffer_size: u32,
}

/// Offer: what the host says of the port is complete; without it the other bits say nothing.
pub const UXDP_OFFERS_STATED: u32 = 0x8000_0000;
/// Offer: packets can be redirected to other ports, lcores or sockets.
pub const UXDP_OFFERS_REDIRECT: u32 = 1;
/// Offer: there is room in front of a packet.
pub const UXDP_OFFERS_HEADROOM: u32 = 1 << 1;
/// Offer: metadata in front of a packet goes with it.
pub const UXDP_OFFERS_METADATA: u32 = 1 << 2;
/// Offer: `rx.hash` is filled where the NIC gives it.
pub const UXDP_OFFERS_RX_HASH: u32 = 1 << 3;
/// Offer: `rx.timestamp` is filled where the NIC gives it.
pub const UXDP_OFFERS_RX_TIMESTAMP: u32 = 1 << 4;
/// Offer: `rx.vlan_tag` is filled where the NIC gives it.
pub const UXDP_OFFERS_RX_VLAN_TAG: u32 = 1 << 5;
/// Not an offer but a demand: packets may come in several buffers, so that programs without `xdp.frags` do not fit.
pub const UXDP_OFFERS_SEVERAL_BUFFERS: u32 = 1 << 6;
/// Offer: packets can be sent back out of the port (UXDP_TX). Programs need it that have the constant XDP_TX for an answer; from others, whose answer is computed or comes
/// from a map, the host drops and counts it where it cannot send.
pub const UXDP_OFFERS_TX: u32 = 1 << 7;

/// How programs are attached.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_attach_opts {
    /// `sizeof(struct uxdp_attach_opts)`.
    pub sz: usize,
    /// `UXDP_ATTACH_BY_PRIORITY` or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// One number a program, or NULL: bit n says that the next program runs after action n. NULL is what each program's `XDP_RUN_CONFIG` says, and after `UXDP_PASS`
    /// where it says nothing.
    pub chain_call_actions: *const u32,
    /// One number a program, or NULL, for `UXDP_ATTACH_BY_PRIORITY`. NULL is what each program's `XDP_RUN_CONFIG` says, and 50 where it says nothing.
    pub priorities: *const u32,
}

/// Attaches programs in order of their priority, lowest first, as libxdp does; equal ones in the order in which they are given.
pub const UXDP_ATTACH_BY_PRIORITY: u32 = 1;

/// What a map is to be. Declare one with `UXDP_STRUCT(uxdp_map_spec, spec, .type = 1, .key_size = 4, .value_size = 8, .max_entries = 100)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_map_spec {
    /// `sizeof(struct uxdp_map_spec)`.
    pub sz: usize,
    /// Its name; NULL: "map". Copied.
    pub name: *const c_char,
    /// The kernel's `enum bpf_map_type`.
    pub r#type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements at most.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// NUMA node, with BPF_F_NUMA_NODE.
    pub numa_node: c_int,
    /// As the kernel's `map_extra`: hashes of a bloom filter.
    pub map_extra: u64,
    /// Of a map of maps what its inner maps are like, name and NUMA node aside; else NULL.
    pub inner: *const uxdp_map_spec,
}

/// What a map is. Declare one with `UXDP_STRUCT(uxdp_map_info, info)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_map_info {
    /// `sizeof(struct uxdp_map_info)`, set by the caller.
    pub sz: usize,
    /// The kernel's `enum bpf_map_type`.
    pub r#type: u32,
    /// Its number in the environment, from 1; 0 before the load.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, as the program sees it.
    pub value_size: u32,
    /// Elements at most.
    pub max_entries: u32,
    /// `BPF_F_*` of creation.
    pub flags: u32,
    /// Slots of a per-CPU value.
    pub nr_cpus: u32,
    /// 1: the control plane cannot write any more.
    pub frozen: u32,
    /// Bytes of the buffer for uxdp_map_lookup_elem and uxdp_map_update_elem: all slots of a per-CPU map.
    pub value_buf_size: usize,
    /// Bytes of map memory; 0 before the load.
    pub memory_size: usize,
    /// Its name; lives as long as the map.
    pub name: *const c_char,
}

/// Every slot, for uxdp_prog_stats.
pub const UXDP_ALL_SLOTS: c_int = -1;

/// Counters of a program. Declare one with `UXDP_STRUCT(uxdp_prog_stats, stats)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_prog_stats {
    /// `sizeof(struct uxdp_prog_stats)`, set by the caller.
    pub sz: usize,
    /// Runs; counted with UXDP_LOAD_COUNT_ACTIONS alone.
    pub runs: u64,
    /// Runs by how they ended: `enum uxdp_action`; counted with UXDP_LOAD_COUNT_ACTIONS alone.
    pub actions: [u64; 8],
    /// Aborted runs by why: `enum uxdp_abort_reason`.
    pub aborts: [u64; 16],
}

/// What a slot's worker has reported. Declare one with `UXDP_STRUCT(uxdp_worker_stats, stats)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_worker_stats {
    /// `sizeof(struct uxdp_worker_stats)`, set by the caller.
    pub sz: usize,
    /// 1 while a worker holds the slot.
    pub registered: u32,
    /// 1 while that worker is online: what is replaced waits for its uxdp_worker_quiescent.
    pub online: u32,
    /// Replacements that it has not answered since it was quiescent last; 0 while it is offline.
    pub behind: u64,
}

/// What an environment has yet to free, and for whom it waits. Declare one with `UXDP_STRUCT(uxdp_reclaim_stats, stats)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_reclaim_stats {
    /// `sizeof(struct uxdp_reclaim_stats)`, set by the caller.
    pub sz: usize,
    /// Programs, inner maps, entries and the like that were replaced and wait to be freed. What tries replace waits in their own memory.
    pub waiting: u32,
    /// The slot whose online worker has been silent the longest; -1 where all have answered.
    pub held_up_by: i32,
    /// Replacements that this worker has not answered.
    pub behind: u64,
}

/// A test run, in and out. Declare one with `UXDP_STRUCT(uxdp_test_run_opts, opts, .data_in = packet, .data_size_in = 64)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_test_run_opts {
    /// `sizeof(struct uxdp_test_run_opts)`.
    pub sz: usize,
    /// The packet; at least 14 bytes.
    pub data_in: *const c_void,
    /// Bytes of `data_in`.
    pub data_size_in: usize,
    /// Gets the packet after the last run; NULL: not wanted.
    pub data_out: *mut c_void,
    /// In: bytes of `data_out`. Out: bytes of the packet after the last run.
    pub data_size_out: usize,
    /// Runs on the same packet, one after the other, as the kernel does it; 0: one.
    pub repeat: u32,
    /// Out: what the last run returned, one of `enum uxdp_action`.
    pub retval: u32,
    /// Out: nanoseconds of a run on average.
    pub duration: u32,
    /// Where the packet came in.
    pub ingress_ifindex: u32,
    /// On which queue.
    pub rx_queue_index: u32,
    /// 0.
    pub reserved: u32,
    /// Out: where the last run redirected the packet.
    pub redirect: crate::uxdp_redirect,
}

/// An option struct of C.
///
/// # Safety
/// `repr(C)`, begins with `sz: usize`, has no padding, and any bytes are a valid value of it.
pub(crate) unsafe trait Opts: Copy {
    /// What a NULL pointer and fields beyond the caller's `sz` stand for.
    const DEFAULT: Self;
}

/// Defaults of zero but for what is named: true of every option struct, so that a zeroed struct with its size set is a valid one.
macro_rules! opts {
    ($($name:ident = $size:literal { $($field:ident: $value:expr),* })*) => { $(
        impl $name {
            /// All zero, which stands for the defaults, but for the size.
            // SAFETY: integers and nullable pointers: zero is a value of each.
            pub(crate) const EMPTY: Self = Self { sz: size_of::<Self>(), ..unsafe { core::mem::zeroed() } };
        }
        // SAFETY: `repr(C)`, `sz` first, integers and nullable pointers only; the assertion excludes padding.
        unsafe impl Opts for $name {
            const DEFAULT: Self = Self { $($field: $value,)* ..Self::EMPTY };
        }
        const _: () = assert!(size_of::<$name>() == $size);
    )* };
}

opts! {
    uxdp_open_opts = 80 { numa_node: -1 }
    uxdp_load_opts = 64 {}
    uxdp_env_opts = 40 {}
    uxdp_hook_opts = 32 {}
    uxdp_attach_opts = 32 {}
    uxdp_map_spec = 56 {}
    uxdp_map_info = 64 {}
    uxdp_prog_stats = 208 {}
    uxdp_worker_stats = 24 {}
    uxdp_reclaim_stats = 24 {}
    uxdp_test_run_opts = 104 {}
}

// The same of structs that stand elsewhere.
use crate::{uxdp_helper, uxdp_host_ops, uxdp_link, uxdp_route};
opts! {
    uxdp_host_ops = 112 {}
    uxdp_helper = 56 {}
    uxdp_link = 32 {}
    uxdp_route = 80 {}
}

/// The caller's options over the defaults.
///
/// # Errors
/// EINVAL where `sz` does not even cover itself, E2BIG where a field that this library does not know is set.
///
/// # Safety
/// `opts` is NULL or points at `sz` readable bytes.
pub(crate) unsafe fn read<T: Opts>(opts: *const T) -> Result<T, Failed> {
    let mut out = T::DEFAULT;
    if opts.is_null() {
        return Ok(out);
    }
    // SAFETY: the caller's struct begins with `sz`.
    let sz = unsafe { opts.cast::<usize>().read() };
    if sz < size_of::<usize>() {
        return Err(fail(Errno::EINVAL, format_args!("set the options' sz to their size")));
    }
    let known = sz.min(size_of::<T>());
    // SAFETY: `sz` bytes are readable, and the trait says that any bytes make a T.
    unsafe { core::ptr::copy_nonoverlapping(opts.cast::<u8>(), (&raw mut out).cast(), known) };
    // SAFETY: `known <= sz` bytes are readable.
    let unknown = unsafe { core::slice::from_raw_parts(opts.cast::<u8>().add(known), sz - known) };
    match unknown.iter().position(|b| *b != 0) {
        None => Ok(out),
        Some(i) => Err(fail(
            Errno::E2BIG,
            format_args!("the option at byte {} is not known to this version", known + i),
        )),
    }
}

/// Writes a result struct, as much of it as the caller knows; what it knows beyond that becomes zero.
///
/// # Errors
/// EINVAL for NULL or an `sz` that does not even cover itself.
///
/// # Safety
/// `out` is NULL or points at `sz` writable bytes.
pub(crate) unsafe fn write<T: Opts>(out: *mut T, value: T) -> Result<(), Failed> {
    if out.is_null() {
        return Err(fail(Errno::EINVAL, format_args!("out is NULL")));
    }
    // SAFETY: the caller's struct begins with `sz`, and has that many bytes.
    unsafe {
        let sz = out.cast::<usize>().read();
        if sz < size_of::<usize>() {
            return Err(fail(Errno::EINVAL, format_args!("set the struct's sz first")));
        }
        let known = sz.min(size_of::<T>());
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast::<u8>(), known);
        out.cast::<u8>().add(known).write_bytes(0, sz - known);
        out.cast::<usize>().write(sz);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newer header's struct: one field more than this library knows.
    #[repr(C)]
    struct Newer {
        known: uxdp_load_opts,
        extra: u64,
    }

    fn read_newer(extra: u64) -> Result<uxdp_load_opts, Failed> {
        let mut n = Newer { known: uxdp_load_opts::DEFAULT, extra };
        n.known.sz = size_of::<Newer>();
        n.known.engine = 2;
        // SAFETY: `sz` is the whole struct's.
        unsafe { read((&raw const n).cast()) }
    }

    #[test]
    fn unknown_fields_must_be_zero() {
        assert_eq!(read_newer(0).unwrap().engine, 2);
        assert_eq!(read_newer(1 << 40).err().unwrap().code(), -Errno::E2BIG.0);
    }

    #[test]
    fn fields_beyond_the_callers_size_are_defaults() {
        let old = uxdp_open_opts { sz: 24, numa_node: 5, nr_cpus: 3, ..uxdp_open_opts::DEFAULT };
        // SAFETY: `sz` is below the struct's size.
        let seen = unsafe { read(&raw const old) }.unwrap();
        assert_eq!((seen.numa_node, seen.nr_cpus), (-1, 0));
    }

    #[test]
    fn size_that_does_not_cover_itself_is_refused() {
        let bad = uxdp_load_opts { sz: 4, ..uxdp_load_opts::DEFAULT };
        // SAFETY: a whole struct is readable.
        assert_eq!(unsafe { read(&raw const bad) }.err().unwrap().code(), -Errno::EINVAL.0);
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { read::<uxdp_load_opts>(core::ptr::null()) }.unwrap().engine, 0);
    }
}
