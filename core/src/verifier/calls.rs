//! Calls of helpers and kernel functions: what a prototype demands of the arguments, and what the call leaves behind.
//!
//! A map argument sets the call's map; keys and values are sized by it ([`super::args`] judges arguments one by one). Afterwards R0 to R5 are gone, R0 is what
//! the prototype says, written memory holds something, what is given back cannot be used any more, and where the helper may change the packet no packet
//! pointer can be read. A row without a function is a helper that nothing provides: its calls are judged, but a program with one is never loaded.

use super::args::MAP_WRITERS;
use super::check;
use super::error::{Reject, VerifierError as E};
use super::explore::Verifier;
use super::facts::CallFact;
use super::objects::{Given, Made};
use super::reg::{INNER, Kind, Reg, Slice};
use super::state::{Held, State};
use crate::helpers::{ArgType, Callback, DynptrKind, Helper, Lock, RetType};
use crate::isa::{Callee, Op, Reg as R};
use crate::maps::MapType;
use crate::maps::spec::flags::{BPF_F_INNER_MAP, BPF_F_RDONLY_PROG};
use crate::program::{MapSel, POISON_CORE, POISON_KFUNC};

/// What a call is found to be.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) pc: u32,
    pub(crate) map: Option<u32>,
    /// Which lookup gave the map.
    pub(crate) uid: u32,
    /// A constant key.
    pub(crate) key: Option<u64>,
    /// The key as far as the kernel knows it.
    pub(crate) kernel_key: Option<u64>,
    /// Memory that it writes.
    pub(crate) writes: heapless::Vec<(Reg, u32), 5>,
    /// Bytes of the memory that it returns.
    pub(crate) size: Option<u32>,
    /// The function that it calls back.
    pub(crate) func: Option<u32>,
    /// What it gives back.
    pub(crate) gives_back: Option<u32>,
    /// What its arguments go with.
    pub(crate) owner: u32,
    /// Its dynamic pointer.
    pub(crate) dynptr: Option<Given>,
    /// What it makes on the stack.
    pub(crate) made: Option<Made>,
    /// The value whose timer it works on.
    pub(crate) timer: Option<Reg>,
}

/// What follows a call.
#[derive(Debug)]
pub(crate) enum After {
    /// The next instruction.
    Next,
    /// A tail call: it may not come back.
    TailCall,
    /// The next instruction too, in a second state: an iterator that has one more.
    Turn(State),
}

impl Verifier<'_, '_, '_> {
    /// Judges a call and moves the state over it.
    pub(crate) fn helper_call(&mut self, state: &mut State, pc: u32, id: u32) -> Result<After, Reject> {
        let at = |e: E| Reject::at(pc, e);
        let unknown = match *self.cfg.op(pc).unwrap_or(&Op::Exit) {
            Op::Call(Callee::Kfunc { id, .. }) => E::Kfunc { id },
            _ => match id as i32 {
                POISON_CORE => E::CoreUnresolved,
                POISON_KFUNC.. => E::KfuncUnresolved,
                _ => E::NoSuchHelper { id },
            },
        };
        let row = self.input.helpers.row_of(id).ok_or(at(unknown))?;
        let helper = self.input.helpers.get(row).ok_or(at(unknown))?;
        if helper.func.is_none() && !self.input.judging {
            return Err(at(E::HelperMissing { name: helper.name, id }));
        }
        // Only the unlocking is called under a lock, and what waits for nobody.
        let may = matches!(helper.proto.args[0], ArgType::SpinLock(Lock::Give) | ArgType::IterNum(_));
        if state.lock().is_some() && !may {
            return Err(at(E::CallInLock));
        }
        let mut call = Call { pc, ..Call::default() };
        self.arguments(state, helper, &mut call).map_err(at)?;
        self.format(state, helper).map_err(at)?;
        let elided = self.never_null(helper, &call);
        self.facts.call(
            pc,
            row,
            CallFact {
                map: call
                    .map
                    .map_or(MapSel::None, |m| if m & INNER == 0 { MapSel::Known(m) } else { MapSel::Many }),
                key: call.key,
                non_null: elided || self.key_in_array(helper, &call, call.key),
            },
        );
        if helper.proto.ret == RetType::IterNumOrNull {
            return Ok(After::Turn(self.iter_next(state, pc, R::R1).map_err(at)?));
        }
        if helper.proto.ret == RetType::TailCall {
            state.holds_nothing("tail_call").map_err(at)?;
            if state.frames.iter().any(|f| f.callback.is_some()) {
                return Err(at(E::CallbackTailCall));
            }
        }
        if let Some(callback) = helper.proto.callback {
            self.calls_back(state, pc, callback, &call)?;
        }
        self.effects(state, helper, &call, elided).map_err(at)?;
        self.map_rules(helper, &call).map_err(at)?;
        // A tail call that comes back did nothing; one that succeeds is a path of its own.
        if helper.proto.ret == RetType::TailCall {
            return Ok(After::TailCall);
        }
        if helper.proto.changes_packet {
            state.drop_packet_pointers(self.leftover());
        }
        Ok(After::Next)
    }

    /// What a judged call leaves behind.
    fn effects(
        &mut self,
        state: &mut State,
        helper: &'static Helper,
        call: &Call,
        elided: bool,
    ) -> Result<(), E> {
        let sizes = helper
            .proto
            .args
            .iter()
            .zip(1u8..)
            .filter(|(a, _)| matches!(a, ArgType::ConstSize | ArgType::ConstSizeOrZero));
        let exact = sizes.filter_map(|(_, r)| R::new(r)).all(|r| state.reg(r).known().is_some());
        for (reg, size) in &call.writes {
            if let Kind::Stack(frame) = reg.kind {
                let (min, end, fixed) = check::stack_span(reg, 0, *size);
                state.frames[usize::from(frame)].stack.smear(min as i32, (end - min) as u32, false)?;
                if exact && fixed {
                    self.log.stack(min as i32, end as i32);
                }
            }
        }
        if helper.proto.args[0] == ArgType::IterNum(crate::helpers::IterUse::Destroy) {
            self.iter_destroy(state, R::R1)?;
        }
        if let Some(id) = call.gives_back
            && !state.give_back(id, self.leftover())
        {
            return Err(E::NotHeld { name: helper.name, id: helper.id });
        }
        if let Some(made) = call.made {
            self.make(state, call.pc, made)?;
        }
        state.clobber_caller_saved();
        let result = self.result(helper, call, elided)?;
        if result.owner != 0 && result.owner == result.id {
            state.hold(result.owner, call.pc, Held::Object)?;
        }
        state.set(R::R0, result);
        Ok(())
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
            if helper.proto.callback == Some(Callback::ForEach) {
                return Err(E::NoWalk);
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
        // With this flag of the template an inner array may have fewer elements than the template.
        let spec = spec.filter(|s| s.flags & BPF_F_INNER_MAP == 0);
        helper.id == 1
            && spec.zip(key).is_some_and(|(spec, key)| {
                matches!(spec.kind, MapType::Array | MapType::PercpuArray)
                    && key < u64::from(spec.max_entries)
            })
    }

    /// Whether the kernel knows that the result is not null.
    fn never_null(&self, helper: &'static Helper, call: &Call) -> bool {
        self.key_in_array(helper, call, call.kernel_key)
    }

    fn result(&mut self, helper: &'static Helper, call: &Call, never_null: bool) -> Result<Reg, E> {
        let mut or_null = |kind: Kind| Reg { id: self.ids.fresh(), ..Reg::pointer(kind) };
        let size = call.size.ok_or(E::Internal { what: "size of a result" });
        Ok(match helper.proto.ret {
            RetType::Integer => Reg::UNKNOWN,
            RetType::Cpu => match self.input.opts.nr_cpus {
                0 => Reg::UNKNOWN.cut_to(4),
                n => Reg::scalar(super::scalar::Scalar::from_unsigned(0, u64::from(n) - 1)),
            },
            RetType::Within(min, max) => {
                Reg::scalar(super::scalar::Scalar::from_signed(i64::from(min), i64::from(max)))
            }
            RetType::Void | RetType::TailCall => Reg::NOT_INIT,
            RetType::MapValueOrNull => return self.looked_up(helper, call, never_null),
            RetType::RingbufMemOrNull => {
                let r = or_null(Kind::RingOrNull(size?));
                Reg { owner: r.id, ..r }
            }
            RetType::DynptrMemOrNull { writable } => {
                let given = call.dynptr.ok_or(E::Internal { what: "dynptr" })?;
                let packet = given.kind == DynptrKind::Xdp;
                let r = or_null(Kind::SliceOrNull(Slice { size: size?, writable, packet }));
                Reg { owner: given.owner, uid: given.id, ..r }
            }
            RetType::IterNumOrNull => return Err(E::Internal { what: "iterator" }),
            RetType::HandleOrNull(handle) => {
                let r = or_null(Kind::HandleOrNull(handle));
                Reg { owner: r.id, ..r }
            }
        })
    }

    /// What a lookup gives: for a map of maps the map inside, for an XSKMAP a socket.
    fn looked_up(&mut self, helper: &'static Helper, call: &Call, never_null: bool) -> Result<Reg, E> {
        let map = call.map.ok_or(E::NoMapArg)?;
        let spec = self.input.map(map).ok_or(E::Internal { what: "map index" })?.spec;
        let id = self.ids.fresh();
        let or_null = |kind: Kind| Reg { id, ..Reg::pointer(kind) };
        Ok(match spec.kind {
            MapType::ArrayOfMaps | MapType::HashOfMaps if helper.id == 1 => {
                if spec.inner.is_none() {
                    return Err(E::NoInnerMap);
                }
                Reg { uid: id, ..or_null(Kind::MapPtrOrNull(map | INNER)) }
            }
            MapType::Xskmap if helper.id == 1 => or_null(Kind::XskSockOrNull),
            _ if never_null => {
                let id = if spec.fields.spin_lock.is_some() { id } else { 0 };
                Reg { id, uid: call.uid, ..Reg::pointer(Kind::MapValue(map)) }
            }
            _ => Reg { uid: call.uid, ..or_null(Kind::MapValueOrNull(map)) },
        })
    }
}
