//! What the compared programs were made of: opcodes, helpers, kinds of maps, branches by direction, and the shares that are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::Insn;
use uxdp_core::isa::op::*;
use uxdp_generate::world::MADE;

/// Counts over all compared programs; a program counts once for each thing that it has.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Programs that were generated.
    pub generated: u64,
    /// Those that both verifiers accepted.
    pub accepted: u64,
    /// Those that Linux refused and that are accepted here; each ran on checked memory.
    pub more_precise: u64,
    /// Those of which Linux is no judge, and on which it disagrees: fetches from the stack by atomics, sign-extending loads from it (see `round`).
    pub doubted: u64,
    /// Those whose results were compared.
    pub compared: u64,
    /// Runs compared with Linux.
    pub runs: u64,
    with_map: u64,
    with_loop: u64,
    with_packet_write: u64,
    /// With all three.
    with_these: u64,
    with_atomic: u64,
    with_call: u64,
    opcodes: BTreeMap<u8, u64>,
    helpers: BTreeMap<i32, u64>,
    maps: BTreeMap<&'static str, u64>,
    /// Conditional jumps by opcode: not taken, taken.
    branches: BTreeMap<u8, [u64; 2]>,
}

fn is_branch(code: u8) -> bool {
    matches!(code & 7, BPF_JMP | BPF_JMP32) && !matches!(code & 0xf0, BPF_JA | BPF_CALL | BPF_EXIT)
}

fn is_call(insn: &Insn) -> bool {
    insn.code == BPF_JMP | BPF_CALL
}

impl Coverage {
    /// Counts a program whose results were compared; `wrote` says whether a packet changed.
    pub(crate) fn program(&mut self, insns: &[Insn], wrote: bool) {
        self.compared += 1;
        let (mut opcodes, mut helpers, mut maps) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut looped, mut atomic, mut call) = (false, false, false);
        let mut second = false;
        for insn in insns {
            if std::mem::take(&mut second) {
                continue;
            }
            opcodes.insert(insn.code);
            second = insn.code == LD_IMM64;
            if second && matches!(insn.src(), BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE) {
                maps.extend(MADE.get(insn.imm as usize).map(|s| s.kind.name()));
            }
            looped |= matches!(insn.code & 7, BPF_JMP | BPF_JMP32) && !is_call(insn) && insn.off < 0;
            atomic |= insn.code & 7 == BPF_STX && insn.code & 0xe0 == BPF_ATOMIC;
            match (is_call(insn), insn.src()) {
                (true, 0) => drop(helpers.insert(insn.imm)),
                (true, BPF_PSEUDO_CALL) => call = true,
                _ => {}
            }
        }
        self.with_map += u64::from(!maps.is_empty());
        self.with_loop += u64::from(looped);
        self.with_packet_write += u64::from(wrote);
        self.with_these += u64::from(!maps.is_empty() && looped && wrote);
        self.with_atomic += u64::from(atomic);
        self.with_call += u64::from(call);
        opcodes.into_iter().for_each(|o| *self.opcodes.entry(o).or_default() += 1);
        helpers.into_iter().for_each(|h| *self.helpers.entry(h).or_default() += 1);
        maps.into_iter().for_each(|m| *self.maps.entry(m).or_default() += 1);
    }

    /// Counts which way a branch went: from one instruction to the next.
    pub(crate) fn stepped(&mut self, insns: &[Insn], from: Option<u32>, to: u32) {
        let Some(from) = from else { return };
        if let Some(insn) = insns.get(from as usize).filter(|i| is_branch(i.code)) {
            self.branches.entry(insn.code).or_default()[usize::from(to != from + 1)] += 1;
        }
    }

    /// Of a hundred compared programs, those with a map, a loop and a write to the packet.
    pub fn share(&self) -> u64 {
        self.with_these * 100 / self.compared.max(1)
    }

    /// Opcodes, helpers, kinds of maps, and branches of which both ways were gone.
    pub fn counts(&self) -> [usize; 4] {
        let both = self.branches.values().filter(|b| b[0] != 0 && b[1] != 0).count();
        [self.opcodes.len(), self.helpers.len(), self.maps.len(), both]
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |n: u64| n * 100 / self.compared.max(1);
        writeln!(
            f,
            "{} programs generated, {} accepted by Linux and here, {} here alone, {} compared in {} runs on each engine",
            self.generated, self.accepted, self.more_precise, self.compared, self.runs
        )?;
        writeln!(f, "{} on which Linux is wrong and not followed", self.doubted)?;
        writeln!(
            f,
            "with a map {} %, a loop {} %, a packet write {} %, all three {} %, an atomic {} %, a function {} %",
            percent(self.with_map),
            percent(self.with_loop),
            percent(self.with_packet_write),
            percent(self.with_these),
            percent(self.with_atomic),
            percent(self.with_call)
        )?;
        let name = |id: i32| STANDARD.row_of(id as u32).and_then(|r| STANDARD.get(r)).map_or("?", |h| h.name);
        writeln!(
            f,
            "{} opcodes: {}",
            self.opcodes.len(),
            list(self.opcodes.iter().map(|(o, n)| format!("{o:#04x} {n}")))
        )?;
        writeln!(
            f,
            "{} helpers: {}",
            self.helpers.len(),
            list(self.helpers.iter().map(|(h, n)| format!("{} {n}", name(*h))))
        )?;
        writeln!(
            f,
            "{} kinds of maps: {}",
            self.maps.len(),
            list(self.maps.iter().map(|(m, n)| format!("{m} {n}")))
        )?;
        let ways = self.branches.iter().map(|(o, [not, taken])| format!("{o:#04x} {not}/{taken}"));
        writeln!(f, "{} branches, not taken/taken: {}", self.branches.len(), list(ways))
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
