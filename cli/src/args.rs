//! The command line. Each subcommand's help teaches by example.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use uxdp_control::traffic::Kind;

/// Inspect, verify, run, time and dump XDP programs, without root and without a NIC.
#[derive(Parser)]
#[command(
    name = "uxdp",
    version,
    after_help = "Exit codes: 0 success, 1 negative verdict, 2 usage or unreadable input, 3 refused by the machine.\n\
                  FILE is an object as clang makes it: clang -O2 -g -target bpf -c prog.c -o prog.o"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows what an object holds: programs, maps, helpers, instruction counts, BTF.
    #[command(after_help = "Example:\n  uxdp inspect xdp_progs/obj/xdp_firewall.o")]
    Inspect(Inspect),
    /// Proves programs safe, or says in the kernel's words why not.
    #[command(
        after_help = "Examples:\n  uxdp verify prog.o\n  uxdp verify prog.o --prog xdp_main --log 2\n  uxdp verify prog.o --csv > verdicts.csv"
    )]
    Verify(Verify),
    /// Runs a program over a capture, or over one packet.
    #[command(after_help = "Examples:\n  uxdp run prog.o --in traffic.pcap --out-pass passed.pcap\n  \
                            uxdp run prog.o --maps rules.json --in traffic.pcap --map-dump counters\n  \
                            uxdp run prog.o --data-in hex:ffffffffffff0200000000010800 -v\n  \
                            sudo uxdp run prog.o --maps rules.json --in traffic.pcap --against kernel")]
    Run(Run),
    /// Writes packets to a capture file, from a seed.
    #[command(after_help = "Examples:\n  uxdp gen --out traffic.pcap\n  \
                            uxdp gen --out bad.pcap --kinds malformed,truncated --count 10000 --seed 7\n  \
                            uxdp gen --list\n\n\
                            The same seed and kinds give the same packets everywhere. Addresses, ports and VLANs come from\n\
                            small pools, so that flows recur and the rules of xdp_progs are hit. Then:\n  \
                            uxdp run prog.o --in traffic.pcap")]
    Gen(Gen),
    /// Times a program: nanoseconds a packet, code size, load time.
    #[command(
        after_help = "Examples:\n  uxdp bench prog.o\n  uxdp bench prog.o --engine jit,interp --in traffic.pcap --json"
    )]
    Bench(Bench),
    /// Prints a program: bytecode, rewritten bytecode, IR or machine code, with source lines between.
    #[command(
        after_help = "Examples:\n  uxdp dump prog.o --as bpf\n  uxdp dump prog.o --prog xdp_main --as jited"
    )]
    Dump(Dump),
    /// Writes manual pages into a folder.
    #[command(hide = true)]
    Man(Man),
}

/// Which program of which object.
#[derive(Args)]
pub(crate) struct Which {
    /// The object file.
    pub(crate) file: PathBuf,
    /// The program, by function or section name; optional where the object has one.
    #[arg(long, value_name = "NAME")]
    pub(crate) prog: Option<String>,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// The object file.
    pub(crate) file: PathBuf,
    /// Machine-readable output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) which: Which,
    /// 0: verdict; 1: the refused path, with states; 2: every path, as the kernel's log shows it.
    #[arg(long, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=2))]
    pub(crate) log: u32,
    /// Of a refused program: the path, what was known of the values, what was demanded, and a check that would prove it.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) explain: bool,
    /// What is demanded beyond safety, of where addresses go.
    #[arg(long, value_name = "MODE", default_value = "compat")]
    pub(crate) mode: ModeArg,
    /// BTF that CO-RE relocations are resolved against, such as /sys/kernel/btf/vmlinux; without it the object's own types.
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
    /// Machine-readable output.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Comma-separated, with veristat's columns.
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// The verdict of Linux for a privileged loader.
    Compat,
    /// No pointers into maps, packets and records.
    Hygiene,
    /// No numbers from pointers either, and no reads of unwritten stack.
    Strict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineArg {
    /// Compiled to machine code.
    Jit,
    /// Interpreted.
    Interp,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Contents of maps before the first packet.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) maps: Option<PathBuf>,
    /// Packets to run over: a pcap or pcapng file.
    #[arg(long = "in", value_name = "FILE", conflicts_with = "data_in", required_unless_present = "data_in")]
    pub(crate) input: Option<PathBuf>,
    /// Where packets go that the program sends back (XDP_TX).
    #[arg(long, value_name = "FILE")]
    pub(crate) out_tx: Option<PathBuf>,
    /// Where packets go that pass (XDP_PASS).
    #[arg(long, value_name = "FILE")]
    pub(crate) out_pass: Option<PathBuf>,
    /// Where redirected packets go (XDP_REDIRECT), as the programs of entries let them go on.
    #[arg(long, value_name = "FILE")]
    pub(crate) out_redirect: Option<PathBuf>,
    /// Prints a map's contents afterwards, as bpftool does, or the records that came through it; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) map_dump: Vec<String>,
    /// Of arrays, leaves entries out of the dump that are zero throughout.
    #[arg(long, requires = "map_dump")]
    pub(crate) nonzero: bool,
    /// What runs the program; by default compiled code, or the interpreter where the machine allows none.
    #[arg(long)]
    pub(crate) engine: Option<EngineArg>,
    /// Runs the same packets through Linux as well and compares: action, bytes, metadata, records, maps.
    #[arg(long, value_name = "JUDGE", conflicts_with_all = ["map_dump", "out_tx", "out_pass", "out_redirect", "data_out", "trace", "verbose"])]
    pub(crate) against: Option<Judge>,
    /// Aborts runs that take more than so many instructions, counted where a program could go on and on: entering a function, jumping back.
    #[arg(long, value_name = "INSNS", conflicts_with = "against", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) run_limit: Option<u64>,
    /// Aborts runs that take longer than so many microseconds; the clock is read every 4,096 instructions that count, as above.
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "against", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) run_time_limit: Option<u64>,
    /// Prints what the program says through bpf_trace_printk.
    #[arg(long)]
    pub(crate) trace: bool,
    /// A line for each packet.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Machine-readable output.
    #[arg(long)]
    pub(crate) json: bool,
    /// One packet: a file of raw bytes, - for standard input, or hex:… digits.
    #[arg(long, value_name = "FILE|-|hex:…")]
    pub(crate) data_in: Option<String>,
    /// Where the one packet goes afterwards, as raw bytes.
    #[arg(long, value_name = "FILE", requires = "data_in")]
    pub(crate) data_out: Option<PathBuf>,
    /// Runs the one packet that often; each run starts from the original.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "data_in", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,
    /// Context fields, for example ingress_ifindex=2,rx_queue_index=0.
    #[arg(long, value_name = "FIELD=N,…", value_delimiter = ',', value_parser = ctx_field)]
    pub(crate) ctx: Vec<(CtxFieldArg, u32)>,
}

/// A context field that the command line can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CtxFieldArg {
    IngressIfindex,
    RxQueueIndex,
    EgressIfindex,
}

fn ctx_field(text: &str) -> Result<(CtxFieldArg, u32), String> {
    let (name, value) = text.split_once('=').ok_or("write FIELD=NUMBER")?;
    let field = match name {
        "ingress_ifindex" => CtxFieldArg::IngressIfindex,
        "rx_queue_index" => CtxFieldArg::RxQueueIndex,
        "egress_ifindex" => CtxFieldArg::EgressIfindex,
        _ => return Err("the fields are ingress_ifindex, rx_queue_index and egress_ifindex".into()),
    };
    Ok((field, value.parse().map_err(|_| format!("{value} is not a number from 0 to 4294967295"))?))
}

/// Who says what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Judge {
    /// Linux, through BPF_PROG_TEST_RUN; without --engine every engine is compared with it.
    Kernel,
}

#[derive(Args)]
pub(crate) struct Gen {
    /// The capture file.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    pub(crate) out: Option<PathBuf>,
    /// Packets.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) count: usize,
    /// Where the numbers come from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kinds of packets; without it all, except jumbo.
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = kind)]
    pub(crate) kinds: Vec<Kind>,
    /// Lists the kinds.
    #[arg(long, conflicts_with_all = ["out", "count", "seed", "kinds"])]
    pub(crate) list: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Contents of maps before the first packet.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) maps: Option<PathBuf>,
    /// Packets to run over; without it, 64 different 64-byte IPv4/UDP packets.
    #[arg(long = "in", value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Engines to time, interleaved; by default both, or the interpreter alone where the machine allows no compiled code.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engine: Vec<EngineArg>,
    /// Machine-readable output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// The object's bytecode, linked.
    Bpf,
    /// As engines run it: context loads, maps and helpers resolved.
    Xlated,
    /// The compiler's intermediate form after its passes.
    Ir,
    /// Machine instructions as the compiler emits them.
    Asm,
    /// The bytes of the machine code, with the instruction each comes from.
    Jited,
}

#[derive(Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Which form.
    #[arg(long = "as", value_name = "FORM", default_value = "bpf")]
    pub(crate) form: Form,
}

#[derive(Args)]
pub(crate) struct Man {
    /// Where the pages go.
    pub(crate) folder: PathBuf,
}
