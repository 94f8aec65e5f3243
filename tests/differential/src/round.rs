//! One case: a program from choices, both verdicts, and the results.

use crate::cover::Coverage;
use crate::kernel::Kernel;
use crate::ours::{ENGINES, Ours};
use anyhow::{Context, Result};
use uxdp_control::traffic::Rng;
use uxdp_core::isa::op::{BPF_ATOMIC, BPF_FETCH, BPF_LDX, BPF_STX};
use uxdp_core::isa::{Insn, Listing, NoNames};
use uxdp_core::program::Code;
use uxdp_generate::bytes::Bytes;
use uxdp_generate::generate::{Scope, program};

/// Bytes of a case's packet, and of its choices at most.
const PACKET: usize = 64;
const CHOICES: usize = 320;
/// A packet is at least an Ethernet header and something.
const SHORTEST: usize = 20;

/// Where Linux and uxdp differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// In a sentence.
    pub what: String,
}

/// Both sides.
pub struct Judge {
    kernel: Kernel,
    ours: Ours,
    /// What was compared so far.
    pub coverage: Coverage,
}

/// The case of a seed.
pub fn case_of(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let len = PACKET + 1 + rng.below(CHOICES);
    (0..len).map(|_| rng.byte()).collect()
}

fn parts(case: &[u8]) -> (Vec<u8>, Code) {
    let mut bytes = Bytes::new(case);
    let mut packet = bytes.take(PACKET);
    packet.resize(PACKET.max(SHORTEST), 0);
    // Some are shorter than what programs look for.
    let keep = SHORTEST + usize::from(packet[0]) % (PACKET - SHORTEST + 1);
    packet.truncate(if packet[1].is_multiple_of(4) { keep } else { PACKET });
    (packet, program(&mut bytes, Scope::Everywhere))
}

/// A case as people read it: its packet and instructions.
pub fn listing(case: &[u8]) -> String {
    let (packet, code) = parts(case);
    let digits: String = packet.iter().map(|b| format!("{b:02x}")).collect();
    format!("packet {digits}\n{}", Listing::new(&code.insns, &NoNames))
}

impl Judge {
    /// Both sides with their maps; the thread stays on CPU 0.
    ///
    /// # Errors
    /// Where bpf(2) or memory is not to be had.
    pub fn open() -> Result<Judge> {
        // SAFETY: a zeroed set is an empty one; the call reads as many bytes as it is told.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
        Ok(Judge { kernel: Kernel::open()?, ours: Ours::open()?, coverage: Coverage::default() })
    }

    /// Compares a case; `Some` where Linux and uxdp differ.
    ///
    /// # Errors
    /// What could not be run at all.
    pub fn round(&mut self, case: &[u8]) -> Result<Option<Difference>> {
        let (packet, code) = parts(case);
        let differs = |what: String| Ok(Some(Difference { what }));
        self.coverage.generated += 1;
        let loaded = self.kernel.load(&code.insns);
        let proven = self.ours.proven(again(&code)?);
        let (loaded, proven) = match (loaded, proven) {
            (None, Err(_)) => return Ok(None),
            (Some(_), Err(_)) if is_beyond_linux(&code) => {
                self.coverage.doubted += 1;
                return Ok(None);
            }
            (Some(_), Err(why)) => return differs(format!("accepted by Linux, refused here: {why}")),
            (None, Ok(proven)) => {
                // More is known here of some operations than Linux 6.18 knows: no difference as long as the program keeps within its memory, however short the packet.
                self.coverage.more_precise += 1;
                for len in (0..=packet.len()).rev() {
                    if let Some(fault) = self.ours.watch(&proven, &packet[..len], &mut Coverage::default())? {
                        return differs(format!("{fault}; Linux: {}", self.kernel.reason(&code.insns)));
                    }
                }
                return Ok(None);
            }
            (Some(loaded), Ok(proven)) => (loaded, proven),
        };
        self.coverage.accepted += 1;
        if let Some(fault) = self.ours.watch(&proven, &packet, &mut self.coverage)? {
            return differs(fault);
        }
        if !self.ours.is_strict(&code) {
            return Ok(None);
        }
        let linux = self.kernel.run(&loaded, &packet)?;
        let mut expected = None;
        for (engine, name) in ENGINES {
            if engine != uxdp_core::vm::EngineChoice::Interp && cfg!(not(target_arch = "x86_64")) {
                continue;
            }
            let program = self.ours.proven(again(&code)?).ok().context("two verdicts")?;
            let ours = self.ours.run(program, engine, &packet)?;
            if ours != linux && !is_beyond_linux(&code) {
                return differs(told(name, &linux, &ours));
            }
            // Where Linux is no judge, the first engine is.
            self.coverage.doubted += u64::from(expected.is_none() && ours != linux);
            let first = expected.get_or_insert_with(|| ours.clone());
            if ours != *first {
                return differs(told(name, first, &ours).replace("on Linux", "interpreted"));
            }
        }
        self.coverage.runs += 1;
        self.coverage.program(&code.insns, linux.packet != packet);
        Ok(None)
    }
}

/// Whether a program does what Linux is no judge of.
///
/// A fetch from its stack by an atomic operation. Kernel: 6.18's verifier does not make the slot precise that such a fetch read, prunes a path on which the slot holds another number,
/// and wires branches on the fetched number for the path that it saw (`cases/fetch-from-linked-slot.hex`); uxdp: the slot is made precise.
///
/// A sign-extending load from its stack. Kernel: 6.18's verifier holds what was loaded for the very number that was stored, where that has no more bits, though its
/// upper half may be ones now: what a branch tells of the one it believes of the other (`cases/sign-extended-fill.hex`); uxdp: they are two numbers.
///
/// So Linux does not judge what such programs come to, nor whether they are safe (`cases/fetched-index.hex`).
fn is_beyond_linux(code: &Code) -> bool {
    const R10: u8 = 10;
    const MEMSX: u8 = 0x80;
    let fetches = |i: &Insn| i.code & 7 == BPF_STX && i.code & 0xe0 == BPF_ATOMIC && i.imm & BPF_FETCH != 0;
    let extends = |i: &Insn| i.code & 7 == BPF_LDX && i.code & 0xe0 == MEMSX;
    code.insns.iter().any(|i| fetches(i) && i.dst() == R10 || extends(i) && i.src() == R10)
}

/// The same program once more.
fn again(code: &Code) -> Result<Code> {
    Ok(uxdp_generate::raw::code(&code.insns, false))
}

/// The first thing in which two outcomes differ.
fn told(engine: &str, linux: &crate::Outcome, ours: &crate::Outcome) -> String {
    let pair = |what: &str, l: String, o: String| format!("{engine}: {what} is {o}, on Linux {l}");
    if linux.action != ours.action {
        return pair("the action", linux.action.to_string(), ours.action.to_string());
    }
    if linux.packet != ours.packet {
        return pair("the packet", format!("{:02x?}", linux.packet), format!("{:02x?}", ours.packet));
    }
    if linux.metadata != ours.metadata {
        return pair("the metadata", format!("{:02x?}", linux.metadata), format!("{:02x?}", ours.metadata));
    }
    let map = linux.maps.iter().zip(&ours.maps).position(|(l, o)| l != o).unwrap_or_default();
    pair(&format!("map {map}"), format!("{:02x?}", linux.maps[map]), format!("{:02x?}", ours.maps[map]))
}
