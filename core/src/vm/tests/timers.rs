//! Timers on a clock that the test sets: when they expire, in whose slot, what they keep alive, and what ends them.

use super::*;
use crate::maps::ValueFields;

const INIT: u32 = 169;
const SET_CALLBACK: u32 = 170;
const START: u32 = 171;
const CANCEL: u32 = 172;
const TICK: u64 = 1 << 16;

/// An environment whose clock the test sets.
pub(super) fn with_clock(nr_cpus: u32) -> (Arc<Env>, &'static TestPlatform) {
    let platform = platform();
    (Env::new(platform, &EnvOptions { nr_cpus, ..EnvOptions::default() }).unwrap(), platform)
}

/// A map of values of 24 bytes: a number, and a timer at 8.
pub(super) fn with_timers(env: &Env, kind: MapType, max_entries: u32) -> Arc<Map> {
    let fields = ValueFields { spin_lock: None, timer: Some(8) };
    let spec = MapSpec { fields, ..MapSpec::new(kind, 4, 24, max_entries) };
    create_maps(env, &[MapDef { name: "m", spec, reuse: None }], None).unwrap()[0].clone()
}

/// The value of the key that the packet's first byte is, in r6, and its timer in r7; PASS where there is none.
fn of_packet() -> Asm {
    Asm::default()
        .ctx(2, CtxField::Data)
        .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 8, 2, 0, 0))
        .put(Insn::new(BPF_LDX | BPF_MEM | BPF_DW, 9, 2, 8, 0))
        .put(Insn::new(BPF_STX | BPF_MEM | BPF_W, 10, 8, -4, 0))
        .map(1, 0)
        .mov_reg(2, 10)
        .add(2, -4)
        .helper(1)
        .mov_reg(6, 0)
        .put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, 2, 0))
        .mov(0, 2)
        .exit()
        .mov_reg(7, 6)
        .add(7, 8)
}

/// Makes the timer and starts it with the flags, nanoseconds ahead that the packet has at 8; the callback adds 1 to the value.
fn starts(flags: i32) -> Asm {
    of_packet()
        .mov_reg(1, 7)
        .map(2, 0)
        .mov(3, 1)
        .helper(INIT)
        .mov_reg(1, 7)
        .func(2, 1)
        .helper(SET_CALLBACK)
        .mov_reg(1, 7)
        .mov_reg(2, 9)
        .mov(3, flags)
        .helper(START)
        .add(0, 1)
        .exit()
        .function()
        .mov(2, 1)
        .put(Insn::new(BPF_STX | BPF_ATOMIC | BPF_DW, 3, 2, 0, i32::from(BPF_ADD)))
        .mov(0, 0)
        .exit()
}

fn cancels() -> Asm {
    of_packet().mov_reg(1, 7).helper(CANCEL).add(0, 1).exit().function().mov(0, 0).exit()
}

fn ask(bench: &mut Bench, key: u8, nanoseconds: u64) -> u32 {
    let mut packet = [0; 64];
    packet[0] = key;
    packet[8..16].copy_from_slice(&nanoseconds.to_le_bytes());
    bench.packet(&packet);
    bench.run()
}

fn count(map: &Map, key: u32) -> u64 {
    let mut value = [0; 24];
    map.lookup_elem(&key.to_le_bytes(), &mut value, 0).unwrap();
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

fn let_go(env: &Env, map: &Map) {
    map.drop_user(&mut |old| env.retire(old));
    env.synchronize();
}

#[test]
fn a_timer_expires_once_and_never_early() {
    on_every_engine(|| {
        let (env, platform) = with_clock(1);
        let map = with_timers(&env, MapType::Array, 256);
        let prog = starts(0).load(&env, std::slice::from_ref(&map));
        let mut bench = Bench::with(&env, &prog);
        let after = [0, 1, 2, 65_535, 65_536, 1_000_000, 5_000_000_000, 3_600_000_000_000];
        for (key, nanoseconds) in after.iter().enumerate() {
            let start = 1 + 10_000_000_000_000 * (key as u64 + 1);
            platform.now.store(start, Ordering::Relaxed);
            assert_eq!(ask(&mut bench, key as u8, *nanoseconds), 1);
            if *nanoseconds > 0 {
                platform.now.store(start + nanoseconds - 1, Ordering::Relaxed);
                let polled = bench.worker.run_timers(8);
                assert_eq!(polled.ran, 0, "{nanoseconds}");
                assert!(polled.next.is_some_and(|n| n <= TICK), "{nanoseconds}: {polled:?}");
            }
            platform.now.store(start + nanoseconds + TICK, Ordering::Relaxed);
            assert_eq!(bench.worker.run_timers(8).ran, 1, "{nanoseconds}");
            assert_eq!(bench.worker.run_timers(8), TimersRun { ran: 0, next: None });
            assert_eq!(count(&map, key as u32), 1);
        }
        drop(bench);
        let_go(&env, &map);
    });
}

#[test]
fn timers_expire_in_order_however_far_ahead() {
    let (env, platform) = with_clock(1);
    let map = with_timers(&env, MapType::Hash, 1024);
    // The callback multiplies a number of the second map by 31 and adds the key.
    let log = super::map(&env, MapType::Array, 4, 8, 1);
    let asm = starts(0);
    let mut asm = Asm {
        insns: asm.insns[..asm.insns.len() - 4].to_vec(),
        rewrites: asm.rewrites[..asm.rewrites.len() - 4].to_vec(),
        ..asm
    };
    asm = asm
        .put(Insn::new(BPF_LDX | BPF_MEM | BPF_W, 4, 2, 0, 0))
        .map_value(5, 1, 0)
        .put(Insn::new(BPF_LDX | BPF_MEM | BPF_DW, 1, 5, 0, 0))
        .put(Insn::new(BPF_ALU64 | BPF_MUL | BPF_K, 1, 0, 0, 31))
        .put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 1, 4, 0, 0))
        .put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 5, 1, 0, 0))
        .mov(0, 0)
        .exit();
    let prog = asm.load(&env, &[map.clone(), log.clone()]);
    let mut bench = Bench::with(&env, &prog);
    let mut seed = 0x9e37_79b9u64;
    let mut armed: Vec<(u64, u8)> = Vec::new();
    for key in 0..200u8 {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        // Two ticks apart at least, so that the order is plain; up to two days.
        let nanoseconds = ((seed >> 33) % (1 << (seed >> 60))) * (1 << 19) + u64::from(key) * 2 * TICK;
        map.update_elem(env.client_slot().slot(), &u32::from(key).to_le_bytes(), &[0; 24], 0).unwrap();
        assert_eq!(ask(&mut bench, key, nanoseconds), 1);
        armed.push((nanoseconds, key));
    }
    armed.sort();
    armed.dedup_by_key(|a| a.0);
    let mut expected = 0u64;
    for (_, key) in &armed {
        expected = expected.wrapping_mul(31).wrapping_add(u64::from(*key));
    }
    let all_apart = armed.len() == 200;
    let mut ran = 0;
    while ran < 200 {
        let polled = bench.worker.run_timers(3);
        ran += polled.ran;
        let next = polled.next.unwrap_or(0);
        platform.now.fetch_add(next.max(1), Ordering::Relaxed);
    }
    let mut value = [0; 8];
    log.lookup_elem(&[0; 4], &mut value, 0).unwrap();
    assert!(!all_apart || u64::from_le_bytes(value) == expected, "out of order");
    drop(bench);
    let_go(&env, &map);
}

#[test]
fn a_pinned_timer_waits_for_the_slot_that_started_it() {
    on_every_engine(|| {
        let (env, platform) = with_clock(2);
        let map = with_timers(&env, MapType::Array, 4);
        let prog = starts(2).load(&env, std::slice::from_ref(&map));
        let mut bench = Bench::in_slot(&env, 1);
        bench.hook.set(std::slice::from_ref(&prog)).unwrap();
        assert_eq!(ask(&mut bench, 0, 1000), 1);
        platform.now.fetch_add(1_000_000, Ordering::Relaxed);
        let other = Worker::register(&env, 0).unwrap();
        assert_eq!(other.run_timers(8).ran, 0);
        platform.now.fetch_add(10_000_000, Ordering::Relaxed);
        assert_eq!(other.run_timers(8).ran, 0);
        platform.now.fetch_add(10_000_000, Ordering::Relaxed);
        assert_eq!((bench.worker.run_timers(8).ran, count(&map, 0)), (1, 1));
        drop((bench, other));
        let_go(&env, &map);
    });
}

#[test]
fn an_armed_timer_keeps_its_program_until_cancelled_or_its_map_is_let_go() {
    on_every_engine(|| {
        let (env, platform) = with_clock(1);
        let map = with_timers(&env, MapType::Hash, 8);
        let maps = std::slice::from_ref(&map);
        for key in 0..4u32 {
            map.update_elem(env.client_slot().slot(), &key.to_le_bytes(), &[0; 24], 0).unwrap();
        }
        let prog = starts(0).load(&env, maps);
        let references = Arc::strong_count(&prog);
        let mut bench = Bench::with(&env, &prog);
        for key in 0..4 {
            assert_eq!(ask(&mut bench, key, 1_000_000), 1);
        }
        let killer = cancels().load(&env, maps);
        bench.hook.set(std::slice::from_ref(&killer)).unwrap();
        bench.worker.quiescent();
        assert_eq!(Arc::strong_count(&prog), references + 4);
        // Cancelled; its element deleted; replaced: the next poll drops what they held.
        assert_eq!((ask(&mut bench, 0, 0), ask(&mut bench, 0, 0)), (2, 1));
        map.delete_elem(env.client_slot().slot(), &1u32.to_le_bytes()).unwrap();
        map.update_elem(env.client_slot().slot(), &2u32.to_le_bytes(), &[0; 24], 0).unwrap();
        assert_eq!(bench.worker.run_timers(8).ran, 0);
        assert_eq!(Arc::strong_count(&prog), references + 1);
        platform.now.fetch_add(2_000_000, Ordering::Relaxed);
        assert_eq!(bench.worker.run_timers(8).ran, 1);
        assert_eq!([0, 2, 3].map(|k| count(&map, k)), [0, 0, 1]);
        // It has its callback still, and so its program; with the map's last user that goes.
        assert_eq!(Arc::strong_count(&prog), references + 1);
        map.drop_user(&mut |old| env.retire(old));
        bench.worker.quiescent();
        assert_eq!(Arc::strong_count(&prog), references);
        drop(bench);
        env.synchronize();
    });
}

#[test]
fn a_map_goes_with_timers_armed_and_asked_for() {
    on_every_engine(|| {
        let (env, platform) = with_clock(1);
        let gone = with_timers(&env, MapType::Array, 16);
        let stays = with_timers(&env, MapType::Array, 16);
        let mut bench = Bench::new(&env);
        for (map, polled) in [(&gone, true), (&stays, true), (&gone, false), (&stays, false)] {
            let prog = starts(0).load(&env, std::slice::from_ref(map));
            bench.hook.set(std::slice::from_ref(&prog)).unwrap();
            for key in if polled { 0..8 } else { 8..16 } {
                assert_eq!(ask(&mut bench, key, 1_000_000 * u64::from(key)), 1);
            }
            if polled {
                bench.worker.run_timers(0);
            }
        }
        bench.hook.set(&[]).unwrap();
        bench.worker.quiescent();
        gone.drop_user(&mut |old| env.retire(old));
        drop(gone);
        bench.worker.quiescent();
        platform.now.fetch_add(100_000_000, Ordering::Relaxed);
        assert_eq!(bench.worker.run_timers(100).ran, 16);
        assert_eq!((0..16).map(|k| count(&stays, k)).sum::<u64>(), 16);
        drop(bench);
        let_go(&env, &stays);
    });
}

#[test]
fn workers_start_cancel_and_poll_at_the_same_time() {
    let rounds: u64 = if cfg!(miri) { 50 } else { 20_000 };
    on_every_engine(|| {
        let (env, platform) = with_clock(2);
        let map = with_timers(&env, MapType::Array, 16);
        let maps = std::slice::from_ref(&map);
        let (starter, killer) = (starts(0).load(&env, maps), cancels().load(&env, maps));
        let ran: u64 = std::thread::scope(|scope| {
            let threads = [0, 1].map(|slot| {
                let (env, starter, killer) = (env.clone(), starter.clone(), killer.clone());
                scope.spawn(move || {
                    let mut bench = Bench::in_slot(&env, slot);
                    let mut seed = u64::from(slot) + 7;
                    let mut ran = 0;
                    for round in 0..rounds {
                        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                        let prog = if seed >> 62 == 0 { &killer } else { &starter };
                        if round % 16 == 0 || seed >> 60 == 0 {
                            bench.hook.set(std::slice::from_ref(prog)).unwrap();
                        }
                        ask(&mut bench, (seed >> 40) as u8 % 16, seed >> 50);
                        platform.now.fetch_add(TICK, Ordering::Relaxed);
                        if round % 4 == 0 {
                            ran += u64::from(bench.worker.run_timers(4).ran);
                        }
                        bench.worker.quiescent();
                    }
                    ran
                })
            });
            threads.map(|t| t.join().unwrap()).into_iter().sum()
        });
        let counted: u64 = (0..16).map(|k| count(&map, k)).sum();
        assert_eq!(counted, ran);
        assert!(ran > rounds / 100, "{ran}");
        let_go(&env, &map);
    });
}
