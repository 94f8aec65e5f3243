//! Arguments of a call, one by one, against what the prototype says each has to be, in the kernel's order.
//!
//! A memory argument is judged together with the size that follows it. Nothing is moved here but what an argument gives back or begins (a lock, a
//! reservation behind a dynamic pointer).

use super::backtrack::{Demand, span, touched};
use super::calls::Call;
use super::check::{self, Dir, ZeroSize};
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::objects;
use super::reg::{Kind, Reg};
use super::state::{Held, State};
use crate::helpers::{Access, ArgType, Handle, Helper, IterUse, Lock};
use crate::isa::Reg as R;
use crate::limits::BPF_MAX_VAR_OFF;
use crate::maps::{MapSpec, MapType};

/// Helpers that write the map itself: refused for maps that programs may not write.
pub(crate) const MAP_WRITERS: &[u32] = &[2, 3, 87, 88];

const MEMORY: &str = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_";
const SOCKETS: &str = "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_";

impl Verifier<'_, '_, '_> {
    /// Judges all arguments of a call.
    pub(crate) fn arguments(
        &mut self,
        state: &mut State,
        helper: &'static Helper,
        call: &mut Call,
    ) -> Result<(), E> {
        for (i, arg) in helper.proto.args.iter().enumerate() {
            if matches!(arg, ArgType::DontCare | ArgType::Unchecked) {
                continue;
            }
            let r = R::new(i as u8 + 1).ok_or(E::Internal { what: "argument" })?;
            check::readable(state, r)?;
            let (before, after) =
                (i.checked_sub(1).map(|j| helper.proto.args[j]), helper.proto.args.get(i + 1));
            let sized =
                matches!(after, Some(ArgType::ConstSize | ArgType::ConstSizeOrZero | ArgType::SliceSize));
            if matches!(arg, ArgType::Mem { .. }) && !sized {
                return Err(E::Internal { what: "memory argument without a size" });
            }
            self.argument(state, helper, call, r, *arg, before)?;
        }
        Ok(())
    }

    fn argument(
        &mut self,
        state: &mut State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
        arg: ArgType,
        before: Option<ArgType>,
    ) -> Result<(), E> {
        let reg = *state.reg(r);
        let num = r.num();
        let wrong = |expected| Err(E::ArgType { reg: num, kind: reg.kind.name(), expected });
        let takes_packet = helper.proto.takes_packet || helper.is_kfunc();
        if reg.kind.is_packet() && !takes_packet && arg != ArgType::Anything {
            return Err(E::HelperPacket);
        }
        if reg.owner != 0 && !reg.kind.is_object_state() {
            call.owner = reg.owner;
        }
        match arg {
            ArgType::DontCare | ArgType::Unchecked => Ok(()),
            ArgType::Anything => self.plain_argument(&reg, num),
            ArgType::Scalar if reg.is_scalar() => Ok(()),
            ArgType::Scalar => Err(E::NotScalarArg { reg: num }),
            ArgType::Ctx if reg.kind == Kind::Ctx => check::unmodified(&reg, num),
            ArgType::Ctx => wrong("ctx"),
            ArgType::ConstMapPtr => match reg.kind {
                Kind::MapPtr(map) => self.map_argument(call, &reg, map),
                _ => wrong("map_ptr"),
            },
            ArgType::MapKey => self.key_argument(state, helper, call, r),
            ArgType::MapValue(access) => {
                let spec = self.spec_of(call)?;
                // A bloom filter is asked whether it holds a value: it reads it.
                let reads = spec.kind == MapType::BloomFilter;
                let access = if reads { Access::Read } else { access };
                self.memory_argument(state, helper, call, r, spec.value_size, access, ZeroSize::Refused)
            }
            ArgType::Mem { nullable, access } => {
                if (nullable && reg.is_null()) || is_memory(&reg, access) {
                    Ok(())
                } else {
                    wrong(MEMORY)
                }
            }
            ArgType::FixedMem { access, size, aligned } => {
                if !is_memory(&reg, access) {
                    return wrong(MEMORY);
                }
                self.memory_argument(state, helper, call, r, size, access, ZeroSize::Refused)?;
                if aligned { check::aligned(&reg, 0, size) } else { Ok(()) }
            }
            ArgType::ConstSize => self.size_argument(state, helper, call, r, before, ZeroSize::Refused),
            ArgType::ConstSizeOrZero => self.size_argument(state, helper, call, r, before, ZeroSize::Allowed),
            ArgType::AllocSize => self.alloc_size(state, call, r),
            ArgType::SliceSize => {
                self.alloc_size(state, call, r)?;
                let buffer = R::new(num - 1).ok_or(E::Internal { what: "argument" })?;
                if state.reg(buffer).is_null() {
                    self.rests_on(state, buffer);
                    return Ok(());
                }
                self.size_argument(state, helper, call, r, before, ZeroSize::Allowed)
            }
            ArgType::ConstStr => self.text(&reg, num).map(|_| ()),
            ArgType::Func => match reg.kind {
                Kind::Func(func) => {
                    call.func = Some(func);
                    Ok(())
                }
                _ => wrong("func"),
            },
            ArgType::StackOrNull if reg.is_null() => {
                self.rests_on(state, r);
                Ok(())
            }
            ArgType::StackOrNull if matches!(reg.kind, Kind::Stack(_)) => Ok(()),
            ArgType::StackOrNull => wrong("fp"),
            ArgType::RingbufMem => match reg.kind {
                Kind::Ring(_) => gives_back(call, &reg, num),
                _ => wrong("ringbuf_mem"),
            },
            ArgType::SpinLock(lock) => self.lock_argument(state, call, &reg, num, lock),
            ArgType::Timer => {
                let at = self.fields_of(&reg)?.timer;
                objects::field(&reg, num, "bpf_timer", at)?;
                call.timer = Some(reg);
                call.uid = reg.uid;
                Ok(())
            }
            ArgType::Dynptr(how) => {
                let (given, made) = self.dynptr_argument(state, r, how, call.dynptr)?;
                call.dynptr = given.or(call.dynptr);
                call.made = made.or(call.made);
                Ok(())
            }
            ArgType::IterNum(how) => {
                let (iter, made) = self.iter_argument(state, r, how)?;
                call.made = made;
                if how == IterUse::Next
                    && let Some(iter) = iter
                {
                    call.owner = iter.owner;
                }
                Ok(())
            }
            ArgType::Handle { handle, release } => {
                let fits = match reg.kind {
                    Kind::Handle(h) => h == handle || (handle == Handle::SockCommon && h == Handle::Sock),
                    Kind::XskSock => handle == Handle::SockCommon,
                    _ => false,
                };
                if !fits {
                    return wrong(if handle == Handle::SockCommon {
                        SOCKETS
                    } else {
                        Kind::Handle(handle).name()
                    });
                }
                if release { gives_back(call, &reg, num) } else { check::unmodified(&reg, num) }
            }
        }
    }

    fn map_argument(&mut self, call: &mut Call, reg: &Reg, map: u32) -> Result<(), E> {
        if let Some(timer) = call.timer
            && (timer.kind, timer.uid) != (Kind::MapValue(map), reg.uid)
        {
            return Err(E::TimerMap { timer: timer.uid, map: reg.uid });
        }
        call.map = Some(map);
        call.uid = reg.uid;
        Ok(())
    }

    fn key_argument(
        &mut self,
        state: &mut State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
    ) -> Result<(), E> {
        let spec = self.spec_of(call)?;
        let size = spec.key_size;
        self.memory_argument(state, helper, call, r, size, Access::Read, ZeroSize::Refused)?;
        let reg = *state.reg(r);
        if let Kind::Stack(frame) = reg.kind
            && reg.var.is_const()
        {
            let stack = &state.frames[usize::from(frame)].stack;
            let at = (i64::from(reg.off) + reg.var.smin()) as i32;
            let array = matches!(spec.kind, MapType::Array | MapType::PercpuArray);
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

    fn spec_of(&self, call: &Call) -> Result<MapSpec, E> {
        let map = call.map.ok_or(E::NoMapArg)?;
        Ok(self.input.map(map).ok_or(E::Internal { what: "map index" })?.spec)
    }

    /// The special fields of the value behind a pointer; none where it is no value.
    fn fields_of(&self, reg: &Reg) -> Result<crate::maps::ValueFields, E> {
        match reg.kind {
            Kind::MapValue(map) => {
                Ok(self.input.map(map).ok_or(E::Internal { what: "map index" })?.spec.fields)
            }
            _ => Ok(crate::maps::ValueFields::default()),
        }
    }

    /// Takes or gives back the lock of a value.
    fn lock_argument(
        &mut self,
        state: &mut State,
        call: &Call,
        reg: &Reg,
        num: u8,
        lock: Lock,
    ) -> Result<(), E> {
        let at = self.fields_of(reg)?.spin_lock;
        if let Kind::MapValue(_) = reg.kind {
            objects::field(reg, num, "bpf_spin_lock", at)?;
        }
        let Kind::MapValue(map) = reg.kind else {
            return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "map_value, ptr_" });
        };
        match (lock, state.lock()) {
            (Lock::Take, None) => Ok(state.hold(reg.id, call.pc, Held::Lock(map))?),
            (Lock::Take, Some(_)) => Err(E::TwoLocks),
            (Lock::Give, None) => Err(E::NotLocked),
            (Lock::Give, Some(held)) if held != (map, reg.id) => Err(E::OtherLock),
            (Lock::Give, Some(_)) => {
                state.unlock();
                Ok(())
            }
        }
    }

    /// A size that must be known.
    fn alloc_size(&mut self, state: &State, call: &mut Call, r: R) -> Result<(), E> {
        let (reg, num) = (state.reg(r), r.num());
        let size = reg.known().ok_or(E::SizeNotConst { reg: num })?;
        // Kernel: the low half; uxdp: the most that there is, since no record is as large and the call gives null.
        call.size = Some(u32::try_from(size).unwrap_or(u32::MAX).min(i32::MAX as u32));
        self.rests_on(state, r);
        Ok(())
    }

    /// The size of the memory argument before it: the memory must have as many bytes as the size can be.
    fn size_argument(
        &mut self,
        state: &mut State,
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

    #[expect(clippy::too_many_arguments, reason = "the call, the register, and what is demanded of it")]
    fn memory_argument(
        &mut self,
        state: &mut State,
        helper: &'static Helper,
        call: &mut Call,
        r: R,
        size: u32,
        access: Access,
        zero: ZeroSize,
    ) -> Result<(), E> {
        let (reg, num) = (*state.reg(r), r.num());
        let dirs: &[Dir] = match access {
            Access::Read => &[Dir::Read],
            Access::Write => &[Dir::Write],
            Access::Modify => &[Dir::Read, Dir::Write],
        };
        let takes_packet = helper.proto.takes_packet || helper.is_kfunc();
        for &dir in dirs {
            match reg.kind {
                Kind::Stack(frame) => {
                    if size == 0 && zero == ZeroSize::Refused {
                        return Err(E::SizeZero { reg: num, min: 0, max: 0 });
                    }
                    let what = if dir == Dir::Read { " read from" } else { " write to" };
                    check::stack_bounds(&reg, num, 0, size, what)?;
                    objects::no_objects(state, &reg, size, dir, num)?;
                    self.helper_memory(state, &reg, num, size, dir)?;
                    let (min, end, _) = check::stack_span(&reg, 0, size);
                    // What a helper writes does not count as written: it may fail before it does.
                    self.uses_stack(state, frame, (min as i32, end as i32), dir == Dir::Read, false)?;
                }
                Kind::Packet | Kind::PacketMeta if !takes_packet => return Err(E::HelperPacket),
                Kind::MapKey(_) if dir == Dir::Write => {
                    return Err(E::ReadOnlyMem { reg: num, kind: reg.kind.name() });
                }
                _ if is_memory(&reg, access) => {
                    check::region(&self.input, &reg, num, 0, size, dir, zero)?;
                }
                _ if reg.is_null() && size == 0 && zero == ZeroSize::Allowed => return Ok(()),
                _ => return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: MEMORY }),
            }
        }
        if access != Access::Read {
            call.writes.push((reg, size)).map_err(|_| E::Internal { what: "arguments" })?;
        }
        Ok(())
    }
}

/// A pointer to something that is held is given back: as it was given, nothing added.
fn gives_back(call: &mut Call, reg: &Reg, num: u8) -> Result<(), E> {
    if reg.off != 0 {
        return Err(E::ReleaseOffset { reg: num });
    }
    check::unmodified(reg, num)?;
    if reg.owner == 0 {
        return Err(E::NotReferenced { reg: num });
    }
    call.gives_back = Some(reg.owner);
    Ok(())
}

/// Whether a register is a kind of pointer that memory arguments take.
fn is_memory(reg: &Reg, access: Access) -> bool {
    match reg.kind {
        Kind::Stack(_) | Kind::MapValue(_) | Kind::MapKey(_) | Kind::Mem(_) | Kind::Ring(_) => true,
        Kind::Slice(s) => s.writable || access == Access::Read,
        Kind::IterNum => access == Access::Read,
        kind => kind.is_packet(),
    }
}
