//! Lookups in arrays that are known at compile time, inlined on the map's live memory.
//!
//! ```text
//! v = bpf_map_lookup_elem(map, key)   =>   k = *(u32 *)key;  v = k < max_entries ? base + k * stride : 0
//! ```
//!
//! of a per-CPU array with `slot * cpu_stride` added. Base and geometry come from the map's private side and stay as long as the map lives; the memory itself is what
//! the control plane reads and writes. Where a fact gives the key, the whole is an address, and the program's null test goes with it.
//!
//! Left to others: dropping the test (`fold`), keeping the key in a register (`stack`).

use crate::helpers::HelperSet;
use crate::ir::{Cond, Func, Inst, InstData, Op, Size, Value, Width};
use crate::jit::{CompileError, CompileOptions, UseFacts};
use crate::maps::{ArrayGeometry, MapType};
use crate::mem::Vec;
use crate::program::{Fact, MemClass, Program, Verified};
use crate::vm::Ctx;
use core::mem::offset_of;

/// `bpf_map_lookup_elem`.
const LOOKUP: u32 = 1;

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(
    func: &mut Func,
    program: &Program<Verified>,
    options: &CompileOptions,
) -> Result<(), CompileError> {
    for b in 0..func.blocks.len() {
        let any = func.blocks[b]
            .insts
            .iter()
            .any(|i| array_of(&func.insts[i.index()], program, options.helpers).is_some());
        if !any {
            continue;
        }
        let old = core::mem::take(&mut func.blocks[b].insts);
        let mut list = Vec::with_capacity(old.len() + 8)?;
        for inst in old {
            let d = func.insts[inst.index()];
            match array_of(&d, program, options.helpers) {
                Some((map, array)) => {
                    let fact = match options.facts {
                        UseFacts::Yes => program.facts().at(d.pc),
                        UseFacts::No => Fact::default(),
                    };
                    Lookup { func, list: &mut list, pc: d.pc, map, array }.inline(inst, &fact)?;
                }
                None => list.push(inst)?,
            }
        }
        func.blocks[b].insts = list;
    }
    Ok(())
}

/// The array that an operation looks into, if it does.
fn array_of(d: &InstData, program: &Program<Verified>, helpers: HelperSet) -> Option<(u32, ArrayGeometry)> {
    let MemClass::Map(index) = d.mem else { return None };
    if d.op != Op::CallHelper || helpers.get(u16::try_from(d.imm).ok()?)?.id != LOOKUP {
        return None;
    }
    let map = program.maps().get(index as usize)?;
    matches!(map.spec().kind, MapType::Array | MapType::PercpuArray).then_some(())?;
    Some((index, map.array()?))
}

struct Lookup<'a> {
    func: &'a mut Func,
    list: &'a mut Vec<Inst>,
    pc: u32,
    map: u32,
    array: ArrayGeometry,
}

impl Lookup<'_> {
    fn new(&self, op: Op) -> InstData {
        InstData::new(op, self.pc)
    }

    fn push(&mut self, d: InstData) -> Result<Value, CompileError> {
        let inst = self.func.add_inst(d)?;
        self.list.push(inst)?;
        self.func.insts[inst.index()].result.ok_or(CompileError::Unsupported { pc: self.pc })
    }

    /// Puts the lookup's parts in place of the call.
    fn inline(mut self, call: Inst, fact: &Fact) -> Result<(), CompileError> {
        let d = self.func.insts[call.index()];
        let (Some(result), Some(key)) = (d.result, d.args[1]) else {
            return Err(CompileError::Unsupported { pc: d.pc });
        };
        let value = match fact.const_key {
            Some(key) if key as u32 >= self.array.max_entries => self.push(self.new(Op::Const))?,
            Some(key) => {
                let offset = u64::from(key as u32) * u64::from(self.array.stride);
                self.value_at(None, offset as i64)?
            }
            None => {
                let key = self.push(InstData { size: Size::W, ..self.new(Op::Load).with_arg(key) })?;
                let stride = i64::from(self.array.stride);
                let offset = self.push(self.new(Op::Mul).with_arg(key).with_imm(stride))?;
                let value = self.value_at(Some(offset), 0)?;
                if fact.non_null { value } else { self.or_null(key, value)? }
            }
        };
        self.func.replace(result, value);
        Ok(())
    }

    /// The address of this slot's value, at an offset from the first.
    fn value_at(&mut self, offset: Option<Value>, constant: i64) -> Result<Value, CompileError> {
        let base = self.new(Op::MapValue).with_imm(i64::from(self.map));
        let mut address = match i32::try_from(constant) {
            Ok(off) => self.push(InstData { off, ..base })?,
            Err(_) => {
                let (base, by) = (self.push(base)?, self.push(self.new(Op::Const).with_imm(constant))?);
                self.push(self.new(Op::Add).with_args(&[Some(base), Some(by)]))?
            }
        };
        if self.array.cpu_stride != 0 {
            let env = self.push(self.new(Op::Env))?;
            let off = offset_of!(Ctx, slot) as i32;
            let slot = self.push(InstData {
                size: Size::W,
                off,
                mem: MemClass::Ctx,
                ..self.new(Op::Load).with_arg(env)
            })?;
            let stride = self.push(self.new(Op::Const).with_imm(self.array.cpu_stride as i64))?;
            let by = self.push(self.new(Op::Mul).with_args(&[Some(slot), Some(stride)]))?;
            address = self.push(self.new(Op::Add).with_args(&[Some(address), Some(by)]))?;
        }
        match offset {
            Some(by) => self.push(self.new(Op::Add).with_args(&[Some(address), Some(by)])),
            None => Ok(address),
        }
    }

    /// The value where the key is below the number of entries, else null.
    fn or_null(&mut self, key: Value, value: Value) -> Result<Value, CompileError> {
        let null = self.push(self.new(Op::Const))?;
        let select = self.new(Op::Select).with_args(&[Some(key), None, Some(value), Some(null)]);
        let max = i64::from(self.array.max_entries as i32);
        self.push(InstData { cond: Cond::Lt, width: Width::W32, imm: max, ..select })
    }
}
