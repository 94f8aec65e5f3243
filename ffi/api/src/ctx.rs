//! The context of a run and the packets of a burst, as C sees them.
//!
//! These mirror `uxdp_core::vm::{Ctx, Pkt, RxMeta, Redirect}` field by field; the assertions at the end hold them together, those in the
//! header do the same for the C compiler. A context crosses the boundary as a pointer cast, nothing is copied.

use crate::hook::uxdp_hook;
use crate::status::{arg, fail, status};
use crate::worker::uxdp_worker;
use core::ffi::{c_int, c_uint, c_void};
use core::mem::{align_of, offset_of, size_of};
use uxdp_core::error::Errno;
use uxdp_core::vm;

/// What a program says of its packet: the values of `enum xdp_action`, under names that do not clash with `linux/bpf.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_action {
    /// Something went wrong; the packet is dropped and the reason counted.
    UXDP_ABORTED = 0,
    /// Drop it.
    UXDP_DROP = 1,
    /// To whoever embeds us.
    UXDP_PASS = 2,
    /// Back out of the port it came from.
    UXDP_TX = 3,
    /// To the target in the context's `redirect`.
    UXDP_REDIRECT = 4,
}

/// Why a run ended as aborted. Append-only: each is an index into `aborts` of `struct uxdp_prog_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_abort_reason {
    /// The program returned XDP_ABORTED.
    UXDP_ABORT_RETURNED = 0,
    /// The program returned a number that is no action, or none that the program of a map's entry has.
    UXDP_ABORT_UNKNOWN_CODE = 1,
    /// The engine caught what the verifier should have excluded.
    UXDP_ABORT_FAULT = 2,
    /// The hook has no program.
    UXDP_ABORT_NO_PROGRAM = 3,
    /// XDP_REDIRECT was returned, but no target was set.
    UXDP_ABORT_NO_REDIRECT_TARGET = 4,
    /// The lock of a map's value was not to be had in time: its holder is dead, or stuck.
    UXDP_ABORT_LOCK = 5,
    /// The run took more instructions than `run_limit` of its load allows.
    UXDP_ABORT_LIMIT = 6,
    /// The packet is in several buffers, and a program that is attached does not take such (section `xdp.frags`): none was run.
    UXDP_ABORT_SEVERAL_BUFFERS = 7,
    /// The run took more time than `run_time_limit` of its load allows.
    UXDP_ABORT_TIME = 8,
}

/// What kind of target a redirect has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_redirect_kind {
    /// No redirect.
    UXDP_REDIRECT_NONE = 0,
    /// An interface index: `target`.
    UXDP_REDIRECT_IFINDEX = 1,
    /// Entry `index` of a device map.
    UXDP_REDIRECT_DEVMAP = 2,
    /// Entry `index` of a CPU map.
    UXDP_REDIRECT_CPUMAP = 3,
    /// Entry `index` of a socket map.
    UXDP_REDIRECT_XSKMAP = 4,
}

/// Bits of `valid` in `struct uxdp_rx_meta`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_rx_valid {
    /// `hash` and `hash_type` are set.
    UXDP_RX_HASH = 1,
    /// `timestamp` is set.
    UXDP_RX_TIMESTAMP = 2,
    /// `vlan_proto` and `vlan_tci` are set.
    UXDP_RX_VLAN = 4,
}

/// What the NIC said of a packet; each with a bit in `valid`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_rx_meta {
    /// Bits of `enum uxdp_rx_valid`.
    pub valid: u32,
    /// RSS hash.
    pub hash: u32,
    /// Kind of the hash (the kernel's `enum xdp_rss_hash_type`).
    pub hash_type: u32,
    /// VLAN protocol, network byte order.
    pub vlan_proto: u16,
    /// VLAN tag, host byte order.
    pub vlan_tci: u16,
    /// Receive time in ns.
    pub timestamp: u64,
}

/// One fragment of a packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_frag {
    /// Its first byte. In and out.
    pub data: *mut u8,
    /// Bytes of packet in it. In and out.
    pub len: u32,
    /// Bytes from `data` on that it may grow to; 0: it cannot grow. In and out.
    pub room: u32,
    /// The host's own, for example its mbuf; never touched.
    pub cookie: *mut c_void,
}

/// Most fragments of a packet.
pub const UXDP_MAX_FRAGS: usize = 17;

/// The rest of a packet behind its first buffer: fragments in order. For programs of section `xdp.frags`: see uxdp_hook_takes_frags.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_frags {
    /// How many there are. In and out.
    pub nr: u32,
    /// How many the program dropped: they stand behind those that are left, and are the host's to free. In: 0. Out.
    pub nr_released: u32,
    /// The fragments.
    pub frags: [uxdp_frag; UXDP_MAX_FRAGS],
}

/// Where a redirected packet goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_redirect {
    /// One of `enum uxdp_redirect_kind`.
    pub kind: u32,
    /// Index in the map.
    pub index: u32,
    /// The helper's flags.
    pub flags: u64,
    /// Interface, CPU or socket number of the target.
    pub target: u64,
    /// The map, or NULL.
    pub map: *const c_void,
    /// The entry's own program, or NULL.
    pub egress_prog: *const c_void,
}

/// A run's entry: takes the context, returns one of `enum uxdp_action`.
pub type uxdp_entry = unsafe extern "C" fn(ctx: *mut uxdp_ctx) -> u32;

/// The context of a run: one a worker and hook, reused for every packet.
///
/// Made by uxdp_ctx_init. For each packet the host sets the five pointers, which lie in one buffer in this order:
/// `data_hard_start <= data_meta <= data <= data_end <= frame_end`. `data_meta == data` means that there is no metadata. The program
/// may move `data_meta`, `data` and `data_end` and use all of the buffer. Only the worker's thread touches it.
#[repr(C)]
pub struct uxdp_ctx {
    /// First byte of the buffer: all of the headroom may be used. In.
    pub data_hard_start: *mut u8,
    /// First byte of the metadata. In and out.
    pub data_meta: *mut u8,
    /// First byte of the packet. In and out.
    pub data: *mut u8,
    /// One past the packet's last byte. In and out.
    pub data_end: *mut u8,
    /// One past the buffer's last byte: all of the tailroom may be used. In.
    pub frame_end: *mut u8,
    /// The hook's slot that holds the entry. Read-only.
    pub entry: *const uxdp_entry,
    /// The worker's block. Read-only.
    pub percpu: *mut c_void,
    /// The worker's slot. Read-only.
    pub slot: u32,
    /// Where the packet came in; 0 is no interface. In; kept from packet to packet.
    pub ingress_ifindex: u32,
    /// On which queue it came in. In; kept from packet to packet.
    pub rx_queue_index: u32,
    /// Where it goes out, for devmap programs. In; kept from packet to packet.
    pub egress_ifindex: u32,
    /// What the NIC said of it. In; kept from packet to packet.
    pub rx: uxdp_rx_meta,
    /// What is behind the first buffer; NULL: nothing. In; kept from packet to packet.
    pub frags: *mut uxdp_frags,
    /// Where a packet with UXDP_REDIRECT goes. Out.
    pub redirect: uxdp_redirect,
    /// Private.
    pub reserved_: [u64; 11],
}

/// One packet of a burst.
#[repr(C)]
pub struct uxdp_pkt {
    /// As in `struct uxdp_ctx`.
    pub data_hard_start: *mut u8,
    /// As in `struct uxdp_ctx`.
    pub data_meta: *mut u8,
    /// As in `struct uxdp_ctx`.
    pub data: *mut u8,
    /// As in `struct uxdp_ctx`.
    pub data_end: *mut u8,
    /// As in `struct uxdp_ctx`.
    pub frame_end: *mut u8,
    /// The host's own, for example its mbuf; never touched.
    pub cookie: *mut c_void,
    /// What the NIC said of it. In.
    pub rx: uxdp_rx_meta,
    /// What is behind the first buffer; NULL: nothing. In.
    pub frags: *mut uxdp_frags,
    /// One of `enum uxdp_action`. Out.
    pub action: u32,
    /// Where a packet with UXDP_REDIRECT goes. Out.
    pub redirect: uxdp_redirect,
}

macro_rules! mirrors {
    ($($c:ident = $core:ty { $($field:ident),* })*) => { $(
        assert!(size_of::<$c>() == size_of::<$core>() && align_of::<$c>() == align_of::<$core>());
        $(assert!(offset_of!($c, $field) == offset_of!($core, $field));)*
    )* };
}

const _: () = {
    mirrors! {
        uxdp_ctx = vm::Ctx {
            data_hard_start, data_meta, data, data_end, frame_end, entry, percpu, slot, ingress_ifindex, rx_queue_index, egress_ifindex,
            rx, frags, redirect
        }
        uxdp_pkt = vm::Pkt {
            data_hard_start, data_meta, data, data_end, frame_end, cookie, rx, frags, action, redirect
        }
        uxdp_frag = vm::Frag { data, len, room, cookie }
        uxdp_frags = vm::Frags { nr, nr_released, frags }
        uxdp_rx_meta = vm::RxMeta { valid, hash, hash_type, vlan_proto, vlan_tci, timestamp }
        uxdp_redirect = vm::Redirect { kind, index, flags, target, map, egress_prog }
    }
    assert!(UXDP_MAX_FRAGS == vm::MAX_FRAGS);
    use vm::{AbortReason as A, Action, RedirectKind as R};
    assert!(Action::Aborted as u32 == uxdp_action::UXDP_ABORTED as u32);
    assert!(Action::Redirect as u32 == uxdp_action::UXDP_REDIRECT as u32);
    assert!(A::NoRedirectTarget as u32 == uxdp_abort_reason::UXDP_ABORT_NO_REDIRECT_TARGET as u32);
    assert!(A::Lock as u32 == uxdp_abort_reason::UXDP_ABORT_LOCK as u32);
    assert!(A::Limit as u32 == uxdp_abort_reason::UXDP_ABORT_LIMIT as u32);
    assert!(A::SeveralBuffers as u32 == uxdp_abort_reason::UXDP_ABORT_SEVERAL_BUFFERS as u32);
    assert!(A::Time as u32 == uxdp_abort_reason::UXDP_ABORT_TIME as u32);
    assert!(A::COUNT == uxdp_abort_reason::UXDP_ABORT_TIME as usize + 1);
    assert!(R::Xskmap as u32 == uxdp_redirect_kind::UXDP_REDIRECT_XSKMAP as u32);
};

/// Ties a context of `size` bytes to a worker and a hook; call it as `uxdp_ctx_init(ctx, w, h)`, which gives the size. The packet's pointers are NULL then,
/// `ingress_ifindex` and `rx_queue_index` the hook's.
///
/// `ctx` stays the caller's, `w` and `h` too: both live as long as it is used. The worker's thread. 0; -EINVAL for NULL, a worker and a hook of different
/// environments, or a size that is smaller than this version's.
///
/// # Safety
/// `ctx` is NULL or has `size` bytes; `w` and `h` are NULL or handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_ctx_init_sized(
    ctx: *mut uxdp_ctx,
    w: *mut uxdp_worker,
    h: *mut uxdp_hook,
    size: usize,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (w, h) = unsafe {
            arg(ctx.cast::<u8>(), "ctx")?;
            (arg(w, "worker")?, arg(h, "hook")?)
        };
        if size < size_of::<uxdp_ctx>() {
            return Err(fail(
                Errno::EINVAL,
                format_args!("the context is smaller than struct uxdp_ctx of this version"),
            ));
        }
        // SAFETY: the caller's word; the structs are the same, as the assertions above show.
        unsafe {
            ctx.cast::<u8>().write_bytes(0, size);
            vm::ctx_init(ctx.cast(), &w.worker, &h.hook)?;
            (*ctx).ingress_ifindex = h.ingress_ifindex;
            (*ctx).rx_queue_index = h.rx_queue_index;
        }
        Ok(())
    })
}

/// Runs the hook's programs on the packet in the context: what xdp_run does, for hosts that cannot use an inline function.
///
/// The context and the buffer stay the caller's. The worker's thread. Cannot fail: errors are UXDP_ABORTED, counted by reason.
///
/// # Safety
/// The context was made by uxdp_ctx_init, worker and hook live; its pointers are in order and inside one buffer that this thread owns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_run(ctx: *mut uxdp_ctx) -> u32 {
    // SAFETY: the caller's word.
    unsafe { vm::xdp_run(ctx.cast()) }
}

/// Runs the hook's programs on each of `n` packets in order. All see the same set of programs; actions, pointers and redirects are written back.
///
/// The context gives worker, hook, interface and queue; its own packet pointers are overwritten. Context, packets and buffers stay the caller's. The worker's
/// thread. Cannot fail: errors are UXDP_ABORTED, counted by reason.
///
/// # Safety
/// As uxdp_run, for each packet; `pkts` are `n` packets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xdp_run_burst(ctx: *mut uxdp_ctx, pkts: *mut uxdp_pkt, n: c_uint) {
    // SAFETY: the caller's word.
    unsafe { vm::xdp_run_burst(ctx.cast(), pkts.cast(), n) }
}
