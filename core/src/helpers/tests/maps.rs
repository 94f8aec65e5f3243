//! Helpers on queues, per-CPU values, redirect targets, rings and perf events.

use super::*;
use crate::maps::Map;
use crate::sync::Arc;
use crate::vm::tests::Asm;
use crate::vm::{Env, RedirectKind};

/// Runs what `build` makes on every engine; `check` gets its action, the context after it, and the maps.
fn on_engines(
    build: impl Fn() -> crate::vm::tests::Asm,
    setup: impl Fn(&Env) -> Vec<Arc<Map>>,
    check: impl Fn(&mut Bench, u32, &[Arc<Map>]),
) {
    crate::vm::tests::on_every_engine(|| {
        let env = env();
        let maps = setup(&env);
        let prog = build().load(&env, &maps);
        let mut bench = Bench::with(&env, &prog);
        let action = bench.run();
        check(&mut bench, action, &maps);
    });
}

#[test]
fn redirect_names_an_interface_and_refuses_flags() {
    for (flags, action, kind) in [(0, 4, RedirectKind::Ifindex), (1, 0, RedirectKind::None)] {
        on_engines(
            || Asm::default().mov(1, 7).mov(2, flags).helper(23).exit(),
            |_| Vec::new(),
            |bench, got, _| {
                let r = bench.ctx.redirect;
                assert_eq!((got, r.kind), (action, kind));
                assert_eq!(r.target, if action == 4 { 7 } else { 0 });
            },
        );
    }
}

/// Index, flags, action, kind and target, as the kernel's `__bpf_xdp_redirect_map` decides.
#[test]
fn redirect_map_finds_a_target_or_returns_the_action_of_its_flags() {
    for kind in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap] {
        let device = matches!(kind, MapType::Devmap | MapType::DevmapHash);
        let is = match kind {
            MapType::Cpumap => RedirectKind::Cpumap,
            MapType::Xskmap => RedirectKind::Xskmap,
            _ => RedirectKind::Devmap,
        };
        let target = if kind == MapType::Cpumap { 1 } else { 9 };
        for (index, flags, action, is, target) in [
            (1, 0, 4, is, target),
            (1, 2, 4, is, target),
            (0, 0, 0, RedirectKind::None, 0),
            (0, 2, 2, RedirectKind::None, 0),
            (7, 3, 3, RedirectKind::None, 0),
            (1, 4, 0, RedirectKind::None, 0),
            (0, 8, if device { 4 } else { 0 }, if device { is } else { RedirectKind::None }, 0),
            (1, 24, if device { 4 } else { 0 }, if device { is } else { RedirectKind::None }, 0),
        ] {
            on_engines(
                || Asm::default().map(1, 0).mov(2, index).mov(3, flags).helper(51).exit(),
                |env| {
                    let m = map(env, kind, 4, 4, 2);
                    env.update_elem(&m, &1u32.to_le_bytes(), &9u32.to_le_bytes(), 0).unwrap();
                    vec![m]
                },
                |bench, got, maps| {
                    let r = bench.ctx.redirect;
                    let what = (kind, index, flags);
                    assert_eq!((got, r.kind, r.target), (action, is, target), "{what:?}");
                    if got == 4 {
                        assert_eq!(r.map, Arc::as_ptr(&maps[0]).cast(), "{what:?}");
                        assert_eq!(
                            (r.index, r.flags),
                            (index as u32, if flags & 8 != 0 { flags as u64 } else { 0 })
                        );
                        assert!(r.egress_prog.is_null());
                    }
                },
            );
        }
    }
}

#[test]
fn redirect_map_hands_over_the_entrys_program() {
    let env = env();
    let m = map(&env, MapType::Devmap, 4, 8, 2);
    let mut bench = Bench::new(&env);
    let prog = Asm::default().mov(0, 2).exit().load(&env, &[]);
    let value = [5, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        env.set_target(&m, &[0; 4], &value, Some(&prog), 0),
        Err(Errno::EINVAL),
        "not a devmap program"
    );
    let devmap = Asm::default().mov(0, 2).exit().load_as(&env, crate::program::AttachType::XdpDevmap);
    env.set_target(&m, &[0; 4], &value, Some(&devmap), 0).unwrap();
    assert_eq!(call(&mut bench, 51, &[Arc::as_ptr(&m) as u64, 0, 0]), 4);
    assert_eq!(bench.ctx.redirect.egress_prog, Arc::as_ptr(&devmap).cast());
    assert_eq!(
        env.update_elem(&m, &[0; 4], &[5, 0, 0, 0, 9, 0, 0, 0], 0),
        Err(Errno::EINVAL),
        "a program's number"
    );
    let mut seen = [0; 8];
    m.lookup_elem(&[0; 4], &mut seen, 0).unwrap();
    assert_eq!(seen[4..], devmap.id().to_le_bytes());
    let refs = Arc::strong_count(&devmap);
    env.delete_elem(&m, &[0; 4]).unwrap();
    bench.worker.quiescent();
    assert_eq!(Arc::strong_count(&devmap), refs - 1, "given back after a grace period");
}

#[test]
fn queues_are_pushed_peeked_and_popped() {
    let env = env();
    for (kind, first) in [(MapType::Queue, 1u64), (MapType::Stack, 2)] {
        let m = map(&env, kind, 0, 8, 2);
        let map = Arc::as_ptr(&m) as u64;
        let mut bench = Bench::new(&env);
        for v in [1u64, 2] {
            assert_eq!(call(&mut bench, 87, &[map, ptr(&v), 0]), 0);
        }
        assert_eq!(call(&mut bench, 87, &[map, ptr(&3u64), 0]), err(Errno::E2BIG));
        assert_eq!(call(&mut bench, 87, &[map, ptr(&3u64), 1]), err(Errno::EINVAL));
        let mut out = 9u64;
        let to = &raw mut out as u64;
        assert_eq!((call(&mut bench, 89, &[map, to]), out), (0, first));
        assert_eq!((call(&mut bench, 88, &[map, to]), out), (0, first));
        assert_eq!((call(&mut bench, 88, &[map, to]), out), (0, 3 - first));
        assert_eq!((call(&mut bench, 88, &[map, to]), out), (err(Errno::ENOENT), 0));
    }
    let m = map(&env, MapType::BloomFilter, 0, 8, 2);
    let map = Arc::as_ptr(&m) as u64;
    let mut bench = Bench::new(&env);
    assert_eq!(call(&mut bench, 89, &[map, ptr(&5u64)]), err(Errno::ENOENT));
    assert_eq!(call(&mut bench, 87, &[map, ptr(&5u64), 0]), 0);
    assert_eq!(call(&mut bench, 89, &[map, ptr(&5u64)]), 0);
}

#[test]
fn other_slots_values_are_looked_up() {
    let env = env();
    for kind in [MapType::PercpuArray, MapType::PercpuHash] {
        let m = map(&env, kind, 4, 8, 2);
        let map = Arc::as_ptr(&m) as u64;
        let mut one = Bench::in_slot(&env, 1);
        assert_eq!(call(&mut one, 2, &[map, ptr(&1u32), ptr(&55u64), 0]), 0);
        let mut zero = Bench::in_slot(&env, 0);
        let at = |p: i64| p as u64 as *const u64;
        // SAFETY: the key exists.
        let seen = [0, 1].map(|cpu| unsafe { at(call(&mut zero, 195, &[map, ptr(&1u32), cpu])).read() });
        assert_eq!(seen, [0, 55], "{kind:?}");
        assert_eq!(call(&mut zero, 195, &[map, ptr(&1u32), 2]), 0);
        assert_eq!(call(&mut zero, 195, &[map, ptr(&1u32), u64::from(u32::MAX)]), 0);
    }
}

/// A record is reserved, filled and given to the reader by a program, on every engine.
#[test]
fn ring_records_are_reserved_and_submitted() {
    use crate::isa::Insn;
    use crate::isa::op::*;
    for (end, seen) in [(132, 1), (133, 0)] {
        on_engines(
            || {
                let reserve = Asm::default().map(1, 0).mov(2, 16).mov(3, 0).helper(131);
                let fill = reserve
                    .put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5, 0))
                    .put(Insn::new(BPF_ST | BPF_MEM | BPF_DW, 0, 0, 0, 77))
                    .put(Insn::new(BPF_ST | BPF_MEM | BPF_DW, 0, 0, 8, 78));
                fill.mov_reg(1, 0).mov(2, 0).helper(end).mov(0, 2).exit()
            },
            |env| vec![map(env, MapType::Ringbuf, 0, 0, 4096)],
            |_, _, maps| {
                let mut records = Vec::new();
                let n = maps[0].ringbuf_consume(&mut |r| {
                    records.push(r.to_vec());
                    core::ops::ControlFlow::Continue(())
                });
                assert_eq!((n, records.len()), (Ok(seen), seen));
                assert!(maps[0].ringbuf_take_wake() && !maps[0].ringbuf_take_wake());
                if seen == 1 {
                    assert_eq!(records[0], [77u64.to_le_bytes(), 78u64.to_le_bytes()].concat());
                }
            },
        );
    }
}

#[test]
fn ring_output_answers_as_the_kernel() {
    let env = env();
    let m = map(&env, MapType::Ringbuf, 0, 0, 4096);
    let map = Arc::as_ptr(&m) as u64;
    let mut bench = Bench::new(&env);
    let data = [7u8; 4096];
    assert_eq!(call(&mut bench, 130, &[map, ptr(&data), 100, 4]), err(Errno::EINVAL));
    assert_eq!(call(&mut bench, 130, &[map, ptr(&data), 4096, 0]), err(Errno::EAGAIN));
    assert_eq!(call(&mut bench, 130, &[map, ptr(&data), 100, 1]), 0);
    assert_eq!(call(&mut bench, 131, &[map, 8, 1]), 0, "flags of a reservation");
    let query = [0, 1, 2, 3, 4].map(|what| call(&mut bench, 134, &[map, what]));
    assert_eq!(query, [112, 4096, 0, 112, 0]);
    assert!(!m.ringbuf_take_wake(), "BPF_RB_NO_WAKEUP");
    assert_eq!(call(&mut bench, 130, &[map, ptr(&data), 8, 0]), 0);
    assert!(!m.ringbuf_take_wake(), "the reader is behind");
    assert_eq!(call(&mut bench, 130, &[map, ptr(&data), 8, 2]), 0);
    assert!(m.ringbuf_take_wake(), "BPF_RB_FORCE_WAKEUP");
}

#[test]
fn perf_samples_carry_data_and_packet() {
    let env = env();
    let m = map(&env, MapType::PerfEventArray, 4, 4, 2);
    let map = Arc::as_ptr(&m) as u64;
    let mut bench = Bench::in_slot(&env, 1);
    bench.packet(&[0xab; 64]);
    let data = *b"0123456789";
    let own = 0xffff_ffffu64;
    let mut put = |flags: u64, size: u64| call(&mut bench, 25, &[0, map, flags, ptr(&data), size]);
    assert_eq!(put(own, 10), err(Errno::ENOENT));
    m.perf_open(1).unwrap();
    m.perf_open(0).unwrap();
    assert_eq!(put(own, 10), 0);
    assert_eq!(put(1 | 6 << 32, 10), 0);
    assert_eq!(put(0, 10), err(Errno::EOPNOTSUPP), "another slot's");
    assert_eq!(put(2, 10), err(Errno::E2BIG));
    assert_eq!(put(own | 65 << 32, 10), err(Errno::EFAULT));
    assert_eq!(put(own | 1 << 52, 10), err(Errno::EINVAL));
    let mut seen = Vec::new();
    let n = m.perf_read(1, &mut |r| {
        let crate::maps::PerfRecord::Sample(bytes) = r else { panic!("nothing was lost") };
        seen.push(bytes.to_vec());
    });
    assert_eq!(n, Ok(2));
    assert_eq!(seen, [b"0123456789\0\0".to_vec(), b"0123456789\xab\xab\xab\xab\xab\xab\0\0\0\0".to_vec()]);
}
