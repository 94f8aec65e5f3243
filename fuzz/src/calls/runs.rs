//! Hooks, workers, packets, routes, and what there is to be asked.

use super::handles::World;
use super::objects::out;
use super::{number, said, size_of_struct};
use crate::bytes::Bytes;
use core::ffi::CStr;
use core::ptr::{null, null_mut};
use uxdp_capi::*;

/// Room before and behind a packet.
const ROOM: usize = 64;

pub(super) fn hook(world: &mut World, bytes: &mut Bytes<'_>) {
    if world.hooks.len() < 8 && bytes.rarely(3) {
        let opts = uxdp_hook_opts {
            sz: size_of_struct::<uxdp_hook_opts>(bytes),
            ingress_ifindex: bytes.below(4) as u32,
            rx_queue_index: 0,
            offers: if bytes.rarely(4) { 1 << 31 | u32::from(bytes.byte()) } else { 0 },
            reserved: 0,
            mtu: if bytes.rarely(4) { number(bytes) } else { 0 },
            buffer_size: if bytes.rarely(4) { number(bytes) } else { 0 },
        };
        let mut hook = null_mut();
        // SAFETY: options and place are ours.
        let done = said(unsafe { uxdp_hook_create(world.env, &opts, &mut hook) });
        assert_eq!(done == 0, !hook.is_null());
        if done == 0 {
            world.hooks.push(hook);
        }
        return;
    }
    let hook = world.hook(bytes);
    let progs: Vec<_> = (0..bytes.below(4)).map(|_| world.prog(bytes)).collect();
    let numbers: Vec<u32> = progs.iter().map(|_| number(bytes)).collect();
    let opts = uxdp_attach_opts {
        sz: size_of_struct::<uxdp_attach_opts>(bytes),
        flags: bytes.pick(&[0, 0, 1, 1, 2]),
        reserved: 0,
        chain_call_actions: if bytes.rarely(2) { numbers.as_ptr() } else { null() },
        priorities: if bytes.rarely(2) { numbers.as_ptr() } else { null() },
    };
    let opts = if bytes.rarely(2) { null() } else { &raw const opts };
    // SAFETY: handles of ours, and as many numbers as programs.
    unsafe {
        said(uxdp_hook_set(hook, progs.as_ptr(), progs.len(), opts));
        said(uxdp_hook_takes_frags(hook));
    }
}

pub(super) fn worker(world: &mut World, bytes: &mut Bytes<'_>) {
    // SAFETY: the worker is this thread's.
    unsafe {
        if world.worker.is_null() {
            let slot = if bytes.rarely(8) { number(bytes) } else { 0 };
            let done = said(uxdp_worker_register(world.env, slot, &mut world.worker));
            assert_eq!(done == 0, !world.worker.is_null());
            world.online = done == 0;
            return;
        }
        match bytes.below(6) {
            0 => {
                uxdp_worker_unregister(world.worker);
                (world.worker, world.online) = (null_mut(), false);
            }
            1 => {
                uxdp_worker_offline(world.worker);
                world.online = false;
            }
            2 => {
                uxdp_worker_online(world.worker);
                world.online = true;
            }
            3 if world.online => {
                let mut next = 0;
                said(uxdp_worker_run_timers(world.worker, bytes.below(4) as u32, &mut next));
            }
            _ => uxdp_worker_quiescent(world.worker),
        }
    }
}

/// A packet of what the input says, in a buffer that ends where it says.
fn packet(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let len = 14 + bytes.below(100);
    let mut buffer = vec![0; 2 * ROOM + len];
    buffer[ROOM + 12..ROOM + 14].copy_from_slice(&bytes.pick(&[[8, 0], [0x86, 0xdd], [0x81, 0], [1, 2]]));
    let rest = bytes.take(24.min(len - 14));
    buffer[ROOM + 14..][..rest.len()].copy_from_slice(&rest);
    buffer
}

pub(super) fn packets(world: &mut World, bytes: &mut Bytes<'_>) {
    if world.online {
        in_a_worker(world, bytes);
    } else {
        test_run(world, bytes);
    }
}

fn in_a_worker(world: &World, bytes: &mut Bytes<'_>) {
    // SAFETY: a program of ours, or NULL.
    let own = unsafe { uxdp_prog_hook(world.prog(bytes)) };
    let hook = if bytes.rarely(2) { own } else { world.hook(bytes) };
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut ctx: uxdp_ctx = unsafe { core::mem::zeroed() };
    // SAFETY: worker and hook live while the context is used.
    let tied = said(unsafe { uxdp_ctx_init_sized(&mut ctx, world.worker, hook, size_of::<uxdp_ctx>()) });
    if tied != 0 {
        return;
    }
    let mut buffers: Vec<_> = (0..1 + bytes.below(3)).map(|_| packet(bytes)).collect();
    let mut more = vec![0u8; 200];
    // SAFETY: as above.
    let mut frags: uxdp_frags = unsafe { core::mem::zeroed() };
    frags.nr = 1 + bytes.below(2) as u32;
    for (frag, part) in frags.frags.iter_mut().zip(more.chunks_mut(100)).take(frags.nr as usize) {
        *frag = uxdp_frag {
            data: part.as_mut_ptr(),
            len: 1 + bytes.below(50) as u32,
            room: 100,
            cookie: null_mut(),
        };
    }
    let behind = if bytes.rarely(4) { &raw mut frags } else { null_mut() };
    let mut pkts: Vec<uxdp_pkt> = Vec::new();
    for buffer in &mut buffers {
        let span = buffer.as_mut_ptr_range();
        // SAFETY: as above, and inside the buffer.
        unsafe {
            let mut pkt: uxdp_pkt = core::mem::zeroed();
            pkt.data_hard_start = span.start;
            pkt.data = span.start.add(ROOM);
            pkt.data_meta = pkt.data;
            pkt.data_end = span.end.sub(ROOM);
            pkt.frame_end = span.end;
            pkts.push(pkt);
        }
    }
    pkts[0].frags = behind;
    let one = bytes.rarely(2);
    // SAFETY: packets lie in their buffers, which live; the worker is this thread's and online.
    unsafe {
        if one {
            let pkt = &mut pkts[0];
            (ctx.data_hard_start, ctx.data_meta, ctx.data) = (pkt.data_hard_start, pkt.data_meta, pkt.data);
            (ctx.data_end, ctx.frame_end, ctx.frags) = (pkt.data_end, pkt.frame_end, behind);
            pkt.action = uxdp_run(&mut ctx);
            if pkt.action == 4 {
                pkt.redirect = ctx.redirect;
                onward(&mut ctx);
            }
            (pkt.data_meta, pkt.data, pkt.data_end) = (ctx.data_meta, ctx.data, ctx.data_end);
        } else {
            xdp_run_burst(&mut ctx, pkts.as_mut_ptr(), pkts.len() as u32);
        }
    }
    for pkt in &pkts[..if one { 1 } else { pkts.len() }] {
        assert!(pkt.action <= 4, "{} is no action", pkt.action);
        assert!(pkt.action != 4 || pkt.redirect.kind != 0, "redirected to nowhere");
        let at = [pkt.data_hard_start, pkt.data_meta, pkt.data, pkt.data_end, pkt.frame_end];
        assert!(at.is_sorted(), "the packet left its buffer");
    }
}

/// What a host does with a redirected packet: the entry's program, here or for each entry of the map, or held for another worker.
///
/// # Safety
/// The context ran just now and ended with a redirect.
unsafe fn onward(ctx: &mut uxdp_ctx) {
    let (all, mut cursor, mut target) = (ctx.redirect, 0, ctx.redirect);
    // SAFETY: the caller's word; nothing was quiescent since.
    unsafe {
        uxdp_redirect_hold(&all);
        while uxdp_redirect_next(&all, ctx.ingress_ifindex, &mut cursor, &mut target) == 1 {
            ctx.redirect = target;
            assert!(uxdp_run_entry(ctx) <= 4);
        }
        ctx.redirect = all;
        assert!(uxdp_run_entry(ctx) <= 4);
        uxdp_redirect_release(&all);
    }
}

fn test_run(world: &World, bytes: &mut Bytes<'_>) {
    let (prog, input) = (world.prog(bytes), packet(bytes));
    let len = if bytes.rarely(8) { bytes.below(16) } else { input.len() };
    let mut output = vec![0u8; if bytes.rarely(4) { bytes.below(40) } else { 600 }];
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut opts: uxdp_test_run_opts = unsafe { core::mem::zeroed() };
    opts.sz = size_of_struct::<uxdp_test_run_opts>(bytes);
    (opts.data_in, opts.data_size_in) = (input.as_ptr().cast(), len);
    (opts.data_out, opts.data_size_out) = (out(&mut output), output.len());
    opts.repeat = bytes.below(3) as u32;
    // SAFETY: the packet and its place have their bytes; this thread has no worker online.
    let done = said(unsafe { uxdp_prog_test_run(prog, &mut opts) });
    assert!(done != 0 || opts.sz < size_of::<uxdp_test_run_opts>() || opts.retval <= 4);
}

pub(super) fn ask(world: &mut World, bytes: &mut Bytes<'_>) {
    let (prog, map, mut text) = (world.prog(bytes), world.map(bytes), [0x11u8; 64]);
    // SAFETY: NULL or handles of ours, and places of ours.
    unsafe {
        match bytes.below(9) {
            0 => {
                let mut stats: uxdp_prog_stats = core::mem::zeroed();
                stats.sz = size_of_struct::<uxdp_prog_stats>(bytes);
                said(uxdp_prog_stats(prog, number(bytes) as i32, &mut stats));
            }
            1 => {
                let mut needs = 0;
                said(uxdp_prog_needs(prog, &mut needs));
                said(uxdp_prog_engine(prog));
                said(uxdp_prog_stack_size(prog));
                uxdp_prog_id(prog);
            }
            2 => {
                let len = bytes.below(text.len());
                let done = said(uxdp_trace_read(world.env, text.as_mut_ptr().cast(), len));
                assert!(text[len..].iter().all(|b| *b == 0x11) && done < len.max(1) as i32);
            }
            3 if !map.is_null() => assert!(CStr::from_ptr(uxdp_map_name(map)).to_str().is_ok()),
            4 if !prog.is_null() => {
                assert!(!CStr::from_ptr(uxdp_prog_name(prog)).is_empty());
                assert!(!CStr::from_ptr(uxdp_prog_section(prog)).is_empty());
            }
            5 => {
                let mut link: uxdp_link = core::mem::zeroed();
                (link.sz, link.ifindex, link.mtu) =
                    (size_of_struct::<uxdp_link>(bytes), bytes.below(3) as u32, 1500);
                said(uxdp_fib_set_link(world.fib, &link));
                said(uxdp_fib_remove_link(world.fib, bytes.below(3) as u32));
            }
            6 => route(world, bytes),
            7 => {
                let (mut reclaim, mut worker): (uxdp_reclaim_stats, uxdp_worker_stats) =
                    (core::mem::zeroed(), core::mem::zeroed());
                reclaim.sz = size_of_struct::<uxdp_reclaim_stats>(bytes);
                worker.sz = size_of_struct::<uxdp_worker_stats>(bytes);
                said(uxdp_reclaim_stats(world.env, &mut reclaim));
                said(uxdp_worker_stats(world.env, number(bytes), &mut worker));
            }
            _ => {
                said(uxdp_fib_publish(world.fib, world.env));
            }
        }
    }
}

fn address(bytes: &mut Bytes<'_>) -> uxdp_ip {
    let mut ip = uxdp_ip {
        family: bytes.pick(&[4, 4, 6, 0, 9]),
        prefix_len: bytes.below(140) as u8,
        reserved: [0; 2],
        bytes: [0; 16],
    };
    ip.bytes[0] = bytes.byte();
    ip
}

fn route(world: &World, bytes: &mut Bytes<'_>) {
    let (ip, mac) = (address(bytes), [2u8; 6]);
    let hops: Vec<_> = (0..bytes.below(3))
        .map(|_| uxdp_next_hop {
            ifindex: 1,
            weight: 0,
            encapsulates: 0,
            reserved: 0,
            gateway: address(bytes),
        })
        .collect();
    let route = uxdp_route {
        sz: size_of_struct::<uxdp_route>(bytes),
        prefix: ip,
        source: address(bytes),
        table: 254,
        kind: bytes.below(7) as u32,
        metric: bytes.below(3) as u32,
        mtu: 0,
        tos: 0,
        nr_hops: hops.len() as u32,
        hops: hops.as_ptr(),
    };
    // SAFETY: handles and structs are ours, as many ways as it says.
    unsafe {
        match bytes.below(6) {
            0 | 1 => said(uxdp_fib_set_route(world.fib, &route)),
            2 => said(uxdp_fib_remove_route(world.fib, &route)),
            3 => said(uxdp_fib_set_neighbour(world.fib, 1, &ip, mac.as_ptr())),
            4 => said(uxdp_fib_set_address(world.fib, 1, &ip)),
            _ => said(uxdp_fib_clear(world.fib)),
        };
    }
}
