//! l2fwd: forwards packets between DPDK ports as an XDP program says.
//!
//! ```text
//! port ─ receive ─► engine ─► DROP, ABORTED: freed
//!                         ├─► TX: the same port
//!                         ├─► PASS: a chosen port, or freed
//!                         └─► REDIRECT: the port behind the interface number
//! ```
//!
//! This file is the order of things: arguments, program, EAL, pool, ports, loop, report, and what each failure says to the shell.
//! A packet buffer that is lost on the way is a failure of the run: the pool is counted at the end.
//!
//! Exit codes: 0 success; 1 a refused program, or a lost packet buffer or packet; 2 usage or an unreadable file; 3 refused by the machine (EAL,
//! a port, memory).

mod args;
mod counters;
mod engine;
mod forward;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use dpdk_sys::{Descriptors, Eal, Mempool, Port, PortInfo};
use signal_hook::consts::{SIGINT, SIGTERM};
use uxdp_control::session::SessionError;

use args::{Args, Invocation, Pass};
use engine::Engine;
use forward::{Forwarder, Limits, PassTo};
use report::{Outcome, Report};

/// Drivers that do not give back the buffers in their rings when their port closes. What such a port took when it opened, and as much
/// as its TX ring holds, is not held against the run.
const KEEPS_ITS_RINGS: [&str; 1] = ["net_af_xdp"];

/// Why l2fwd ends before it forwards.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// The engine does not take the program.
    #[error(transparent)]
    Engine(#[from] Box<SessionError>),
    /// DPDK refuses.
    #[error(transparent)]
    Dpdk(#[from] dpdk_sys::Error),
    /// The operating system refuses.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// EAL brought no port.
    #[error(
        "EAL found no port: name a virtual one before the --, such as --vdev=net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap, \
         or bind a NIC to vfio-pci"
    )]
    NoPorts,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Engine(e) if matches!(**e, SessionError::Refused { .. }) => 1,
            Self::Engine(e) if matches!(**e, SessionError::Machine { .. }) => 3,
            Self::Usage(_) | Self::Engine(_) => 2,
            Self::Dpdk(_) | Self::System { .. } | Self::NoPorts => 3,
        }
    }
}

fn main() -> ExitCode {
    let invocation = Invocation::from_command_line();
    match run(&invocation) {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where this program complains")]
fn complain(sentence: &str) {
    eprintln!("l2fwd: {sentence}");
}

fn run(invocation: &Invocation) -> Result<Outcome, Failure> {
    let args = &invocation.args;
    let stop = stop_on_signals()?;
    let mut engine = engine::load(args)?;
    let eal = Eal::init(&invocation.eal)?;
    let infos = eal.ports()?;
    if infos.is_empty() {
        return Err(Failure::NoPorts);
    }
    let pass = pass_to(args, &infos)?;
    let pool = Mempool::new(
        &eal,
        "l2fwd",
        args.mbufs.unwrap_or_else(|| enough_mbufs(args, infos.len())),
        args.data_room,
    )?;
    let mut report = forward(args, engine.as_mut(), &pool, infos, pass, &stop)?;
    let outcome = report.close(pool);
    report.print(args.json);
    if let Some(sentence) = outcome.complaint() {
        complain(&sentence);
    }
    Ok(outcome)
}

/// Opens the ports, runs the loop, drains and closes the ports.
fn forward(
    args: &Args,
    engine: &mut dyn Engine,
    pool: &Mempool<'_>,
    infos: Vec<PortInfo>,
    pass: PassTo,
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    let mut ports = Vec::with_capacity(infos.len());
    let wanted = Descriptors { rx: args.descriptors, tx: args.descriptors };
    let mut kept_by_drivers = 0;
    for info in &infos {
        let before = pool.in_use();
        let port = Port::open(info.id, pool, wanted)?;
        if KEEPS_ITS_RINGS.contains(&info.driver.as_str()) {
            kept_by_drivers += pool.in_use() - before + u32::from(args.descriptors);
        }
        // A driver that knows no such mode lets every packet in anyway.
        let _ = port.set_promiscuous();
        ports.push(port);
    }
    let mut forwarder = Forwarder::new(ports, pass);
    let limits = Limits { count: args.count, idle: args.exit_idle() };
    let mut progress = report::Progress::new(args.quiet);
    let begin = Instant::now();
    let ended_by = forwarder.run(engine, &limits, stop, |totals| progress.tick(totals));
    let elapsed = begin.elapsed();
    progress.end();
    forwarder.drain(pool);
    let peak = forwarder.peak();
    Ok(Report::new(engine, ended_by, (elapsed, peak), infos, forwarder.close(), kept_by_drivers))
}

/// The flag that SIGINT and SIGTERM set; a second one ends the process at once.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|source| Failure::System { action: "catch signals", source })?;
    }
    Ok(stop)
}

fn pass_to(args: &Args, infos: &[PortInfo]) -> Result<PassTo, Failure> {
    if let Some(port) = args.pass_port {
        let Some(lane) = infos.iter().position(|info| info.id == port) else {
            let known: Vec<_> = infos.iter().map(|info| format!("{} ({})", info.id, info.name)).collect();
            return Err(Failure::Usage(format!("--pass-port {port}: the ports are {}", known.join(", "))));
        };
        return Ok(PassTo::Lane(lane));
    }
    match args.pass {
        Pass::Count => Ok(PassTo::Nowhere),
        Pass::Peer if infos.len().is_multiple_of(2) => Ok(PassTo::Peer),
        Pass::Peer => Err(Failure::Usage(format!(
            "--pass peer needs ports in pairs (0 and 1, 2 and 3, …), and there are {}",
            infos.len()
        ))),
    }
}

/// Buffers for full rings in both directions on every port, the bursts in hand and the cache.
fn enough_mbufs(args: &Args, ports: usize) -> u32 {
    let per_port = 2 * u32::from(args.descriptors) + 4 * dpdk_sys::BURST as u32;
    (per_port * ports as u32 + 512).max(8191)
}
