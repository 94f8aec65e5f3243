//! Maps: made in every way, shared, and every operation on them.

use super::handles::{Lent, World};
use super::objects::out;
use super::{number, said, size_of_struct};
use crate::bytes::Bytes;
use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use uxdp_capi::*;

/// Bytes of a map at most.
const LARGEST: i64 = 1 << 20;

fn spec(bytes: &mut Bytes<'_>, inner: *const uxdp_map_spec) -> uxdp_map_spec {
    let kind =
        bytes.pick(&[1, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 16, 17, 22, 23, 25, 27, 30, 31, 33, 99]);
    let (key, value) = match kind {
        2 | 6 => (4, 1 + bytes.below(40) as u32),
        3 | 4 | 12 | 14 | 16 | 17 => (4, 4 + 4 * u32::from(bytes.rarely(4))),
        13 | 25 => (4, 4),
        11 => (4 + 1 + bytes.below(16) as u32, 1 + bytes.below(40) as u32),
        22 | 23 | 30 => (0, 1 + bytes.below(40) as u32),
        27 | 31 => (0, 0),
        _ => (1 + bytes.below(20) as u32, 1 + bytes.below(40) as u32),
    };
    let flags = match kind {
        11 => 1,
        _ if bytes.rarely(6) => 1 << bytes.below(14),
        _ => 0,
    };
    let odd = bytes.rarely(12);
    uxdp_map_spec {
        sz: size_of_struct::<uxdp_map_spec>(bytes),
        name: if bytes.rarely(3) { null() } else { c"made".as_ptr() },
        r#type: kind,
        key_size: if odd { number(bytes) } else { key },
        value_size: if odd { number(bytes) } else { value },
        max_entries: match kind {
            27 | 31 => 4096,
            _ if odd => number(bytes),
            _ => 1 + bytes.below(20) as u32,
        },
        flags,
        numa_node: 0,
        map_extra: if kind == 30 || odd { bytes.below(17) as u64 } else { 0 },
        inner,
    }
}

pub(super) fn create(world: &mut World, bytes: &mut Bytes<'_>) {
    let inner = spec(bytes, null());
    let spec = spec(bytes, null());
    let spec = uxdp_map_spec { inner: if matches!(spec.r#type, 12 | 13) { &inner } else { null() }, ..spec };
    let mut map = null_mut();
    // SAFETY: options and places are ours; memory stays until all maps are gone.
    unsafe {
        let size = uxdp_map_memory_size(world.env, &spec);
        if size > LARGEST {
            return;
        }
        said(size as c_int);
        let done = match bytes.below(3) {
            0 if size > 0 => {
                let len = (size as usize).next_multiple_of(4096) - usize::from(bytes.rarely(8));
                let Some(lent) = Lent::new(len) else { return };
                let done = said(uxdp_map_create_in(world.env, &spec, lent.at.as_ptr().cast(), len, &mut map));
                world.lent.push(lent);
                done
            }
            1 => said(uxdp_map_create_shared(world.env, &spec, &mut map)),
            _ => said(uxdp_map_create(world.env, &spec, &mut map)),
        };
        assert_eq!(done == 0, !map.is_null());
        assert!(done != 0 || size > 0, "made, though its size is refused");
    }
    if !map.is_null() {
        world.keep_map(map);
    }
}

pub(super) fn share(world: &mut World, bytes: &mut Bytes<'_>) {
    let mut map = null_mut();
    // SAFETY: handles and memory are ours; descriptors are closed once.
    let done = unsafe {
        match bytes.below(6) {
            0 | 1 if !world.lent.is_empty() => {
                let lent = &world.lent[bytes.below(world.lent.len())];
                for _ in 0..bytes.below(3) {
                    lent.scribble(bytes);
                }
                let less = if bytes.rarely(8) { bytes.below(256) * 16 } else { 0 };
                said(uxdp_map_attach(
                    world.env,
                    lent.at.as_ptr().cast(),
                    lent.len.saturating_sub(less),
                    &mut map,
                ))
            }
            2 if !world.lent.is_empty() => {
                world.lent[bytes.below(world.lent.len())].scribble(bytes);
                return;
            }
            3 if bytes.rarely(4) => return shown(world.map(bytes)),
            3 | 4 => {
                let fd = said(uxdp_map_export_fd(world.map(bytes)));
                if fd < 0 {
                    return;
                }
                let done = said(uxdp_map_attach_fd(world.env, fd, &mut map));
                libc::close(fd);
                done
            }
            _ => said(uxdp_map_attach_fd(world.env, -1, &mut map)),
        }
    };
    assert_eq!(done == 0, !map.is_null());
    if !map.is_null() {
        world.keep_map(map);
    }
}

/// What mmap(2) of the kernel's map shows.
fn shown(map: *mut uxdp_map) {
    let (mut at, mut len) = (null_mut(), 0);
    // SAFETY: places are ours; what is mapped is unmapped once.
    unsafe {
        if said(uxdp_map_mmap(map, &mut at, &mut len)) == 0 {
            assert!(!at.is_null() && libc::munmap(at, len) == 0);
        }
    }
}

/// What a map is; none where there is none yet.
fn info(map: *mut uxdp_map) -> Option<uxdp_map_info> {
    // SAFETY: numbers and a pointer, all of which may be zero.
    let mut info: uxdp_map_info = unsafe { core::mem::zeroed() };
    info.sz = size_of::<uxdp_map_info>();
    // SAFETY: NULL or a handle of ours.
    let done = said(unsafe { uxdp_map_get_info(map, &mut info) });
    (done == 0 && info.id != 0).then_some(info)
}

unsafe extern "C" fn each(key: *const c_void, value: *const c_void, arg: *mut c_void) -> c_int {
    assert!(!key.is_null() && !value.is_null());
    // SAFETY: a counter of the caller's.
    unsafe {
        *arg.cast::<u32>() += 1;
        c_int::from(*arg.cast::<u32>() > 50)
    }
}

unsafe extern "C" fn sample(arg: *mut c_void, data: *const c_void, size: usize) -> c_int {
    // SAFETY: a sample has its bytes; the counter is the caller's.
    unsafe {
        let sum: u64 =
            core::slice::from_raw_parts(data.cast::<u8>(), size).iter().map(|b| u64::from(*b)).sum();
        *arg.cast::<u64>() += 1 + (sum & 1);
        c_int::from((sum & 7) == 7)
    }
}

pub(super) fn element(world: &mut World, bytes: &mut Bytes<'_>) {
    let map = world.map(bytes);
    let Some(info) = info(map) else { return };
    let (key_size, value_size) = (info.key_size as usize, info.value_buf_size);
    if value_size > 1 << 16 || key_size > 1 << 12 {
        return;
    }
    let mut key = vec![0u8; key_size];
    if let Some(first) = key.first_mut() {
        *first = bytes.below(32) as u8;
    }
    let mut value = vec![bytes.byte(); value_size];
    let k: *const c_void = if bytes.rarely(16) { null() } else { key.as_ptr().cast() };
    let flags = if bytes.rarely(4) { 1 << bytes.below(34) } else { bytes.below(3) as u64 };
    let count = bytes.below(5);
    let (mut keys, mut values) = (vec![bytes.byte() & 7; key_size * count], vec![3u8; value_size * count]);
    let (mut n, cpu) = (count as u32, bytes.below(4) as u32);
    let mut cursor = vec![0u8; key_size.max(4)];
    let from: *const c_void = if bytes.rarely(2) { null() } else { cursor.as_ptr().cast() };
    let (at, cursor_at) = (out(&mut value), out(&mut cursor));
    // SAFETY: keys, values and cursors have the sizes of the map.
    unsafe {
        match bytes.below(16) {
            0 | 1 => said(uxdp_map_update_elem(map, k, at, flags)),
            2 => said(uxdp_map_lookup_elem(map, k, at, flags & 4)),
            3 => said(uxdp_map_delete_elem(map, k)),
            4 => said(uxdp_map_get_next_key(map, k, out(&mut key))),
            5 => said(uxdp_map_lookup_and_delete_elem(map, k, at, flags & 4)),
            6 => {
                said(uxdp_map_lookup_batch(map, from, cursor_at, out(&mut keys), out(&mut values), &mut n, 0))
            }
            7 => said(uxdp_map_lookup_and_delete_batch(
                map,
                from,
                cursor_at,
                out(&mut keys),
                out(&mut values),
                &mut n,
                flags & 4,
            )),
            8 => said(uxdp_map_update_batch(map, out(&mut keys), out(&mut values), &mut n, 0)),
            9 => said(uxdp_map_delete_batch(map, out(&mut keys), &mut n, flags & 4)),
            10 => said(uxdp_map_lookup_elem_cpu(map, k, cpu, at)),
            11 => said(uxdp_map_update_elem_cpu(map, k, cpu, at, flags)),
            12 => {
                let mut seen = 0u32;
                said(uxdp_map_for_each_elem(map, Some(each), (&raw mut seen).cast()))
            }
            13 if bytes.rarely(4) => said(uxdp_map_freeze(map)),
            14 if bytes.rarely(2) => said(uxdp_map_prefetch(map, k)),
            14 => said(uxdp_map_recover(map)),
            15 if world.online => {
                let keys = [key.as_ptr().cast(), key.as_ptr().cast()];
                let mut found = [null_mut::<c_void>(); 2];
                said(uxdp_map_lookup_burst(world.worker, map, keys.as_ptr(), found.as_mut_ptr(), 2))
            }
            _ => said(uxdp_map_update_elem(map, k, at, 0)),
        };
    }
    assert!(n as usize <= count);
}

pub(super) fn ring(world: &mut World, bytes: &mut Bytes<'_>) {
    let map = world.map(bytes);
    let (mut seen, mut lost) = (0u64, 0u64);
    let (slot, arg) = (number(bytes), (&raw mut seen).cast());
    // SAFETY: handles and places are ours; a sample is ended once.
    unsafe {
        match bytes.below(6) {
            0 => said(uxdp_ringbuf_consume(map, Some(sample), arg)),
            1 => said(uxdp_perf_open(map, slot)),
            2 => said(uxdp_perf_read(
                map,
                slot,
                Some(sample),
                arg,
                if bytes.rarely(2) { null_mut() } else { &mut lost },
            )),
            3 => {
                let (size, mut at) = (number(bytes), null_mut());
                let done = said(uxdp_user_ringbuf_reserve(map, size, &mut at));
                if done == 0 {
                    at.cast::<u8>().write_bytes(7, size as usize);
                    world.samples.push((map, at));
                }
                done
            }
            4 => match world.samples.pop() {
                Some((of, at)) if bytes.rarely(3) => said(uxdp_user_ringbuf_discard(of, at)),
                Some((of, at)) => said(uxdp_user_ringbuf_submit(of, at)),
                None => said(uxdp_user_ringbuf_submit(map, null_mut())),
            },
            _ => {
                let fd = if bytes.rarely(2) { libc::eventfd(0, libc::EFD_NONBLOCK) } else { -1 };
                let done = said(uxdp_map_notify(map, fd));
                if fd >= 0 {
                    said(uxdp_map_notify(map, -1));
                    libc::close(fd);
                }
                done
            }
        };
    }
}

/// Entries that hold programs, maps and ports.
pub(super) fn refer(world: &mut World, bytes: &mut Bytes<'_>) {
    let map = world.map(bytes);
    let Some(info) = info(map) else { return };
    let mut key = vec![0u8; (info.key_size as usize).max(4)];
    key[0] = bytes.below(24) as u8;
    let flags = if bytes.rarely(4) { number(bytes).into() } else { 0 };
    let value = number(bytes).to_le_bytes();
    // SAFETY: handles of ours; the key has its size, a target's value four bytes.
    unsafe {
        match bytes.below(3) {
            0 => said(uxdp_map_update_prog(map, key[0].into(), world.prog(bytes))),
            1 => said(uxdp_map_update_map(map, key.as_ptr().cast(), world.map(bytes), flags)),
            _ => {
                let prog = if bytes.rarely(2) { null_mut() } else { world.prog(bytes) };
                said(uxdp_map_update_target(map, key.as_ptr().cast(), value.as_ptr().cast(), prog, flags))
            }
        };
    }
}
