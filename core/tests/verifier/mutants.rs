//! Near misses: accepted programs with one instruction changed a little, given to both judges.
//!
//! What matters is one direction: a mutant that we accept and Linux refuses is a hole, unless [`known`] explains it. The other direction
//! is counted. The seed is fixed; `UXDP_MUTANTS` sets how many mutants there are.

use crate::asm::Assembled;
use crate::btf::functions_of_code;
use crate::kernel::{self, Kernel, Log};
use crate::ours;
use crate::table::{Side, cases};
use std::collections::BTreeMap;
use std::path::Path;
use uxdp_core::isa::op::{
    BPF_ALU, BPF_ALU64, BPF_ARSH, BPF_B, BPF_CALL, BPF_DIV, BPF_DW, BPF_EXIT, BPF_H, BPF_JMP, BPF_JMP32,
    BPF_LD, BPF_LDX, BPF_LSH, BPF_MEM, BPF_MOD, BPF_RSH, BPF_ST, BPF_STX, BPF_SUB, BPF_X,
};
use uxdp_core::isa::{Insn, Listing, NoNames};
use uxdp_core::maps::{MapSpec, MapType};
use uxdp_core::object::{Object, OpenOptions};
use uxdp_core::program::AttachType;

/// A program that both accept.
struct Seed {
    name: String,
    program: Assembled,
    maps: Vec<MapSpec>,
    attach: AttachType,
}

/// A small generator of numbers: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The table's safe programs, and every program of `xdp_progs`.
fn seeds() -> Vec<Seed> {
    let safe = cases().into_iter().filter(|c| c.side == Side::Safe);
    let mut all: Vec<_> = safe
        .map(|c| Seed {
            name: c.name(),
            attach: c.attach(),
            maps: c.maps.iter().map(|m| crate::maps::spec(m)).collect(),
            program: c.program,
        })
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj");
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_some_and(|e| e == "o") {
            all.extend(programs(&file));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn programs(file: &Path) -> Vec<Seed> {
    let bytes = std::fs::read(file).unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let object = Object::open(&bytes, &OpenOptions { name, ..OpenOptions::default() }).unwrap();
    let maps: Vec<_> = object.maps().iter().map(|m| m.spec).collect();
    let link = |index: usize| {
        let linked = object.link(index).unwrap();
        let code = linked.code();
        Seed {
            name: format!("{name}:{}", code.name.as_str()),
            program: Assembled { insns: code.insns.to_vec(), functions: functions_of_code(code) },
            maps: maps.clone(),
            attach: code.attach,
        }
    };
    (0..object.programs().len()).map(link).collect()
}

/// Changes one instruction: an offset, a register, an operation, a condition, an immediate; or drops it, swaps it with its neighbour or puts that
/// in its place.
///
/// The second answer is the places.
fn mutate(program: &Assembled, random: &mut Random) -> (Assembled, Vec<usize>) {
    let mut mutant = program.clone();
    let at = random.below(mutant.insns.len());
    let insn = mutant.insns[at];
    let class = insn.class();
    let (dst, src) = (insn.dst(), insn.src());
    let with = |dst, src, off, imm| Insn::new(insn.code, dst, src, off, imm);
    let register = random.below(11) as u8;
    let step = random.pick(&[-8, -4, -2, -1, 1, 2, 4, 8]);
    let jump = class == BPF_JMP || class == BPF_JMP32;
    let control = jump && matches!(insn.code & 0xf0, BPF_CALL | BPF_EXIT);
    let how = random.below(10);
    if how >= 8 && at + 1 < mutant.insns.len() {
        match how {
            8 => mutant.insns.swap(at, at + 1),
            _ => mutant.insns[at] = mutant.insns[at + 1],
        }
        return (mutant, vec![at, at + 1]);
    }
    mutant.insns[at] = match how {
        _ if class == BPF_LD || control => with(dst, src, insn.off, insn.imm.wrapping_add(step)),
        0 => with(
            dst,
            src,
            insn.off.wrapping_add(if jump { step.signum() as i16 } else { step as i16 }),
            insn.imm,
        ),
        1 => with(register, src, insn.off, insn.imm),
        2 if insn.code & 8 != 0 || !matches!(class, BPF_ALU | BPF_ALU64) => {
            with(dst, register, insn.off, insn.imm)
        }
        3 => with(src, dst, insn.off, insn.imm),
        4 if jump => {
            Insn { code: insn.code & 0x0f | random.pick(&[1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]) << 4, ..insn }
        }
        4 if matches!(class, BPF_ALU | BPF_ALU64) => {
            Insn { code: insn.code & 0x0f | (random.below(13) as u8) << 4, ..insn }
        }
        4 => Insn { code: insn.code & 0xe7 | (random.below(4) as u8) << 3, ..insn },
        5 if jump => Insn { code: insn.code ^ (BPF_JMP ^ BPF_JMP32), ..insn },
        5 if matches!(class, BPF_ALU | BPF_ALU64) => Insn { code: insn.code ^ (BPF_ALU ^ BPF_ALU64), ..insn },
        5 if matches!(class, BPF_ST | BPF_STX) => with(dst, src, insn.off, insn.imm ^ 1),
        6 => Insn::new(BPF_ALU64 | 0xb0, dst, 0, 0, 0),
        _ => with(dst, src, insn.off, insn.imm.wrapping_add(step)),
    };
    (mutant, vec![at])
}

/// Why it is safe to accept a mutant that Linux refuses with these words, if there is a reason that `docs/verifier.md` gives too.
fn known(seed: &Seed, mutant: &Assembled, changed: &[usize], why: &str) -> Option<&'static str> {
    if why.contains("verifier bug: No program to jit") {
        return Some("a callback that is named and never called is no error here, Linux does not compile it");
    }
    if why.contains("map_value_or_null") {
        // Were it only for arrays whose key is known, then with hashes in their place it is refused.
        let hashes = seed.maps.iter().map(|m| match m.kind {
            MapType::Array if m.max_entries > 1 => MapSpec { kind: MapType::Hash, flags: 0, ..*m },
            MapType::PercpuArray if m.max_entries > 1 => {
                MapSpec { kind: MapType::PercpuHash, flags: 0, ..*m }
            }
            _ => *m,
        });
        let verdict = ours::verify(mutant, &hashes.collect::<Vec<_>>(), seed.attach);
        let refused =
            matches!(verdict, ours::Verdict::Refused(_, text) if text.contains("map_value_or_null"));
        return refused.then_some("an array element of known index is there, however its key was written");
    }
    // Were it only for the result of one of these operations, then with an unknown number in its place it is refused.
    let is_difference = |insn: &Insn| insn.code == BPF_ALU | BPF_SUB | BPF_X;
    let differences: Vec<_> =
        (0..mutant.insns.len()).filter(|at| is_difference(&mutant.insns[*at])).collect();
    let is_small_load = |insn: &Insn| {
        insn.class() == BPF_LDX && insn.src() == 10 && matches!(insn.code & 0x18, BPF_B | BPF_H)
    };
    let small: Vec<_> = (0..mutant.insns.len()).filter(|at| is_small_load(&mutant.insns[*at])).collect();
    let vague: Vec<_> = changed.iter().copied().filter(|at| is_vague(&mutant.insns[*at])).collect();
    let reasons = [
        (vague, "quotients, remainders and shifts by a register have bounds here, none in Linux 6.18"),
        (small, "numbers of one and two bytes keep their values in the stack here, none in Linux 6.18"),
        (differences, "a 32-bit difference of pointers is below 2^32 here, anything in Linux 6.18"),
    ];
    reasons
        .into_iter()
        .find(|(places, _)| !places.is_empty() && needs(seed, mutant, places))
        .map(|(_, why)| why)
}

/// Whether Linux knows nothing of the result.
fn is_vague(insn: &Insn) -> bool {
    let shift_by_register =
        insn.code & BPF_X != 0 && matches!(insn.code & 0xf0, BPF_LSH | BPF_RSH | BPF_ARSH);
    let divides = matches!(insn.code & 0xf0, BPF_DIV | BPF_MOD);
    matches!(insn.class(), BPF_ALU | BPF_ALU64) && (shift_by_register || divides)
}

/// Whether we refuse the program as soon as nothing is known of the results at these places.
fn needs(seed: &Seed, mutant: &Assembled, places: &[usize]) -> bool {
    let mut vague = mutant.clone();
    for at in places {
        let insn = &mut vague.insns[*at];
        *insn = Insn::new(BPF_LDX | BPF_MEM | BPF_DW, insn.dst(), 10, -512, 0);
    }
    let verdict = ours::verify(&vague, &seed.maps, seed.attach);
    matches!(verdict, ours::Verdict::Refused(_, text) if !text.contains("stack size"))
}

/// What came of the mutants.
#[derive(Default)]
struct Counts {
    both_accept: usize,
    both_refuse: usize,
    /// We accept, the kernel refuses, and it is explained.
    known: BTreeMap<&'static str, usize>,
    /// We accept, the kernel refuses.
    holes: Vec<String>,
    /// We refuse, the kernel accepts: how often, by our reason without numbers, with an example.
    stricter: BTreeMap<String, (usize, String)>,
}

#[test]
fn a_mutant_that_linux_refuses_is_refused() {
    let mut kernel = match Kernel::new() {
        Ok(kernel) => kernel,
        Err(why) => return kernel::skip("mutants skipped", &why),
    };
    let wanted: usize = std::env::var("UXDP_MUTANTS").map_or(4000, |n| n.parse().unwrap());
    let mut random = Random(20_26);
    let mut counts = Counts::default();
    let mut seeds = seeds();
    // Linux wants a device for the NIC's metadata, and has no verdict without one.
    seeds.retain(|s| match kernel.verify(&s.program, &s.maps, s.attach, Log::Reason) {
        kernel::Verdict::Refused(_, why) => !why.contains("device-bound"),
        kernel::Verdict::Accepted => true,
    });
    for n in 0..wanted {
        let seed = &seeds[n % seeds.len()];
        let (mut mutant, mut changed) = mutate(&seed.program, &mut random);
        if random.below(4) == 0 {
            let (twice, places) = mutate(&mutant, &mut random);
            mutant = twice;
            changed.extend(places);
        }
        judge(&mut kernel, seed, (&mutant, &changed), &mut counts);
    }
    let stricter: usize = counts.stricter.values().map(|(n, _)| n).sum();
    println!(
        "mutants: {wanted} of {} programs: both accept {}, both refuse {}, stricter than Linux {stricter}, more liberal for a known reason {}, holes {}",
        seeds.len(),
        counts.both_accept,
        counts.both_refuse,
        counts.known.values().sum::<usize>(),
        counts.holes.len()
    );
    for (reason, n) in &counts.known {
        println!("  more liberal {n} times: {reason}");
    }
    for (reason, (n, example)) in &counts.stricter {
        println!("  stricter {n} times: {reason}, for example {example}");
    }
    assert!(counts.holes.is_empty(), "{} holes:\n{}", counts.holes.len(), counts.holes.join("\n"));
}

fn judge(kernel: &mut Kernel, seed: &Seed, (mutant, changed): (&Assembled, &[usize]), counts: &mut Counts) {
    let theirs = kernel.verify(mutant, &seed.maps, seed.attach, Log::None);
    let own = ours::verify(mutant, &seed.maps, seed.attach);
    match (theirs, own) {
        (kernel::Verdict::Accepted, ours::Verdict::Accepted) => counts.both_accept += 1,
        (kernel::Verdict::Refused(..), ours::Verdict::Refused(..)) => counts.both_refuse += 1,
        (kernel::Verdict::Accepted, ours::Verdict::Refused(_, why)) => {
            let key = why.chars().filter(|c| !c.is_ascii_digit()).collect();
            let example = || (0, format!("{}: {why}, {:?}", seed.name, changes(seed, mutant, changed)));
            let entry = counts.stricter.entry(key).or_insert_with(example);
            entry.0 += 1;
        }
        (kernel::Verdict::Refused(..), ours::Verdict::Accepted) => {
            let why = match kernel.verify(mutant, &seed.maps, seed.attach, Log::Reason) {
                kernel::Verdict::Refused(errno, log) => format!("errno {errno}: {log}"),
                kernel::Verdict::Accepted => "accepted the second time".to_owned(),
            };
            if let Some(reason) = known(seed, mutant, changed, &why) {
                *counts.known.entry(reason).or_insert(0) += 1;
                return;
            }
            let listing = match mutant.insns.len() {
                ..40 => Listing::new(&mutant.insns, &NoNames).to_string(),
                _ => String::new(),
            };
            let changes = changes(seed, mutant, changed);
            counts.holes.push(format!("{}: {why}\nchanged {changes:?}\n{listing}", seed.name));
        }
    }
}

/// Where, from what, to what.
fn changes(seed: &Seed, mutant: &Assembled, changed: &[usize]) -> Vec<(usize, Insn, Insn)> {
    changed.iter().map(|at| (*at, seed.program.insns[*at], mutant.insns[*at])).collect()
}
