//! uxdp's maps beside Linux's and DPDK's: the same keys, the same operations, in turn.
//!
//! Two pairs are fair. A host that calls a table: uxdp's `Map` beside rte_hash and rte_lpm. A program that calls a map: one object, compiled here and by Linux; what its
//! loop costs without a map is taken off. Only ratios within a run mean anything; nothing here asserts a time.
//!
//! `unsafe` stands where foreign code and raw keys are: `dpdk`, `linux`, `ours`, and the pinning of threads.

mod dpdk;
mod keys;
mod linux;
mod measure;
mod ours;

use anyhow::Result;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use dpdk::Dpdk;
use keys::{ABSENT, keys};
use linux::Linux;
use measure::{Ask, CHUNK, Keys, Make, alone, together};
use ours::{HostOp, Ours};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uxdp_core::maps::MapType;

/// Times uxdp's maps beside Linux's and DPDK's.
#[derive(Parser)]
#[command(
    after_help = "Example: cargo run --release -p uxdp-benches --bin uxdp-map-benches -- hash --entries 65536"
)]
struct Args {
    /// Only rows whose name has one of these texts.
    only: Vec<String>,
    /// Entries of hash tables.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 65_536, 1_000_000, 10_000_000])]
    entries: Vec<u32>,
    /// Routes of tries.
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 500_000])]
    routes: Vec<u32>,
    /// Milliseconds a row is timed.
    #[arg(long, default_value_t = 1000)]
    time: u64,
    /// Megabytes that EAL gets.
    #[arg(long, default_value_t = 6144)]
    megabytes: u32,
    /// EAL takes huge pages, which have to be reserved: sysctl vm.nr_hugepages.
    #[arg(long)]
    huge: bool,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
}

/// Bytes of the packet that a program gets.
const PACKET: usize = 40;

/// `struct ask` of `ops.bpf.c`.
fn packet(ask: &Ask<'_>, fresh: Option<&mut u64>) -> [u8; PACKET] {
    let first = fresh.map_or(ask.first, |fresh| {
        *fresh += CHUNK as u64;
        *fresh - CHUNK as u64
    });
    let mut out = [0; PACKET];
    for (to, word) in out.chunks_mut(8).zip([ask.keys[0], first, ask.span, CHUNK as u64, 0]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    out
}

/// Nanoseconds an operation; of two cores, how much more they do than one.
#[derive(Serialize)]
struct Row {
    what: String,
    entries: u32,
    unit: &'static str,
    uxdp: Option<f64>,
    dpdk: Option<f64>,
    program: Option<f64>,
    linux: Option<f64>,
}

/// What is there to measure with, and what was measured.
struct Bench {
    args: Args,
    object: PathBuf,
    dpdk: Option<Dpdk>,
    /// What a turn of the loop costs, here and in Linux.
    empty: [f64; 2],
    rows: Vec<Row>,
}

/// What a map holds when it is measured.
#[derive(Clone, Copy)]
enum Fill {
    /// Every key below its number of entries.
    Keys,
    /// As many prefixes of 24 bits.
    Routes,
    /// The loopback.
    Port,
    /// Another map.
    Inner,
    Nothing,
}

/// The lanes of a row, in the order of the columns.
type Lanes<'a> = [Option<Make<'a>>; 4];

impl Bench {
    fn wants(&self, what: &str) -> bool {
        self.args.only.is_empty() || self.args.only.iter().any(|text| what.contains(text.as_str()))
    }

    /// Measures a row on one core.
    fn row(&mut self, what: &str, entries: u32, keys: &Keys, lanes: Lanes<'_>) -> Result<()> {
        if !self.wants(what) {
            return Ok(());
        }
        let columns: Vec<usize> = (0..4).filter(|&i| lanes[i].is_some()).collect();
        let lanes: Vec<Make<'_>> = lanes.into_iter().flatten().collect();
        let mut cells = [None; 4];
        let took = alone(&lanes, keys, Duration::from_millis(self.args.time))?;
        for (column, ns) in columns.into_iter().zip(took) {
            cells[column] = Some(if column < 2 { ns } else { ns - self.empty[column - 2] });
        }
        self.push(what, entries, "ns", cells);
        Ok(())
    }

    /// Measures calls of the control plane: bpf(2) beside functions.
    fn control(&mut self, what: &str, entries: u32, keys: &Keys, lanes: [Make<'_>; 2]) -> Result<()> {
        if self.wants(what) {
            let took = alone(&lanes, keys, Duration::from_millis(self.args.time))?;
            self.push(what, entries, "ns", [Some(took[0]), None, None, Some(took[1])]);
        }
        Ok(())
    }

    /// Measures how much more two cores do than one, each with keys of its own or the same.
    fn pair(&mut self, what: &str, entries: u32, keys: &[Keys; 2], lanes: Lanes<'_>) -> Result<()> {
        if !self.wants(what) {
            return Ok(());
        }
        let mut cells = [None; 4];
        let mut times = [None; 4];
        for ((lane, cell), time) in lanes.into_iter().zip(&mut cells).zip(&mut times) {
            if let Some(make) = lane {
                let [one, two] = together(&make, keys, Duration::from_millis(self.args.time))?;
                (*cell, *time) = (Some(two / one), Some(2e3 / two));
            }
        }
        self.push(what, entries, "times one core", cells);
        self.push(&format!("{what}, a core"), entries, "ns", times);
        Ok(())
    }

    #[expect(clippy::print_stderr, reason = "progress of a long run")]
    fn push(
        &mut self,
        what: &str,
        entries: u32,
        unit: &'static str,
        [uxdp, dpdk, program, linux]: [Option<f64>; 4],
    ) {
        let row = Row { what: what.to_owned(), entries, unit, uxdp, dpdk, program, linux };
        let number = |n: Option<f64>| n.map_or("-".into(), |n| format!("{n:.2}"));
        let cells = [uxdp, dpdk, program, linux].map(number);
        eprintln!("{what}, {entries}: {} {unit}", cells.join(" "));
        self.rows.push(row);
    }

    fn hash(&mut self, entries: u32) -> Result<()> {
        if !self.wants("hash") && !self.args.only.iter().any(|o| o.contains("hash")) {
            return Ok(());
        }
        let (object, dpdk) = (self.object.clone(), self.dpdk.take());
        let ours = Ours::new(&object, "hash", entries)?;
        ours.fill(entries)?;
        let linux = Linux::new(&object, "hash", entries)?;
        linux.fill(entries)?;
        let peer = dpdk.as_ref().map(|d| d.hash(entries, false)).transpose()?;
        self.memory("hash", entries, ours.memory(), peer.as_ref().map(|p| p.memory));
        let n = u64::from(entries);
        let (there, absent) = (keys(0, n), keys(ABSENT, n));
        {
            let (ours, linux, peer) = (&ours, &linux, peer.as_ref());
            let of = |host, dpdk, name| {
                [Some(ours.host(host)), dpdk, Some(ours.program(name)), Some(linux.program(name))]
            };
            let lookup = || of(HostOp::Lookup, peer.map(|p| p.hash_lookup()), "hash_lookup");
            let burst = || [Some(ours.host(HostOp::Burst)), peer.map(|p| p.hash_burst()), None, None];
            self.row("hash lookup", entries, &there, lookup())?;
            self.row("hash lookup, burst of 32", entries, &there, burst())?;
            self.row("hash miss", entries, &absent, lookup())?;
            self.row("hash miss, burst of 32", entries, &absent, burst())?;
            self.row(
                "hash update",
                entries,
                &there,
                of(HostOp::Update, peer.map(|p| p.hash_update()), "hash_update"),
            )?;
            self.row(
                "hash delete + insert",
                entries,
                &there,
                of(HostOp::Replace, peer.map(|p| p.hash_replace()), "hash_replace"),
            )?;
        }
        drop(peer);
        let peer = dpdk.as_ref().map(|d| d.hash(entries, true)).transpose()?;
        {
            let (ours, linux, peer) = (&ours, &linux, peer.as_ref());
            let of = |host, dpdk, name| {
                [Some(ours.host(host)), dpdk, Some(ours.program(name)), Some(linux.program(name))]
            };
            let halves = [keys(0, n / 2), keys(n / 2, n / 2)];
            let mixed = |of, name| {
                [
                    Some(ours.host(HostOp::Mixed(of))),
                    None,
                    Some(ours.program(name)),
                    Some(linux.program(name)),
                ]
            };
            let update = || of(HostOp::Update, peer.map(|p| p.hash_update()), "hash_update");
            self.pair(
                "hash lookup, two cores",
                entries,
                &halves,
                of(HostOp::Lookup, peer.map(|p| p.hash_lookup()), "hash_lookup"),
            )?;
            self.pair("hash update, two cores", entries, &halves, update())?;
            self.pair(
                "hash delete + insert, two cores",
                entries,
                &halves,
                of(HostOp::Replace, peer.map(|p| p.hash_replace()), "hash_replace"),
            )?;
            self.pair("hash 15/16 lookups, two cores", entries, &halves, mixed(16, "hash_read_mostly"))?;
            self.pair("hash 1/2 lookups, two cores", entries, &halves, mixed(2, "hash_write_heavy"))?;
            self.pair("hash hot key update, two cores", entries, &[keys(7, 1), keys(7, 1)], update())?;
        }
        drop(peer);
        for (what, op) in [
            ("hash get_next_key", HostOp::Walk),
            ("hash lookup batch", HostOp::ReadBatch),
            ("hash update batch", HostOp::WriteBatch),
            ("hash lookup and delete + insert", HostOp::Take),
        ] {
            self.control(what, entries, &there, [ours.host(op), linux.control(op)])?;
        }
        // A hundred times the capacity comes and goes.
        if self.wants("hash lookup after churn") {
            ours.churn(entries, 100)?;
            let peer = dpdk.as_ref().map(|d| d.hash(entries, false)).transpose()?;
            let lookup =
                [Some(ours.host(HostOp::Lookup)), peer.as_ref().map(|p| p.hash_lookup()), None, None];
            self.row("hash lookup after churn", entries, &there, lookup)?;
            self.row(
                "hash miss after churn",
                entries,
                &absent,
                [Some(ours.host(HostOp::Lookup)), None, None, None],
            )?;
        }
        drop(ours);
        self.dpdk = dpdk;
        Ok(())
    }

    /// Operations that are compared in programs alone.
    fn programs(&mut self, map: &str, entries: u32, fill: Fill, rows: &[(&str, &str)]) -> Result<()> {
        if !rows.iter().any(|(what, _)| self.wants(what)) {
            return Ok(());
        }
        let object = self.object.clone();
        let (ours, linux) = (Ours::new(&object, map, entries)?, Linux::new(&object, map, entries)?);
        match fill {
            Fill::Keys => ours.fill(entries).and_then(|()| linux.fill(entries))?,
            Fill::Routes => {
                let routes: Vec<_> = (0..entries).map(|i| keys::Route { address: i << 8, len: 24 }).collect();
                ours.add(&routes).and_then(|()| linux.add(&routes))?;
            }
            Fill::Port => {
                ours.set(&[0; 4], &[1, 0, 0, 0]).and_then(|()| linux.set(&[0; 4], &[1, 0, 0, 0]))?
            }
            Fill::Inner => ours.put_inner().and_then(|()| linux.put_inner())?,
            Fill::Nothing => {}
        }
        for (what, name) in rows {
            self.row(
                what,
                entries,
                &keys(0, entries.into()),
                [None, None, Some(ours.program(name)), Some(linux.program(name))],
            )?;
        }
        Ok(())
    }

    fn lru(&mut self, entries: u32) -> Result<()> {
        if !self.wants("lru lookup update evict two cores") {
            return Ok(());
        }
        let object = self.object.clone();
        let (ours, linux) = (Ours::new(&object, "lru", entries)?, Linux::new(&object, "lru", entries)?);
        ours.fill(entries)?;
        linux.fill(entries)?;
        self.memory("lru", entries, ours.memory(), None);
        let n = u64::from(entries);
        let of =
            |host, name| [Some(ours.host(host)), None, Some(ours.program(name)), Some(linux.program(name))];
        self.row("lru lookup", entries, &keys(0, n), of(HostOp::Lookup, "lru_lookup"))?;
        self.row("lru update", entries, &keys(0, n), of(HostOp::Update, "lru_update"))?;
        self.row("lru insert, evict", entries, &keys(0, n), of(HostOp::Fresh, "lru_evict"))?;
        let halves = || [keys(0, n / 2), keys(n / 2, n / 2)];
        self.pair("lru update, two cores", entries, &halves(), of(HostOp::Update, "lru_update"))?;
        self.pair("lru insert, evict, two cores", entries, &halves(), of(HostOp::Fresh, "lru_evict"))?;
        let mixed = of(HostOp::Mixed(16), "lru_read_mostly");
        self.pair("lru 15/16 lookups, two cores", entries, &halves(), mixed)?;
        let hot = [keys(7, 1), keys(7, 1)];
        self.pair("lru hot key update, two cores", entries, &hot, of(HostOp::Update, "lru_update"))
    }

    fn lpm(&mut self, n: u32) -> Result<()> {
        if !self.wants("lpm lookup and value, burst of 32") {
            return Ok(());
        }
        let (object, dpdk) = (self.object.clone(), self.dpdk.take());
        let routes = keys::routes(n as usize);
        let values: Vec<u64> = (0..=u64::from(n)).collect();
        let (ours, linux) = (Ours::new(&object, "lpm", n)?, Linux::new(&object, "lpm", n)?);
        ours.add(&routes)?;
        linux.add(&routes)?;
        let peer = dpdk.as_ref().map(|d| d.lpm(&routes)).transpose()?;
        self.memory("lpm", n, ours.memory(), peer.as_ref().map(|p| p.memory));
        let addresses = keys::addresses(&routes);
        {
            let peer = peer.as_ref();
            let (program, linux) = (Some(ours.program("lpm_lookup")), Some(linux.program("lpm_lookup")));
            let host = |op, dpdk| [Some(ours.host(op)), dpdk, None, None];
            self.row("lpm lookup", n, &addresses, host(HostOp::Find, peer.map(|p| p.lpm_lookup(None))))?;
            self.row(
                "lpm lookup, burst of 32",
                n,
                &addresses,
                host(HostOp::FindBurst, peer.map(|p| p.lpm_burst(None))),
            )?;
            let one = peer.map(|p| p.lpm_lookup(Some(&values)));
            self.row(
                "lpm lookup and value",
                n,
                &addresses,
                [Some(ours.host(HostOp::Lookup)), one, program, linux],
            )?;
            let burst = peer.map(|p| p.lpm_burst(Some(&values)));
            self.row("lpm lookup and value, burst of 32", n, &addresses, host(HostOp::Burst, burst))?;
        }
        drop(peer);
        self.dpdk = dpdk;
        Ok(())
    }

    fn memory(&mut self, map: &str, entries: u32, ours: usize, dpdk: Option<u64>) {
        let megabytes = |bytes: f64| bytes / f64::from(1 << 20);
        let cells = [Some(megabytes(ours as f64)), dpdk.map(|b| megabytes(b as f64)), None, None];
        self.push(&format!("{map} memory"), entries, "MiB", cells);
    }

    /// What making a map costs, in time and memory.
    fn creation(&mut self, what: &str, kind: MapType, entries: u32) -> Result<()> {
        if self.wants(what) {
            let (ours, linux) = (ours::create(kind, entries)?, linux::create(kind, entries)?);
            self.push(what, entries, "ms", [Some(ours.0 * 1e3), None, None, Some(linux.0 * 1e3)]);
            let megabytes = |bytes: usize| Some(bytes as f64 / f64::from(1 << 20));
            let cells = [megabytes(ours.1), None, None, megabytes(linux.1)];
            self.push(&format!("{what}, memory"), entries, "MiB", cells);
        }
        Ok(())
    }

    fn all(&mut self) -> Result<()> {
        self.creation("create array", MapType::Array, 33_554_944)?;
        self.creation("create lru", MapType::LruHash, 8_000_000)?;
        let object = self.object.clone();
        let (ours, linux) = (Ours::new(&object, "array", 1)?, Linux::new(&object, "array", 1)?);
        let empty = alone(
            &[ours.program("empty"), linux.program("empty")],
            &keys(0, 1),
            Duration::from_millis(self.args.time),
        )?;
        self.empty = [empty[0], empty[1]];
        drop((ours, linux));
        for entries in self.args.entries.clone() {
            self.programs("array", entries, Fill::Keys, &[("array lookup", "array_lookup")])?;
            let rows = [("percpu array lookup", "percpu_array_lookup")];
            self.programs("percpu_array", entries, Fill::Keys, &rows)?;
            self.hash(entries)?;
            let rows =
                [("percpu hash lookup", "percpu_hash_lookup"), ("percpu hash update", "percpu_hash_update")];
            self.programs("percpu_hash", entries, Fill::Keys, &rows)?;
            self.lru(entries)?;
            let rows =
                [("lru lists update", "lru_lists_update"), ("lru lists insert, evict", "lru_lists_evict")];
            self.programs("lru_lists", entries, Fill::Keys, &rows)?;
            let rows =
                [("percpu lru lookup", "percpu_lru_lookup"), ("percpu lru update", "percpu_lru_update")];
            self.programs("percpu_lru", entries, Fill::Keys, &rows)?;
        }
        // As many elements as a chunk has operations.
        self.programs("hash", CHUNK as u32, Fill::Keys, &[("hash for_each", "hash_each")])?;
        self.programs("queue", 65_536, Fill::Nothing, &[("queue push + pop", "queue_turn")])?;
        self.programs("stack", 65_536, Fill::Nothing, &[("stack push + pop", "stack_turn")])?;
        let rows = [("bloom push", "bloom_push"), ("bloom peek", "bloom_peek")];
        self.programs("bloom", 65_536, Fill::Nothing, &rows)?;
        self.programs("ring", 131_072, Fill::Nothing, &[("ring output and reading", "ring_output")])?;
        self.programs("ports", 1, Fill::Port, &[("redirect_map", "redirect_map")])?;
        self.programs("outer", 1, Fill::Inner, &[("map in map lookup", "inner_lookup")])?;
        for n in self.args.routes.clone() {
            self.lpm(n)?;
            let rows = [
                ("lpm update", "lpm_update"),
                ("lpm delete + insert", "lpm_replace"),
                ("lpm miss", "lpm_miss"),
            ];
            self.programs("lpm", n, Fill::Routes, &rows)?;
        }
        Ok(())
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what it is for; a peer that is not there is said"
)]
fn main() -> Result<()> {
    let args = Args::parse();
    let absent = |e: anyhow::Error| eprintln!("no DPDK: {e:#}");
    let dpdk = Dpdk::start(args.megabytes, args.huge).map_err(absent).ok();
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("maps/ops.bpf.o");
    let mut bench = Bench { args, object, dpdk, empty: [0.0; 2], rows: Vec::new() };
    bench.all()?;
    if bench.args.json {
        println!("{}", serde_json::to_string_pretty(&bench.rows)?);
    } else {
        println!("{}", table(&bench.rows).trim_fmt());
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    let header =
        ["", "ENTRIES", "UNIT", "uxdp", "DPDK", "uxdp/DPDK", "uxdp program", "Linux program", "uxdp/Linux"];
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let number = |n: Option<f64>| n.map_or("-".into(), |n| format!("{n:.2}"));
    for r in rows {
        let ratio = |ours: Option<f64>, peer: Option<f64>| number(ours.zip(peer).map(|(a, b)| a / b));
        table.add_row([
            r.what.clone(),
            r.entries.to_string(),
            r.unit.to_owned(),
            number(r.uxdp),
            number(r.dpdk),
            ratio(r.uxdp, r.dpdk),
            number(r.program),
            number(r.linux),
            ratio(r.program.or(r.uxdp), r.linux),
        ]);
    }
    table
}
