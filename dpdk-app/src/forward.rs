//! The forwarding loop: one lcore, every port, a burst at a time. Other lcores take over what programs redirect to them alone ([`crate::egress`]).
//!
//! Per burst: receive, read, run, write back, sort, send, free what is left. A burst is finished before the next one is received, so that
//! stopping between bursts leaves no packet half done. Nothing waits: what a TX ring does not take at once is freed and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dpdk_sys::{BURST, Burst, Mbuf, Mempool, Port, PortStats, RxMeta, Segments, pause};

use crate::counters::{Counters, Totals};
use crate::egress::{Egress, Ended, Lanes, MainRings, Source, Together};
use crate::engine::{Engine, Origin, Pkt, Renewed, XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX};

/// Rounds between looks at the clock: some ten microseconds of idle polling.
const ROUNDS_PER_LOOK: u32 = 256;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Where PASS goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassTo {
    /// Freed.
    Nowhere,
    /// Always this lane.
    Lane(usize),
    /// The other lane of its pair.
    Peer,
}

/// When the loop ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) count: Option<u64>,
    pub(crate) idle: Option<Duration>,
}

/// What the loop tells while it runs.
pub(crate) enum Event {
    /// About once a second.
    Progress(Totals),
    /// A new version of the programs took over, or why it did not.
    Renewed(Result<Renewed, String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndedBy {
    Count,
    Idle,
    Signal,
}

/// A port, the packets on their way out of it, and its counters.
struct Lane<'pool> {
    port: Port<'pool>,
    /// Where its RX queues begin in the engine's numbers.
    first_input: usize,
    out: Burst<'pool>,
    counters: Counters,
}

impl<'pool> Lane<'pool> {
    /// Takes a packet to be sent; sends what waits already where there is no room.
    #[inline]
    fn give(&mut self, mbuf: Mbuf<'pool>) {
        if self.out.room() == 0 {
            self.send();
        }
        let pushed = self.out.push(mbuf);
        debug_assert!(pushed.is_ok());
    }

    /// Sends what waits; what the driver does not take is freed.
    #[inline]
    fn send(&mut self) {
        if !self.out.is_empty() {
            self.counters.tx += self.port.send(&mut self.out) as u64;
            self.counters.tx_dropped += self.out.free() as u64;
        }
    }
}

pub(crate) struct Forwarder<'pool> {
    lanes: Vec<Lane<'pool>>,
    ways: Arc<Lanes>,
    egress: Egress<'pool>,
    /// What comes from other lcores, where there are some.
    rings: Option<MainRings<'pool>>,
    /// Received packets, then packets to be freed.
    hand: Burst<'pool>,
    discard: Burst<'pool>,
    pkts: [Pkt; BURST],
    /// What the drivers say about them, where someone asks.
    meta: Option<Box<[RxMeta; BURST]>>,
    /// The segments of packets that have several.
    segments: Box<[Segments; BURST]>,
    /// Packets that may still be taken.
    allowed: u64,
    /// The fastest stretch between looks at the clock, in packets a second.
    peak: f64,
}

/// What each action means for packets of one port.
struct Verdicts<'a> {
    ingress: usize,
    pass: Option<usize>,
    ways: &'a Lanes,
}

impl Verdicts<'_> {
    /// Counts `n` packets with the fate of `pkt` and says out of which lane they go; none: they are to be freed.
    #[inline]
    fn settle(&self, pkt: &Pkt, n: u64, counters: &mut Counters) -> Option<usize> {
        match pkt.action() {
            XDP_TX => {
                counters.sent_back += n;
                return Some(self.ingress);
            }
            XDP_PASS => {
                counters.passed += n;
                if self.pass.is_none() {
                    counters.pass_freed += n;
                }
                return self.pass;
            }
            XDP_REDIRECT => {
                let target = self.ways.behind(pkt.redirect_ifindex().into());
                counters.redirected += n;
                if target.is_none() {
                    counters.redirect_no_port += n;
                }
                return target;
            }
            XDP_DROP => counters.dropped += n,
            XDP_ABORTED => counters.aborted += n,
            _ => counters.unknown_action += n,
        }
        None
    }
}

impl<'pool> Forwarder<'pool> {
    /// `ways` are those of the same ports.
    pub(crate) fn new(
        ports: Vec<Port<'pool>>,
        ways: Arc<Lanes>,
        egress: Egress<'pool>,
        rings: Option<MainRings<'pool>>,
    ) -> Self {
        let mut inputs = 0;
        let lanes = ports
            .into_iter()
            .map(|port| {
                let first_input = inputs;
                inputs += usize::from(port.rx_queues());
                Lane { port, first_input, out: Burst::new(), counters: Counters::default() }
            })
            .collect();
        Self {
            lanes,
            ways,
            egress,
            rings,
            hand: Burst::new(),
            discard: Burst::new(),
            pkts: [const { Pkt::EMPTY }; BURST],
            meta: None,
            segments: Box::new([Segments::EMPTY; BURST]),
            allowed: u64::MAX,
            peak: 0.0,
        }
    }

    /// Forwards until a limit is reached or `stop` is set; calls `tell` at times.
    pub(crate) fn run(
        &mut self,
        engine: &mut dyn Engine,
        limits: &Limits,
        stop: &AtomicBool,
        mut tell: impl FnMut(Event),
    ) -> EndedBy {
        self.allowed = limits.count.unwrap_or(u64::MAX);
        let asked = engine.uses();
        self.meta =
            (asked.hash || asked.vlan || asked.timestamp).then(|| Box::new([RxMeta::default(); BURST]));
        let mut last_packet = Instant::now();
        let mut last_progress = last_packet;
        let (mut last_look, mut allowed_then) = (last_packet, self.allowed);
        let mut busy = false;
        let mut round = 0u32;
        // The flag is all that the signal handler shares, so Relaxed is enough.
        while !stop.load(Ordering::Relaxed) {
            for lane in 0..self.lanes.len() {
                for queue in 0..self.lanes.get(lane).map_or(0, |lane| lane.port.rx_queues()) {
                    busy |= self.poll(lane, queue, engine) != 0;
                    if self.allowed == 0 {
                        return EndedBy::Count;
                    }
                }
            }
            busy |= self.poll_rings(engine) != 0;
            engine.round_over();
            round = round.wrapping_add(1);
            if !round.is_multiple_of(ROUNDS_PER_LOOK) {
                continue;
            }
            if let Some(renewed) = engine.renew() {
                tell(Event::Renewed(renewed));
            }
            let now = Instant::now();
            let taken = allowed_then - self.allowed;
            self.peak = self.peak.max(taken as f64 / (now - last_look).as_secs_f64().max(f64::MIN_POSITIVE));
            (last_look, allowed_then) = (now, self.allowed);
            if std::mem::take(&mut busy) {
                last_packet = now;
            } else if limits.idle.is_some_and(|idle| now - last_packet >= idle) {
                return EndedBy::Idle;
            }
            if now - last_progress >= PROGRESS_INTERVAL {
                last_progress = now;
                tell(Event::Progress(Totals::of(self.lanes.iter().map(|lane| &lane.counters))));
            }
        }
        EndedBy::Signal
    }

    /// The fastest stretch between looks at the clock, in packets a second; 0 before there was one.
    pub(crate) fn peak(&self) -> f64 {
        self.peak
    }

    /// One burst of one queue, from reception to the last packet sent or freed. Says how many packets came.
    #[inline]
    fn poll(&mut self, ingress: usize, queue: u16, engine: &mut dyn Engine) -> usize {
        let Some(lane) = self.lanes.get_mut(ingress) else { return 0 };
        let received = lane.port.receive(queue, &mut self.hand);
        if received == 0 {
            return 0;
        }
        if received as u64 > self.allowed {
            lane.counters.drained += self.hand.free_from(self.allowed as usize) as u64;
        }
        self.allowed -= self.hand.len() as u64;
        lane.counters.rx += self.hand.len() as u64;

        let meta = self.meta.as_deref_mut();
        let input = lane.first_input + usize::from(queue);
        let in_segments = engine.takes_segments(input);
        let segments = in_segments.then_some(&mut *self.segments);
        let n = self.hand.load(&mut self.pkts, meta, segments, &mut lane.counters.refused);
        for (pkt, said) in self.pkts.iter_mut().zip(self.meta.as_deref().into_iter().flatten()).take(n) {
            pkt.set_rx(said);
        }
        if let Some(pkts) = self.pkts.get_mut(..n) {
            // SAFETY: `load` took these pointers from mbufs that are ours alone (it refuses shared ones), in the order of an mbuf.
            unsafe { engine.run_burst(input, pkts) };
        }
        let bad = self.hand.store(&self.pkts, engine.changes(), &mut lane.counters.refused);
        if in_segments {
            self.pkts.iter_mut().take(n).for_each(Pkt::forget_segments);
        }
        self.sort((ingress, queue), bad, engine);
        self.flush();
        received
    }

    /// Moves each packet from the hand to where its action sends it; `bad` packets are counted already. What needs more than to be sent is seen to at once.
    #[inline]
    fn sort(&mut self, (ingress, queue): (usize, u16), bad: u64, engine: &mut dyn Engine) {
        let Self { lanes, ways, egress, hand, discard, pkts, .. } = self;
        let verdicts = Verdicts { ingress, pass: ways.pass(ingress), ways };
        let pkts = pkts.get(..hand.len()).unwrap_or_default();
        let Some(first) = pkts.first() else { return };

        // Most bursts are of one mind: then they move as a whole. Looking at all of them without a branch is the cheapest.
        let differences = pkts.iter().fold(bad, |seen, pkt| seen | (pkt.fate() ^ first.fate()));
        if differences == 0 && !first.goes_elsewhere() {
            let Some(lane) = lanes.get_mut(ingress) else { return };
            let egress = verdicts.settle(first, pkts.len() as u64, &mut lane.counters);
            let heap = match egress.and_then(|egress| lanes.get_mut(egress)) {
                Some(lane) => &mut lane.out,
                None => discard,
            };
            std::mem::swap(hand, heap);
            return;
        }
        hand.drain(|position, mbuf| {
            let (Some(pkt), Some(lane)) = (pkts.get(position), lanes.get_mut(ingress)) else { return };
            if bad & (1 << position) == 0 && pkt.goes_elsewhere() {
                lane.counters.redirected += 1;
                let Some(entries) = engine.entries() else {
                    lane.counters.redirect_no_port += 1;
                    return;
                };
                let origin = Origin { ifindex: u32::from(lane.port.id()) + 1, queue };
                let source = Source { lane: ingress, origin, metadata: pkt.metadata() };
                let mut counted = Counters::default();
                let mut out = |_: &mut Counters, lane: usize, mbuf| {
                    if let Some(lane) = lanes.get_mut(lane) {
                        lane.give(mbuf);
                    }
                };
                // SAFETY: the redirect is of this burst, and the worker is quiescent when the round is over.
                unsafe {
                    egress.redirected(mbuf, &pkt.0.redirect, source, entries, &mut counted, &mut out);
                }
                if let Some(lane) = lanes.get_mut(ingress) {
                    lane.counters.add(&counted);
                }
                return;
            }
            let egress = match bad & (1 << position) {
                0 => verdicts.settle(pkt, 1, &mut lane.counters),
                _ => None,
            };
            match egress.and_then(|egress| lanes.get_mut(egress)) {
                Some(lane) => lane.give(mbuf),
                // It was emptied after the last burst. If it were full, the packet would be freed here.
                None => drop(discard.push(mbuf)),
            }
        });
    }

    /// Sends what is on its way out, frees what does not go and what was dropped.
    #[inline]
    fn flush(&mut self) {
        self.lanes.iter_mut().for_each(Lane::send);
        self.discard.free();
    }

    /// What other lcores sent back, and what is for this one: a burst of each at most. Says how many packets there were.
    #[inline]
    fn poll_rings(&mut self, engine: &mut dyn Engine) -> usize {
        let Self { lanes, egress, rings: Some(rings), .. } = self else { return 0 };
        let mut polled = 0;
        for _ in 0..BURST {
            let Some(settled) = rings.settled.pop() else { break };
            polled += 1;
            if let Some(lane) = lanes.get_mut(settled.lane) {
                lane.give(settled.mbuf);
            }
        }
        for _ in 0..BURST {
            let Some(entries) = engine.entries() else { break };
            let Some(handed) = rings.handed.pop() else { break };
            polled += 1;
            let (ingress, mut counted) = (handed.lane(), Counters::default());
            let mut out = |_: &mut Counters, lane: usize, mbuf| {
                if let Some(lane) = lanes.get_mut(lane) {
                    lane.give(mbuf);
                }
            };
            egress.taken_over(handed, entries, &mut counted, &mut out);
            if let Some(lane) = lanes.get_mut(ingress) {
                lane.counters.add(&counted);
            }
        }
        if polled != 0 {
            self.flush();
        }
        polled
    }

    /// After the last burst: lets other lcores finish, and sends what they still send back.
    pub(crate) fn finish(&mut self, engine: &mut dyn Engine, together: &Together<'pool>) {
        // Release: pairs with the lcores' Acquire, so that they see all that was handed over.
        together.finish.store(true, Ordering::Release);
        loop {
            // Acquire: pairs with the Release of an lcore that ends; so it is read before the ring.
            let running = together.running.load(Ordering::Acquire);
            let polled = self.poll_rings(engine);
            engine.round_over();
            match (running, polled) {
                (0, 0) => return,
                (_, 0) => pause(),
                _ => {}
            }
        }
    }

    /// Adds what another lcore counted; frees what was handed to it too late.
    pub(crate) fn add(&mut self, ended: Ended<'pool>) {
        let Ended { counters, mut handed, .. } = ended;
        for (lane, counted) in self.lanes.iter_mut().zip(&counters) {
            lane.counters.add(counted);
        }
        while let Some(late) = handed.pop() {
            if let Some(lane) = self.lanes.get_mut(late.lane()) {
                lane.counters.redirect_no_lcore += 1;
            }
        }
    }

    /// Frees packets that wait in the devices, as long as any buffer is out.
    ///
    /// A ring hands over what it holds, a NIC what it has received. Some devices never run dry, so no port is asked for more packets
    /// than the pool has.
    pub(crate) fn drain(&mut self, pool: &Mempool<'_>) {
        for lane in &mut self.lanes {
            lane.port.reclaim();
            let mut left = pool.size() as usize;
            for queue in 0..lane.port.rx_queues() {
                while left > 0 && pool.in_use() > 0 && lane.port.receive(queue, &mut self.hand) > 0 {
                    let freed = self.hand.free();
                    lane.counters.drained += freed as u64;
                    left = left.saturating_sub(freed);
                }
            }
        }
    }

    /// Reads the drivers' counters and closes the ports.
    pub(crate) fn close(self) -> Vec<(Counters, Option<PortStats>)> {
        self.lanes.into_iter().map(|lane| (lane.counters, lane.port.stats().ok())).collect()
    }
}

#[cfg(test)]
mod tests;
