//! Functions as values: what helpers call back, in which engine, and how a run ends inside of one.

use super::*;

const LOOP: u32 = 181;
const FOR_EACH: u32 = 164;

/// `bpf_loop(turns, function, frame - 8, 0)`.
fn turns(asm: Asm, turns: i32, function: u32) -> Asm {
    asm.mov(1, turns).func(2, function).mov_reg(3, 10).add(3, -8).mov(4, 0).helper(LOOP)
}

fn store(base: u8, off: i16, imm: i32) -> Insn {
    Insn::new(BPF_ST | BPF_MEM | BPF_DW, base, 0, off, imm)
}

fn load(dst: u8, base: u8, off: i16) -> Insn {
    Insn::new(BPF_LDX | BPF_MEM | BPF_DW, dst, base, off, 0)
}

fn add_to(base: u8, off: i16, src: u8) -> Insn {
    Insn::new(BPF_STX | BPF_ATOMIC | BPF_DW, base, src, off, i32::from(BPF_ADD))
}

/// Adds 1 to what r2 points to, and returns r0.
fn counts(asm: Asm, r0: i32) -> Asm {
    asm.mov(3, 1).put(add_to(2, 0, 3)).mov(0, r0).exit()
}

#[test]
fn callbacks_see_their_callers_frame_and_keep_its_registers() {
    on_every_engine(|| {
        let env = env();
        let main = Asm::default().put(store(10, -8, 0)).mov(6, 1).mov(7, 2).mov(8, 3).mov(9, -29);
        let main = turns(main, 20, 1).put(load(1, 10, -8));
        // 20 turns returned, 20 counted, 1 + 2 + 3 - 29 survived: 17 too many for PASS, which the sum takes away.
        let main = [1, 6, 7, 8, 9]
            .iter()
            .fold(main, |asm, r| asm.put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, *r, 0, 0)));
        let callback = main.add(0, -15).exit().function().mov(6, 100).mov(7, 100).mov(8, 100).mov(9, 100);
        let prog = counts(callback, 0).load(&env, &[]);
        assert_eq!(Bench::with(&env, &prog).run(), 2);
    });
}

#[test]
fn a_fault_in_a_callback_ends_the_run_at_once() {
    on_every_engine(|| {
        let env = env();
        let hits = map(&env, MapType::Array, 4, 8, 2);
        for id in [LOOP, FOR_EACH] {
            // The second turn reaches what cannot be. Behind the call nothing runs, neither in main nor in a function between.
            let main = Asm::default().call(1).map_value(1, 0, 8).put(store(1, 0, 1)).mov(0, 2).exit();
            let between = main.function().mov(1, 5).map(1, 0).func(2, 2).mov(3, 0).mov(4, 0);
            let between = if id == LOOP { between.mov(1, 5) } else { between };
            let between = between.helper(id).map_value(1, 0, 8).put(store(1, 0, 1)).mov(0, 2).exit();
            let callback =
                between.function().map_value(5, 0, 0).mov(3, 1).put(add_to(5, 0, 3)).put(load(4, 5, 0));
            let callback = callback.put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 2, 2)).mov(0, 0).exit();
            let prog = callback.dead().load(&env, std::slice::from_ref(&hits));
            let mut bench = Bench::with(&env, &prog);
            assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Fault)));
            let read = |index: u32| {
                let mut value = [0; 8];
                hits.lookup_elem(&index.to_le_bytes(), &mut value, 0).unwrap();
                u64::from_le_bytes(value)
            };
            assert_eq!((read(0), read(1)), (2, 0), "{id}");
            assert!(bench.ctx.caller.is_null());
            // What the next run does is its own affair.
            hits.update_elem(env.client_slot().slot(), &[0; 4], &[10, 0, 0, 0, 0, 0, 0, 0], 0).unwrap();
            assert_eq!((bench.run(), read(1)), (2, 1));
            for index in [0u32, 1] {
                hits.update_elem(env.client_slot().slot(), &index.to_le_bytes(), &[0; 8], 0).unwrap();
            }
        }
    });
}

#[test]
fn every_turn_finds_its_frame_cleared() {
    on_every_engine(|| {
        let env = env();
        let main = Asm { clear: 0b1111, ..Asm::default() }.put(store(10, -8, 0));
        let main = turns(main, 3, 1).put(load(0, 10, -8)).exit().function();
        // Adds what its own frame has to what it is given, then leaves something there.
        let callback = main.put(load(3, 10, -16)).put(add_to(2, 0, 3)).put(store(10, -16, 77));
        let prog = callback.mov(3, 1).put(add_to(2, 0, 3)).mov(0, 0).exit().load(&env, &[]);
        assert_eq!(Bench::with(&env, &prog).run(), 3);
    });
}

#[test]
fn a_program_with_callbacks_forgets_the_last_runs_abort() {
    on_every_engine(|| {
        let env = env();
        let main = turns(Asm::default().put(store(10, -8, 0)), 3, 1).exit().function();
        let prog = counts(main, 0).load(&env, &[]);
        let mut bench = Bench::with(&env, &prog);
        bench.ctx.set_abort(AbortReason::Fault);
        assert_eq!(bench.run(), 3);
    });
}

#[test]
fn callbacks_of_a_tail_called_program_run_in_its_engine() {
    if crate::jit::Target::HOST.is_none() {
        return;
    }
    let engines = [EngineChoice::Interp, EngineChoice::Jit];
    for (from, to) in engines.iter().flat_map(|f| engines.map(|t| (*f, t))) {
        let env = env();
        let progs = map(&env, MapType::ProgArray, 4, 4, 1);
        let main = turns(Asm::default().put(store(10, -8, 0)), 7, 1).put(load(0, 10, -8)).exit().function();
        let target = install(&env, counts(main, 0).verified(&[]), to).unwrap();
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        // Before and behind the tail call, in a subprogram, the caller has callbacks of its own.
        let main = turns(Asm::default().put(store(10, -8, 0)), 5, 2).call(1).mov_reg(6, 0);
        let main =
            turns(main, 4, 2).put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, 6, 0, 0)).add(0, -8).exit();
        let sub = main.function().map(2, 0).mov(3, 0).helper(12).mov(0, 0).exit().function();
        let prog = install(&env, counts(sub, 0).verified(std::slice::from_ref(&progs)), from).unwrap();
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(bench.run(), 3, "{from:?} to {to:?}: 4 + 7 - 8");
        assert!(bench.ctx.caller.is_null());
    }
}

/// Loops in loops, as many frames as there may be; the innermost one notes where its frame is.
fn nested(deep: u32) -> Asm {
    let mut asm = Asm::default().map_value(1, 0, 0).put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 1, 10, 0, 0));
    for function in 1..deep {
        asm = asm.put(store(10, -8, 0));
        asm = turns(asm, 2, function).exit().function();
    }
    asm.map_value(1, 0, 8).put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 1, 10, 0, 0)).mov(0, 0).exit()
}

#[test]
fn nested_loops_run_to_the_last_frame_within_the_stack_that_is_told() {
    on_every_engine(|| {
        let env = env();
        let frames = map(&env, MapType::Array, 4, 8, 2);
        let deep = crate::limits::MAX_CALL_FRAMES as u32;
        let prog = nested(deep).load(&env, std::slice::from_ref(&frames));
        // Each loop is ended by the number of turns of the one inside, which its callback returns.
        assert_eq!(Bench::with(&env, &prog).run(), 1);
        let [mut outer, mut inner] = [[0; 8]; 2];
        frames.lookup_elem(&0u32.to_le_bytes(), &mut outer, 0).unwrap();
        frames.lookup_elem(&1u32.to_le_bytes(), &mut inner, 0).unwrap();
        let apart = u64::from_le_bytes(outer) - u64::from_le_bytes(inner);
        match prog.engine().code() {
            None => assert_eq!(apart, 32 * 7, "frames are packed"),
            Some(code) => {
                let told = u64::from(code.stack());
                assert!(apart > 32 * 7 && apart < told, "{apart} bytes apart, {told} told");
            }
        }
    });
}

thread_local! {
    /// The lowest address of native stack that the probe saw.
    static LOWEST: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// A helper that notes where the native stack is.
unsafe extern "C" fn probe(_: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    let here = 0u8;
    LOWEST.set(LOWEST.get().min((&raw const here).addr()));
    0
}

#[test]
fn the_native_stack_of_nested_callbacks_is_within_what_is_told() {
    use crate::helpers::{Helper, HelperSet, Proto, RetType};
    // In place of `bpf_ktime_get_ns`.
    let rows: Vec<Helper> = STANDARD
        .rows()
        .iter()
        .map(|h| match h.id {
            5 => Helper { func: Some(probe), proto: Proto::new(&[], RetType::Integer), ..*h },
            _ => *h,
        })
        .collect();
    let helpers = Some(HelperSet::new(Box::leak(rows.into_boxed_slice())));
    on_every_engine(|| {
        let env = Env::new(platform(), &EnvOptions { helpers, ..EnvOptions::default() }).unwrap();
        let walked = map(&env, MapType::Hash, 4, 8, 4);
        walked.update_elem(env.client_slot().slot(), &[0; 4], &[0; 8], 0).unwrap();
        // A walk in a walk in a walk, to the last frame.
        let deep = crate::limits::MAX_CALL_FRAMES as u32;
        let mut asm = Asm::default();
        for function in 1..deep {
            asm = asm.map(1, 0).func(2, function).mov(3, 0).mov(4, 0).helper(FOR_EACH).exit().function();
        }
        let prog = asm.helper(5).mov(0, 0).exit().load(&env, std::slice::from_ref(&walked));
        let mut bench = Bench::with(&env, &prog);
        LOWEST.set(usize::MAX);
        let here = 0u8;
        assert_eq!(bench.run(), 1);
        let (took, told) = ((&raw const here).addr() - LOWEST.get(), prog.stack_size() as usize);
        assert!(took < told, "{took} taken, {told} told");
        assert!(told < 3 * took || prog.engine().code().is_none(), "{took} taken, {told} told");
    });
}

#[test]
fn what_a_walk_takes_of_the_stack_is_counted() {
    on_every_engine(|| {
        let env = env();
        let frames = map(&env, MapType::Array, 4, 8, 2);
        let kinds = [
            MapType::Hash,
            MapType::LruHash,
            MapType::PercpuHash,
            MapType::LruPercpuHash,
            MapType::PercpuArray,
        ];
        for kind in kinds {
            let walked = map(&env, kind, 4, 8, 4);
            walked
                .update_elem(
                    env.client_slot().slot(),
                    &[0; 4],
                    &[0; 16][..if walked.spec().kind.is_percpu() { 16 } else { 8 }],
                    0,
                )
                .unwrap();
            let main =
                Asm::default().map_value(1, 0, 0).put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 1, 10, 0, 0));
            let main =
                main.map(1, 1).func(2, 1).mov(3, 0).mov(4, 0).helper(FOR_EACH).mov(0, 2).exit().function();
            let callback = main.map_value(1, 0, 8).put(Insn::new(BPF_STX | BPF_MEM | BPF_DW, 1, 10, 0, 0));
            let prog = callback.mov(0, 1).exit().load(&env, &[frames.clone(), walked]);
            assert_eq!(Bench::with(&env, &prog).run(), 2);
            let [mut outer, mut inner] = [[0; 8]; 2];
            frames.lookup_elem(&0u32.to_le_bytes(), &mut outer, 0).unwrap();
            frames.lookup_elem(&1u32.to_le_bytes(), &mut inner, 0).unwrap();
            let apart = u64::from_le_bytes(outer) - u64::from_le_bytes(inner);
            if let Some(code) = prog.engine().code() {
                let told = u64::from(code.stack());
                assert!(apart < told, "{kind:?}: {apart} bytes apart, {told} told");
            }
        }
    });
}
