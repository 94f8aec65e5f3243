//! Several programs at a hook: the same on every engine, compiled as one or run one by one.

use super::*;

/// Adds one to element `at` of map 0, then returns `code`.
fn notes(at: u32, code: i32) -> Asm {
    let add = Insn::new(BPF_STX | BPF_ATOMIC | BPF_DW, 4, 5, 0, i32::from(BPF_ADD));
    Asm::default().map_value(4, 0, at * 8).mov(5, 1).put(add).mov(0, code).exit()
}

/// As above, and calls a helper before: its entry prepares the context.
fn calls(at: u32, code: i32) -> Asm {
    let add = Insn::new(BPF_STX | BPF_ATOMIC | BPF_DW, 4, 5, 0, i32::from(BPF_ADD));
    Asm::default().helper(5).map_value(4, 0, at * 8).mov(5, 1).put(add).mov(0, code).exit()
}

fn links(list: &[(&Arc<Prog>, u32)]) -> crate::mem::Vec<Link> {
    let mut links = crate::mem::Vec::new();
    for (prog, chain_call_actions) in list {
        links.push(Link { prog: (*prog).clone(), chain_call_actions: *chain_call_actions }).unwrap();
    }
    links
}

fn noted(map: &Map, n: u32) -> Vec<u64> {
    let read = |i: u32| {
        let mut value = [0; 8];
        map.lookup_elem(&i.to_le_bytes(), &mut value, 0).unwrap();
        u64::from_le_bytes(value)
    };
    (0..n).map(read).collect()
}

/// All orders of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for rest in orders(n - 1) {
        for at in 0..n {
            let mut order = rest.clone();
            order.insert(at, n - 1);
            all.push(order);
        }
    }
    all
}

/// What libxdp's dispatcher does: the next program runs after the actions that the one before asks for, and PASS is behind the last.
fn expected(order: &[usize], actions: &[u32], next: u32) -> (u32, Vec<u64>) {
    let mut ran = vec![0; actions.len()];
    for &i in order {
        ran[i] += 1;
        if next >> actions[i] & 1 == 0 {
            return (actions[i], ran);
        }
    }
    (2, ran)
}

#[test]
fn all_orders_and_sets_of_actions_run_as_libxdp_runs_them() {
    let codes = [2, 1, 3, 77];
    let actions = [2, 1, 3, 0];
    on_every_engine(|| {
        let env = env();
        for next in 0..32u32 {
            let map = map(&env, MapType::Array, 4, 8, 4);
            let maps = std::slice::from_ref(&map);
            let progs: Vec<_> = codes
                .iter()
                .zip(0u32..)
                .map(|(code, i)| if i % 2 == 0 { notes(i, *code) } else { calls(i, *code) }.load(&env, maps))
                .collect();
            let mut bench = Bench::new(&env);
            let (mut ran, mut aborts) = (vec![0; 4], 0);
            for order in orders(4) {
                let list: Vec<_> = order.iter().map(|i| (&progs[*i], next)).collect();
                bench.hook.set_links(links(&list)).unwrap();
                let (action, add) = expected(&order, &actions, next);
                aborts += add[3];
                ran.iter_mut().zip(add).for_each(|(r, a)| *r += a);
                assert_eq!(bench.run(), action, "{order:?}, {next:#b}");
                assert_eq!(noted(&map, 4), ran, "{order:?}, {next:#b}");
            }
            // An abort is the program's that it happened in.
            let counted = progs.iter().map(|p| p.stats().sum(None).aborts.iter().sum::<u64>());
            assert_eq!(counted.collect::<Vec<_>>(), [0, 0, 0, aborts]);
            assert!(bench.ctx.prog.is_null(), "no program runs any more");
        }
    });
}

#[test]
fn each_program_of_a_set_begins_anew() {
    on_every_engine(|| {
        let env = env();
        let progs = map(&env, MapType::ProgArray, 4, 4, 1);
        let target = Asm::default().mov(0, 2).exit().load(&env, &[]);
        env.set_prog(&progs, 0, Some(&target)).unwrap();
        let tail = Asm::default().map(2, 0).mov(3, 0).helper(12).mov(0, 1).exit();
        let tail = tail.load(&env, std::slice::from_ref(&progs));
        let goes = Asm::default().mov(1, 7).mov(2, 0).helper(23).exit().load(&env, &[]);
        let bare = Asm::default().mov(0, 4).exit().load(&env, &[]);
        let mut bench = Bench::new(&env);
        // A redirect is forgotten with its action, and the last one has no target.
        bench.hook.set_links(links(&[(&tail, 1 << 2), (&goes, 1 << 4), (&bare, 0)])).unwrap();
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::NoRedirectTarget)));
        assert_eq!(bare.stats().sum(None).aborts[AbortReason::NoRedirectTarget as usize], 1);
        bench.hook.set_links(links(&[(&tail, 1 << 2), (&bare, 1), (&goes, 0)])).unwrap();
        assert_eq!((bench.run(), bench.ctx.redirect.kind), (4, RedirectKind::Ifindex));
    });
}

#[test]
fn a_run_is_of_one_set_however_often_it_is_replaced() {
    on_every_engine(|| {
        let env = env();
        let map = map(&env, MapType::Array, 4, 8, 4);
        let progs: Vec<_> = (0..4).map(|i| calls(i, 2).load(&env, std::slice::from_ref(&map))).collect();
        let hook = Hook::create(&env).unwrap();
        let sets = [&[0usize, 1][..], &[1, 2, 3], &[3, 0, 2]];
        let set = |n: usize| {
            let list: Vec<_> = sets[n].iter().map(|i| (&progs[*i], 1 << 2)).collect();
            hook.set_links(links(&list)).unwrap();
        };
        set(0);
        let replaced = crate::sync::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..2000 {
                    set(n % 3);
                }
                replaced.store(true, Ordering::Relaxed);
            });
            let worker = Worker::register(&env, 0).unwrap();
            let mut ctx = Ctx::empty();
            let mut before = noted(&map, 4);
            // SAFETY: worker and hook outlive the loop; the programs touch no packet.
            unsafe {
                ctx_init(&mut ctx, &worker, &hook).unwrap();
                while !replaced.load(Ordering::Relaxed) {
                    assert_eq!(xdp_run(&mut ctx), 2);
                    let now = noted(&map, 4);
                    let ran: Vec<_> = now.iter().zip(&before).map(|(n, b)| n - b).collect();
                    assert!([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 1]].iter().any(|s| ran == s), "{ran:?}");
                    before = now;
                    worker.quiescent();
                }
            }
        });
        // Former sets are gone with their code: the programs are the test's and the hook's.
        env.synchronize();
        assert_eq!(Arc::strong_count(&progs[2]), 2);
    });
}

#[test]
fn compiled_and_interpreted_programs_stand_at_one_hook() {
    if crate::jit::Target::HOST.is_none() {
        return;
    }
    let env = env();
    let map = map(&env, MapType::Array, 4, 8, 4);
    let load = |i: u32, engine: EngineChoice| {
        install(&env, calls(i, 2).verified(std::slice::from_ref(&map)), engine).unwrap()
    };
    let progs =
        [load(0, EngineChoice::Jit), load(1, EngineChoice::Interp), load(2, EngineChoice::JitWithoutFacts)];
    let mut bench = Bench::new(&env);
    bench.hook.set(&progs).unwrap();
    assert_eq!((bench.run(), noted(&map, 3)), (2, vec![1, 1, 1]));
    bench.hook.set(&[progs[2].clone(), progs[0].clone()]).unwrap();
    assert_eq!((bench.run(), noted(&map, 3)), (2, vec![2, 1, 2]));
}
