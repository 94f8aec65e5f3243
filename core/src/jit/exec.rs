//! Code in executable memory.
//!
//! Memory is written, then sealed read+execute, never both. Calls that leave the code are direct where their target is within reach, else they go through the absolute
//! jumps behind the code. Dropping [`ExecCode`] frees the memory: whoever holds it makes sure that no thread runs it any more.

use super::{Artifact, CompileError, CpuFeatures, FuncCode};
use crate::maps::TailTarget;
use crate::mem::Vec;
use crate::platform::CodeMemory;
use crate::vm::{Ctx, Entry};
use core::ptr::NonNull;

/// A program's entry for tail calls, as [`TailTarget::entry`] wants it: context and target, which it ignores; gives r0.
pub type TailEntry = unsafe extern "C" fn(*mut Ctx, *const TailTarget) -> u64;

/// A program that can run.
pub struct ExecCode<'m> {
    memory: &'m dyn CodeMemory,
    base: NonNull<u8>,
    size: usize,
    tail_entry: u32,
    stack: u32,
    funcs: Vec<FuncCode>,
    pcs: Vec<(u32, u32)>,
}

// SAFETY: the memory is read-only once an ExecCode exists, and CodeMemory is Send and Sync.
unsafe impl Send for ExecCode<'_> {}
// SAFETY: as above.
unsafe impl Sync for ExecCode<'_> {}

/// Puts code into executable memory, as near to `near` as can be had.
///
/// # Errors
/// Where the system refuses executable memory, or there is none.
pub fn install<'m>(
    artifact: Artifact,
    memory: &'m dyn CodeMemory,
    near: usize,
) -> Result<ExecCode<'m>, CompileError> {
    let Artifact { mut bytes, tail_entry, funcs, pcs, stack, externs, veneers, records } = artifact;
    let size = bytes.len();
    let base = memory.alloc(size, near).map_err(CompileError::NoCodeMemory)?;
    // From here on the guard frees the memory whatever happens.
    let code = ExecCode { memory, base, size, tail_entry, stack, funcs, pcs };
    let address = base.as_ptr() as i64;
    for e in &externs {
        let end = i64::from(e.at) + 4;
        let direct = (e.target as i64).wrapping_sub(address.wrapping_add(end));
        let distance = match i32::try_from(direct) {
            Ok(distance) => distance,
            Err(_) => {
                let veneer = veneers.iter().find(|v| v.0 == e.target).ok_or(CompileError::TooLarge)?;
                i32::try_from(i64::from(veneer.1) - end).map_err(|_| CompileError::TooLarge)?
            }
        };
        let field = bytes.get_mut(e.at as usize..end as usize).ok_or(CompileError::TooLarge)?;
        field.copy_from_slice(&distance.to_le_bytes());
    }
    for (at, func) in &records {
        let field = bytes.get_mut(*at as usize..*at as usize + 8).ok_or(CompileError::TooLarge)?;
        field.copy_from_slice(&address.wrapping_add(i64::from(*func)).to_le_bytes());
    }
    // SAFETY: `base` is a fresh allocation of at least `size` writable bytes.
    unsafe { base.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), size) };
    // SAFETY: allocated above with that size; nothing writes to it after the copy.
    unsafe { memory.seal(base, size) }.map_err(CompileError::NoCodeMemory)?;
    Ok(code)
}

impl ExecCode<'_> {
    /// The host's entry.
    pub fn entry(&self) -> Entry {
        // SAFETY: code begins with the entry, written by `compile` for this signature.
        unsafe { core::mem::transmute::<*mut u8, Entry>(self.base.as_ptr()) }
    }

    /// The entry for tail calls.
    pub fn tail_entry(&self) -> TailEntry {
        // SAFETY: `tail_entry` is the offset of the raw main function, inside the code.
        unsafe {
            core::mem::transmute::<*mut u8, TailEntry>(self.base.as_ptr().add(self.tail_entry as usize))
        }
    }

    /// Runs the main function on five arguments, without a context: for bare programs.
    ///
    /// # Safety
    /// Running the program is as safe as its instructions are. It neither calls helpers nor reads the context.
    #[cfg(any(test, uxdp_conformance))]
    pub unsafe fn run_bare(&self, args: [u64; 5]) -> u64 {
        type Bare = unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64;
        let [a, b, c, d, e] = args;
        // SAFETY: the raw main function takes r1 to r5 as the C ABI does; the rest is the caller's word.
        unsafe {
            let main = core::mem::transmute::<TailEntry, Bare>(self.tail_entry());
            main(a, b, c, d, e)
        }
    }

    /// The code as it runs.
    pub fn code(&self) -> &[u8] {
        // SAFETY: `size` bytes were written before this value existed, and are read-only since.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.size) }
    }

    /// Functions in order of their code.
    pub fn funcs(&self) -> &[FuncCode] {
        &self.funcs
    }

    /// Offset in the code, and the pc it comes from, sorted by offset.
    pub fn pcs(&self) -> &[(u32, u32)] {
        &self.pcs
    }

    /// Native stack that a run takes at most, helpers apart.
    pub fn stack(&self) -> u32 {
        self.stack
    }
}

impl core::fmt::Debug for ExecCode<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ExecCode").field("base", &self.base).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Drop for ExecCode<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated with that size; the owner says that no thread executes it any more.
        unsafe { self.memory.free(self.base, self.size) };
    }
}

impl CpuFeatures {
    /// What the machine has that this library runs on.
    #[cfg(target_arch = "x86_64")]
    pub fn host() -> CpuFeatures {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        if __cpuid(0).eax < 7 {
            return CpuFeatures::BASE;
        }
        CpuFeatures { bmi2: __cpuid_count(7, 0).ebx >> 8 & 1 == 1 }
    }

    /// What the machine has that this library runs on.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn host() -> CpuFeatures {
        CpuFeatures::BASE
    }
}
