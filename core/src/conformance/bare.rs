//! A `Program<Verified>` that nobody verified, from raw instructions.

use crate::helpers::HelperSet;
use crate::isa::Insn;
use crate::isa::op::*;
use crate::limits::BPF_MAX_SUBPROGS;
use crate::mem::{OutOfMemory, String, Vec};
use crate::program::{Code, Frame, MapSel, Program, Rewrite, Rewrites, Subprog, Verified};

/// Why raw instructions make no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareError {
    /// No instructions, or half a wide one at the end.
    Truncated,
    /// A local call or function address leads out of the program.
    BadTarget {
        /// Where it stands.
        pc: u32,
    },
    /// A call of a helper that was not given.
    NoHelper {
        /// Where it stands.
        pc: u32,
        /// Its number.
        id: i32,
    },
    /// More functions than a program may have.
    TooManySubprogs,
    /// Memory is short.
    OutOfMemory,
}

impl From<OutOfMemory> for BareError {
    fn from(_: OutOfMemory) -> Self {
        BareError::OutOfMemory
    }
}

/// A bare program that calls no helpers.
///
/// # Errors
/// Where the instructions make no program.
///
/// # Safety
/// Nothing was verified: running it is as safe as its instructions are.
pub unsafe fn bare_program(insns: &[Insn]) -> Result<Program<Verified>, BareError> {
    // SAFETY: handed on.
    unsafe { bare_program_with(insns, HelperSet::new(&[])) }
}

/// A bare program whose helper calls are rows of `helpers`.
///
/// Every instruction is as its bits say; local calls and function addresses make the table of functions; each function has the whole
/// stack for its frame, cleared. There are no maps.
///
/// # Errors
/// Where the instructions make no program.
///
/// # Safety
/// Nothing was verified: running it is as safe as its instructions are.
pub unsafe fn bare_program_with(insns: &[Insn], helpers: HelperSet) -> Result<Program<Verified>, BareError> {
    let starts = starts(insns)?;
    let mut subprogs = Vec::with_capacity(starts.len())?;
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(insns.len() as u32);
        subprogs.push(Subprog { name: String::new(), start, end, global: false, signature: None })?;
    }
    let mut rewrites = Rewrites {
        insns: Vec::filled(Rewrite::Plain, insns.len())?,
        frames: Vec::filled(Frame::WHOLE, starts.len())?,
    };
    let index_of = |pc: u32, delta: i32| {
        let target = pc.wrapping_add_signed(delta).wrapping_add(1);
        starts.binary_search(&target).map(|i| i as u32).map_err(|_| BareError::BadTarget { pc })
    };
    let mut pc = 0;
    while let Some(insn) = insns.get(pc as usize) {
        let rewrite = match (insn.code, insn.src()) {
            (LD_IMM64, src) => {
                let hi = rewrites.insns.get_mut(pc as usize + 1).ok_or(BareError::Truncated)?;
                *hi = Rewrite::Dead;
                if src == BPF_PSEUDO_FUNC { Rewrite::Func(index_of(pc, insn.imm)?) } else { Rewrite::Plain }
            }
            (CALL, BPF_PSEUDO_CALL) => Rewrite::CallSubprog(index_of(pc, insn.imm)?),
            (CALL, _) => {
                let row = helpers.row_of(insn.imm as u32).ok_or(BareError::NoHelper { pc, id: insn.imm })?;
                Rewrite::CallHelper { row, map: MapSel::None }
            }
            _ => Rewrite::Plain,
        };
        rewrites.insns[pc as usize] = rewrite;
        pc += if insn.is_wide() { 2 } else { 1 };
    }
    let code = Code {
        name: String::from_text("bare")?,
        insns: Vec::from_slice(insns)?,
        subprogs,
        ..Code::default()
    };
    // SAFETY: handed on.
    Ok(unsafe { Program::new(code).assume_verified(Vec::new(), rewrites) })
}

const CALL: u8 = BPF_JMP | BPF_CALL;

/// The first slots of all functions, sorted; the main one first.
fn starts(insns: &[Insn]) -> Result<Vec<u32>, BareError> {
    if insns.is_empty() {
        return Err(BareError::Truncated);
    }
    let mut starts = Vec::from_slice(&[0])?;
    let mut pc = 0;
    while let Some(insn) = insns.get(pc as usize) {
        let names_function = (insn.code == CALL && insn.src() == BPF_PSEUDO_CALL)
            || (insn.is_wide() && insn.src() == BPF_PSEUDO_FUNC);
        if names_function {
            let target = i64::from(pc) + 1 + i64::from(insn.imm);
            let known = u32::try_from(target).ok().filter(|&t| (t as usize) < insns.len());
            let target = known.ok_or(BareError::BadTarget { pc })?;
            if let Err(at) = starts.binary_search(&target) {
                starts.insert(at, target)?;
            }
        }
        pc += if insn.is_wide() { 2 } else { 1 };
    }
    if starts.len() > BPF_MAX_SUBPROGS {
        return Err(BareError::TooManySubprogs);
    }
    Ok(starts)
}

/// A vector's memory, aligned to 8 bytes.
#[derive(Debug)]
pub struct AlignedMem {
    words: Vec<u64>,
    len: usize,
}

impl AlignedMem {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut words = Vec::with_capacity(bytes.len().div_ceil(8))?;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            words.push(u64::from_le_bytes(word))?;
        }
        Ok(AlignedMem { words, len: bytes.len() })
    }

    /// Its address: r1. Null where it is empty.
    pub fn addr(&mut self) -> *mut u8 {
        if self.len == 0 { core::ptr::null_mut() } else { self.words.as_mut_ptr().cast() }
    }

    /// Its bytes: r2.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
