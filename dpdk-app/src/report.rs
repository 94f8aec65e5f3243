//! What the user sees: a line each second, and at the end a table or JSON and the verdict on lost packets.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dpdk_sys::{InUse, Mempool, PortInfo, PortStats};
use serde::Serialize;
use serde_json::Value;

use crate::counters::{Counters, Totals};
use crate::engine::{Engine, MapContents};
use crate::forward::EndedBy;

/// The line on stderr, rewritten each second, where stderr is a terminal.
pub(crate) struct Progress {
    shown: bool,
    enabled: bool,
    last: Totals,
    at: Instant,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let enabled = !quiet && std::io::stderr().is_terminal();
        Self { shown: false, enabled, last: Totals::default(), at: Instant::now() }
    }

    pub(crate) fn tick(&mut self, now: Totals) {
        if !self.enabled {
            return;
        }
        let seconds = self.at.elapsed().as_secs_f64();
        let rate = |now: u64, last: u64| human(((now - last) as f64 / seconds) as u64);
        // A terminal that goes away must not stop the packets.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Krx {}/s  tx {}/s  ended {}/s  (rx {} in all)",
            rate(now.rx, self.last.rx),
            rate(now.tx, self.last.tx),
            rate(now.ended, self.last.ended),
            human(now.rx),
        );
        (self.shown, self.last, self.at) = (true, now, Instant::now());
    }

    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// `12345678` as `12.3 M`.
fn human(n: u64) -> String {
    for (unit, scale) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if n as f64 >= scale {
            return format!("{:.1} {unit}", n as f64 / scale);
        }
    }
    n.to_string()
}

#[derive(Serialize)]
struct Actions {
    aborted: u64,
    drop: u64,
    pass: u64,
    tx: u64,
    redirect: u64,
    unknown: u64,
}

#[derive(Serialize)]
struct Device {
    rx_packets: u64,
    tx_packets: u64,
    rx_bytes: u64,
    tx_bytes: u64,
    rx_missed: u64,
    rx_errors: u64,
    tx_errors: u64,
    rx_no_mbuf: u64,
}

#[derive(Serialize)]
struct PortReport {
    port: u16,
    name: String,
    driver: String,
    mac: String,
    rx: u64,
    tx: u64,
    tx_dropped: u64,
    actions: Actions,
    pass_freed: u64,
    redirect_no_port: u64,
    handed_over: u64,
    redirect_no_lcore: u64,
    redirect_ring_full: u64,
    redirect_no_socket: u64,
    entry_dropped: u64,
    copies: u64,
    no_buffer_for_copy: u64,
    refused: BTreeMap<&'static str, u64>,
    drained: u64,
    device: Option<Device>,
}

#[derive(Serialize)]
struct PoolReport {
    size: u32,
    in_use: u32,
    /// Of `in_use`: the most that drivers may have kept.
    kept_by_drivers: u32,
}

impl PoolReport {
    fn lost(&self) -> u32 {
        self.in_use.saturating_sub(self.kept_by_drivers)
    }
}

/// New versions of the programs that were asked for while packets ran.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Reloads {
    /// They took over.
    pub(crate) done: u64,
    /// They were refused.
    pub(crate) failed: u64,
}

/// The final statistics. [`Report::close`] completes them.
#[derive(Serialize)]
pub(crate) struct Report {
    dpdk: String,
    engine: String,
    ended_by: EndedBy,
    seconds: f64,
    packets_per_second: f64,
    /// Of the fastest of many short stretches: what the machine can do when nothing disturbs it.
    peak_packets_per_second: f64,
    rx: u64,
    tx: u64,
    unaccounted: i64,
    mempool: PoolReport,
    ports: Vec<PortReport>,
    reloads: Reloads,
    /// Aborted runs by reason.
    aborts: BTreeMap<&'static str, u64>,
    /// In the shape of `bpftool -j map dump`.
    maps: BTreeMap<String, Value>,
    #[serde(skip)]
    map_lines: Vec<String>,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    lost_mbufs: u32,
    unaccounted: i64,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(u8::from(self.complaint().is_some()))
    }

    pub(crate) fn complaint(self) -> Option<String> {
        match self {
            Self { lost_mbufs: 0, unaccounted: 0 } => None,
            Self { lost_mbufs: 0, unaccounted } => {
                Some(format!("the counters do not add up: {unaccounted} packets are unaccounted for"))
            }
            Self { lost_mbufs, .. } => Some(InUse(lost_mbufs).to_string()),
        }
    }
}

impl Report {
    pub(crate) fn new(
        engine: &dyn Engine,
        ended_by: EndedBy,
        (elapsed, peak): (Duration, f64),
        infos: Vec<PortInfo>,
        lanes: Vec<(Counters, Option<PortStats>)>,
        kept_by_drivers: u32,
    ) -> Self {
        let totals = Totals::of(lanes.iter().map(|(counters, _)| counters));
        let seconds = elapsed.as_secs_f64();
        Self {
            dpdk: dpdk_sys::version(),
            engine: engine.name(),
            ended_by,
            seconds,
            packets_per_second: if seconds > 0.0 { totals.rx as f64 / seconds } else { 0.0 },
            peak_packets_per_second: peak,
            rx: totals.rx,
            tx: totals.tx,
            unaccounted: totals.unaccounted(),
            mempool: PoolReport { size: 0, in_use: 0, kept_by_drivers },
            ports: infos
                .into_iter()
                .zip(lanes)
                .map(|(info, (counters, stats))| port(info, &counters, stats))
                .collect(),
            reloads: Reloads::default(),
            aborts: engine.aborts().into_iter().collect(),
            map_lines: engine.maps().iter().flat_map(map_lines).collect(),
            maps: engine.maps().into_iter().map(|m| (m.name, m.entries)).collect(),
        }
    }

    /// With what became of new versions.
    pub(crate) fn with(mut self, reloads: Reloads) -> Self {
        self.reloads = reloads;
        self
    }

    /// Counts the pool and gives it back; every port is closed by now, so every buffer has to be home.
    pub(crate) fn close(&mut self, pool: Mempool<'_>) -> Outcome {
        let size = pool.size();
        let in_use = pool.free().err().map_or(0, |InUse(lost)| lost);
        let kept_by_drivers = self.mempool.kept_by_drivers.min(in_use);
        self.mempool = PoolReport { size, in_use, kept_by_drivers };
        Outcome { lost_mbufs: self.mempool.lost(), unaccounted: self.unaccounted }
    }

    pub(crate) fn print(&self, json: bool) {
        let text = match json {
            true => serde_json::to_string_pretty(self).unwrap_or_default(),
            false => self.table(),
        };
        // A reader that goes away early is no failure of the run.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    fn table(&self) -> String {
        let ended_by = match self.ended_by {
            EndedBy::Count => "after --count packets",
            EndedBy::Idle => "idle",
            EndedBy::Signal => "by signal",
        };
        let mut lines = vec![
            format!(
                "{} on {}: ended {ended_by}, {} packets in {:.3} s ({} packets/s)",
                self.engine,
                self.dpdk,
                self.rx,
                self.seconds,
                human(self.packets_per_second as u64)
            ),
            String::new(),
        ];
        let mut rows = vec![(
            String::from("port"),
            self.ports.iter().map(|p| format!("{} {}", p.port, p.name)).collect(),
        )];
        rows.extend(self.rows().into_iter().map(|(label, counts)| {
            let cells: Vec<String> = counts.iter().map(u64::to_string).collect();
            (label, cells)
        }));
        let label_width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let width = rows.iter().flat_map(|(_, cells)| cells).map(String::len).max().unwrap_or(0);
        for (label, cells) in rows {
            let cells: String = cells.iter().map(|cell| format!("  {cell:>width$}")).collect();
            lines.push(format!("{label:<label_width$}{cells}"));
        }
        let Reloads { done, failed } = self.reloads;
        if done + failed != 0 {
            lines.push(format!("reloaded: {done}, refused: {failed}"));
        }
        lines.extend(self.aborts.iter().map(|(reason, n)| format!("aborted: {reason}: {n}")));
        lines.extend(self.map_lines.iter().cloned());
        lines.push(String::new());
        let PoolReport { size, kept_by_drivers, .. } = self.mempool;
        lines.push(match (self.mempool.lost(), kept_by_drivers) {
            (0, 0) => format!("all {size} packet buffers are back in their pool"),
            (0, kept) => format!("of {size} packet buffers a driver kept {kept} in its rings; all others are back in their pool"),
            (lost, _) => format!("{lost} of {size} packet buffers are lost"),
        });
        lines.join("\n")
    }

    /// Every counter over all ports; those that nothing happened to are left out, but for the main ones.
    fn rows(&self) -> Vec<(String, Vec<u64>)> {
        type Getter = fn(&PortReport) -> u64;
        const MAIN: usize = 7;
        let getters: [(&str, Getter); 21] = [
            ("received", |p| p.rx),
            ("DROP", |p| p.actions.drop),
            ("PASS", |p| p.actions.pass),
            ("TX", |p| p.actions.tx),
            ("REDIRECT", |p| p.actions.redirect),
            ("ABORTED", |p| p.actions.aborted),
            ("sent", |p| p.tx),
            ("unknown action", |p| p.actions.unknown),
            ("PASS, freed", |p| p.pass_freed),
            ("REDIRECT, no such port", |p| p.redirect_no_port),
            ("REDIRECT, to another lcore", |p| p.handed_over),
            ("REDIRECT, no such lcore", |p| p.redirect_no_lcore),
            ("REDIRECT, lcore's ring full", |p| p.redirect_ring_full),
            ("REDIRECT, no socket", |p| p.redirect_no_socket),
            ("REDIRECT, dropped by the entry", |p| p.entry_dropped),
            ("copies made", |p| p.copies),
            ("copies not made, no buffer", |p| p.no_buffer_for_copy),
            ("TX ring full, freed", |p| p.tx_dropped),
            ("at the end, freed", |p| p.drained),
            ("device: missed", |p| p.device.as_ref().map_or(0, |d| d.rx_missed + d.rx_no_mbuf)),
            ("device: errors", |p| p.device.as_ref().map_or(0, |d| d.rx_errors + d.tx_errors)),
        ];
        let mut rows: Vec<(String, Vec<u64>)> = getters
            .iter()
            .map(|(label, get)| ((*label).to_owned(), self.ports.iter().map(get).collect()))
            .collect();
        let reasons =
            self.ports.first().map(|p| p.refused.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
        rows.extend(reasons.into_iter().map(|reason| {
            let counts = self.ports.iter().map(|p| p.refused.get(reason).copied().unwrap_or(0)).collect();
            (format!("refused: {reason}"), counts)
        }));
        let mut at = 0;
        rows.retain(|(_, counts): &(String, Vec<u64>)| {
            at += 1;
            at <= MAIN || counts.iter().any(|&count| count != 0)
        });
        rows
    }
}

/// A map for people: its entries that are not all zero, numbers where the sizes are those of numbers.
fn map_lines(map: &MapContents) -> Vec<String> {
    let bytes = |v: &Value| -> Vec<u8> {
        let byte = |b: &Value| u8::from_str_radix(b.as_str()?.strip_prefix("0x")?, 16).ok();
        v.as_array().into_iter().flatten().filter_map(byte).collect()
    };
    let mut lines = vec![String::new()];
    lines.push(match map.percpu {
        true => format!("map {} (values added up over CPUs):", map.name),
        false => format!("map {}:", map.name),
    });
    for entry in map.entries.as_array().into_iter().flatten() {
        let key = numbers(&bytes(&entry["key"]), 4);
        let values: Vec<Vec<u64>> = match entry["values"].as_array() {
            Some(all) => all.iter().map(|v| numbers(&bytes(&v["value"]), 8)).collect(),
            None => vec![numbers(&bytes(&entry["value"]), 8)],
        };
        let mut sum = values.first().cloned().unwrap_or_default();
        for more in values.iter().skip(1) {
            sum.iter_mut().zip(more).for_each(|(total, n)| *total = total.wrapping_add(*n));
        }
        if sum.iter().any(|&n| n != 0) {
            let text = |ns: &[u64]| ns.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            lines.push(format!("  {}: {}", text(&key), text(&sum)));
        }
    }
    lines
}

/// Little-endian numbers of `width` bytes, or of 4 or 1 where the length is no multiple.
fn numbers(bytes: &[u8], width: usize) -> Vec<u64> {
    let width = [width, 4, 1].into_iter().find(|w| bytes.len().is_multiple_of(*w)).unwrap_or(1);
    let number = |c: &[u8]| c.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    bytes.chunks(width).map(number).collect()
}

fn port(info: PortInfo, counters: &Counters, stats: Option<PortStats>) -> PortReport {
    let mac: Vec<_> = info.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    PortReport {
        port: info.id,
        name: info.name,
        driver: info.driver,
        mac: mac.join(":"),
        rx: counters.rx,
        tx: counters.tx,
        tx_dropped: counters.tx_dropped,
        actions: Actions {
            aborted: counters.aborted,
            drop: counters.dropped,
            pass: counters.passed,
            tx: counters.sent_back,
            redirect: counters.redirected,
            unknown: counters.unknown_action,
        },
        pass_freed: counters.pass_freed,
        redirect_no_port: counters.redirect_no_port,
        handed_over: counters.handed_over,
        redirect_no_lcore: counters.redirect_no_lcore,
        redirect_ring_full: counters.redirect_ring_full,
        redirect_no_socket: counters.redirect_no_socket,
        entry_dropped: counters.entry_dropped,
        copies: counters.copies,
        no_buffer_for_copy: counters.no_buffer_for_copy,
        refused: counters.refused.iter().collect(),
        drained: counters.drained,
        device: stats.map(|stats| Device {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_missed: stats.rx_missed,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_no_mbuf: stats.rx_no_mbuf,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_buffer_or_packet_fails_the_run() {
        let outcome = |lost_mbufs, unaccounted| Outcome { lost_mbufs, unaccounted };
        assert_eq!(outcome(0, 0).complaint(), None);
        assert!(outcome(3, 0).complaint().is_some_and(|sentence| sentence.starts_with("3 packet buffers")));
        assert!(outcome(0, -2).complaint().is_some_and(|sentence| sentence.contains("-2 packets")));
        assert_eq!(outcome(3, 0).exit_code(), ExitCode::from(1));
    }

    #[test]
    fn large_numbers_are_read_at_a_glance() {
        assert_eq!([999, 1_000, 12_345_678, 2_000_000_000].map(human), ["999", "1.0 k", "12.3 M", "2.0 G"]);
    }
}
