//! The run path allocates nothing: a counting allocator sees a million packets with the helpers that programs call most. The programs of `tests/tests/helpers` are counted in
//! the same way, with every helper.

use super::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct CountingAllocator;

#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator;

// SAFETY: the system's allocator does the work; counting touches a thread's own cell.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    /// Forwarded, so that lazily zeroed memory stays that.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Calls them; maps: a prog array, a hash, an array that holds a text, a queue, a per-CPU array, a device map, a ring buffer, perf events, a value with a timer.
fn many_helpers() -> Asm {
    let mut asm = Asm::default().mov_reg(6, 1);
    let fp = |asm: Asm, reg: u8, off: i32| asm.mov_reg(reg, 10).add(reg, off);
    let store =
        |asm: Asm, off: i16, value: i32| asm.put(Insn::new(BPF_ST | BPF_MEM | BPF_DW, 10, 0, off, value));
    asm = store(store(asm, -8, 7), -16, 9);
    // A record that could not be had is not given back.
    let unless_null =
        |asm: Asm| asm.put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3, 0)).mov_reg(1, 0).mov(2, 0);
    const NEW: u32 = crate::helpers::ITER_NUM_NEW;
    let order = [
        5,
        7,
        8,
        188,
        44,
        54,
        65,
        189,
        190,
        28,
        182,
        6,
        2,
        1,
        3,
        87,
        89,
        88,
        195,
        51,
        23,
        131,
        132,
        131,
        133,
        130,
        134,
        25,
        181,
        164,
        93,
        94,
        169,
        170,
        171,
        172,
        NEW,
        NEW + 1,
        NEW + 2,
        12,
    ];
    for id in order {
        asm = match id {
            188 => asm.mov_reg(1, 6),
            44 | 54 | 65 => asm.mov_reg(1, 6).mov(2, 0),
            189 | 190 => fp(asm.mov_reg(1, 6).mov(2, 20), 3, -24).mov(4, 8),
            28 => fp(asm.mov(1, 0).mov(2, 0), 3, -16).mov(4, 16).mov(5, 0),
            182 => fp(asm, 1, -16).mov(2, 8).map_value(3, 2, 0),
            6 => asm.map_value(1, 2, 0).mov(2, 16).mov(3, -5).mov(4, 0).mov(5, 0),
            1 | 3 => fp(asm.map(1, 1), 2, -8),
            2 => fp(fp(asm.map(1, 1), 2, -8), 3, -16).mov(4, 0),
            12 => asm.mov_reg(1, 6).map(2, 0).mov(3, 0),
            87 => fp(asm.map(1, 3), 2, -16).mov(3, 0),
            88 | 89 => fp(asm.map(1, 3), 2, -24),
            195 => fp(asm.map(1, 4), 2, -16).mov(3, 1),
            51 => asm.map(1, 5).mov(2, 0).mov(3, 2),
            23 => asm.mov(1, 3).mov(2, 0),
            131 => asm.map(1, 6).mov(2, 16).mov(3, 0),
            132 | 133 => unless_null(asm),
            130 => fp(asm.map(1, 6), 2, -16).mov(3, 16).mov(4, 0),
            134 => asm.map(1, 6).mov(2, 0),
            25 => fp(asm.mov_reg(1, 6).map(2, 7).imm64(3, 0xffff_ffff), 4, -16).mov(5, 16),
            181 => fp(asm.mov(1, 2).func(2, 1), 3, -8).mov(4, 0),
            164 => asm.map(1, 2).func(2, 1).mov(3, 0).mov(4, 0),
            93 | 94 => asm.map_value(1, 2, 8),
            169 => asm.map_value(1, 8, 8).map(2, 8).mov(3, 1),
            170 => asm.map_value(1, 8, 8).func(2, 1),
            171 => asm.map_value(1, 8, 8).mov(2, 0).mov(3, 0),
            172 => asm.map_value(1, 8, 8),
            NEW => fp(asm, 1, -32).mov(2, 3).mov(3, 5),
            1_000.. => fp(asm, 1, -32),
            _ => asm,
        }
        .helper(id);
    }
    asm.mov(0, 2).exit().function().mov(0, 0).exit()
}

#[test]
fn a_million_packets_with_many_helpers_allocate_nothing() {
    on_every_engine(|| {
        let env = env();
        let maps = [
            map(&env, MapType::ProgArray, 4, 4, 1),
            map(&env, MapType::Hash, 8, 8, 16),
            map(&env, MapType::Array, 4, 16, 1),
            map(&env, MapType::Queue, 0, 8, 4),
            map(&env, MapType::PercpuArray, 4, 8, 16),
            map(&env, MapType::Devmap, 4, 4, 1),
            map(&env, MapType::Ringbuf, 0, 0, 4096),
            map(&env, MapType::PerfEventArray, 4, 4, 2),
            timers::with_timers(&env, MapType::Array, 1),
        ];
        maps[2].update_elem(env.client_slot().slot(), &[0; 4], b"n %d%u%c\0\0\0\0\0\0\0\0", 0).unwrap();
        maps[7].perf_open(0).unwrap();
        env.update_elem(&maps[5], &[0; 4], &[3, 0, 0, 0], 0).unwrap();
        let prog = many_helpers().load(&env, &maps);
        let mut bench = Bench::with(&env, &prog);
        bench.run();
        let before = ALLOCATIONS.get();
        for _ in 0..334_000 {
            if bench.run() != 2 {
                break;
            }
            bench.worker.run_timers(1);
            bench.worker.quiescent();
        }
        let counted = ALLOCATIONS.get() - before;
        assert_eq!((counted, bench.ctx.abort_reason()), (0, None));
        maps[8].drop_user(&mut |old| env.retire(old));
    });
}
