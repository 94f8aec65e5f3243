//! The driver itself.

use std::io::Read;
use std::process::ExitCode;
use uxdp_core::conformance::{AlignedMem, bare_program};
use uxdp_core::helpers::HelperSet;
use uxdp_core::interp::{Raw, run_with};
use uxdp_core::isa::Insn;
use uxdp_core::jit::exec::install;
use uxdp_core::jit::{CompileOptions, CpuFeatures, OnAbort, Target, UseFacts, compile};
use uxdp_core::program::{Program, Verified};
use uxdp_core::vm::on_abort;

enum Engine {
    Interp,
    Jit,
}

const HELP: &str = "\
A plugin of the public eBPF conformance suite: runs a bare program, unverified.

Usage: uxdp-conformance [MEMORY] [--engine interp|jit] < PROGRAM

PROGRAM is hex bytes on standard input, MEMORY hex bytes too; r1 is the memory's address, r2 its length. Prints r0 as hex.
Exit codes: 0 r0 was printed, 1 the program did not end, 2 usage or no program.

Example: echo 'b7 00 00 00 05 00 00 00 95 00 00 00 00 00 00 00' | uxdp-conformance --engine jit";

struct Args {
    memory: Vec<u8>,
    engine: Engine,
}

/// 0: r0 was printed; 1: the program did not end; 2: usage, or no program.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]
pub(crate) fn main() -> ExitCode {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut text = String::new();
    let input = std::io::stdin().read_to_string(&mut text).map_err(|e| format!("standard input: {e}"));
    let parsed = input.and_then(|_| Ok((parse_args(std::env::args().skip(1))?, parse_program(&text)?)));
    let (args, insns) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("uxdp-conformance: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&args, &insns) {
        Ok(r0) => {
            println!("{r0:x}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("uxdp-conformance: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, insns: &[Insn]) -> Result<u64, String> {
    // SAFETY: whoever starts this program vouches for the one that it is given.
    let program = unsafe { bare_program(insns) }.map_err(|e| format!("no program: {e:?}"))?;
    let mut memory = AlignedMem::new(&args.memory).map_err(|e| e.to_string())?;
    let r = [memory.addr() as u64, memory.len() as u64, 0, 0, 0];
    match args.engine {
        // SAFETY: as above; there is no context because bare programs have no use for one.
        Engine::Interp => unsafe {
            run_with(&program, HelperSet::new(&[]), std::ptr::null_mut(), r, &mut Raw)
                .map_err(|e| format!("{e:?}"))
        },
        Engine::Jit => run_compiled(&program, r),
    }
}

/// Compiled without facts, of which a bare program has none, into executable memory of the C library's.
fn run_compiled(program: &Program<Verified>, r: [u64; 5]) -> Result<u64, String> {
    let options = CompileOptions {
        target: Target::HOST,
        features: CpuFeatures::host(),
        helpers: HelperSet::new(&[]),
        on_abort,
        tail_call_limit: 0,
        facts: UseFacts::No,
    };
    let artifact = compile(program, &options).map_err(|e| e.to_string())?;
    let code = install(artifact, &uxdp_platform::PLATFORM, on_abort as OnAbort as usize);
    // SAFETY: whoever starts this program vouches for the one that it is given.
    code.map(|code| unsafe { code.run_bare(r) }).map_err(|e| e.to_string())
}

fn parse_args(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args { memory: Vec::new(), engine: Engine::Interp };
    let mut args = args.peekable();
    if let Some(memory) = args.next_if(|a| !a.starts_with("--")) {
        parsed.memory = parse_hex(&memory)?;
    }
    while let Some(arg) = args.next() {
        let value = match arg.split_once('=') {
            Some(("--engine", value)) => value.to_owned(),
            None if arg == "--engine" => args.next().ok_or("--engine needs a name")?,
            _ => return Err(format!("unknown argument {arg:?}; it takes [MEMORY] [--engine interp|jit]")),
        };
        parsed.engine = match value.as_str() {
            "interp" => Engine::Interp,
            "jit" => Engine::Jit,
            _ => return Err(format!("no engine {value:?}: interp or jit")),
        };
    }
    Ok(parsed)
}

fn parse_program(text: &str) -> Result<Vec<Insn>, String> {
    let bytes = parse_hex(text)?;
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of instructions", bytes.len()));
    }
    Ok(slots.iter().map(|slot| Insn::from_bytes(*slot)).collect())
}

/// Hex digits, two a byte, white space anywhere between bytes.
fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        pair.iter().all(u8::is_ascii_hexdigit).then(|| u8::from_str_radix(text, 16).ok())?
    });
    match bytes.collect::<Option<Vec<u8>>>() {
        Some(bytes) if rest.is_empty() => Ok(bytes),
        _ => Err(format!("{:?} is not hex bytes", text.trim())),
    }
}
