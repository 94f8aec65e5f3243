//! Any bytes as a program over maps of many kinds: judged within its limits, without a panic.
//!
//! The first byte says what the rest is: instruction words as they are, or choices of the generator.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_core::helpers::STANDARD;
use uxdp_core::verifier::{Mode, VerifyOptions, judge};
use uxdp_fuzz::bytes::Bytes;
use uxdp_fuzz::{generate, memory, raw, seeds, share, world};

#[global_allocator]
static HEAP: memory::Counted = memory::Counted;

/// What a verdict may cost here.
const INSNS: u32 = 20_000;
const MEMORY: usize = 8 << 20;

fuzz_target!(
    init: seeds::write(seeds::programs),
    |bytes: &[u8]| {
        let Some((&how, rest)) = bytes.split_first() else { return };
        let code = match how & 1 {
            0 => raw::program(rest, how & 8 != 0),
            _ => generate::program(&mut Bytes::new(rest), generate::Scope::EveryHelper),
        };
        let mode = [Mode::Compat, Mode::Hygiene, Mode::Strict, Mode::Compat][(how >> 1 & 3) as usize];
        let opts = VerifyOptions {
            log_level: u32::from(how >> 4 & 3).min(2),
            insn_budget: INSNS,
            memory_limit: MEMORY,
            mode,
            ..VerifyOptions::default()
        };
        let mut log = world::Discard;
        let before = memory::reset();
        let verdict = judge(&code, &world::infos(), STANDARD, &opts, &mut log);
        memory::below(before, 4 * MEMORY);
        let stats = match &verdict {
            Ok(stats) => stats,
            Err(rejection) => &rejection.stats,
        };
        assert!(stats.insns_processed <= INSNS + 1, "{} instructions", stats.insns_processed);
        share::count(verdict.is_ok());
    }
);
