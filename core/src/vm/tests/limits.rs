//! The watchdog: where a run is ended, on every engine at the same place, and that it leaves nothing behind.

use super::*;

/// Loads with a limit.
fn limited(asm: Asm, env: &Arc<Env>, maps: &[Arc<Map>], limit: u64) -> Arc<Prog> {
    install(env, asm.verified(maps), ProgOptions { engine: CHOICE.get(), limit, ..ProgOptions::default() })
        .unwrap()
}

/// Counts in map 0 at `off`.
fn counts(asm: Asm, off: u32) -> Asm {
    asm.map_value(4, 0, off).mov(5, 1).put(Insn::new(
        BPF_STX | BPF_ATOMIC | BPF_DW,
        4,
        5,
        0,
        i32::from(BPF_ADD),
    ))
}

/// Counts `turns` times in a loop, then returns TX.
fn loops(turns: i32) -> Asm {
    // The body is six slots: count (4), decrement, jump back.
    let body = counts(Asm::default().mov(6, turns), 0).add(6, -1);
    body.put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, -6, 0)).mov(0, 3).exit()
}

/// Loops with `bpf_loop`, whose callback counts and loops with another one, which counts too.
fn loops_in_loops(outer: i32, inner: i32) -> Asm {
    let call = |asm: Asm, turns, func| asm.mov(1, turns).func(2, func).mov(3, 0).mov(4, 0).helper(181);
    let asm = call(Asm::default(), outer, 1).mov(0, 3).exit().function();
    let asm = call(counts(asm, 0), inner, 2).mov(0, 0).exit().function();
    counts(asm, 8).mov(0, 0).exit()
}

fn read(map: &Map, index: u32) -> u64 {
    let mut value = [0; 8];
    map.lookup_elem(&index.to_le_bytes(), &mut value, 0).unwrap();
    u64::from_le_bytes(value)
}

/// The action, and what was counted, under a limit.
fn under(asm: Asm, limit: u64) -> (u32, [u64; 2], Option<AbortReason>) {
    let env = env();
    let counted = map(&env, MapType::Array, 4, 8, 2);
    let prog = limited(asm, &env, std::slice::from_ref(&counted), limit);
    let mut bench = Bench::with(&env, &prog);
    let action = bench.run();
    let aborts = prog.stats().sum(None).aborts[AbortReason::Limit as usize];
    assert_eq!(aborts == 1, action == 0);
    (action, [read(&counted, 0), read(&counted, 1)], bench.ctx.abort_reason())
}

#[test]
fn runs_end_where_the_budget_does_on_every_engine_alike() {
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::new());
    on_every_engine(|| {
        for limit in [1, 5, 6, 7, 30, 59, 60, 61, 100, 1000, 5000, 1 << 40, u64::MAX] {
            for (name, program) in
                [("loop", loops as fn(i32) -> Asm), ("callbacks", |n| loops_in_loops(n, 5))]
            {
                let result = under(program(10), limit);
                let expected = *seen.borrow_mut().entry((name, limit)).or_insert(result);
                assert_eq!(result, expected, "{name}, {limit}");
            }
        }
    });
    let seen = seen.into_inner();
    let limit = Some(AbortReason::Limit);
    // Six a turn: ten turns are sixty.
    assert_eq!(seen[&("loop", 59)], (0, [9, 0], limit));
    assert_eq!((seen[&("loop", 60)].0, seen[&("loop", 60)].1), (3, [10, 0]));
    assert_eq!(seen[&("loop", 5)], (0, [0, 0], limit));
    assert_eq!((seen[&("callbacks", 5000)].0, seen[&("callbacks", 5000)].1), (3, [10, 50]));
    assert_eq!((seen[&("callbacks", 100)].0, seen[&("callbacks", 100)].2), (0, limit));
}

#[test]
fn a_limit_is_told_from_a_fault_and_the_next_run_has_a_budget_of_its_own() {
    on_every_engine(|| {
        let env = env();
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let prog = limited(loops(10), &env, std::slice::from_ref(&counted), 60);
        let mut bench = Bench::with(&env, &prog);
        for _ in 0..3 {
            assert_eq!(bench.run(), 3);
        }
        let fault = limited(Asm::default().dead(), &env, &[], 60);
        bench.hook.set(std::slice::from_ref(&fault)).unwrap();
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Fault)));
    });
}

#[test]
fn tail_calls_go_on_with_what_is_left() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, MapType::ProgArray, 4, 4, 1);
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let target = limited(loops(10), &env, std::slice::from_ref(&counted), 1000);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let calls = || Asm::default().map(2, 0).mov(3, 0).helper(12).mov(0, 1).exit();
        let maps = std::slice::from_ref(&progs);
        // The program that begins has the word.
        for (prog, action) in [
            (limited(calls(), &env, maps, 59), 0),
            (limited(calls(), &env, maps, 60), 3),
            (calls().load(&env, maps), 3),
        ] {
            assert_eq!(Bench::with(&env, &prog).run(), action);
        }
    });
}

#[test]
fn nothing_runs_behind_a_tail_call_that_ended_the_run() {
    if crate::jit::Target::HOST.is_none() {
        return;
    }
    let engines = [EngineChoice::Interp, EngineChoice::Jit];
    for (from, to) in engines.iter().flat_map(|f| engines.map(|t| (*f, t))) {
        let env = env();
        let progs = map(&env, MapType::ProgArray, 4, 4, 1);
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let load = |asm: Asm, maps: &[Arc<Map>], engine| {
            let options = ProgOptions { engine, limit: 100, ..ProgOptions::default() };
            install(&env, asm.verified(maps), options).unwrap()
        };
        let target = load(loops(100), std::slice::from_ref(&counted), to);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        // Behind the call of the function that tail-calls, main counts in the second number.
        let main = Asm::default().call(1).map_value(4, 1, 8).mov(5, 1);
        let main = main.put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 4, 5, 0, 0)).mov(0, 3).exit().function();
        let main = main.map(2, 0).mov(3, 0).helper(12).mov(0, 1).exit();
        let prog = load(main, &[progs, counted.clone()], from);
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(
            (bench.run(), bench.ctx.abort_reason()),
            (0, Some(AbortReason::Limit)),
            "{from:?} to {to:?}"
        );
        assert_eq!(read(&counted, 1), 0, "{from:?} to {to:?}");
    }
}

#[test]
fn an_aborted_run_leaves_no_record_in_a_ring() {
    on_every_engine(|| {
        let env = env();
        let (counted, ring) = (map(&env, MapType::Array, 4, 8, 2), map(&env, MapType::Ringbuf, 0, 0, 4096));
        // Reserves, writes, loops; a second run submits.
        let asm = |turns| {
            let asm = Asm::default().map(1, 1).mov(2, 8).mov(3, 0).helper(131).mov_reg(7, 0);
            let asm = asm.put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 10, 0));
            let asm = asm.put(Insn::new(BPF_ST | BPF_MEM | BPF_DW, 7, 0, 0, turns)).mov(6, turns);
            let asm = counts(asm, 0).add(6, -1).put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, -6, 0));
            asm.mov_reg(1, 7).mov(2, 0).helper(132).mov(0, 3).exit()
        };
        let maps = [counted, ring.clone()];
        let (long, short) = (limited(asm(1000), &env, &maps, 600), limited(asm(3), &env, &maps, 600));
        let mut bench = Bench::with(&env, &long);
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Limit)));
        bench.hook.set(std::slice::from_ref(&short)).unwrap();
        assert_eq!(bench.run(), 3);
        let mut records = Vec::new();
        ring.ringbuf_consume(&mut |r| {
            records.push(r.to_vec());
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(records, [3u64.to_le_bytes().to_vec()]);
    });
}

/// A hook gets another program in the middle of a run: what the run had is given back to its own rings, and it is counted for its own program.
#[test]
fn a_run_that_is_aborted_after_its_program_was_replaced_is_still_its_own() {
    on_every_engine(|| {
        let platform = platform();
        let env = Env::new(platform, &EnvOptions::default()).unwrap();
        let (counted, ring) = (map(&env, MapType::Array, 4, 8, 2), map(&env, MapType::Ringbuf, 0, 0, 4096));
        let asm = |turns| {
            let asm = Asm::default().map(1, 1).mov(2, 8).mov(3, 0).helper(131).mov_reg(7, 0);
            let asm = asm.put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 11, 0));
            let asm = asm.put(Insn::new(BPF_ST | BPF_MEM | BPF_DW, 7, 0, 0, turns)).helper(5).mov(6, turns);
            let asm = counts(asm, 0).add(6, -1).put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, -6, 0));
            asm.mov_reg(1, 7).mov(2, 0).helper(132).mov(0, 3).exit()
        };
        let maps = [counted, ring.clone()];
        let (long, short) = (limited(asm(1000), &env, &maps, 600), limited(asm(3), &env, &maps, 600));
        let other = Asm::default().mov(0, 1).exit().load(&env, &[]);
        let mut bench = Bench::with(&env, &long);
        let hook = core::ptr::from_ref::<Hook>(&bench.hook).expose_provenance();
        let next = other.clone();
        *platform.meanwhile.lock().unwrap() = Some(Box::new(move || {
            // SAFETY: the hook lives until the run that reads the clock is over.
            let hook = unsafe { &*core::ptr::with_exposed_provenance::<Hook>(hook) };
            hook.set(std::slice::from_ref(&next)).unwrap();
        }));
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Limit)));
        let aborts = |p: &Prog| p.stats().sum(None).aborts[AbortReason::Limit as usize];
        assert_eq!((aborts(&long), aborts(&other)), (1, 0));
        assert_eq!(bench.run(), 1);
        bench.hook.set(std::slice::from_ref(&short)).unwrap();
        assert_eq!(bench.run(), 3);
        let read = ring.ringbuf_consume(&mut |_| core::ops::ControlFlow::Continue(()));
        assert_eq!(read, Ok(1), "nothing busy stands before it");
    });
}

/// An environment whose clock goes on by one nanosecond with each reading.
fn ticking() -> Arc<Env> {
    let platform = platform();
    platform.step.store(1, Ordering::Relaxed);
    Env::new(platform, &EnvOptions::default()).unwrap()
}

/// The action, what was counted, and why, with a limit of instructions and one of readings of the clock.
fn within(asm: Asm, limit: u64, limit_ns: u64) -> (u32, [u64; 2], Option<AbortReason>) {
    let env = ticking();
    let counted = map(&env, MapType::Array, 4, 8, 2);
    let options = ProgOptions { engine: CHOICE.get(), limit, limit_ns, ..ProgOptions::default() };
    let prog = install(&env, asm.verified(std::slice::from_ref(&counted)), options).unwrap();
    let mut bench = Bench::with(&env, &prog);
    let action = bench.run();
    let aborts = prog.stats().sum(None).aborts;
    assert_eq!(aborts.iter().sum::<u64>(), u64::from(action == 0));
    if let Some(reason) = bench.ctx.abort_reason() {
        assert_eq!(aborts[reason as usize], 1);
    }
    (action, [read(&counted, 0), read(&counted, 1)], bench.ctx.abort_reason())
}

#[test]
fn runs_end_where_their_time_does_on_every_engine_alike() {
    const TURN: u64 = crate::vm::limit::TURN;
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::new());
    on_every_engine(|| {
        for (limit, nanos) in
            [(0, 1), (0, 3), (0, 1 << 40), (2 * TURN, 3), (100_000, 1 << 40), (5, 1), (5, 0)]
        {
            for (name, program) in
                [("loop", loops as fn(i32) -> Asm), ("callbacks", |n| loops_in_loops(n, 5))]
            {
                let result = within(program(10_000), limit, nanos);
                let expected = *seen.borrow_mut().entry((name, limit, nanos)).or_insert(result);
                assert_eq!(result, expected, "{name}, {limit}, {nanos}");
            }
        }
    });
    let seen = seen.into_inner();
    // Six a turn. The first reading says when it began, the next one that a nanosecond is over.
    assert_eq!(seen[&("loop", 0, 1)], (0, [2 * TURN / 6, 0], Some(AbortReason::Time)));
    assert_eq!(seen[&("loop", 0, 3)], (0, [4 * TURN / 6, 0], Some(AbortReason::Time)));
    assert_eq!((seen[&("loop", 0, 1 << 40)].0, seen[&("loop", 0, 1 << 40)].1), (3, [10_000, 0]));
    // Whichever is over first.
    assert_eq!(seen[&("loop", 2 * TURN, 3)], (0, [2 * TURN / 6, 0], Some(AbortReason::Limit)));
    assert_eq!(seen[&("loop", 5, 1)], seen[&("loop", 5, 0)]);
    assert_eq!(seen[&("callbacks", 0, 1)].2, Some(AbortReason::Time));
    assert_eq!(
        (seen[&("callbacks", 0, 1 << 40)].0, seen[&("callbacks", 0, 1 << 40)].1),
        (3, [10_000, 50_000])
    );
}

#[test]
fn short_runs_do_not_look_at_the_clock() {
    on_every_engine(|| {
        let platform = platform();
        platform.step.store(1, Ordering::Relaxed);
        let env = Env::new(platform, &EnvOptions::default()).unwrap();
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let options = ProgOptions { engine: CHOICE.get(), limit_ns: 1, ..ProgOptions::default() };
        let prog = install(&env, loops(10).verified(std::slice::from_ref(&counted)), options).unwrap();
        let mut bench = Bench::with(&env, &prog);
        let before = platform.now.load(Ordering::Relaxed);
        for _ in 0..1000 {
            assert_eq!(bench.run(), 3);
        }
        assert_eq!(platform.now.load(Ordering::Relaxed), before);
    });
}

#[test]
fn a_tail_call_goes_on_with_the_time_that_is_left() {
    on_every_engine(|| {
        let env = ticking();
        let progs = map(&env, MapType::ProgArray, 4, 4, 1);
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let load = |asm: Asm, maps: &[Arc<Map>], limit, limit_ns| {
            let options = ProgOptions { engine: CHOICE.get(), limit, limit_ns, ..ProgOptions::default() };
            install(&env, asm.verified(maps), options).unwrap()
        };
        // The target's own limit is of instructions, and more than a turn.
        let target = load(loops(10_000), std::slice::from_ref(&counted), 100_000, 0);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let calls = || Asm::default().map(2, 0).mov(3, 0).helper(12).mov(0, 1).exit();
        let maps = std::slice::from_ref(&progs);
        for (limit, limit_ns, action, reason) in [
            (0, 3, 0, Some(AbortReason::Time)),
            (0, 1 << 40, 3, None),
            (50_000, 1 << 40, 0, Some(AbortReason::Limit)),
            (0, 0, 3, None),
        ] {
            let prog = load(calls(), maps, limit, limit_ns);
            let mut bench = Bench::with(&env, &prog);
            assert_eq!((bench.run(), bench.ctx.abort_reason()), (action, reason), "{limit}, {limit_ns}");
        }
    });
}

/// Many values live in registers over a look at the clock.
#[test]
fn registers_survive_a_look_at_the_clock() {
    on_every_engine(|| {
        let env = ticking();
        let mut asm = Asm::default();
        for r in 0..6u8 {
            asm = asm.mov(r, i32::from(r) * 100 + 1);
        }
        asm = asm.mov(6, 5_000).mov(7, 3).mov(8, 4).mov(9, 5);
        // r6 counts down; the others go up by one a turn.
        for r in [0, 1, 2, 3, 4, 5, 7, 8, 9] {
            asm = asm.add(r, 1);
        }
        asm = asm.add(6, -1).put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, -11, 0));
        for r in [1, 2, 3, 4, 5, 7, 8, 9] {
            asm = asm.put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, r, 0, 0));
        }
        // 9 sums of 5,000 turns, (0 + .. + 500 + 6) and 3 + 4 + 5.
        let sum = 9 * 5_000 + 1_506 + 12;
        let asm = asm.add(0, 3 - sum).exit();
        let options = ProgOptions { engine: CHOICE.get(), limit_ns: 1 << 40, ..ProgOptions::default() };
        let prog = install(&env, asm.verified(&[]), options).unwrap();
        assert_eq!(Bench::with(&env, &prog).run(), 3);
    });
}

#[test]
fn a_timers_callback_has_the_limit_of_its_program() {
    on_every_engine(|| {
        let (env, platform) = super::timers::with_clock(1);
        let timers = super::timers::with_timers(&env, MapType::Array, 1);
        let counted = map(&env, MapType::Array, 4, 8, 2);
        let start = |asm: Asm, helper| asm.map_value(1, 1, 8).helper(helper);
        let asm = start(Asm::default().map(2, 1).mov(3, 1), 169);
        let asm = start(asm.func(2, 1), 170);
        let asm = start(asm.mov(2, 0).mov(3, 0), 171).mov(0, 2).exit().function();
        // A callback that would go on for ever.
        let asm = counts(asm, 0).put(Insn::new(BPF_JMP | BPF_JA, 0, 0, -5, 0)).mov(0, 0).exit();
        let prog = limited(asm, &env, &[counted.clone(), timers.clone()], 1000);
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(bench.run(), 2);
        platform.now.fetch_add(1 << 20, Ordering::Relaxed);
        assert_eq!(bench.worker.run_timers(8).ran, 1);
        assert_eq!(prog.stats().sum(None).aborts[AbortReason::Limit as usize], 1);
        // The loop begins where the function does, so that each turn costs both.
        assert_eq!(read(&counted, 0), 1000 / (7 + 5));
        timers.drop_user(&mut |old| env.retire(old));
    });
}
