//! Map access: lookup, update, delete. Which value a per-CPU map means is the worker's slot.

use super::{Access, ArgType, Callback, Helper, Proto, RetType};
use crate::error::Errno;
use crate::maps::{Map, MapType};
use crate::vm::{Ctx, Func};

/// What `bpf_map_lookup_elem` takes.
const LOOKED_UP: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
    MapType::Devmap,
    MapType::DevmapHash,
    MapType::Xskmap,
];

/// What programs may update and delete.
const WRITTEN: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
];

pub(super) const LOOKUP: Helper = Helper {
    id: 1,
    name: "bpf_map_lookup_elem",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::MapKey], RetType::MapValueOrNull)
        .taking_packet()
        .on(LOOKED_UP),
    func: Some(lookup),
};

pub(super) const UPDATE: Helper = Helper {
    id: 2,
    name: "bpf_map_update_elem",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, ArgType::MapKey, ArgType::MapValue(Access::Read), ArgType::Anything],
        RetType::Integer,
    )
    .taking_packet()
    .on(WRITTEN),
    func: Some(update),
};

pub(super) const DELETE: Helper = Helper {
    id: 3,
    name: "bpf_map_delete_elem",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::MapKey], RetType::Integer).taking_packet().on(WRITTEN),
    func: Some(delete),
};

/// What `bpf_map_push_elem` and `bpf_map_peek_elem` take; only queues and stacks are popped.
const PUSHED: &[MapType] = &[MapType::Queue, MapType::Stack, MapType::BloomFilter];

pub(super) const PUSH: Helper = Helper {
    id: 87,
    name: "bpf_map_push_elem",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, ArgType::MapValue(Access::Read), ArgType::Anything],
        RetType::Integer,
    )
    .taking_packet()
    .on(PUSHED),
    func: Some(push),
};

pub(super) const POP: Helper = Helper {
    id: 88,
    name: "bpf_map_pop_elem",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::MapValue(Access::Write)], RetType::Integer)
        .on(&[MapType::Queue, MapType::Stack]),
    func: Some(pop),
};

pub(super) const PEEK: Helper = Helper {
    id: 89,
    name: "bpf_map_peek_elem",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::MapValue(Access::Write)], RetType::Integer).on(PUSHED),
    func: Some(peek),
};

pub(super) const FOR_EACH: Helper = Helper {
    id: 164,
    name: "bpf_for_each_map_elem",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, ArgType::Func, ArgType::StackOrNull, ArgType::Anything],
        RetType::Integer,
    )
    .on(&[
        MapType::Hash,
        MapType::Array,
        MapType::PercpuHash,
        MapType::PercpuArray,
        MapType::LruHash,
        MapType::LruPercpuHash,
    ])
    .calling(Callback::ForEach),
    func: Some(for_each),
};

pub(super) const LOOKUP_PERCPU: Helper = Helper {
    id: 195,
    name: "bpf_map_lookup_percpu_elem",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::MapKey, ArgType::Anything], RetType::MapValueOrNull)
        .taking_packet()
        .on(&[MapType::PercpuHash, MapType::PercpuArray, MapType::LruPercpuHash]),
    func: Some(lookup_percpu),
};

unsafe extern "C" fn lookup(map: u64, key: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is a map of the program, r2 an initialised key of it; the context is the run's.
    unsafe { (*(map as *const Map)).lookup(key as *const u8, (*ctx).slot) as u64 }
}

unsafe extern "C" fn update(map: u64, key: u64, value: u64, flags: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `lookup`, and r3 is an initialised value; the run's worker alone holds its slot.
    let done =
        unsafe { (*(map as *const Map)).update(key as *const u8, value as *const u8, flags, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn delete(map: u64, key: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `update`.
    let done = unsafe { (*(map as *const Map)).delete(key as *const u8, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn push(map: u64, value: u64, flags: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `update`: r2 is an initialised value.
    let done = unsafe { (*(map as *const Map)).push(value as *const u8, flags, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn pop(map: u64, value: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `update`: r2 is writable for a value.
    let done = unsafe { (*(map as *const Map)).pop(value as *mut u8, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn peek(map: u64, value: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `pop`; a filter's value is read, and initialised like everything on a program's stack that a helper may write.
    let done = unsafe { (*(map as *const Map)).peek(value as *mut u8, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

/// How many elements were shown, the one that ended the walk included.
unsafe extern "C" fn for_each(map: u64, func: u64, data: u64, flags: u64, _: u64, ctx: *mut Ctx) -> u64 {
    if flags != 0 {
        return Errno::EINVAL.to_ret();
    }
    // SAFETY: the verifier proved that r1 is a map of the program, r2 one of its functions, made for such a map and r3; the context is the run's.
    unsafe {
        let func = &*(func as *const Func);
        (*(map as *const Map))
            .for_each((*ctx).slot, |key, value| func.turn([map, key as u64, value as u64, data], ctx))
    }
}

unsafe extern "C" fn lookup_percpu(map: u64, key: u64, cpu: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `lookup`; the context's environment lives as long as its runs.
    unsafe {
        let cpu = cpu as u32;
        let known = (*ctx).env.as_ref().is_some_and(|e| cpu < e.nr_cpus);
        if known { (*(map as *const Map)).lookup(key as *const u8, cpu) as u64 } else { 0 }
    }
}
