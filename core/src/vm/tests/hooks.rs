//! Slots, replacement and grace periods.

use super::*;
use crate::maps::Reported;

fn returns(env: &Arc<Env>, code: i32) -> Arc<Prog> {
    Asm::default().mov(0, code).exit().load_counting(env, &[])
}

#[test]
fn a_slot_is_taken_once_and_given_back() {
    on_every_engine(|| {
        let env = env();
        let worker = Worker::register(&env, 0).unwrap();
        assert_eq!(Worker::register(&env, 0).err(), Some(Errno::EBUSY));
        assert_eq!(Worker::register(&env, 2).err(), Some(Errno::ERANGE));
        assert!(Worker::register(&env, 1).is_ok());
        drop(worker);
        assert!(Worker::register(&env, 0).is_ok());
    });
}

#[test]
fn a_replaced_program_is_freed_when_every_online_worker_was_quiescent() {
    on_every_engine(|| {
        let env = env();
        let first = returns(&env, 1);
        let mut bench = Bench::with(&env, &first);
        let other = Worker::register(&env, 1).unwrap();
        assert_eq!(bench.run(), 1);

        bench.hook.set(&[returns(&env, 2)]).unwrap();
        assert_eq!(bench.run(), 2);
        assert_eq!(Arc::strong_count(&first), 2, "workers may still be in it");
        bench.worker.quiescent();
        assert_eq!(Arc::strong_count(&first), 2, "the other worker may still be in it");
        other.offline();
        assert_eq!(Arc::strong_count(&first), 1, "nobody can be in it");

        // A worker that was offline sees the new program when it is back.
        other.online();
        let second_id = {
            let mut ids = [0; 2];
            assert_eq!(bench.hook.program_ids(&mut ids), 1);
            ids[0]
        };
        assert_eq!(second_id, first.id() + 1);
    });
}

#[test]
fn an_idle_loop_s_quiescent_state_does_not_bring_a_worker_back() {
    on_every_engine(|| {
        let env = env();
        let first = returns(&env, 1);
        let bench = Bench::with(&env, &first);
        bench.worker.offline();
        bench.worker.quiescent();
        bench.hook.set(&[returns(&env, 2)]).unwrap();
        env.synchronize();
        assert_eq!(Arc::strong_count(&first), 1, "nobody waits for a worker that is offline");
    });
}

#[test]
fn worker_that_never_reports_is_named_until_it_does() {
    on_every_engine(|| {
        let env = env();
        let bench = Bench::new(&env);
        let silent = Worker::register(&env, 1).unwrap();
        bench.hook.set(&[returns(&env, 1)]).unwrap();
        assert_eq!(env.reclamation(), Reclamation::default(), "nothing was replaced");
        assert_eq!(env.reported(2), None);
        for round in 1..=5 {
            bench.hook.set(&[returns(&env, 1)]).unwrap();
            bench.worker.quiescent();
            assert_eq!(env.reclamation().held_up_by, Some((1, round)));
            assert_eq!(env.reported(1), Some(Reported { held: true, online: true, behind: round }));
            assert_eq!(env.reported(0), Some(Reported { held: true, online: true, behind: 0 }));
        }
        assert_eq!(env.reclamation().waiting, 5);
        silent.quiescent();
        assert_eq!(env.reclamation(), Reclamation::default());
        bench.hook.set(&[returns(&env, 1)]).unwrap();
        assert_eq!(
            env.reclamation(),
            Reclamation { waiting: 1, held_up_by: Some((0, 1)) },
            "the first of two"
        );
        bench.worker.offline();
        assert_eq!(env.reported(0), Some(Reported { held: true, online: false, behind: 0 }));
        assert_eq!(env.reclamation(), Reclamation { waiting: 1, held_up_by: Some((1, 1)) });
        drop(silent);
        assert_eq!(env.reclamation(), Reclamation::default());
        assert_eq!(env.reported(1), Some(Reported::default()));
    });
}

/// Sets a flag when it goes, whatever the way.
struct Stopper<'a>(&'a crate::sync::AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn synchronize_waits_for_the_workers_of_other_threads() {
    on_every_engine(|| {
        let env = env();
        let first = returns(&env, 1);
        let hook = Hook::create(&env).unwrap();
        hook.set(std::slice::from_ref(&first)).unwrap();
        let stop = crate::sync::AtomicBool::new(false);
        let started = crate::sync::AtomicBool::new(false);
        std::thread::scope(|scope| {
            // A failed assertion must end the worker too, or the scope waits for ever.
            let _stopper = Stopper(&stop);
            scope.spawn(|| {
                let worker = Worker::register(&env, 0).unwrap();
                let mut ctx = Ctx::empty();
                // SAFETY: worker and hook outlive the loop; the program touches no packet.
                unsafe {
                    ctx_init(&mut ctx, &worker, &hook).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        assert!(matches!(xdp_run(&mut ctx), 1 | 2));
                        started.store(true, Ordering::Relaxed);
                        worker.quiescent();
                    }
                }
            });
            while !started.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            hook.set(&[returns(&env, 2)]).unwrap();
            env.synchronize();
            assert_eq!(Arc::strong_count(&first), 1);
            for _ in 0..1000 {
                hook.set(&[returns(&env, 1)]).unwrap();
            }
        });
        // Of the test, the hook, and the two programs that are left: `first` and the one that is attached.
        assert_eq!(Arc::strong_count(&env), 4);
    });
}

#[test]
fn several_programs_run_in_order_while_they_pass() {
    on_every_engine(|| {
        let env = env();
        let (pass, drop, tx) = (returns(&env, 2), returns(&env, 1), returns(&env, 3));
        let mut bench = Bench::new(&env);
        bench.hook.set(&[pass.clone(), drop.clone(), tx.clone()]).unwrap();
        assert_eq!(bench.run(), 1);
        assert_eq!([&pass, &drop, &tx].map(|p| p.stats().sum(None).runs()), [1, 1, 0]);
        bench.hook.set(&[]).unwrap();
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::NoProgram)));
    });
}

#[test]
fn next_program_runs_after_the_actions_that_are_asked_for_and_pass_is_behind_the_last() {
    on_every_engine(|| {
        let env = env();
        let (drop, tx) = (returns(&env, 1), returns(&env, 3));
        let mut bench = Bench::new(&env);
        let mut run = |links: &[(&Arc<Prog>, u32)]| {
            let mut list = crate::mem::Vec::new();
            for (prog, chain_call_actions) in links {
                list.push(Link { prog: (*prog).clone(), chain_call_actions: *chain_call_actions }).unwrap();
            }
            bench.hook.set_links(list).unwrap();
            bench.run()
        };
        assert_eq!(run(&[(&drop, 1 << 1), (&tx, 1 << 2)]), 3);
        assert_eq!(run(&[(&drop, 1 << 2), (&tx, 1 << 2)]), 1);
        assert_eq!(run(&[(&drop, 1 << 1), (&tx, 1 << 3)]), 2);
        assert_eq!(run(&[(&tx, 0)]), 3);
        let aborting = returns(&env, 77);
        assert_eq!(run(&[(&aborting, 1), (&tx, 0)]), 3);
        assert_eq!(run(&[(&aborting, !1), (&tx, 0)]), 0);
    });
}

#[test]
fn a_program_of_another_environment_is_refused_and_the_hook_keeps_what_it_had() {
    on_every_engine(|| {
        let (env, other) = (env(), env());
        let mut bench = Bench::with(&env, &returns(&env, 3));
        assert_eq!(bench.hook.set(&[returns(&other, 1)]), Err(Errno::EINVAL));
        assert_eq!(bench.run(), 3);
        let worker = Worker::register(&other, 0).unwrap();
        // SAFETY: nothing runs.
        assert_eq!(unsafe { ctx_init(&mut *bench.ctx, &worker, &bench.hook) }, Err(Errno::EINVAL));
    });
}

#[test]
fn nothing_is_left_when_an_environment_goes() {
    on_every_engine(|| {
        let env = env();
        let prog = returns(&env, 1);
        let bench = Bench::with(&env, &prog);
        bench.hook.set(&[returns(&env, 2)]).unwrap();
        drop((bench, prog));
        assert_eq!(Arc::strong_count(&env), 1);
    });
}

#[test]
fn a_port_that_cannot_send_refuses_a_program_that_does_and_keeps_what_it_had() {
    on_every_engine(|| {
        let env = env();
        let (tx, pass) = (returns(&env, 3), returns(&env, 2));
        assert!(tx.needs().contains(Needs::TX) && !pass.needs().contains(Needs::TX));
        let port = Hook::create_at(&env, Needs::REDIRECT).unwrap();
        port.set(std::slice::from_ref(&pass)).unwrap();
        assert_eq!(port.set(&[pass.clone(), tx.clone()]), Err(Errno::EOPNOTSUPP));
        assert_eq!(port.missing(&Link::of(&tx)).to_string(), "tx");
        let mut ids = [0; 2];
        assert_eq!((port.program_ids(&mut ids), ids[0]), (1, pass.id()));
        // An XDP_TX after which the next program runs never gets to the port.
        let forgetful = Link { prog: tx.clone(), chain_call_actions: 1 << 3 };
        port.set_links(crate::mem::Vec::from_slice(&[forgetful, Link::of(&pass)]).unwrap()).unwrap();
        // A port that can, and one of which nothing is said.
        Hook::create_at(&env, Needs::TX).unwrap().set(std::slice::from_ref(&tx)).unwrap();
        Hook::create(&env).unwrap().set(&[tx]).unwrap();
    });
}

#[test]
fn an_answer_that_is_computed_is_no_need() {
    on_every_engine(|| {
        let env = env();
        let prog = Asm::default().mov(0, 2).add(0, 1).exit().load(&env, &[]);
        let port = Hook::create_at(&env, Needs::REDIRECT).unwrap();
        port.set(std::slice::from_ref(&prog)).unwrap();
        assert_eq!(Bench::with(&env, &prog).run(), 3, "for the host to drop and count");
    });
}

#[test]
fn a_program_for_one_buffer_is_refused_where_the_mtu_does_not_fit_one() {
    on_every_engine(|| {
        let env = env();
        let whole = returns(&env, 2);
        let frags = Asm { frags: true, ..Asm::default() }.mov(0, 2).exit().load(&env, &[]);
        let port = |bytes| {
            let mtu = Some(Mtu { bytes, buffer: 2048 });
            Hook::create_at(&env, Offers { mtu, ..Offers::default() }).unwrap()
        };
        port(2034).set(&[whole.clone(), frags.clone()]).unwrap();
        let large = port(2035);
        assert_eq!(large.set(&[frags.clone(), whole.clone()]), Err(Errno::EOPNOTSUPP));
        assert_eq!(
            large.missing(&Link::of(&whole)).to_string(),
            "packets in one buffer (no xdp.frags): an MTU of 2035 makes frames of 2049 bytes, and a buffer holds 2048"
        );
        large.set(&[frags]).unwrap();
    });
}
