//! Locks in map values: they exclude, they end a run rather than wait for ever, and no end of a run leaves one behind.

use super::*;
use crate::maps::ValueFields;

const LOCK: u32 = 93;
const UNLOCK: u32 = 94;

/// An array of one value: a lock, and a number at 8.
fn locked(env: &Env) -> Arc<Map> {
    let fields = ValueFields { spin_lock: Some(0), timer: None };
    let spec = MapSpec { fields, ..MapSpec::new(MapType::Array, 4, 24, 1) };
    create_maps(env, &[MapDef { name: "m", spec, reuse: None }], None).unwrap()[0].clone()
}

/// The lock's word as it stands in memory.
fn word(map: &Map) -> u32 {
    // SAFETY: the first bytes of the map's only value.
    unsafe { (map.array().unwrap().base as *const u32).read_volatile() }
}

fn set_word(map: &Map, word: u32) {
    // SAFETY: as above.
    unsafe { (map.array().unwrap().base as *mut u32).write_volatile(word) }
}

/// Adds 1 to both numbers of the value, between lock and unlock, by loads and stores.
fn adds_under_lock() -> Asm {
    let mut asm = Asm::default().map_value(6, 0, 0).mov_reg(1, 6).helper(LOCK);
    for off in [8, 16] {
        asm = asm.put(Insn::new(BPF_LDX | BPF_MEM | BPF_DW, 2, 6, off, 0)).add(2, 1).put(Insn::new(
            BPF_STX | BPF_MEM | BPF_DW,
            6,
            2,
            off,
            0,
        ));
    }
    asm.mov_reg(1, 6).helper(UNLOCK).mov(0, 2).exit()
}

#[test]
fn a_lock_names_its_holder_and_is_free_again_afterwards() {
    on_every_engine(|| {
        let env = env();
        let map = locked(&env);
        let prog = Asm::default().map_value(6, 0, 0).mov_reg(1, 6).helper(LOCK);
        let prog = prog.put(Insn::new(BPF_LDX | BPF_MEM | BPF_W, 7, 6, 0, 0)).mov_reg(1, 6).helper(UNLOCK);
        let prog = prog.mov_reg(0, 7).exit().load(&env, std::slice::from_ref(&map));
        let mut bench = Bench::in_slot(&env, 1);
        bench.hook.set(std::slice::from_ref(&prog)).unwrap();
        assert_eq!(bench.run(), 2, "slot 1 holds it as 2");
        assert_eq!(word(&map), 0);
    });
}

#[test]
fn workers_and_copies_exclude_each_other() {
    let rounds: u64 = if cfg!(miri) { 20 } else { 20_000 };
    on_every_engine(|| {
        let env = env();
        let map = locked(&env);
        let prog = adds_under_lock().load(&env, std::slice::from_ref(&map));
        std::thread::scope(|scope| {
            for slot in [0, 1] {
                let (env, prog) = (env.clone(), prog.clone());
                scope.spawn(move || {
                    let mut bench = Bench::in_slot(&env, slot);
                    bench.hook.set(std::slice::from_ref(&prog)).unwrap();
                    for _ in 0..rounds {
                        assert_eq!(bench.run(), 2);
                        bench.worker.quiescent();
                    }
                });
            }
            // Under the lock both numbers are always the same.
            for _ in 0..200 {
                let mut value = [0; 24];
                match map.lookup_elem(&[0; 4], &mut value, 4) {
                    Ok(()) => assert_eq!(value[8..16], value[16..24]),
                    Err(e) => assert_eq!(e, Errno::EBUSY),
                }
            }
        });
        let mut value = [0; 24];
        map.lookup_elem(&[0; 4], &mut value, 0).unwrap();
        let sum = 2 * rounds;
        assert_eq!((&value[8..16], &value[16..24]), (&sum.to_le_bytes()[..], &sum.to_le_bytes()[..]));
    });
}

#[test]
fn a_lock_that_is_never_given_back_ends_runs_and_refuses_copies() {
    on_every_engine(|| {
        let env = env();
        let map = locked(&env);
        let prog = adds_under_lock().load(&env, std::slice::from_ref(&map));
        let mut bench = Bench::with(&env, &prog);
        set_word(&map, 7);
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Lock)));
        assert_eq!(prog.stats().sum(None).aborts[AbortReason::Lock as usize], 1);
        assert_eq!(word(&map), 7, "whoever holds it keeps it");
        let mut value = [0; 24];
        assert_eq!(map.lookup_elem(&[0; 4], &mut value, 4), Err(Errno::EBUSY));
        let slot = env.client_slot();
        assert_eq!(map.update_elem(slot.slot(), &[0; 4], &value, 4), Err(Errno::EBUSY));
        // Copies without the flag do not ask for it, and leave it alone.
        map.update_elem(slot.slot(), &[0; 4], &[0xff; 24], 0).unwrap();
        assert_eq!(word(&map), 7);
        map.update_elem(slot.slot(), &[0; 4], &[0; 24], 0).unwrap();
        set_word(&map, 0);
        assert_eq!(bench.run(), 2);
    });
}

#[test]
fn a_run_that_ends_inside_gives_its_lock_back() {
    on_every_engine(|| {
        let env = env();
        let map = locked(&env);
        let prog = Asm::default().map_value(1, 0, 0).helper(LOCK).dead();
        let prog = prog.load(&env, std::slice::from_ref(&map));
        let mut bench = Bench::with(&env, &prog);
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Fault)));
        assert_eq!((word(&map), bench.ctx.lock.is_null()), (0, true));
    });
}
