//! Tail calls: in the main function and in others, misses, the limit.

use super::*;

const PROGS: MapType = MapType::ProgArray;

fn tail_call(asm: Asm, index: i32) -> Asm {
    asm.map(2, 0).mov(3, index).helper(12)
}

#[test]
fn a_tail_call_does_not_come_back() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 2);
        let target = Asm::default().mov(0, 3).exit().load(&env, &[]);
        env.set_prog(&progs, 1, Some(&target)).unwrap();
        let prog = tail_call(Asm::default(), 1).mov(0, 1).exit().load(&env, std::slice::from_ref(&progs));
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(bench.run(), 3);
        assert_eq!(bench.ctx.tail_calls, 1);
        // Cleared: the program goes on behind the call.
        env.set_prog(&progs, 1, None).unwrap();
        assert_eq!((bench.run(), bench.ctx.tail_calls), (1, 0));
    });
}

#[test]
fn an_index_out_of_range_misses_and_only_its_low_half_counts() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 2);
        let target = Asm::default().mov(0, 3).exit().load(&env, &[]);
        env.set_prog(&progs, 1, Some(&target)).unwrap();
        let run = |index: u64| {
            let asm = Asm::default().map(2, 0).imm64(3, index).helper(12).mov(0, 1).exit();
            Bench::with(&env, &asm.load(&env, std::slice::from_ref(&progs))).run()
        };
        assert_eq!([run(2), run(u64::MAX), run(0), run(1), run(0x1_0000_0001)], [1, 1, 1, 3, 3]);
    });
}

#[test]
fn who_a_tail_call_came_back_to_is_counted_for() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 2);
        let maps = std::slice::from_ref(&progs);
        let target = Asm::default().mov(0, 2).exit().load(&env, &[]);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let inner = tail_call(Asm::default().call(1).mov(0, 77).exit().function(), 0).mov(0, 1).exit();
        let inner = inner.load(&env, maps);
        env.set_prog(&progs, 1, Some(&inner)).unwrap();
        let outer = tail_call(Asm::default(), 1).mov(0, 2).exit().load(&env, maps);
        let mut bench = Bench::with(&env, &outer);
        assert_eq!((bench.run(), bench.ctx.tail_calls), (0, 2));
        let counted = [&outer, &inner, &target].map(|p| p.stats().sum(None).aborts);
        let unknown = counted.map(|aborts| aborts[AbortReason::UnknownCode as usize]);
        assert_eq!(unknown, [0, 1, 0]);
    });
}

#[test]
fn a_tail_call_in_a_subprogram_returns_to_its_caller() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 2);
        let maps = std::slice::from_ref(&progs);
        // The target has a subprogram of its own, and clobbers r6.
        let target = Asm::default().call(1).mov(6, 0).add(0, 40).exit().function().mov(0, 2).exit();
        env.set_prog(&progs, 0, Some(&target.load(&env, &[]))).unwrap();
        // Main: r6 survives, the subprogram's result is the target's 42; 42 - 39 is TX.
        let main =
            Asm::default().mov(6, -39).call(1).put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, 6, 0, 0)).exit();
        let prog = tail_call(main.function(), 0).mov(0, 40).exit().load(&env, maps);
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(bench.run(), 3);
        env.set_prog(&progs, 0, None).unwrap();
        assert_eq!(bench.run(), 1, "missed: 40 - 39");
    });
}

#[test]
fn a_chain_ends_after_33_tail_calls() {
    on_every_engine(|| {
        let env = env();
        let (progs, count) = (map(&env, PROGS, 4, 4, 1), map(&env, MapType::Array, 4, 8, 1));
        // Counts its runs, and calls itself until that misses.
        let prog = Asm::default().map_value(4, 1, 0).mov(5, 1).put(Insn::new(
            BPF_STX | BPF_ATOMIC | BPF_DW,
            4,
            5,
            0,
            i32::from(BPF_ADD),
        ));
        let prog = tail_call(prog, 0).mov(0, 2).exit().load(&env, &[progs.clone(), count.clone()]);
        env.set_prog(&progs, 0, Some(&prog)).unwrap();
        let mut bench = Bench::with(&env, &prog);
        let mut value = [0; 8];
        for runs in [34u64, 68] {
            assert_eq!(bench.run(), 2);
            count.lookup_elem(&[0; 4], &mut value, 0).unwrap();
            assert_eq!(u64::from_le_bytes(value), runs);
        }
        // The array and the program hold each other: the last user handle cuts that.
        progs.drop_user(&mut |old| env.retire(old));
    });
}

#[test]
fn deepest_chain_of_subprogram_tail_calls_fits_the_stack() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 1);
        // Seven functions, each calling the next; the last one tail-calls the program again: 33 times 7 frames stay.
        let mut asm = Asm::default();
        for f in 1..=6 {
            asm = asm.call(f).add(0, 1).exit().function();
        }
        let prog = tail_call(asm, 0).mov(0, 0).exit().load(&env, std::slice::from_ref(&progs));
        env.set_prog(&progs, 0, Some(&prog)).unwrap();
        let mut bench = Bench::with(&env, &prog);
        // 34 activations of 6 callers each add 1: 204 is no action.
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::UnknownCode)));
        progs.drop_user(&mut |old| env.retire(old));
    });
}

#[test]
fn aborts_count_for_the_program_that_ended_the_run() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 1);
        let target = Asm::default().mov(0, 99).exit().load(&env, &[]);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let prog = tail_call(Asm::default(), 0).mov(0, 2).exit().load(&env, std::slice::from_ref(&progs));
        assert_eq!(Bench::with(&env, &prog).run(), 0);
        let unknown = AbortReason::UnknownCode as usize;
        assert_eq!(target.stats().sum(None).aborts[unknown], 1);
        assert_eq!(prog.stats().sum(None).aborts[unknown], 0);
    });
}

#[test]
fn a_native_target_is_entered_with_its_own_address() {
    on_every_engine(|| {
        use crate::maps::{ProgRef, TailTarget};
        unsafe extern "C" fn entry(ctx: *mut Ctx, target: *const TailTarget) -> u64 {
            // SAFETY: the engine's word.
            unsafe { u64::from((*ctx).tail_calls) + u64::from((*target).id) }
        }
        unsafe fn release(_: *const TailTarget) {}
        static NATIVE: TailTarget = TailTarget { entry, id: 2, release };
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 1);
        // SAFETY: the target is static.
        let native = unsafe { ProgRef::new(std::ptr::NonNull::from(&NATIVE)) };
        progs.set_prog(0, Some(native)).unwrap();
        let maps = std::slice::from_ref(&progs);
        let prog = tail_call(Asm::default(), 0).mov(0, 1).exit().load(&env, maps);
        assert_eq!(Bench::with(&env, &prog).run(), 3);
        // From a subprogram: its result goes to the caller.
        let main = Asm::default().call(1).add(0, -1).exit().function();
        let prog = tail_call(main, 0).mov(0, 0).exit().load(&env, maps);
        assert_eq!(Bench::with(&env, &prog).run(), 2);
    });
}

#[test]
fn the_array_may_be_chosen_at_run_time() {
    on_every_engine(|| {
        let env = env();
        let arrays = [map(&env, PROGS, 4, 4, 2), map(&env, PROGS, 4, 4, 1)];
        let target = |code| Asm::default().mov(0, code).exit().load(&env, &[]);
        env.set_prog(&arrays[0], 1, Some(&target(2))).unwrap();
        env.set_prog(&arrays[1], 0, Some(&target(3))).unwrap();
        // The packet's first byte chooses the array, the second one the index; r6 is kept over a miss.
        let asm = Asm::default()
            .mov_reg(7, 1)
            .ctx(2, CtxField::Data)
            .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 8, 2, 0, 0))
            .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 3, 2, 1, 0))
            .mov(6, 1)
            .map(2, 0)
            .put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 2, 0))
            .map(2, 1)
            .mov_reg(1, 7)
            .helper_of(12, MapSel::Many)
            .mov_reg(0, 6)
            .exit();
        let prog = asm.load(&env, &arrays);
        let mut bench = Bench::with(&env, &prog);
        let mut run = |array, index| {
            let mut packet = [0; 64];
            packet[..2].copy_from_slice(&[array, index]);
            bench.packet(&packet);
            (bench.run(), bench.ctx.tail_calls)
        };
        assert_eq!(
            [run(0, 1), run(1, 0), run(0, 0), run(0, 2), run(1, 1)],
            [(2, 1), (3, 1), (1, 0), (1, 0), (1, 0)]
        );
        drop(bench);
        // In a subprogram it returns to the caller; the limit holds.
        let main = Asm::default().call(1).add(0, 1).exit().function();
        let prog = main.map(2, 0).mov(3, 1).helper_of(12, MapSel::Many).mov(0, 0).exit().load(&env, &arrays);
        assert_eq!(Bench::with(&env, &prog).run(), 3);
        let again = Asm::default().map(2, 0).mov(3, 1).helper_of(12, MapSel::Many).mov(0, 3).exit();
        let again = again.load(&env, &arrays);
        env.set_prog(&arrays[0], 1, Some(&again)).unwrap();
        let mut bench = Bench::with(&env, &again);
        assert_eq!((bench.run(), bench.ctx.tail_calls), (3, crate::limits::MAX_TAIL_CALL_CNT));
        arrays[0].drop_user(&mut |old| env.retire(old));
    });
}

#[test]
fn engines_tail_call_each_other() {
    if crate::jit::Target::HOST.is_none() {
        return;
    }
    let engines = [EngineChoice::Interp, EngineChoice::Jit];
    for (from, to) in engines.iter().flat_map(|f| engines.map(|t| (*f, t))) {
        let env = env();
        let progs = map(&env, PROGS, 4, 4, 1);
        let maps = std::slice::from_ref(&progs);
        let target = Asm::default().call(1).add(0, 40).exit().function().mov(0, 2).exit();
        let target = install(&env, target.verified(&[]), to).unwrap();
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let load = |asm: Asm| install(&env, asm.verified(maps), from).unwrap();

        // From a subprogram: all of the target's 42 arrives, and r6 is as it was.
        let main = Asm::default().mov(6, -39).call(1);
        let main = main.put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, 6, 0, 0)).exit().function();
        let inner = load(tail_call(main, 0).mov(0, 0).exit());
        assert_eq!(Bench::with(&env, &inner).run(), 3, "{from:?} to {to:?}");

        // From the main function: 42 is no action, and the target is to blame.
        let outer = load(tail_call(Asm::default(), 0).mov(0, 2).exit());
        let mut bench = Bench::with(&env, &outer);
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::UnknownCode)));
        let blamed = [&outer, &target].map(|p| p.stats().sum(None).aborts[AbortReason::UnknownCode as usize]);
        assert_eq!(blamed, [0, 1], "{from:?} to {to:?}");
    }
}

/// The kernel's answers to the same questions: a program array takes programs of `xdp.frags` or others, as the first one says.
#[test]
fn programs_that_take_several_buffers_and_others_do_not_meet_in_an_array() {
    on_every_engine(|| {
        let env = env();
        let verified = |frags: bool, maps: &[Arc<Map>]| {
            let asm = Asm { frags, ..Asm::default() };
            match maps {
                [] => asm.mov(0, 2).exit(),
                _ => tail_call(asm, 0).mov(0, 2).exit(),
            }
            .verified(maps)
        };
        let load = |frags, maps: &[Arc<Map>]| install(&env, verified(frags, maps), CHOICE.get());
        let (plain, frags) = (load(false, &[]).unwrap(), load(true, &[]).unwrap());
        // The first entry decides, for good.
        let progs = map(&env, PROGS, 4, 4, 2);
        assert_eq!(env.set_prog(&progs, 2, Some(&frags)), Err(Errno::E2BIG), "decides nothing");
        env.set_prog(&progs, 0, Some(&plain)).unwrap();
        assert_eq!(env.set_prog(&progs, 1, Some(&frags)), Err(Errno::EINVAL));
        env.set_prog(&progs, 0, None).unwrap();
        assert_eq!(env.set_prog(&progs, 1, Some(&frags)), Err(Errno::EINVAL));
        assert_eq!(load(true, std::slice::from_ref(&progs)).err(), Some(Errno::EINVAL));
        let refused = verified(true, std::slice::from_ref(&progs));
        let why = unfit(&env, &refused, &ProgOptions::default()).unwrap();
        assert_eq!(why, Unfit::OtherKind { map: progs.name(), frags: true });
        assert!(load(false, std::slice::from_ref(&progs)).is_ok());
        // So does the first program that uses it.
        let progs = map(&env, PROGS, 4, 4, 2);
        assert!(load(true, std::slice::from_ref(&progs)).is_ok());
        assert_eq!(env.set_prog(&progs, 0, Some(&plain)), Err(Errno::EINVAL));
        env.set_prog(&progs, 0, Some(&frags)).unwrap();
        assert_eq!(load(false, std::slice::from_ref(&progs)).err(), Some(Errno::EINVAL));
    });
}

#[test]
fn programs_that_attach_at_different_places_do_not_meet_in_an_array() {
    on_every_engine(|| {
        let env = env();
        let of =
            |attach, asm: Asm, maps: &[Arc<Map>]| install(&env, asm.verified_as(maps, attach), CHOICE.get());
        let plain = |attach| of(attach, Asm::default().mov(0, 2).exit(), &[]).unwrap();
        let calls = |attach, progs: &Arc<Map>| {
            of(attach, tail_call(Asm::default(), 0).mov(0, 2).exit(), std::slice::from_ref(progs))
        };
        for (first, other) in
            [(AttachType::Xdp, AttachType::XdpDevmap), (AttachType::XdpDevmap, AttachType::Xdp)]
        {
            let progs = map(&env, PROGS, 4, 4, 2);
            env.set_prog(&progs, 0, Some(&plain(first))).unwrap();
            assert_eq!(env.set_prog(&progs, 1, Some(&plain(other))), Err(Errno::EINVAL));
            assert!(calls(first, &progs).is_ok());
            assert_eq!(calls(other, &progs).err(), Some(Errno::EINVAL));
        }
    });
}
