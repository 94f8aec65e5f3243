//! What is counted, and the sum that must come out even.

use dpdk_sys::Refusals;

/// Counters of one port. Decisions are counted where the packet came in, transmissions where it goes out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// Packets received and taken.
    pub(crate) rx: u64,
    /// Received, but not given to the program: chained, shared, … or with impossible pointers afterwards.
    pub(crate) refused: Refusals,
    pub(crate) dropped: u64,
    pub(crate) passed: u64,
    pub(crate) sent_back: u64,
    pub(crate) redirected: u64,
    /// The program returned XDP_ABORTED.
    pub(crate) aborted: u64,
    /// The program returned a number that is no action.
    pub(crate) unknown_action: u64,
    /// Of `passed`, and of what the program of a CPU's entry passed: no port was chosen for them, so they were freed.
    pub(crate) pass_freed: u64,
    /// Of `redirected`: there is no such port, so they were freed.
    pub(crate) redirect_no_port: u64,
    /// Of `redirected`: another lcore was to take them over. Informs; they end elsewhere.
    pub(crate) handed_over: u64,
    /// Of `redirected`: there is no lcore for that CPU, so they were freed.
    pub(crate) redirect_no_lcore: u64,
    /// Of `redirected`: the ring to that lcore, or the one back, had no room, so they were freed.
    pub(crate) redirect_ring_full: u64,
    /// Of `redirected`: they were for a socket, so they were freed.
    pub(crate) redirect_no_socket: u64,
    /// Of `redirected`: the program of the entry dropped or aborted them.
    pub(crate) entry_dropped: u64,
    /// Packets that were made because one went to several ports.
    pub(crate) copies: u64,
    /// Copies that were not made, since no buffer was left. Informs.
    pub(crate) no_buffer_for_copy: u64,
    /// Packets that this port's driver took.
    pub(crate) tx: u64,
    /// Packets for this port that its driver had no room for.
    pub(crate) tx_dropped: u64,
    /// Packets freed unseen at the end: beyond --count, or still in the device.
    pub(crate) drained: u64,
}

impl Counters {
    /// Adds what another lcore counted of packets that came in here.
    pub(crate) fn add(&mut self, other: &Counters) {
        self.refused.add(&other.refused);
        for (sum, more) in [
            (&mut self.pass_freed, other.pass_freed),
            (&mut self.redirect_no_port, other.redirect_no_port),
            (&mut self.handed_over, other.handed_over),
            (&mut self.redirect_no_lcore, other.redirect_no_lcore),
            (&mut self.redirect_ring_full, other.redirect_ring_full),
            (&mut self.redirect_no_socket, other.redirect_no_socket),
            (&mut self.entry_dropped, other.entry_dropped),
            (&mut self.copies, other.copies),
            (&mut self.no_buffer_for_copy, other.no_buffer_for_copy),
        ] {
            *sum += more;
        }
    }

    /// Packets that came in and did not go out, each for a reason; with `tx` it adds up to `rx` and `copies` over all ports.
    pub(crate) fn ended_here(&self) -> u64 {
        self.refused.total()
            + self.dropped
            + self.aborted
            + self.unknown_action
            + self.pass_freed
            + self.redirect_no_port
            + self.redirect_no_lcore
            + self.redirect_ring_full
            + self.redirect_no_socket
            + self.entry_dropped
            + self.tx_dropped
    }
}

/// Sums over all ports, for the progress line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    pub(crate) ended: u64,
    /// Packets that were made here.
    pub(crate) copies: u64,
}

impl Totals {
    pub(crate) fn of<'a>(counters: impl IntoIterator<Item = &'a Counters>) -> Self {
        counters.into_iter().fold(Self::default(), |sum, counters| Self {
            rx: sum.rx + counters.rx,
            tx: sum.tx + counters.tx,
            ended: sum.ended + counters.ended_here(),
            copies: sum.copies + counters.copies,
        })
    }

    /// Packets of which nothing says what became of them: positive if lost, negative if counted twice.
    pub(crate) fn unaccounted(&self) -> i64 {
        (self.rx + self.copies).wrapping_sub(self.tx).wrapping_sub(self.ended) as i64
    }
}
