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
    /// Of `passed`: no port was chosen for them, so they were freed.
    pub(crate) pass_freed: u64,
    /// Of `redirected`: there is no such port, so they were freed.
    pub(crate) redirect_no_port: u64,
    /// Packets that this port's driver took.
    pub(crate) tx: u64,
    /// Packets for this port that its driver had no room for.
    pub(crate) tx_dropped: u64,
    /// Packets freed unseen at the end: beyond --count, or still in the device.
    pub(crate) drained: u64,
}

impl Counters {
    /// Packets that came in and did not go out, each for a reason; with `tx` it adds up to `rx` over all ports.
    pub(crate) fn ended_here(&self) -> u64 {
        self.refused.total()
            + self.dropped
            + self.aborted
            + self.unknown_action
            + self.pass_freed
            + self.redirect_no_port
            + self.tx_dropped
    }
}

/// Sums over all ports, for the progress line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    pub(crate) ended: u64,
}

impl Totals {
    pub(crate) fn of<'a>(counters: impl IntoIterator<Item = &'a Counters>) -> Self {
        counters.into_iter().fold(Self::default(), |sum, counters| Self {
            rx: sum.rx + counters.rx,
            tx: sum.tx + counters.tx,
            ended: sum.ended + counters.ended_here(),
        })
    }

    /// Packets of which nothing says what became of them: positive if lost, negative if counted twice.
    pub(crate) fn unaccounted(&self) -> i64 {
        self.rx.wrapping_sub(self.tx).wrapping_sub(self.ended) as i64
    }
}
