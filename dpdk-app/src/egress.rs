//! What becomes of redirected packets that need more than to be sent: those for entries with programs, for every entry of a map, for another lcore.
//!
//! ```text
//! IFINDEX, DEVMAP ─► the entry's program ─► PASS: out of the port; everything else: freed
//! DEVMAP, for all ─► a copy for each entry, which goes as above
//! CPUMAP ─► ring of the lcore with that slot ─► there: the entry's program ─► PASS: as the application passes packets
//!                                                                         └─► REDIRECT: as above, anew
//! XSKMAP ─► freed: there are no sockets here
//! ```
//!
//! Slot 0 is the main lcore, which alone sends: other lcores give packets back to it by another ring, with the port they go to. Nothing waits: what a ring has no room for is freed
//! and counted. Every lcore has an [`Egress`] of its own, counts for itself, and what it counts is added up at the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys::{BURST, Burst, Changes, Eal, Error, Mbuf, Mempool, Receiver, Segments, Sender, pause, ring};
use uxdp_core::maps::ProgRef;
use uxdp_core::sync::Arc as CoreArc;
use uxdp_core::vm::{self, Env, Redirect, RedirectKind};

use crate::counters::Counters;
use crate::engine::{EntryRunner, LcoreWorker, Origin, Pkt, XDP_PASS, XDP_REDIRECT};
use crate::forward::PassTo;

/// Records of a ring: what an lcore can be behind by, less one.
const RING: u32 = 2048;
/// Packets that are taken from a ring before the worker is quiescent.
const AT_A_TIME: usize = BURST;

/// Which lane a packet goes to.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    /// The lane of each interface number; 0 is no interface.
    of_ifindex: Vec<Option<usize>>,
    /// Where PASS goes.
    pass: PassTo,
}

impl Lanes {
    /// The lanes of ports, in order.
    pub(crate) fn new(ports: impl IntoIterator<Item = u16>, pass: PassTo) -> Self {
        let mut of_ifindex = vec![None];
        for (lane, port) in ports.into_iter().enumerate() {
            let ifindex = usize::from(port) + 1;
            of_ifindex.resize(of_ifindex.len().max(ifindex + 1), None);
            if let Some(slot) = of_ifindex.get_mut(ifindex) {
                *slot = Some(lane);
            }
        }
        Self { of_ifindex, pass }
    }

    /// The lane for packets that pass, of those that came in at a lane.
    pub(crate) fn pass(&self, ingress: usize) -> Option<usize> {
        match self.pass {
            PassTo::Nowhere => None,
            PassTo::Lane(lane) => Some(lane),
            PassTo::Peer => Some(ingress ^ 1),
        }
    }

    /// The lane behind an interface number.
    pub(crate) fn behind(&self, ifindex: u64) -> Option<usize> {
        usize::try_from(ifindex).ok().and_then(|i| self.of_ifindex.get(i).copied().flatten())
    }
}

/// Where a packet came in, and what goes with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The lane.
    pub(crate) lane: usize,
    pub(crate) origin: Origin,
    /// Bytes of metadata before it.
    pub(crate) metadata: u16,
}

/// A packet for another lcore.
pub(crate) struct Handed<'pool> {
    mbuf: Mbuf<'pool>,
    redirect: Redirect,
    /// Keeps the entry's program.
    held: Option<ProgRef>,
    source: Source,
}

// SAFETY: the mbuf and the program's reference may move to another thread; the redirect's pointers are used there for the program alone, which is held.
unsafe impl Send for Handed<'_> {}

/// A packet that the main lcore is to send out of a lane.
pub(crate) struct Settled<'pool> {
    pub(crate) mbuf: Mbuf<'pool>,
    pub(crate) lane: usize,
}

/// The main lcore's ends of the rings.
pub(crate) struct MainRings<'pool> {
    /// Packets for slot 0.
    pub(crate) handed: Receiver<'pool, Handed<'pool>>,
    /// Packets to be sent.
    pub(crate) settled: Receiver<'pool, Settled<'pool>>,
}

/// One lcore's way of dealing with redirected packets.
pub(crate) struct Egress<'pool> {
    pool: &'pool Mempool<'pool>,
    lanes: Arc<Lanes>,
    /// By slot.
    to: Vec<Sender<'pool, Handed<'pool>>>,
    one: Burst<'pool>,
    pkts: Box<[Pkt; BURST]>,
    segments: Box<[Segments; BURST]>,
}

impl<'pool> Egress<'pool> {
    /// For an lcore from which packets can be handed over to the slots of `to`.
    pub(crate) fn new(
        pool: &'pool Mempool<'pool>,
        lanes: Arc<Lanes>,
        to: Vec<Sender<'pool, Handed<'pool>>>,
    ) -> Self {
        let pkts = Box::new([const { Pkt::EMPTY }; BURST]);
        Self { pool, lanes, to, one: Burst::new(), pkts, segments: Box::new([Segments::EMPTY; BURST]) }
    }

    /// Sees a redirected packet on its way; what is to be sent is given to `out` with its lane, everything else is freed and counted.
    ///
    /// # Safety
    /// The redirect was left by a run of this lcore's worker since it was quiescent.
    pub(crate) unsafe fn redirected(
        &mut self,
        mut mbuf: Mbuf<'pool>,
        redirect: &Redirect,
        source: Source,
        runner: &mut EntryRunner,
        counters: &mut Counters,
        out: &mut dyn FnMut(&mut Counters, usize, Mbuf<'pool>),
    ) {
        match redirect.kind {
            RedirectKind::Xskmap => counters.redirect_no_socket += 1,
            // SAFETY: the caller's word.
            RedirectKind::Cpumap => unsafe { self.hand_over(mbuf, redirect, source, counters) },
            RedirectKind::Devmap if redirect.flags != 0 => {
                let mut cursor = 0;
                // SAFETY: the caller's word, here and below.
                let mut next = || unsafe { vm::next_target(redirect, source.origin.ifindex, &mut cursor) };
                let Some(mut target) = next() else {
                    counters.redirect_no_port += 1;
                    return;
                };
                // The last one gets the packet itself.
                while let Some(behind) = next() {
                    match mbuf.copy(self.pool, source.metadata) {
                        Some(copy) => {
                            counters.copies += 1;
                            // SAFETY: as above.
                            unsafe { self.deliver(copy, &target, source, runner, counters, out) };
                        }
                        None => counters.no_buffer_for_copy += 1,
                    }
                    target = behind;
                }
                // SAFETY: as above.
                unsafe { self.deliver(mbuf, &target, source, runner, counters, out) };
            }
            // SAFETY: the caller's word.
            _ => unsafe { self.deliver(mbuf, redirect, source, runner, counters, out) },
        }
    }

    /// Runs the program of a packet that another lcore handed over, and sees it on its way.
    pub(crate) fn taken_over(
        &mut self,
        handed: Handed<'pool>,
        runner: &mut EntryRunner,
        counters: &mut Counters,
        out: &mut dyn FnMut(&mut Counters, usize, Mbuf<'pool>),
    ) {
        let Handed { mbuf, redirect, held, mut source } = handed;
        // SAFETY: the program is held until it has run.
        let ran = unsafe { self.run(mbuf, &redirect, &mut source, runner, counters) };
        drop(held);
        match ran {
            None => {}
            Some((mbuf, XDP_PASS, _)) => match self.lanes.pass(source.lane) {
                Some(lane) => out(counters, lane, mbuf),
                None => counters.pass_freed += 1,
            },
            // SAFETY: left by the run just now.
            Some((mbuf, XDP_REDIRECT, redirect)) => unsafe {
                self.redirected(mbuf, &redirect, source, runner, counters, out);
            },
            Some(_) => counters.entry_dropped += 1,
        }
    }

    /// To the lcore with the target's slot.
    ///
    /// # Safety
    /// As [`Egress::redirected`].
    unsafe fn hand_over(
        &self,
        mbuf: Mbuf<'pool>,
        redirect: &Redirect,
        source: Source,
        counters: &mut Counters,
    ) {
        let Some(to) = usize::try_from(redirect.target).ok().and_then(|slot| self.to.get(slot)) else {
            counters.redirect_no_lcore += 1;
            return;
        };
        // SAFETY: the caller's word.
        let held = unsafe { vm::hold_entry(redirect) };
        match to.push(Handed { mbuf, redirect: *redirect, held, source }) {
            Ok(()) => counters.handed_over += 1,
            Err(_) => counters.redirect_ring_full += 1,
        }
    }

    /// Out of one port, after the program of the entry.
    ///
    /// # Safety
    /// As [`Egress::redirected`].
    unsafe fn deliver(
        &mut self,
        mbuf: Mbuf<'pool>,
        redirect: &Redirect,
        mut source: Source,
        runner: &mut EntryRunner,
        counters: &mut Counters,
        out: &mut dyn FnMut(&mut Counters, usize, Mbuf<'pool>),
    ) {
        let Some(lane) = self.lanes.behind(redirect.target) else {
            counters.redirect_no_port += 1;
            return;
        };
        // SAFETY: the caller's word.
        match unsafe { self.run(mbuf, redirect, &mut source, runner, counters) } {
            None => {}
            Some((mbuf, XDP_PASS, _)) => out(counters, lane, mbuf),
            Some(_) => counters.entry_dropped += 1,
        }
    }

    /// Runs an entry's program, where there is one: the packet, the action and the redirect afterwards; `None` where the packet was refused, which is counted.
    ///
    /// # Safety
    /// The redirect is as [`vm::run_entry`] wants it.
    unsafe fn run(
        &mut self,
        mbuf: Mbuf<'pool>,
        redirect: &Redirect,
        source: &mut Source,
        runner: &mut EntryRunner,
        counters: &mut Counters,
    ) -> Option<(Mbuf<'pool>, u32, Redirect)> {
        if redirect.egress_prog.is_null() {
            return Some((mbuf, XDP_PASS, *redirect));
        }
        // It is empty, so that there is room.
        let _ = self.one.push(mbuf);
        let loaded = self.one.load(&mut self.pkts, None, Some(&mut self.segments), &mut counters.refused);
        let pkt = self.pkts.first_mut().filter(|_| loaded == 1)?;
        let head = pkt.0.data.addr() - pkt.0.data_hard_start.addr();
        let metadata = usize::from(source.metadata).min(head);
        pkt.0.data_meta = pkt.0.data.wrapping_sub(metadata);
        pkt.0.rx = vm::RxMeta::NONE;
        pkt.0.redirect = *redirect;
        // SAFETY: `load` took the pointers from an mbuf that is ours alone; metadata is within its headroom; the redirect is the caller's word.
        unsafe { runner.run(pkt, source.origin) };
        let (action, redirect) = (pkt.action(), pkt.0.redirect);
        source.metadata = pkt.metadata();
        let bad = self.one.store(&self.pkts, Changes::Bounds, &mut counters.refused);
        if let Some(pkt) = self.pkts.first_mut() {
            pkt.forget_segments();
        }
        let mut packet = None;
        self.one.drain(|_, mbuf| packet = Some(mbuf));
        packet.filter(|_| bad == 0).map(|mbuf| (mbuf, action, redirect))
    }
}

/// What an lcore leaves when it has ended.
pub(crate) struct Ended<'pool> {
    /// By lane.
    pub(crate) counters: Vec<Counters>,
    /// What came too late.
    pub(crate) handed: Receiver<'pool, Handed<'pool>>,
    pub(crate) error: Option<String>,
}

impl Handed<'_> {
    /// Where it came in.
    pub(crate) fn lane(&self) -> usize {
        self.source.lane
    }
}

/// An lcore other than the main one: takes packets over until it is told to finish and has none left.
pub(crate) struct Lcore<'pool> {
    slot: u32,
    env: CoreArc<Env>,
    handed: Receiver<'pool, Handed<'pool>>,
    settled: Sender<'pool, Settled<'pool>>,
    pool: &'pool Mempool<'pool>,
    lanes: Arc<Lanes>,
    to: Vec<Sender<'pool, Handed<'pool>>>,
}

/// What lcores and the main one share while packets run.
#[derive(Default)]
pub(crate) struct Together<'pool> {
    /// Other lcores end when they have nothing left.
    pub(crate) finish: AtomicBool,
    /// Other lcores that have not ended.
    pub(crate) running: AtomicUsize,
    ended: Mutex<Vec<Ended<'pool>>>,
}

impl<'pool> Together<'pool> {
    /// With so many other lcores.
    pub(crate) fn of(others: usize) -> Self {
        Self { running: others.into(), ..Self::default() }
    }

    /// What those left that have ended.
    pub(crate) fn take_ended(&self) -> Vec<Ended<'pool>> {
        std::mem::take(&mut *self.ended())
    }

    fn ended(&self) -> MutexGuard<'_, Vec<Ended<'pool>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'pool> Lcore<'pool> {
    /// Runs on the lcore.
    pub(crate) fn work(mut self, together: &Together<'pool>) {
        let mut counters = vec![Counters::default(); self.lanes.of_ifindex.len()];
        let error = match LcoreWorker::register(&self.env, self.slot) {
            Ok(worker) => {
                self.take_over(worker, &mut counters, &together.finish);
                None
            }
            Err(e) => Some(format!("no worker for CPU {}: {e}", self.slot)),
        };
        let ended = Ended { counters, handed: self.handed, error };
        together.ended().push(ended);
        // Release: pairs with the Acquire of the main lcore, which then sees what was sent back.
        together.running.fetch_sub(1, Ordering::Release);
    }

    fn take_over(&mut self, mut worker: LcoreWorker, counters: &mut [Counters], finish: &AtomicBool) {
        let mut egress = Egress::new(self.pool, Arc::clone(&self.lanes), self.to.clone());
        let settled = &self.settled;
        let mut out = |counters: &mut Counters, lane, mbuf| {
            if settled.push(Settled { mbuf, lane }).is_err() {
                counters.redirect_ring_full += 1;
            }
        };
        loop {
            // Acquire: pairs with whoever set it after the last packet was handed over; so it is read before the ring.
            let last = finish.load(Ordering::Acquire);
            let mut taken = 0;
            while taken < AT_A_TIME
                && let Some(handed) = self.handed.pop()
            {
                taken += 1;
                if let Some(counters) = counters.get_mut(handed.lane()) {
                    egress.taken_over(handed, &mut worker.runner, counters, &mut out);
                }
            }
            worker.quiescent();
            match taken {
                0 if last => return,
                0 => pause(),
                _ => {}
            }
        }
    }
}

/// Everything that lcores need to take packets over: the main one's part, and the others'.
pub(crate) struct Crew<'pool> {
    pub(crate) to: Vec<Sender<'pool, Handed<'pool>>>,
    pub(crate) main: MainRings<'pool>,
    /// With their numbers.
    pub(crate) others: Vec<(u32, Lcore<'pool>)>,
}

impl<'pool> Crew<'pool> {
    /// A ring for each lcore, the main one first, as slots are numbered; one for those that send back.
    ///
    /// # Errors
    /// Too little memory.
    pub(crate) fn new(
        eal: &'pool Eal,
        pool: &'pool Mempool<'pool>,
        env: &CoreArc<Env>,
        lanes: &Arc<Lanes>,
    ) -> Result<Self, Error> {
        let (settled_to, settled) = ring(eal, "settled", RING)?;
        let (to_main, handed) = ring(eal, "handed0", RING)?;
        let (mut to, mut receivers) = (vec![to_main], Vec::new());
        let lcores = eal.lcores();
        for (slot, lcore) in (0u32..).zip(lcores).skip(1).take_while(|(slot, _)| *slot < env.nr_cpus()) {
            let (sender, receiver) = ring(eal, &format!("handed{slot}"), RING)?;
            to.push(sender);
            receivers.push((slot, lcore, receiver));
        }
        let other = |(slot, lcore, handed)| {
            let (env, lanes, to) = (env.clone(), Arc::clone(lanes), to.clone());
            (lcore, Lcore { slot, env, handed, settled: settled_to.clone(), pool, lanes, to })
        };
        let others = receivers.into_iter().map(other).collect();
        Ok(Self { to, main: MainRings { handed, settled }, others })
    }
}
