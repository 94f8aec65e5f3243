//! Programs of entries: what their actions mean, what they leave alone, and packets that are for every entry.

use super::*;
use AttachType::{XdpCpumap, XdpDevmap};

/// Returns a constant.
fn returns(code: i32) -> Asm {
    Asm::default().mov(0, code).exit()
}

/// Loads a program for entries; every action is counted.
fn entry_prog(env: &Arc<Env>, asm: Asm, attach: AttachType, limit: u64) -> Arc<Prog> {
    let counting = Counting::Actions;
    let options = ProgOptions { engine: CHOICE.get(), counting, limit, ..ProgOptions::default() };
    install(env, asm.verified_as(&[], attach), options).unwrap()
}

/// A device or CPU map whose entry 1 has the number 6 and a program, and a bench whose program redirects there.
fn to_entry(env: &Arc<Env>, kind: MapType, prog: Option<&Arc<Prog>>, flags: i32) -> (Bench, Arc<Map>) {
    let m = map(env, kind, 4, 8, 4);
    env.set_target(&m, &1u32.to_le_bytes(), &6u64.to_le_bytes(), prog, 0).unwrap();
    // Programs of a map are all of one kind.
    let frags = prog.is_some_and(|p| p.program().code().frags);
    let goes = Asm { frags, ..Asm::default() }.map(1, 0).mov(2, 1).mov(3, flags).helper(51).exit();
    (Bench::with(env, &goes.load(env, std::slice::from_ref(&m))), m)
}

/// Runs the entry's program.
fn run_entry(bench: &mut Bench) -> u32 {
    // SAFETY: the redirect is that of the last run, and the worker was not quiescent since.
    unsafe { super::run_entry(&mut *bench.ctx) }
}

#[test]
fn actions_of_entries_are_answered_as_linux() {
    use AbortReason::{NoRedirectTarget, Returned, UnknownCode};
    on_every_engine(|| {
        let env = env();
        // What the program returns, and what is made of it at a device and at a CPU.
        for (code, device, cpu) in [
            (0, Err(Returned), Err(Returned)),
            (1, Ok(1), Ok(1)),
            (2, Ok(2), Ok(2)),
            (3, Err(UnknownCode), Err(UnknownCode)),
            (4, Err(UnknownCode), Err(NoRedirectTarget)),
            (77, Err(UnknownCode), Err(UnknownCode)),
        ] {
            for (kind, attach, expected) in
                [(MapType::Devmap, XdpDevmap, device), (MapType::Cpumap, XdpCpumap, cpu)]
            {
                let prog = entry_prog(&env, returns(code), attach, 0);
                let (mut bench, _m) = to_entry(&env, kind, Some(&prog), 0);
                assert_eq!(bench.run(), 4);
                let action = run_entry(&mut bench);
                let got = match bench.ctx.abort_reason() {
                    Some(reason) if action == 0 => Err(reason),
                    _ => Ok(action),
                };
                assert_eq!(got, expected, "{kind:?} returns {code}");
                let counted = prog.stats().sum(Some(0));
                assert_eq!((counted.runs(), counted.actions[action as usize]), (1, 1));
                if let Err(reason) = expected {
                    assert_eq!(counted.aborts[reason as usize], 1);
                }
                drop(bench);
            }
        }
    });
}

#[test]
fn a_device_entrys_program_knows_where_its_packet_goes_and_cannot_change_it() {
    on_every_engine(|| {
        let env = env();
        // bpf_redirect(7, 0), then PASS where the interface is 6, else DROP.
        let asm = Asm::default().ctx(6, CtxField::EgressIfindex).mov(1, 7).mov(2, 0).helper(23).mov(0, 2);
        let is_6 = Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 1, 6);
        let prog = entry_prog(&env, asm.put(is_6).mov(0, 1).exit(), XdpDevmap, 0);
        let (mut bench, m) = to_entry(&env, MapType::Devmap, Some(&prog), 0);
        assert_eq!(bench.run(), 4);
        let before = bench.ctx.redirect;
        assert_eq!(run_entry(&mut bench), 2);
        assert_eq!((bench.ctx.redirect, bench.ctx.egress_ifindex), (before, 6));
        assert_eq!((before.kind, before.index, before.target), (RedirectKind::Devmap, 1, 6));
        assert_eq!(before.map, Arc::as_ptr(&m).cast());
    });
}

#[test]
fn a_cpu_entrys_program_redirects_anew() {
    on_every_engine(|| {
        let env = env();
        let asm = Asm::default().mov(1, 7).mov(2, 0).helper(23).exit();
        let (mut bench, _m) = to_entry(&env, MapType::Cpumap, Some(&entry_prog(&env, asm, XdpCpumap, 0)), 0);
        assert_eq!(bench.run(), 4);
        assert_eq!((bench.ctx.redirect.kind, bench.ctx.redirect.target), (RedirectKind::Cpumap, 1));
        assert_eq!(run_entry(&mut bench), 4);
        assert_eq!((bench.ctx.redirect.kind, bench.ctx.redirect.target), (RedirectKind::Ifindex, 7));
        assert_eq!(run_entry(&mut bench), 2, "an interface has no program");
    });
}

#[test]
fn what_an_entrys_program_does_to_the_packet_stays() {
    on_every_engine(|| {
        let env = env();
        // bpf_xdp_adjust_head(ctx, 14)
        let asm = Asm::default().mov(2, 14).helper(44).mov(0, 2).exit();
        let (mut bench, _m) = to_entry(&env, MapType::Devmap, Some(&entry_prog(&env, asm, XdpDevmap, 0)), 0);
        let mut packet = [0; 64];
        packet[14] = 9;
        bench.packet(&packet);
        assert_eq!((bench.run(), run_entry(&mut bench)), (4, 2));
        assert_eq!((bench.bytes().len(), bench.bytes()[0]), (50, 9));
        // The hook's program runs as before.
        assert_eq!(bench.run(), 4);
    });
}

#[test]
fn an_entry_without_a_program_lets_the_packet_go_on() {
    on_every_engine(|| {
        let env = env();
        for kind in [MapType::Devmap, MapType::Cpumap] {
            let (mut bench, _m) = to_entry(&env, kind, None, 0);
            assert_eq!((bench.run(), run_entry(&mut bench)), (4, 2));
            bench.ctx.redirect = Redirect::NONE;
            assert_eq!(run_entry(&mut bench), 2, "no redirect at all");
            drop(bench);
        }
    });
}

#[test]
fn packets_in_several_buffers_are_for_programs_that_take_them() {
    on_every_engine(|| {
        let env = env();
        for (frags, action) in [(true, 2), (false, 0)] {
            let prog = entry_prog(&env, Asm { frags, ..returns(2) }, XdpDevmap, 0);
            let (mut bench, _m) = to_entry(&env, MapType::Devmap, Some(&prog), 0);
            assert_eq!(bench.run(), 4);
            let mut more = [7u8; 10];
            let mut rest = Frags::EMPTY;
            rest.nr = 1;
            rest.frags[0] =
                Frag { data: more.as_mut_ptr(), len: 10, room: 10, cookie: core::ptr::null_mut() };
            bench.ctx.frags = &raw mut rest;
            assert_eq!(run_entry(&mut bench), action);
            let several = prog.stats().sum(None).aborts[AbortReason::SeveralBuffers as usize];
            assert_eq!(several, u64::from(!frags));
            assert_eq!(bench.ctx.redirect.kind, RedirectKind::Devmap);
        }
    });
}

#[test]
fn an_entrys_program_has_its_own_limit() {
    on_every_engine(|| {
        let env = env();
        // A thousand turns of two instructions.
        let turn = Insn::new(BPF_JMP | BPF_JNE | BPF_K, 6, 0, -2, 0);
        let asm = || Asm::default().mov(6, 1000).add(6, -1).put(turn).mov(0, 2).exit();
        for (limit, action) in [(100, 0), (5000, 2)] {
            let prog = entry_prog(&env, asm(), XdpDevmap, limit);
            let (mut bench, _m) = to_entry(&env, MapType::Devmap, Some(&prog), 0);
            assert_eq!((bench.run(), run_entry(&mut bench)), (4, action));
            let limits = prog.stats().sum(None).aborts[AbortReason::Limit as usize];
            assert_eq!(limits, u64::from(action == 0));
        }
    });
}

#[test]
fn an_entrys_program_lives_until_its_worker_is_quiescent_and_longer_where_it_is_held() {
    on_every_engine(|| {
        let env = env();
        let prog = entry_prog(&env, returns(1), XdpCpumap, 0);
        let (mut bench, m) = to_entry(&env, MapType::Cpumap, Some(&prog), 0);
        assert_eq!(bench.run(), 4);
        env.delete_elem(&m, &1u32.to_le_bytes()).unwrap();
        let redirect = bench.ctx.redirect;
        assert_eq!((Arc::strong_count(&prog), run_entry(&mut bench)), (2, 1));
        // SAFETY: left by the run, and nobody was quiescent since.
        let held = unsafe { hold_entry(&redirect) };
        bench.worker.quiescent();
        assert_eq!(Arc::strong_count(&prog), 2, "the entry's reference went, ours did not");
        bench.ctx.redirect = redirect;
        assert_eq!(run_entry(&mut bench), 1);
        drop(held);
        assert_eq!(Arc::strong_count(&prog), 1);
        // SAFETY: nothing is there to be held.
        assert!(unsafe { hold_entry(&Redirect::NONE) }.is_none());
    });
}

/// Index, interface and whether there is a program, of every target.
fn targets(bench: &Bench, ingress: u32) -> Vec<(u32, u64, bool)> {
    let mut cursor = 0;
    // SAFETY: the redirect is that of the last run, and the worker was not quiescent since.
    let next = || unsafe { next_target(&bench.ctx.redirect, ingress, &mut cursor) };
    std::iter::from_fn(next).map(|r| (r.index, r.target, !r.egress_prog.is_null())).collect()
}

#[test]
fn a_packet_for_all_goes_to_every_entry_but_that_of_its_ingress() {
    const BROADCAST: i32 = 8;
    const EXCLUDE_INGRESS: i32 = 16;
    on_every_engine(|| {
        for kind in [MapType::Devmap, MapType::DevmapHash] {
            for (flags, expected) in [
                (BROADCAST, vec![(0, 4, false), (1, 6, true), (3, 5, false)]),
                (BROADCAST | EXCLUDE_INGRESS, vec![(1, 6, true), (3, 5, false)]),
                (0, vec![]),
            ] {
                let env = env();
                let prog = entry_prog(&env, returns(2), XdpDevmap, 0);
                let (mut bench, m) = to_entry(&env, kind, Some(&prog), flags);
                for (key, ifindex) in [(3u32, 5u64), (0, 4)] {
                    env.set_target(&m, &key.to_le_bytes(), &ifindex.to_le_bytes(), None, 0).unwrap();
                }
                assert_eq!(bench.run(), 4);
                assert_eq!(run_entry(&mut bench), 2, "each copy has its own target");
                let mut got = targets(&bench, 4);
                if kind == MapType::DevmapHash {
                    got.sort_unstable();
                }
                assert_eq!(got, expected, "{kind:?} {flags}");
            }
        }
    });
}

#[test]
fn entries_with_programs_go_with_the_last_handle_of_their_map() {
    on_every_engine(|| {
        for kind in [MapType::Devmap, MapType::DevmapHash] {
            let env = env();
            let prog = entry_prog(&env, returns(2), XdpDevmap, 0);
            let (mut bench, m) = to_entry(&env, kind, Some(&prog), 1);
            env.set_target(&m, &0u32.to_le_bytes(), &7u64.to_le_bytes(), None, 0).unwrap();
            m.drop_user(&mut |old| env.retire(old));
            assert_eq!(bench.run(), 1, "nowhere: the action in the flags");
            bench.worker.quiescent();
            assert_eq!(Arc::strong_count(&prog), 1);
            assert!(!m.redirect(0).is_null(), "what has no program stays");
        }
    });
}
