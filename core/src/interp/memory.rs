//! What stands between the interpreter and the addresses of a program.

use super::machine::Step;
use super::{Fault, FaultKind};
use crate::vm::{Ctx, refill};

/// One access of an instruction.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// First byte.
    pub addr: u64,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u32,
    /// Read, write, or both.
    pub kind: AccessKind,
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An atomic operation, load-acquire and store-release included: the address must be aligned.
    Atomic,
}

/// Decides which accesses happen, and watches the run.
pub trait Memory {
    /// Before each instruction.
    ///
    /// # Errors
    /// To end the run there.
    fn step(&mut self, at: &Step<'_>) -> Result<(), FaultKind>;

    /// Whether an access may happen; `stack` is the part of the BPF stack that frames hold now.
    fn allows(&mut self, access: &Access, stack: core::ops::Range<u64>, ctx: Option<&Ctx>) -> bool;
}

/// Memory of a verified program: every access happens.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Memory for Raw {
    #[inline(always)]
    fn step(&mut self, _at: &Step<'_>) -> Result<(), FaultKind> {
        Ok(())
    }

    #[inline(always)]
    fn allows(&mut self, _access: &Access, _stack: core::ops::Range<u64>, _ctx: Option<&Ctx>) -> bool {
        true
    }
}

/// Memory of a verified program whose runs are limited: every access happens, until the budget is used up and there is no more.
#[derive(Debug)]
pub(super) struct Limited {
    /// The run's.
    pub(super) ctx: *mut Ctx,
}

impl Memory for Limited {
    #[inline(always)]
    fn step(&mut self, at: &Step<'_>) -> Result<(), FaultKind> {
        let cost = at.program.limit().and_then(|l| l.costs.get(at.pc as usize)).copied().unwrap_or(0);
        if cost == 0 {
            return Ok(());
        }
        // SAFETY: the run's context lives as long as the run, on this thread alone.
        unsafe {
            let (left, over) = (*self.ctx).budget.overflowing_sub(u64::from(cost));
            (*self.ctx).budget = left;
            if over && refill(self.ctx) == 0 { Err(FaultKind::Fuel) } else { Ok(()) }
        }
    }

    #[inline(always)]
    fn allows(&mut self, _access: &Access, _stack: core::ops::Range<u64>, _ctx: Option<&Ctx>) -> bool {
        true
    }
}

/// Bytes that a program may touch.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Whether it may be written.
    pub writable: bool,
}

impl Region {
    fn holds(&self, access: &Access) -> bool {
        let Some(skip) = access.addr.checked_sub(self.start) else { return false };
        let inside = self.len.checked_sub(skip).is_some_and(|rest| rest >= u64::from(access.size));
        inside && (self.writable || access.kind == AccessKind::Read)
    }
}

/// Memory that tests every access: live stack frames, the context's packet and metadata as they are at that moment, and the given regions
/// (map values, a bare program's memory). Ends a run that takes more than `fuel` instructions.
#[derive(Debug)]
pub struct Checked<'a> {
    /// Regions besides stack and packet.
    pub regions: &'a [Region],
    /// Instructions left.
    pub fuel: u64,
}

impl Memory for Checked<'_> {
    fn step(&mut self, _at: &Step<'_>) -> Result<(), FaultKind> {
        self.fuel = self.fuel.checked_sub(1).ok_or(FaultKind::Fuel)?;
        Ok(())
    }

    fn allows(&mut self, access: &Access, stack: core::ops::Range<u64>, ctx: Option<&Ctx>) -> bool {
        if access.kind == AccessKind::Atomic && !access.addr.is_multiple_of(u64::from(access.size)) {
            return false;
        }
        let range = |r: core::ops::Range<u64>| Region {
            start: r.start,
            len: r.end.saturating_sub(r.start),
            writable: true,
        };
        let packet = ctx.map(|c| range(c.data_meta as u64..c.data_end as u64));
        range(stack).holds(access)
            || packet.is_some_and(|p| p.holds(access))
            || self.regions.iter().any(|r| r.holds(access))
    }
}

/// One number of memory, of any alignment.
#[repr(C, packed)]
struct Unaligned<T>(T);

/// A type that a load or store moves whole.
pub(super) trait Word: Copy {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Reads a number exactly once, whatever its alignment.
///
/// # Safety
/// The bytes at `addr` may be read.
#[inline(always)]
pub(super) unsafe fn load<T: Word>(addr: u64) -> T {
    // SAFETY: the caller's; packed types have alignment 1. Volatile: the load is neither repeated nor split, since others may write.
    unsafe { (addr as *const Unaligned<T>).read_volatile() }.0
}

/// Writes a number exactly once.
///
/// # Safety
/// The bytes at `addr` may be written.
#[inline(always)]
pub(super) unsafe fn store<T: Word>(addr: u64, value: T) {
    // SAFETY: as `load`.
    unsafe { (addr as *mut Unaligned<T>).write_volatile(Unaligned(value)) }
}

impl FaultKind {
    pub(super) fn at(self, pc: u32) -> Fault {
        Fault { pc, kind: self }
    }
}
