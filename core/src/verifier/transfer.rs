//! How one instruction moves a state, its obligations being met.
//!
//! Straight-line instructions stand here; jumps are in [`super::branch`], calls in [`super::calls`] and [`super::subprog`].

use super::alu::{AluOp as Abstract, alu};
use super::backtrack::{Note, span};
use super::branch::abstract_width;
use super::check::stack_span;
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::obligation::{AccessKind, MemAccess};
use super::pointer;
use super::reg::{Added, Kind, Reg};
use super::scalar::Scalar;
use super::state::State;
use crate::isa::{AluOp, AtomicOp, EndKind, Ext, Op, Operand, Reg as R, Size, WideImm, Width};
use crate::limits::BPF_MAX_VAR_OFF;
use crate::maps::MapType;
use crate::maps::spec::flags::BPF_F_RDONLY_PROG;
use crate::program::{CtxField, Rewrite};

fn abstract_op(op: AluOp) -> Abstract {
    match op {
        AluOp::Add => Abstract::Add,
        AluOp::Sub => Abstract::Sub,
        AluOp::Mul => Abstract::Mul,
        AluOp::Div => Abstract::Div,
        AluOp::Sdiv => Abstract::Sdiv,
        AluOp::Or => Abstract::Or,
        AluOp::And => Abstract::And,
        AluOp::Lsh => Abstract::Lsh,
        AluOp::Rsh => Abstract::Rsh,
        AluOp::Mod => Abstract::Mod,
        AluOp::Smod => Abstract::Smod,
        AluOp::Xor => Abstract::Xor,
        AluOp::Arsh => Abstract::Arsh,
    }
}

/// An immediate as the operand of an operation of that width.
pub(crate) fn immediate(imm: i32, width: Width) -> Reg {
    Reg::constant(match width {
        Width::W64 => i64::from(imm) as u64,
        Width::W32 => u64::from(imm as u32),
    })
}

impl Verifier<'_, '_, '_> {
    /// Moves the state over an instruction that goes on to the next one.
    pub(crate) fn straight(&mut self, state: &mut State, pc: u32, op: &Op) -> Result<(), E> {
        match *op {
            Op::Alu { op, width, dst, src } => self.arithmetic(state, op, width, dst, src),
            Op::Mov { width, dst, src } => {
                self.mov(state, width, dst, src);
                Ok(())
            }
            Op::MovSx { width, from, dst, src } => {
                self.mov_sx(state, width, from, dst, src);
                Ok(())
            }
            Op::Neg { width, dst } => {
                let reg = *state.reg(dst);
                let out = match reg.is_scalar() {
                    true => Reg::scalar(alu(Abstract::Neg, abstract_width(width), &reg.var, &reg.var)),
                    false => Reg::UNKNOWN,
                };
                state.set(dst, out);
                Ok(())
            }
            Op::End { kind, size, dst } => {
                let reg = *state.reg(dst);
                // On little-endian machines this one changes nothing: the number stays what it was a copy of.
                if kind == EndKind::Le && size == Size::DW && reg.is_scalar() {
                    return Ok(());
                }
                let var = if reg.is_scalar() { reg.var } else { Scalar::UNKNOWN };
                let var = match kind {
                    EndKind::Le => var.coerce_to_size(size.bytes()),
                    EndKind::Be | EndKind::Bswap => var.swap_bytes(size.bits()),
                };
                state.set(dst, Reg::scalar(var));
                Ok(())
            }
            Op::LdImm64 { dst, imm } => {
                let (value, rewrite) = self.wide(imm)?;
                self.facts.rewrite(pc, rewrite);
                state.set(dst, value);
                Ok(())
            }
            Op::Load { size, ext, dst, base, off } => {
                let kind = if ext == Ext::Sign { AccessKind::LoadSigned } else { AccessKind::Load };
                self.load(state, pc, dst, &MemAccess { base, off, size, kind })
            }
            Op::LoadAcq { size, dst, base, off } => {
                let kind = AccessKind::Ordered { writes: false };
                self.load(state, pc, dst, &MemAccess { base, off, size, kind })
            }
            Op::Store { size, base, off, src } => {
                let value = match src {
                    Operand::Reg(r) => {
                        if spills_whole(state, base, off, size, r) {
                            link(state, r, || self.ids.fresh());
                        }
                        *state.reg(r)
                    }
                    Operand::Imm(imm) => immediate(imm, Width::W64),
                };
                self.store(state, pc, base, off, size, &value)
            }
            Op::StoreRel { size, base, off, src } => {
                let value = *state.reg(src);
                self.store(state, pc, base, off, size, &value)
            }
            Op::Atomic { op, fetch, size, base, off, src } => {
                self.atomic(state, pc, op, fetch, size, base, off, src)
            }
            _ => Err(E::Internal { what: "not a straight instruction" }),
        }
    }

    fn arithmetic(
        &mut self,
        state: &mut State,
        op: AluOp,
        width: Width,
        dst: R,
        src: Operand,
    ) -> Result<(), E> {
        let a = *state.reg(dst);
        let b = match src {
            Operand::Reg(r) => *state.reg(r),
            Operand::Imm(imm) => immediate(imm, width),
        };
        if !a.is_scalar() || !b.is_scalar() {
            // The offset is compared in full from here on: so is the number that it comes from.
            self.rests_on(state, dst);
            if let Operand::Reg(r) = src {
                self.rests_on(state, r);
            }
            let out = pointer::arithmetic(op, width, dst.num(), &a, &b, || self.ids.fresh())?;
            state.set(dst, out);
            return Ok(());
        }
        let same = src == Operand::Reg(dst);
        let mut out = match op {
            AluOp::Sub | AluOp::Xor if same => Reg::constant(0),
            _ => Reg::scalar(alu(abstract_op(op), abstract_width(width), &a.var, &b.var)),
        };
        // A linked scalar stays linked over one addition of a constant: it is the other plus that. In 32 bits, as in the kernel, only one that has no more.
        if a.id != 0
            && a.added == Added::Nothing
            && (width == Width::W64 || a.width() <= 32)
            && let Some(off) = b.var.known().and_then(|v| added(op, width, v))
        {
            out.id = a.id;
            out.added = if width == Width::W64 { Added::In64 } else { Added::In32 };
            out.off = off;
        }
        state.set(dst, out);
        Ok(())
    }

    fn mov(&mut self, state: &mut State, width: Width, dst: R, src: Operand) {
        let value = match src {
            Operand::Imm(imm) => immediate(imm, width),
            Operand::Reg(r) => {
                let reg = *state.reg(r);
                match (width, reg.is_scalar()) {
                    (Width::W64, true) => {
                        link(state, r, || self.ids.fresh());
                        *state.reg(r)
                    }
                    (Width::W64, false) => reg,
                    (Width::W32, true) => {
                        if reg.width() <= 32 {
                            link(state, r, || self.ids.fresh());
                        }
                        state.reg(r).cut_to(4)
                    }
                    (Width::W32, false) => Reg::scalar(Scalar::UNKNOWN.zext_32()),
                }
            }
        };
        state.set(dst, value);
    }

    fn mov_sx(&mut self, state: &mut State, width: Width, from: Size, dst: R, src: R) {
        if state.reg(src).is_scalar() && state.reg(src).width() < from.bits() {
            // The sign is zero: it is a plain copy.
            link(state, src, || self.ids.fresh());
            return state.set(dst, *state.reg(src));
        }
        let reg = *state.reg(src);
        let var = if reg.is_scalar() { reg.var } else { Scalar::UNKNOWN };
        state.set(dst, Reg::scalar(var.sign_extend(from.bits(), abstract_width(width))));
    }

    /// What a wide immediate is, if it may be used at all.
    pub(crate) fn wide(&mut self, imm: WideImm) -> Result<(Reg, Rewrite), E> {
        Ok(match imm {
            WideImm::Imm(v) => (Reg::constant(v), Rewrite::Plain),
            WideImm::MapIdx(map) => {
                self.use_map(map)?;
                (Reg::pointer(Kind::MapPtr(map)), Rewrite::MapPtr(map))
            }
            WideImm::MapIdxValue { idx: map, off: offset } => {
                let spec = self.use_map(map)?;
                if i64::from(offset) >= BPF_MAX_VAR_OFF {
                    return Err(E::DirectValueOffset { off: offset });
                }
                if spec.kind != MapType::Array {
                    return Err(E::NoDirectValue);
                }
                if spec.max_entries != 1 || offset >= spec.value_size {
                    return Err(E::DirectValueBounds { value_size: spec.value_size, off: offset });
                }
                let mut value = Reg::pointer(Kind::MapValue(map));
                value.off = offset as i32;
                (value, Rewrite::MapValue { map, offset })
            }
            WideImm::Func(start) => {
                let func = self.function_at(start)?;
                (Reg::pointer(Kind::Func(func)), Rewrite::Func(func))
            }
            WideImm::MapFd(fd) | WideImm::MapValue { fd, .. } => {
                return Err(E::NoSuchMap { index: i64::from(fd) });
            }
            WideImm::BtfId { .. } => return Err(E::BtfId),
        })
    }

    /// Notes what a memory access touches: for facts, for the frames, and for the rule that the context shares no instruction.
    fn touch(&mut self, state: &mut State, pc: u32, m: &MemAccess) -> Result<(), E> {
        let reg = *state.reg(m.base);
        self.facts.touches(pc, reg.kind)?;
        if let Kind::Stack(frame) = reg.kind {
            let (min, end, fixed) = stack_span(&reg, i32::from(m.off), m.size.bytes());
            let reads = !matches!(m.kind, AccessKind::Store | AccessKind::Ordered { writes: true });
            let writes = !matches!(
                m.kind,
                AccessKind::Load | AccessKind::LoadSigned | AccessKind::Ordered { writes: false }
            );
            self.uses_stack(state, frame, (min as i32, end as i32), reads, writes && fixed)?;
            // Of a read anywhere, the kernel shows the first slot alone.
            let shown = if fixed || writes { end } else { min + 1 };
            self.log.stack(min as i32, shown as i32);
            if !fixed && let Note::Stack { frame, first, end } = self.note {
                self.note = Note::StackPart { frame, first, end };
            }
            if writes && let Note::Stack { first, end, .. } = self.note {
                state.frames[usize::from(frame)].written |= span(first, end);
            }
        } else {
            self.frames.elsewhere();
        }
        Ok(())
    }

    fn load(&mut self, state: &mut State, pc: u32, dst: R, m: &MemAccess) -> Result<(), E> {
        self.touch(state, pc, m)?;
        let reg = *state.reg(m.base);
        let size = m.size.bytes();
        let mut value = match reg.kind {
            Kind::Ctx => {
                let field = CtxField::at(m.off).ok_or(E::Internal { what: "context field" })?;
                self.facts.rewrite(pc, Rewrite::CtxLoad(field));
                match field {
                    CtxField::Data => Reg::pointer(Kind::Packet),
                    CtxField::DataMeta => Reg::pointer(Kind::PacketMeta),
                    CtxField::DataEnd => Reg::pointer(Kind::PacketEnd),
                    _ => Reg::scalar(Scalar::UNKNOWN.zext_32()),
                }
            }
            Kind::Stack(frame) => {
                let (min, end, fixed) = stack_span(&reg, i32::from(m.off), size);
                let stack = &mut state.frames[usize::from(frame)].stack;
                if fixed {
                    let value = stack.read(min as i32, size).map_err(|_| E::InvalidFill)?;
                    if value.is_scalar() && value.id == 0 && !value.var.is_const() && size == 8 {
                        // A fill ties the register to the slot, so that a later test of it is known of the slot.
                        stack.tie(min as i32, || self.ids.fresh())
                    } else {
                        value
                    }
                } else {
                    stack.read_anywhere(min as i32, (end - min) as u32)
                }
            }
            Kind::MapValue(map) => self.constant_at(map, &reg, m).unwrap_or(Reg::UNKNOWN),
            _ => Reg::UNKNOWN,
        };
        if value.is_scalar() {
            value = if m.kind == AccessKind::LoadSigned {
                Reg::scalar(value.var.sign_extend(m.size.bits(), super::alu::Width::W64))
            } else {
                value.cut_to(size)
            };
        }
        state.set(dst, value);
        Ok(())
    }

    /// The number at a known place of a map that can never change any more.
    fn constant_at(&self, map: u32, reg: &Reg, m: &MemAccess) -> Option<Reg> {
        let info = self.input.map(map)?;
        if info.spec.flags & BPF_F_RDONLY_PROG == 0 || info.spec.max_entries != 1 {
            return None;
        }
        let at = i64::from(reg.off) + i64::from(m.off) + reg.var.known()? as i64;
        let at = usize::try_from(at).ok()?;
        let bytes = info.frozen?.get(at..at + m.size.bytes() as usize)?;
        Some(Reg::constant(bytes.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b))))
    }

    fn store(
        &mut self,
        state: &mut State,
        pc: u32,
        base: R,
        off: i16,
        size: Size,
        value: &Reg,
    ) -> Result<(), E> {
        let m = MemAccess { base, off, size, kind: AccessKind::Store };
        self.touch(state, pc, &m)?;
        let reg = *state.reg(base);
        if let Kind::Stack(frame) = reg.kind {
            let (min, end, fixed) = stack_span(&reg, i32::from(off), size.bytes());
            self.overwrite(state, frame, min as i32, (end - min) as u32)?;
            let stack = &mut state.frames[usize::from(frame)].stack;
            if fixed {
                stack.write(min as i32, size.bytes(), value)?;
            } else {
                stack.smear(min as i32, (end - min) as u32, value.is_null())?;
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the instruction")]
    fn atomic(
        &mut self,
        state: &mut State,
        pc: u32,
        op: AtomicOp,
        fetch: bool,
        size: Size,
        base: R,
        off: i16,
        src: R,
    ) -> Result<(), E> {
        let into = match (op, fetch) {
            (AtomicOp::Cmpxchg, _) => Some(R::R0),
            (_, true) => Some(src),
            (_, false) => None,
        };
        let pointer = *state.reg(base);
        let m = MemAccess { base, off, size, kind: AccessKind::Atomic };
        self.touch(state, pc, &m)?;
        let mut old = Reg::UNKNOWN;
        if let Kind::Stack(frame) = pointer.kind {
            let (min, end, fixed) = stack_span(&pointer, i32::from(off), size.bytes());
            let stack = &mut state.frames[usize::from(frame)].stack;
            if fixed {
                old = stack.read(min as i32, size.bytes()).map_err(|_| E::InvalidFill)?;
                old.unlink();
            }
            stack.smear(min as i32, (end - min) as u32, false)?;
        }
        if let Some(dst) = into {
            state.set(dst, if old.is_scalar() { old.cut_to(size.bytes()) } else { old });
        }
        Ok(())
    }
}

/// The constant that an operation with a known number adds, if it adds one that the analysis holds.
fn added(op: AluOp, width: Width, v: u64) -> Option<i32> {
    let v = match width {
        Width::W64 => i32::try_from(v as i64).ok()?,
        Width::W32 => v as u32 as i32,
    };
    match op {
        AluOp::Add => Some(v),
        AluOp::Sub => v.checked_neg(),
        _ => None,
    }
}

/// Whether a store puts all of a scalar to the start of a stack slot.
fn spills_whole(state: &State, base: R, off: i16, size: Size, src: R) -> bool {
    let (to, value) = (state.reg(base), state.reg(src));
    let (min, _, fixed) = stack_span(to, i32::from(off), size.bytes());
    matches!(to.kind, Kind::Stack(_)) && fixed && min % 8 == 0 && value.width() <= size.bits()
}

/// Gives a scalar an id before it is copied, so that the copies know of each other.
fn link(state: &mut State, r: R, fresh: impl FnOnce() -> u32) {
    let reg = &mut state.frame_mut().regs[r.index()];
    if !reg.is_scalar() || reg.var.is_const() {
        return;
    }
    if reg.added != Added::Nothing {
        reg.unlink();
    }
    if reg.id == 0 {
        reg.id = fresh();
    }
}
