//! The command line: EAL's arguments up to `--`, ours behind it.
//!
//! Ours are parsed first, so that a slip costs no EAL start and `--help` needs no hardware.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};

use crate::prog_spec::ProgSpec;

const EXAMPLES: &str = "\
Examples:
  A capture through a program, without root, huge pages or a NIC:
    l2fwd --no-huge -m 256 --no-pci --vdev=net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap \\
          -- --prog xdp_tx.o --exit-idle 200

  Two NICs bound to vfio-pci; what the program passes goes to the kernel through a tap device (port 2):
    l2fwd -l 1 -a 0000:01:00.0 -a 0000:01:00.1 --vdev=net_tap0 -- --prog firewall.o:xdp_fw --maps rules.json --pass-port 2

  Two programs one after the other on every port, the sampler first, and one that sees queue 1 of port 0 alone:
    l2fwd … -- --rx-queues 2 --prog fw.o --prog sample.o,priority=10,chain=pass+drop --prog probe.o,port=0,queue=1

A SIGHUP loads the object files again, and reads the list of --progs: the new version takes over between two bursts and keeps the maps of the same
file, name and shape; one that is refused leaves the running one as it is.

EAL's own options: l2fwd -h -- --native drop";

/// Forwards packets between DPDK ports as an XDP program says.
///
/// Everything before the -- goes to DPDK's EAL, everything after it is described here. PASS counts and frees the packet unless a port is
/// chosen for it; TX sends it back out of its port; REDIRECT to interface n sends it out of port n - 1, to CPU n hands it over to the lcore with that slot; DROP and
/// ABORTED free it.
#[derive(Debug, Parser)]
#[command(
    name = "l2fwd",
    version,
    override_usage = "l2fwd [EAL options] -- --prog FILE[:NAME] [options]",
    after_help = EXAMPLES,
    group(ArgGroup::new("program").required(true).multiple(true).args(["prog", "progs", "native"]))
)]
pub(crate) struct Args {
    /// Object file with an XDP program, and the program's name where it has several; may be repeated
    ///
    /// Programs of one port run one after the other by priority, low numbers first, as libxdp runs them: the next one runs if the action is among those that the program
    /// chains on, and behind the last one the packet passes. Priority and actions come from the object (XDP_RUN_CONFIG; else 50 and PASS) or are set behind the file:
    ///   ,port=N        at this port alone; ,queue=N: for packets of this RX queue alone
    ///   ,priority=N    in place of the object's
    ///   ,chain=LIST    of aborted, drop, pass, tx and redirect, joined by +; or none
    /// Programs of one file share its maps.
    #[arg(long, value_name = "FILE[:NAME][,port=N]…", verbatim_doc_comment)]
    pub(crate) prog: Vec<ProgSpec>,

    /// File with more of them, one a line as for --prog; it is read again on SIGHUP
    ///
    /// So programs are attached, detached and put in another order while packets run: change the file, then send SIGHUP. Blank lines and lines that begin with # say nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "native")]
    pub(crate) progs: Option<PathBuf>,

    /// JSON file with the initial contents of the programs' maps
    #[arg(long, value_name = "FILE", conflicts_with = "native")]
    pub(crate) maps: Option<PathBuf>,

    /// Run compiled code (where the machine can) or the interpreter
    #[arg(long, conflicts_with = "native", default_value = "jit")]
    pub(crate) engine: EngineKind,

    /// At the end, show what is in this map of the programs; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "native")]
    pub(crate) map_dump: Vec<String>,

    /// What happens to packets that the program passes: counted and freed, or sent out of the other port of their pair
    #[arg(long, value_name = "WHERE", default_value = "count", conflicts_with = "pass_port")]
    pub(crate) pass: Pass,

    /// Send packets that the program passes out of this port
    #[arg(long, value_name = "PORT")]
    pub(crate) pass_port: Option<u16>,

    /// Stop after so many packets; those received beyond it are freed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Stop when no packet came for so many milliseconds (a capture file never says that it ended)
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    exit_idle: Option<u64>,

    /// Print the final statistics as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress line, and of EAL's messages only warnings and errors
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Packet buffers in the pool [default: enough for the ports, at least 8191]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) mbufs: Option<u32>,

    /// Bytes of a packet buffer behind DPDK's headroom; longer packets come in segments, for programs of xdp.frags alone
    #[arg(long, value_name = "BYTES", default_value_t = 2048)]
    pub(crate) data_room: u16,

    /// Descriptors of each RX and TX ring, as far as the driver agrees
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) descriptors: u16,

    /// Abort runs that take more than so many instructions
    ///
    /// Counted where a program could go on and on: entering a function, and jumping back. Aborted runs are counted by reason in the statistics ("limit").
    #[arg(long, value_name = "INSNS", conflicts_with = "native", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) run_limit: Option<u64>,

    /// Abort runs that take longer than so many microseconds
    ///
    /// The clock is read every 4,096 instructions that count for --run-limit. Aborted runs are counted by reason in the statistics ("time limit reached").
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "native", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) run_time_limit: Option<u64>,

    /// Answer bpf_fib_lookup from the kernel's routes, neighbours and interfaces, as they change
    ///
    /// Interface n is port n - 1. The kernel's interface of a port is the one that its driver names (net_tap, net_af_packet, net_af_xdp) or --netdev does.
    #[arg(long, conflicts_with = "native")]
    pub(crate) kernel_routes: bool,

    /// The kernel's interface that stands for a port; may be repeated
    #[arg(long, value_name = "PORT=NAME", requires = "kernel_routes", value_parser = netdev)]
    pub(crate) netdev: Vec<Netdev>,

    /// RX queues of each port, as far as it has them; the NIC spreads flows over them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) rx_queues: u16,

    /// Benchmarking: instead of a program, call a native function out of line for each packet
    #[arg(long, value_name = "ACTION", help_heading = "Benchmarking", conflicts_with = "prog")]
    pub(crate) native: Option<Native>,
}

/// One of the kernel's interfaces in a port's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Netdev {
    pub(crate) port: u16,
    pub(crate) name: String,
}

fn netdev(text: &str) -> Result<Netdev, String> {
    let (port, name) = text.split_once('=').ok_or("write PORT=NAME")?;
    let port = port.parse().map_err(|_| format!("\"{port}\" is not the number of a port"))?;
    Ok(Netdev { port, name: name.to_owned() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// Machine code
    Jit,
    /// The interpreter
    Interp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pass {
    /// Count and free it
    Count,
    /// Send it out of the other port of the pair
    Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Native {
    /// Swap the MAC addresses and send it back
    Tx,
    /// Drop
    Drop,
    /// Pass
    #[default]
    Pass,
}

impl Args {
    pub(crate) fn exit_idle(&self) -> Option<Duration> {
        self.exit_idle.map(Duration::from_millis)
    }
}

/// The command line, taken apart.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// What EAL gets, the program's name first.
    pub(crate) eal: Vec<String>,
    pub(crate) args: Args,
}

impl Invocation {
    /// Parses the command line of this process; on a slip or a question it answers and ends the process.
    pub(crate) fn from_command_line() -> Self {
        Self::parse(std::env::args_os().collect()).unwrap_or_else(|answer| answer.exit())
    }

    fn parse(mut line: Vec<OsString>) -> Result<Self, clap::Error> {
        let name = if line.is_empty() { OsString::from("l2fwd") } else { line.remove(0) };
        let (before, after) = match line.iter().position(|arg| arg == "--") {
            Some(dashes) => {
                let after = line.split_off(dashes + 1);
                line.pop();
                (line, after)
            }
            // Without a -- there is nothing for us, unless the question is who we are.
            None if line
                .iter()
                .any(|arg| ["-h", "--help", "-V", "--version"].iter().any(|ours| arg == ours)) =>
            {
                (Vec::new(), line)
            }
            None => (line, Vec::new()),
        };
        let args = Args::try_parse_from([name.clone()].into_iter().chain(after))?;
        let mut eal: Vec<String> =
            [name].into_iter().chain(before).map(|arg| arg.to_string_lossy().into_owned()).collect();
        if args.quiet && !eal.iter().any(|arg| arg.starts_with("--log-level")) {
            eal.push("--log-level=warning".into());
        }
        Ok(Self { eal, args })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, clap::Error> {
        Invocation::parse(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn arguments_before_the_dashes_go_to_eal_unchanged() {
        let invocation = parse("l2fwd --no-huge -m 256 -- --native tx --count 5").unwrap();
        assert_eq!(invocation.eal, ["l2fwd", "--no-huge", "-m", "256"]);
        assert_eq!(invocation.args.count, Some(5));
        assert_eq!(invocation.args.native, Some(Native::Tx));
    }

    #[test]
    fn help_works_without_dashes() {
        let answer = parse("l2fwd --help").unwrap_err();
        assert_eq!(answer.kind(), clap::error::ErrorKind::DisplayHelp);
    }

    #[test]
    fn a_program_is_required_and_there_is_only_one() {
        for line in [
            "l2fwd --no-pci",
            "l2fwd --no-pci --",
            "l2fwd -- --native tx --prog a.o",
            "l2fwd -- --maps m.json",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn quiet_lowers_eal_only_where_the_user_did_not_say() {
        assert_eq!(parse("l2fwd -- --native tx --quiet").unwrap().eal, ["l2fwd", "--log-level=warning"]);
        assert_eq!(
            parse("l2fwd --log-level=debug -- --native tx --quiet").unwrap().eal,
            ["l2fwd", "--log-level=debug"]
        );
    }
}
