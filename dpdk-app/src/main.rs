//! l2fwd: forwards packets between DPDK ports as an XDP program says.
//!
//! ```text
//! port ─ receive ─► engine ─► DROP, ABORTED: freed
//!                         ├─► TX: the same port
//!                         ├─► PASS: a chosen port, or freed
//!                         └─► REDIRECT: the port behind the interface number, several of them, or another lcore
//! ```
//!
//! This file is the order of things: arguments, program, EAL, pool, ports, loop, report, and what each failure says to the shell.
//! A packet buffer that is lost on the way is a failure of the run: the pool is counted at the end.
//!
//! Exit codes: 0 success; 1 a refused program, or a lost packet buffer or packet; 2 usage or an unreadable file; 3 refused by the machine (EAL,
//! a port, memory).

mod args;
mod counters;
mod egress;
mod engine;
mod forward;
mod prog_spec;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use dpdk_sys::{Descriptors, Eal, Job, Mempool, Port, PortInfo, Setup};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use uxdp_control::session::SessionError;

use args::{Args, Invocation, Pass};
use egress::{Crew, Egress, Lanes, Together};
use engine::{AttachError, Engine, Input};
use forward::{Event, Forwarder, Limits, PassTo};
use report::{Outcome, Reloads, Report};

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
    /// The programs cannot take their places.
    #[error(transparent)]
    Attach(#[from] AttachError),
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
            Self::Attach(AttachError::Unfit(_)) => 1,
            Self::Attach(AttachError::Engine(_) | AttachError::System { .. }) => 3,
            Self::Attach(AttachError::Place(_)) => 2,
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

#[expect(clippy::print_stderr, reason = "the one place where this program speaks beside its report")]
fn complain(sentence: &str) {
    eprintln!("l2fwd: {sentence}");
}

fn run(invocation: &Invocation) -> Result<Outcome, Failure> {
    let args = &invocation.args;
    let stop = stop_on_signals()?;
    let mut engine = engine::load(args, reload_on_signal()?)?;
    let eal = Eal::init(&invocation.eal)?;
    let infos = eal.ports()?;
    if infos.is_empty() {
        return Err(Failure::NoPorts);
    }
    let pass = pass_to(args, &infos)?;
    engine.attach(&inputs(args, &infos))?;
    engine.connect(args, &infos, complain)?;
    let pool = Mempool::new(
        &eal,
        "l2fwd",
        args.mbufs.unwrap_or_else(|| enough_mbufs(args, &infos)),
        args.data_room,
    )?;
    let mut report = forward(args, engine.as_mut(), (&eal, &pool), infos, pass, &stop)?;
    let outcome = report.close(pool);
    report.print(args.json);
    if let Some(sentence) = outcome.complaint() {
        complain(&sentence);
    }
    Ok(outcome)
}

/// How many RX queues of a port are used.
fn rx_queues(args: &Args, port: &PortInfo) -> u16 {
    args.rx_queues.min(port.rx_queues).max(1)
}

/// Every RX queue, port by port.
fn inputs(args: &Args, infos: &[PortInfo]) -> Vec<Input> {
    let of_port = |port| (0..rx_queues(args, port)).map(move |queue| Input::new(port, queue, args.data_room));
    infos.iter().flat_map(of_port).collect()
}

/// Opens the ports, runs the loop, drains and closes the ports.
fn forward<'pool>(
    args: &Args,
    engine: &mut dyn Engine,
    (eal, pool): (&'pool Eal, &'pool Mempool<'pool>),
    infos: Vec<PortInfo>,
    pass: PassTo,
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    let mut ports = Vec::with_capacity(infos.len());
    let descriptors = Descriptors { rx: args.descriptors, tx: args.descriptors };
    let mut kept_by_drivers = 0;
    for info in &infos {
        let before = pool.in_use();
        let setup = Setup { rx_queues: rx_queues(args, info), descriptors, used: engine.uses() };
        let port = Port::open(info.id, pool, setup)?;
        if KEEPS_ITS_RINGS.contains(&info.driver.as_str()) {
            kept_by_drivers += pool.in_use() - before + u32::from(args.descriptors);
        }
        // A driver that knows no such mode lets every packet in anyway.
        let _ = port.set_promiscuous();
        ports.push(port);
    }
    let ways = Arc::new(Lanes::new(ports.iter().map(Port::id), pass));
    let (to, rings, others) = match engine.lcores() {
        Some(env) => {
            let Crew { to, main, others } = Crew::new(eal, pool, &env, &ways)?;
            (to, Some(main), others)
        }
        None => (Vec::new(), None, Vec::new()),
    };
    let egress = Egress::new(pool, Arc::clone(&ways), to);
    let mut forwarder = Forwarder::new(ports, ways, egress, rings);
    let together = &Together::of(others.len());
    let jobs = others.into_iter().map(|(lcore, other)| {
        let job: Job<'_> = Box::new(move || other.work(together));
        (lcore, job)
    });
    let limits = Limits { count: args.count, idle: args.exit_idle() };
    let mut progress = report::Progress::new(args.quiet);
    let begin = Instant::now();
    let mut reloads = Reloads::default();
    let tell = |event| match event {
        Event::Progress(totals) => progress.tick(totals),
        Event::Renewed(Ok(renewed)) => {
            reloads.done += 1;
            if !args.quiet {
                complain(&match renewed.kept.as_slice() {
                    [] => "reloaded".to_owned(),
                    kept => format!("reloaded; maps kept: {}", kept.join(", ")),
                });
            }
        }
        Event::Renewed(Err(why)) => {
            reloads.failed += 1;
            complain(&format!("not reloaded, the running version stays: {why}"));
        }
    };
    let main = || {
        let ended_by = forwarder.run(engine, &limits, stop, tell);
        let elapsed = begin.elapsed();
        forwarder.finish(engine, together);
        (ended_by, elapsed)
    };
    let (ended_by, elapsed) = eal.with_lcores(jobs.collect(), &together.finish, main)?;
    progress.end();
    for ended in together.take_ended() {
        ended.error.iter().for_each(|sentence| complain(sentence));
        forwarder.add(ended);
    }
    forwarder.drain(pool);
    let peak = forwarder.peak();
    Ok(Report::new(engine, ended_by, (elapsed, peak), infos, forwarder.close(), kept_by_drivers)
        .with(reloads))
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

/// The flag that SIGHUP sets.
fn reload_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&reload))
        .map_err(|source| Failure::System { action: "catch signals", source })?;
    Ok(reload)
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
fn enough_mbufs(args: &Args, infos: &[PortInfo]) -> u32 {
    let of_port = |port| {
        (u32::from(rx_queues(args, port)) + 1) * u32::from(args.descriptors) + 4 * dpdk_sys::BURST as u32
    };
    (infos.iter().map(of_port).sum::<u32>() + 512).max(8191)
}
