//! `uxdp-differential`: generated programs beside Linux for as long as one likes. `cargo xtask differential` builds and runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures and findings")]

use anyhow::{Result, ensure};
use clap::Parser;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uxdp_differential::{Judge, case_of, listing, shrunk};

/// Runs generated programs on Linux and on every engine, and compares.
#[derive(Parser)]
#[command(after_help = "Example: uxdp-differential --seed 1000000 --seconds 600")]
struct Args {
    /// The first case's seed; the others follow.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Cases; without it, as many as the seconds allow.
    #[arg(long)]
    rounds: Option<u64>,
    /// Seconds at most.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Runs one case, a file of hexadecimal digits.
    #[arg(long)]
    case: Option<PathBuf>,
    /// Where cases that differ are kept.
    #[arg(long, default_value = "target/differential")]
    keep: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut judge = Judge::open()?;
    if let Some(path) = &args.case {
        let text = std::fs::read_to_string(path)?;
        let case = digits(&text);
        println!("{}", listing(&case));
        let difference = judge.round(&case)?;
        ensure!(difference.is_none(), "{}", difference.map_or_else(String::new, |d| d.what));
        return Ok(());
    }
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let last = args.rounds.map_or(u64::MAX, |n| args.seed + n);
    for seed in args.seed..last {
        if Instant::now() > end {
            break;
        }
        let case = case_of(seed);
        if let Some(difference) = judge.round(&case)? {
            eprintln!("seed {seed}: {}", difference.what);
            let small = shrunk(&mut judge, &case);
            let what = judge.round(&small)?.map_or_else(String::new, |d| d.what);
            std::fs::create_dir_all(&args.keep)?;
            let path = args.keep.join(format!("{seed}.hex"));
            std::fs::write(&path, small.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n")?;
            eprintln!(
                "shrunk to {} bytes: {what}\n{}kept as {}",
                small.len(),
                listing(&small),
                path.display()
            );
            std::process::exit(1);
        }
    }
    print!("{}", judge.coverage);
    Ok(())
}

fn digits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).filter_map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect()
}
