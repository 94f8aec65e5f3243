//! The seam between the forwarding loop and whatever decides about packets.
//!
//! The loop knows a [`Pkt`] and [`Engine::run_burst`]; nothing outside this folder knows where the decision comes from.

mod attach;
mod entries;
mod native;
mod network;
mod objects;
mod program;
mod reload;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) use attach::{AttachError, Input};
pub(crate) use entries::{EntryRunner, LcoreWorker, Origin};

use dpdk_sys::{Changes, Frame, FrameHead, MAX_SEGMENTS, Offers, PortInfo, RxMeta, Segment, Segments};
use serde_json::Value;
use uxdp_control::session::SessionError;
use uxdp_core::vm::{self, Env, Redirect, RedirectKind};

use crate::args::Args;
use native::NativeEngine;
use program::ProgramEngine;

/// The VLAN tag that devices take off.
const ETH_P_8021Q: u16 = 0x8100;

pub(crate) const XDP_ABORTED: u32 = 0;
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;
pub(crate) const XDP_REDIRECT: u32 = 4;

/// No port: a packet for an entry with a program, for many, for another lcore, or for a socket.
pub(crate) const ELSEWHERE: u32 = u32::MAX;
/// Most bytes of metadata that a packet has.
const MAX_METADATA: u16 = 255;

/// A packet and, after the run, what became of it: `struct uxdp_pkt`, whose head is the frame.
#[repr(transparent)]
pub(crate) struct Pkt(pub(crate) vm::Pkt);

// SAFETY: a vm::Pkt is repr(C) and begins with the five pointers and the cookie, as a frame does; the assertions below hold both to it.
unsafe impl FrameHead for Pkt {
    const SEGMENTS_AT: usize = std::mem::offset_of!(vm::Pkt, frags);
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(vm::Pkt, data_hard_start) == offset_of!(Frame, data_hard_start));
    assert!(offset_of!(vm::Pkt, data_meta) == offset_of!(Frame, data_meta));
    assert!(offset_of!(vm::Pkt, data) == offset_of!(Frame, data));
    assert!(offset_of!(vm::Pkt, data_end) == offset_of!(Frame, data_end));
    assert!(offset_of!(vm::Pkt, frame_end) == offset_of!(Frame, frame_end));
    assert!(offset_of!(vm::Pkt, cookie) == offset_of!(Frame, cookie));
    assert!(size_of::<vm::Frags>() == size_of::<Segments>() && vm::MAX_FRAGS == MAX_SEGMENTS);
    assert!(offset_of!(vm::Frags, nr_released) == offset_of!(Segments, nr_released));
    assert!(offset_of!(vm::Frags, frags) == offset_of!(Segments, list));
    assert!(offset_of!(vm::Frag, len) == offset_of!(Segment, len));
    assert!(offset_of!(vm::Frag, room) == offset_of!(Segment, room));
    assert!(offset_of!(vm::Frag, cookie) == offset_of!(Segment, cookie));
};

impl Pkt {
    pub(crate) const EMPTY: Self = Self(vm::Pkt::EMPTY);

    /// What the program returned.
    #[inline]
    pub(crate) fn action(&self) -> u32 {
        self.0.action
    }

    /// Where XDP_REDIRECT goes where that is all there is to it: port + 1, and 0 is nowhere. [`ELSEWHERE`] where there is more.
    #[inline]
    pub(crate) fn redirect_ifindex(&self) -> u32 {
        if self.0.action != XDP_REDIRECT {
            return 0;
        }
        let Redirect { kind, flags, target, egress_prog, .. } = self.0.redirect;
        match kind {
            RedirectKind::Ifindex | RedirectKind::Devmap if flags == 0 && egress_prog.is_null() => {
                u32::try_from(target).ok().filter(|ifindex| *ifindex != ELSEWHERE).unwrap_or(0)
            }
            RedirectKind::None => 0,
            _ => ELSEWHERE,
        }
    }

    /// Whether it is redirected to where [`crate::egress`] sees to it.
    #[inline]
    pub(crate) fn goes_elsewhere(&self) -> bool {
        self.redirect_ifindex() == ELSEWHERE
    }

    /// Bytes of metadata before it, as far as the program kept to what is allowed.
    #[inline]
    pub(crate) fn metadata(&self) -> u16 {
        let len = self.0.data.addr().saturating_sub(self.0.data_meta.addr());
        u16::try_from(len).ok().filter(|len| *len <= MAX_METADATA).unwrap_or(0)
    }

    /// Forgets the segments behind its first.
    #[inline]
    pub(crate) fn forget_segments(&mut self) {
        self.0.frags = std::ptr::null_mut();
    }

    /// Tells what the driver said about it.
    #[inline]
    pub(crate) fn set_rx(&mut self, said: &RxMeta) {
        let rx = &mut self.0.rx;
        *rx = vm::RxMeta::NONE;
        if let Some(hash) = said.hash() {
            (rx.hash, rx.valid) = (hash, rx.valid | vm::RxMeta::HASH);
        }
        if let Some(nanos) = said.timestamp() {
            (rx.timestamp, rx.valid) = (nanos, rx.valid | vm::RxMeta::TIMESTAMP);
        }
        if let Some(tci) = said.vlan_tci() {
            (rx.vlan_tci, rx.vlan_proto, rx.valid) = (tci, ETH_P_8021Q.to_be(), rx.valid | vm::RxMeta::VLAN);
        }
    }

    /// What decides where it goes, in one word. Packets of one fate go the same way; those of different fates may, too.
    #[inline]
    pub(crate) fn fate(&self) -> u64 {
        u64::from(self.action()) | u64::from(self.redirect_ifindex()) << 32
    }
}

/// Decides about packets, a burst at a time.
pub(crate) trait Engine {
    /// What runs, for the report.
    fn name(&self) -> String;

    /// The most that it may do to a packet.
    fn changes(&self) -> Changes;

    /// What of the devices' offers it makes use of.
    fn uses(&self) -> Offers {
        Offers::default()
    }

    /// Whether packets of that input may be in several segments: every program that is for it takes such (`xdp.frags`).
    fn takes_segments(&self, input: usize) -> bool {
        let _ = input;
        false
    }

    /// Takes its place at the RX queues, which [`Engine::run_burst`] names by their position from then on.
    ///
    /// # Errors
    /// A place that does not exist or gets no program, or a program that a port does not fit.
    fn attach(&mut self, inputs: &[Input]) -> Result<(), AttachError> {
        let _ = inputs;
        Ok(())
    }

    /// Tells the programs of the network that the ports are in. What goes wrong later is told to `complain`.
    ///
    /// # Errors
    /// An interface that does not exist; what the system refuses.
    fn connect(&mut self, args: &Args, ports: &[PortInfo], complain: fn(&str)) -> Result<(), AttachError> {
        let _ = (args, ports, complain);
        Ok(())
    }

    /// Runs the programs on every packet, in order, as received on that input, and fills in `action` and `redirect_ifindex`.
    ///
    /// # Safety
    /// The five pointers of each packet are in order and inside one buffer that nobody else reads or writes meanwhile.
    unsafe fn run_burst(&mut self, input: usize, pkts: &mut [Pkt]);

    /// What runs programs of entries on this lcore; none where nothing redirects.
    fn entries(&mut self) -> Option<&mut EntryRunner> {
        None
    }

    /// Where other lcores register to take packets over: there is a map that redirects to them.
    fn lcores(&self) -> Option<uxdp_core::sync::Arc<Env>> {
        None
    }

    /// Says that nothing of earlier bursts is in use any more: once a round over all ports.
    fn round_over(&mut self) {}

    /// Now and then, between two bursts: what became of a new version of the programs, when one was asked for and made. Never waits.
    fn renew(&mut self) -> Option<Result<Renewed, String>> {
        None
    }

    /// Aborted runs by reason.
    fn aborts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// The contents of the maps that the arguments ask for, by name.
    fn maps(&self) -> Vec<MapContents> {
        Vec::new()
    }
}

/// A new version runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// Of its maps, those that were there before.
    pub(crate) kept: Vec<String>,
}

/// What a map holds at the end.
pub(crate) struct MapContents {
    pub(crate) name: String,
    pub(crate) percpu: bool,
    /// In the shape of `bpftool -j map dump`.
    pub(crate) entries: Value,
}

/// Makes the engine that the arguments ask for. Whenever `reload` is set, it makes a new version of its programs.
///
/// # Errors
/// A file that cannot be read, a program that is refused, or a machine that has no room for it.
pub(crate) fn load(args: &Args, reload: Arc<AtomicBool>) -> Result<Box<dyn Engine>, Box<SessionError>> {
    match args.native {
        Some(native) => Ok(Box::new(NativeEngine::new(native))),
        None => Ok(Box::new(ProgramEngine::load(args, reload)?)),
    }
}
