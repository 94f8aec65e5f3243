//! Calls of helpers: what a prototype demands of the arguments, and what the call leaves behind.
//!
//! A map argument sets the call's map; keys and values are sized by it. A memory argument is judged together with the size that
//! follows it. Afterwards R0 to R5 are gone, R0 is what the prototype says, written memory holds something, and where the helper may change
//! the packet no packet pointer can be read any more. Kinds of arguments that this version has not are refused by name.

use super::backtrack::{Demand, span, touched};
use super::check::{self, Dir, ZeroSize};
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::facts::CallFact;
use super::reg::{Kind, Reg};
use super::state::State;
use crate::helpers::{Access, ArgType, Helper, RetType};
use crate::isa::Reg as R;
use crate::limits::BPF_MAX_VAR_OFF;
use crate::maps::MapType;
use crate::maps::spec::flags::BPF_F_RDONLY_PROG;
use crate::program::{MapSel, POISON_CORE, POISON_KFUNC};

/// Helpers that write the map itself: refused for maps that programs may not write.
const MAP_WRITERS: &[u32] = &[2, 3, 87, 88];

const MEMORY: &str = "fp, pkt, pkt_meta, map_key, map_value, mem";

/// What a call is found to be.
#[derive(Debug, Default)]
struct Call {
    pc: u32,
    map: Option<u32>,
    key: Option<u64>,
    /// The key as far as the kernel knows it.
    kernel_key: Option<u64>,
    writes: heapless::Vec<(Reg, u32), 5>,
}

impl Verifier<'_, '_, '_> {
    /// Judges a call and moves the state over it.
    pub(crate) fn helper_call(&mut self, state: &mut State, pc: u32, id: u32) -> Result<&'static Helper, E> {
        let row = self.input.helpers.row_of(id).ok_or(match id as i32 {
            POISON_CORE => E::CoreUnresolved,
            POISON_KFUNC.. => E::KfuncUnresolved,
            _ => E::NoSuchHelper { id },
        })?;
        let helper = self.input.helpers.get(row).ok_or(E::NoSuchHelper { id })?;
        if helper.func.is_none() {
            return Err(E::HelperMissing { name: helper.name, id });
        }
        let mut call = Call { pc, ..Call::default() };
        for (i, arg) in helper.proto.args.iter().enumerate() {
            if matches!(arg, ArgType::DontCare | ArgType::Unchecked) {
                continue;
            }
            let r = R::new(i as u8 + 1).ok_or(E::Internal { what: "argument" })?;
            check::readable(state, r)?;
            let (before, after) =
                (i.checked_sub(1).map(|j| helper.proto.args[j]), helper.proto.args.get(i + 1));
            if matches!(arg, ArgType::Mem { .. })
                && !matches!(after, Some(ArgType::ConstSize | ArgType::ConstSizeOrZero))
            {
                return Err(E::Internal { what: "memory argument without a size" });
            }
            self.argument(state, helper, &mut call, r, *arg, before)?;
        }
        self.map_rules(helper, &call)?;
        let elided = self.never_null(helper, &call);
        self.facts.call(
            pc,
            row,
            CallFact {
                map: call.map.map_or(MapSel::None, MapSel::Known),
                key: call.key,
                non_null: elided || self.key_in_array(helper, &call, call.key),
            },
        );
        for (reg, size) in &call.writes {
            self.clobber(state, reg, *size)?;
        }
        state.clobber_caller_saved();
        let result = self.result(helper, &call, elided)?;
        state.set(R::R0, result);
        // A tail call that comes back did nothing; one that succeeds is a path of its own.
        if helper.proto.changes_packet && helper.proto.ret != RetType::TailCall {
            state.drop_packet_pointers();
        }
        Ok(helper)
    }

    fn argument(
        &mut self,
        state: &State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
        arg: ArgType,
        before: Option<ArgType>,
    ) -> Result<(), E> {
        let reg = *state.reg(r);
        let num = r.num();
        let wrong = |expected| Err(E::ArgType { reg: num, kind: reg.kind.name(), expected });
        let absent = |what| Err(E::ArgNotSupported { helper: helper.name, what });
        if reg.kind.is_packet() && !helper.proto.takes_packet && arg != ArgType::Anything {
            return Err(E::HelperPacket);
        }
        match arg {
            ArgType::DontCare | ArgType::Unchecked | ArgType::Anything => Ok(()),
            ArgType::Ctx if reg.kind == Kind::Ctx => check::unmodified(&reg, num),
            ArgType::Ctx => wrong("ctx"),
            ArgType::ConstMapPtr => match reg.kind {
                Kind::MapPtr(map) => {
                    call.map = Some(map);
                    Ok(())
                }
                _ => wrong("map_ptr"),
            },
            ArgType::MapKey => {
                let size = self.spec_of(call)?.key_size;
                self.memory_argument(state, helper, call, r, size, Access::Read, ZeroSize::Refused)?;
                if let Kind::Stack(frame) = reg.kind
                    && reg.var.is_const()
                {
                    let stack = &state.frames[usize::from(frame)].stack;
                    let at = (i64::from(reg.off) + reg.var.smin()) as i32;
                    let array = matches!(self.spec_of(call)?.kind, MapType::Array | MapType::PercpuArray);
                    call.key = stack.known_bytes(at, size).filter(|_| array);
                    call.kernel_key = stack.spilled_key(at, size).filter(|_| array);
                    // A key that is no fact any more is left free, so that other keys need no exploration of their own.
                    if call.kernel_key.is_none() && !self.facts.key_may_hold(call.pc, call.key) {
                        call.key = None;
                    }
                    if call.key.is_some() {
                        let (first, end) = touched(at, at + size as i32);
                        let mut demand = Demand::default();
                        demand.add_halves(usize::from(frame), span(first, end));
                        self.rests_on_all(state, demand);
                    }
                }
                Ok(())
            }
            ArgType::MapValue(access) => {
                let size = self.spec_of(call)?.value_size;
                self.memory_argument(state, helper, call, r, size, access, ZeroSize::Refused)
            }
            ArgType::Mem { nullable, .. } => {
                if (nullable && reg.is_null()) || is_memory(&reg) {
                    Ok(())
                } else {
                    wrong(MEMORY)
                }
            }
            ArgType::FixedMem { access, size, .. } => {
                self.memory_argument(state, helper, call, r, size, access, ZeroSize::Refused)
            }
            ArgType::ConstSize => self.size_argument(state, helper, call, r, before, ZeroSize::Refused),
            ArgType::ConstSizeOrZero => self.size_argument(state, helper, call, r, before, ZeroSize::Allowed),
            ArgType::ConstStr => self.text(&reg, num),
            ArgType::Func => absent("a callback"),
            ArgType::StackOrNull => absent("a callback context"),
            _ => absent("this kind of argument"),
        }
    }

    fn spec_of(&self, call: &Call) -> Result<crate::maps::MapSpec, E> {
        let map = call.map.ok_or(E::NoMapArg)?;
        Ok(self.input.map(map).ok_or(E::Internal { what: "map index" })?.spec)
    }

    /// The size of the memory argument before it: the memory must have as many bytes as the size can be.
    fn size_argument(
        &mut self,
        state: &State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
        before: Option<ArgType>,
        zero: ZeroSize,
    ) -> Result<(), E> {
        let Some(ArgType::Mem { access, .. }) = before else {
            return Err(E::Internal { what: "size without memory" });
        };
        let (reg, num) = (*state.reg(r), r.num());
        if !reg.is_scalar() {
            return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "scalar" });
        }
        if reg.var.smin() < 0 {
            return Err(E::SizeNegative { reg: num });
        }
        if reg.var.umin() == 0 && zero == ZeroSize::Refused {
            return Err(E::SizeZero { reg: num, min: 0, max: reg.var.umax() });
        }
        if reg.var.umax() >= BPF_MAX_VAR_OFF as u64 {
            return Err(E::SizeUnbounded { reg: num });
        }
        let pointer = R::new(num - 1).ok_or(E::Internal { what: "argument" })?;
        self.rests_on(state, r);
        self.rests_on(state, pointer);
        let size = reg.var.umax() as u32;
        self.memory_argument(state, helper, call, pointer, size, access, zero)
    }

    /// `size` bytes at a pointer argument.
    #[expect(clippy::too_many_arguments, reason = "one argument of a call has that many sides")]
    fn memory_argument(
        &mut self,
        state: &State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
        size: u32,
        access: Access,
        zero: ZeroSize,
    ) -> Result<(), E> {
        let (reg, num) = (*state.reg(r), r.num());
        let dir = if access == Access::Read { Dir::Read } else { Dir::Write };
        match reg.kind {
            Kind::Stack(frame) => {
                if size == 0 && zero == ZeroSize::Refused {
                    return Err(E::SizeZero { reg: num, min: 0, max: 0 });
                }
                let what = if dir == Dir::Read { " read from" } else { " write to" };
                check::stack_bounds(&reg, num, 0, size, what)?;
                let (min, end, _) = check::stack_span(&reg, 0, size);
                // What a helper writes does not count as written: it may fail before it does.
                self.uses_stack(state, frame, (min as i32, end as i32), dir == Dir::Read, false)?;
            }
            Kind::Packet | Kind::PacketMeta if !helper.proto.takes_packet => {
                return Err(E::HelperPacket);
            }
            Kind::Packet | Kind::PacketMeta | Kind::MapValue(_) | Kind::Mem(_) => {
                check::region(&self.input, &reg, num, 0, size, dir, zero)?;
            }
            _ if reg.is_null() && size == 0 && zero == ZeroSize::Allowed => return Ok(()),
            _ => return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: MEMORY }),
        }
        if dir == Dir::Write {
            call.writes.push((reg, size)).map_err(|_| E::Internal { what: "arguments" })?;
        }
        Ok(())
    }

    /// Memory that a helper wrote holds something.
    fn clobber(&mut self, state: &mut State, reg: &Reg, size: u32) -> Result<(), E> {
        if let Kind::Stack(frame) = reg.kind {
            let (min, end, _) = check::stack_span(reg, 0, size);
            state.frames[usize::from(frame)].stack.smear(min as i32, (end - min) as u32, false)?;
        }
        Ok(())
    }

    /// Constant text, terminated, in a map that nobody can write.
    fn text(&self, reg: &Reg, num: u8) -> Result<(), E> {
        let refused = E::NotConstStr { reg: num };
        let Kind::MapValue(map) = reg.kind else {
            return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "map_value" });
        };
        let info = self.input.map(map).ok_or(E::Internal { what: "map index" })?;
        let at = i64::from(reg.off) + reg.var.known().ok_or(refused)? as i64;
        let bytes = info.frozen.filter(|_| info.spec.flags & BPF_F_RDONLY_PROG != 0).ok_or(refused)?;
        let at = usize::try_from(at).map_err(|_| refused)?;
        let size = bytes.len().min(info.spec.value_size as usize);
        match bytes.get(at..size) {
            Some(text) if text.contains(&0) => Ok(()),
            _ => Err(refused),
        }
    }

    /// The map must be of a type that the helper takes, and allow what the helper does.
    fn map_rules(&self, helper: &'static Helper, call: &Call) -> Result<(), E> {
        let Some(map) = call.map else { return Ok(()) };
        let spec = self.input.map(map).ok_or(E::Internal { what: "map index" })?.spec;
        let types = helper.proto.maps;
        if !types.is_empty() && !types.contains(&spec.kind) {
            if helper.proto.ret == RetType::TailCall {
                return Err(E::NotProgArray);
            }
            return Err(E::MapType { kind: spec.kind as u32, helper: helper.name, id: helper.id });
        }
        let (value_size, off, size) = (spec.value_size, 0, 0);
        if spec.flags & BPF_F_RDONLY_PROG != 0 && MAP_WRITERS.contains(&helper.id) {
            return Err(E::MapWriteForbidden { value_size, off, size });
        }
        Ok(())
    }

    fn key_in_array(&self, helper: &'static Helper, call: &Call, key: Option<u64>) -> bool {
        let spec = call.map.and_then(|m| self.input.map(m)).map(|m| m.spec);
        helper.proto.ret == RetType::MapValueOrNull
            && spec.zip(key).is_some_and(|(spec, key)| {
                matches!(spec.kind, MapType::Array | MapType::PercpuArray)
                    && key < u64::from(spec.max_entries)
            })
    }

    /// Whether the kernel knows that the result is not null.
    fn never_null(&self, helper: &'static Helper, call: &Call) -> bool {
        helper.id == 1 && self.key_in_array(helper, call, call.kernel_key)
    }

    fn result(&mut self, helper: &'static Helper, call: &Call, never_null: bool) -> Result<Reg, E> {
        Ok(match helper.proto.ret {
            RetType::Integer => Reg::UNKNOWN,
            RetType::Void | RetType::TailCall => Reg::NOT_INIT,
            RetType::MapValueOrNull => {
                let map = call.map.ok_or(E::NoMapArg)?;
                if never_null {
                    Reg::pointer(Kind::MapValue(map))
                } else {
                    Reg { id: self.ids.fresh(), ..Reg::pointer(Kind::MapValueOrNull(map)) }
                }
            }
            _ => return Err(E::ArgNotSupported { helper: helper.name, what: "this kind of result" }),
        })
    }
}

/// Whether a register is a kind of pointer that memory arguments take.
fn is_memory(reg: &Reg) -> bool {
    matches!(reg.kind, Kind::Stack(_) | Kind::Packet | Kind::PacketMeta | Kind::MapValue(_) | Kind::Mem(_))
}
