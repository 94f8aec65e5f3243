//! Programs that the verifier accepts: no fault on checked memory, and the same result, packet and maps on compiled code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_core::vm::EngineChoice;
use uxdp_fuzz::bytes::Bytes;
use uxdp_fuzz::{generate, run, seeds, share};

fuzz_target!(
    init: seeds::write(seeds::choices),
    |bytes: &[u8]| {
        let mut bytes = Bytes::new(bytes);
        let packet = bytes.take(64);
        let engine = bytes.pick(&[EngineChoice::Jit, EngineChoice::JitWithoutFacts]);
        let code = || generate::program(&mut bytes.clone(), generate::Scope::Provided);
        share::count(run::verified_and_run(&code, engine, &packet));
    }
);
