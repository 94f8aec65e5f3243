//! The context: what a program sees of its packet, and what engines and helpers keep beside it.
//!
//! One a worker and hook, reused for every packet. The first 64 bytes are the fast part and fixed for a SONAME; everything a C host touches is
//! mirrored by `uxdp.h`. All pointers are into one buffer: `data_hard_start <= data_meta <= data <= data_end <= frame_end`.

use super::Frags;
use super::action::AbortReason;

/// A run's entry: takes the context, returns an action code.
pub type Entry = unsafe extern "C" fn(*mut Ctx) -> u32;

/// The context of a run.
#[repr(C)]
pub struct Ctx {
    /// First byte of the buffer's headroom.
    pub data_hard_start: *mut u8,
    /// First byte of the metadata; equals `data` where there is none.
    pub data_meta: *mut u8,
    /// First byte of the packet.
    pub data: *mut u8,
    /// One beyond the packet's last byte.
    pub data_end: *mut u8,
    /// One beyond the buffer's last usable byte.
    pub frame_end: *mut u8,
    /// The hook's slot that holds the entry; a replaced program is one store there.
    pub entry: *const Entry,
    /// The worker's private block (statistics, clock).
    pub percpu: *mut u8,
    /// The worker's slot: `bpf_get_smp_processor_id()` and the per-CPU index.
    pub slot: u32,
    /// Where the packet came in; 0 is no interface.
    pub ingress_ifindex: u32,

    /// On which queue it came in.
    pub rx_queue_index: u32,
    /// Where it goes out; for devmap programs.
    pub egress_ifindex: u32,
    /// What the NIC said of it.
    pub rx: RxMeta,
    /// The rest of a multi-buffer packet, or null.
    pub frags: *mut Frags,
    /// Out: where a redirected packet goes.
    pub redirect: Redirect,

    /// Private: tail calls of this run.
    pub(crate) tail_calls: u32,
    /// Private: why the run was aborted, as [`AbortReason`] + 1; 0 is not aborted.
    pub(crate) abort: u32,
    /// Private: the environment's run-time services (clock, random, trace), set when the context is made.
    pub(crate) env: *const super::RunEnv,
    /// Private: the program that runs (after tail calls the one that was called last).
    pub(crate) prog: *const u8,
    /// Private: the interpreter that called the helper at hand, for callbacks.
    pub(crate) caller: *const crate::interp::Caller,
    /// Private: the lock of a value that the program holds, or null.
    pub(crate) lock: *const crate::maps::ValueLock,
    /// Private: the timer whose callback runs, or null.
    pub(crate) timer: *const super::Timer,
    /// Private: instructions that the run may still take before it asks for more ([`super::limit`]).
    pub(crate) budget: u64,
    /// Private: how many it gets then, all in all.
    pub(crate) left: u64,
    /// Private: the time that it may take, in nanoseconds; 0: any.
    pub(crate) nanos: u64,
    /// Private: when that ends; 0 before it first asked for more.
    pub(crate) deadline: u64,
    pub(crate) reserved: [u64; 1],
}

impl Ctx {
    /// Notes why a run is aborted; the first reason stays.
    pub(crate) fn set_abort(&mut self, reason: AbortReason) {
        if self.abort == 0 {
            self.abort = reason as u32 + 1;
        }
    }

    /// Why the last run was aborted; says nothing after a run that was not.
    pub fn abort_reason(&self) -> Option<AbortReason> {
        AbortReason::from_number(self.abort.checked_sub(1)?)
    }

    /// A context with no packet, no hook and no services: every pointer null.
    pub const fn empty() -> Self {
        use core::ptr::{null, null_mut};
        Ctx {
            data_hard_start: null_mut(),
            data_meta: null_mut(),
            data: null_mut(),
            data_end: null_mut(),
            frame_end: null_mut(),
            entry: null(),
            percpu: null_mut(),
            slot: 0,
            ingress_ifindex: 0,
            rx_queue_index: 0,
            egress_ifindex: 0,
            rx: RxMeta::NONE,
            frags: null_mut(),
            redirect: Redirect::NONE,
            tail_calls: 0,
            abort: 0,
            env: null(),
            prog: null(),
            caller: null(),
            lock: null(),
            timer: null(),
            budget: super::NO_LIMIT,
            left: 0,
            nanos: 0,
            deadline: 0,
            reserved: [0; 1],
        }
    }
}

/// What the NIC said of a packet; each with a bit in `valid`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// Bits: 1 hash, 2 timestamp, 4 VLAN.
    pub valid: u32,
    /// RSS hash.
    pub hash: u32,
    /// Kind of the hash (`enum xdp_rss_hash_type`).
    pub hash_type: u32,
    /// VLAN protocol, network byte order.
    pub vlan_proto: u16,
    /// VLAN tag.
    pub vlan_tci: u16,
    /// Receive time in ns.
    pub timestamp: u64,
}

impl RxMeta {
    /// Bit of `valid`: the hash.
    pub const HASH: u32 = 1;
    /// Bit of `valid`: the time.
    pub const TIMESTAMP: u32 = 2;
    /// Bit of `valid`: the VLAN.
    pub const VLAN: u32 = 4;

    /// Nothing known.
    pub const NONE: RxMeta =
        RxMeta { valid: 0, hash: 0, hash_type: 0, vlan_proto: 0, vlan_tci: 0, timestamp: 0 };
}

/// What kind of target a redirect has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum RedirectKind {
    /// No redirect.
    #[default]
    None = 0,
    /// An interface index.
    Ifindex = 1,
    /// An entry of a device map.
    Devmap = 2,
    /// An entry of a CPU map.
    Cpumap = 3,
    /// An entry of a socket map.
    Xskmap = 4,
}

/// Where a redirected packet goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Which kind of target.
    pub kind: RedirectKind,
    /// Index in the map.
    pub index: u32,
    /// The helper's flags.
    pub flags: u64,
    /// Interface, CPU or socket number of the target.
    pub target: u64,
    /// The map, or null.
    pub map: *const core::ffi::c_void,
    /// The entry's own program, or null.
    pub egress_prog: *const core::ffi::c_void,
}

impl Redirect {
    /// No target.
    pub const NONE: Redirect = Redirect {
        kind: RedirectKind::None,
        index: 0,
        flags: 0,
        target: 0,
        map: core::ptr::null(),
        egress_prog: core::ptr::null(),
    };
}

/// One packet of a burst.
#[repr(C)]
pub struct Pkt {
    /// As in [`Ctx`].
    pub data_hard_start: *mut u8,
    /// As in [`Ctx`].
    pub data_meta: *mut u8,
    /// As in [`Ctx`].
    pub data: *mut u8,
    /// As in [`Ctx`].
    pub data_end: *mut u8,
    /// As in [`Ctx`].
    pub frame_end: *mut u8,
    /// The host's own, for example its mbuf; never touched.
    pub cookie: *mut core::ffi::c_void,
    /// What the NIC said of it.
    pub rx: RxMeta,
    /// The rest of a multi-buffer packet, or null.
    pub frags: *mut Frags,
    /// Out: the action code.
    pub action: u32,
    /// Out: where the packet goes, if the action is REDIRECT; else what it was.
    pub redirect: Redirect,
}

impl Pkt {
    /// No packet: every pointer null.
    pub const EMPTY: Pkt = Pkt {
        data_hard_start: core::ptr::null_mut(),
        data_meta: core::ptr::null_mut(),
        data: core::ptr::null_mut(),
        data_end: core::ptr::null_mut(),
        frame_end: core::ptr::null_mut(),
        cookie: core::ptr::null_mut(),
        rx: RxMeta::NONE,
        frags: core::ptr::null_mut(),
        action: 0,
        redirect: Redirect::NONE,
    };
}

const _: () = {
    use core::mem::offset_of;
    assert!(
        offset_of!(Ctx, data_meta) == 8 && offset_of!(Ctx, data) == 16 && offset_of!(Ctx, data_end) == 24
    );
    assert!(
        offset_of!(Ctx, frame_end) == 32 && offset_of!(Ctx, entry) == 40 && offset_of!(Ctx, percpu) == 48
    );
    assert!(offset_of!(Ctx, slot) == 56 && offset_of!(Ctx, ingress_ifindex) == 60);
    assert!(offset_of!(Ctx, rx_queue_index) == 64);
};
