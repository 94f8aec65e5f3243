//! What a run sees, does and counts.

use super::*;

fn returns(code: i32) -> Asm {
    Asm::default().mov(0, code).exit()
}

#[test]
fn actions_come_back_and_are_counted_by_program_and_slot() {
    on_every_engine(|| {
        let env = env();
        for (code, action) in [(1, 1), (2, 2), (3, 3), (0, 0), (4, 0), (5, 0), (-1, 0)] {
            let prog = returns(code).load_counting(&env, &[]);
            let mut bench = Bench::in_slot(&env, 1);
            bench.hook.set(std::slice::from_ref(&prog)).unwrap();
            assert_eq!(bench.run(), action, "return {code}");
            assert_eq!(prog.stats().sum(Some(1)).actions[action as usize], 1);
            assert_eq!(prog.stats().sum(Some(0)).runs(), 0);
            assert_eq!(prog.stats().sum(None).runs(), 1);
        }
    });
}

#[test]
fn the_action_is_the_low_half_of_r0() {
    on_every_engine(|| {
        let env = env();
        let prog = Asm::default().imm64(0, 0xffff_ffff_0000_0003).exit().load(&env, &[]);
        assert_eq!(Bench::with(&env, &prog).run(), 3);
    });
}

#[test]
fn aborted_runs_are_counted_by_reason() {
    on_every_engine(|| {
        let env = env();
        let cases = [
            (returns(0), AbortReason::Returned),
            (returns(77), AbortReason::UnknownCode),
            (Asm::default().dead(), AbortReason::Fault),
            (returns(4), AbortReason::NoRedirectTarget),
        ];
        for (asm, reason) in cases {
            let prog = asm.load(&env, &[]);
            let before = env.aborts(Some(0))[reason as usize];
            let mut bench = Bench::with(&env, &prog);
            assert_eq!(bench.run(), Action::Aborted as u32);
            assert_eq!(bench.ctx.abort_reason(), Some(reason));
            assert_eq!(prog.stats().sum(None).aborts[reason as usize], 1, "{reason:?}");
            assert_eq!(env.aborts(Some(0))[reason as usize], before + 1);
        }
        // The next run starts afresh.
        let prog = returns(0).load(&env, &[]);
        let mut bench = Bench::with(&env, &prog);
        bench.ctx.set_abort(AbortReason::Fault);
        assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::Returned)));
    });
}

#[test]
fn a_hook_without_programs_aborts() {
    on_every_engine(|| {
        let env = env();
        let mut bench = Bench::new(&env);
        assert_eq!(bench.run(), 0);
        assert_eq!(bench.ctx.abort_reason(), Some(AbortReason::NoProgram));
        assert_eq!(env.aborts(None)[AbortReason::NoProgram as usize], 1);
    });
}

#[test]
fn context_fields_are_read_from_the_context() {
    on_every_engine(|| {
        let env = env();
        for (field, expected) in
            [(CtxField::IngressIfindex, 7), (CtxField::RxQueueIndex, 8), (CtxField::EgressIfindex, 9)]
        {
            // PASS where the field holds what it should.
            let prog = Asm::default()
                .ctx(2, field)
                .mov(0, 1)
                .put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, expected))
                .mov(0, 2)
                .exit();
            let mut bench = Bench::with(&env, &prog.load(&env, &[]));
            (bench.ctx.ingress_ifindex, bench.ctx.rx_queue_index, bench.ctx.egress_ifindex) = (7, 8, 9);
            assert_eq!(bench.run(), 2, "{field:?}");
        }
    });
}

/// Reads the packet's first byte as the action, and writes 0x5a there.
fn by_first_byte() -> Asm {
    Asm::default()
        .ctx(2, CtxField::Data)
        .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 0, 2, 0, 0))
        .put(Insn::new(BPF_ST | BPF_MEM | BPF_B, 2, 0, 0, 0x5a))
        .exit()
}

#[test]
fn a_program_reads_and_writes_its_packet() {
    on_every_engine(|| {
        let env = env();
        let mut bench = Bench::with(&env, &by_first_byte().load(&env, &[]));
        let mut packet = [0; 64];
        packet[0] = 3;
        bench.packet(&packet);
        assert_eq!(bench.run(), 3);
        assert_eq!(bench.bytes()[0], 0x5a);
    });
}

#[test]
fn a_burst_runs_its_packets_in_order_and_writes_back() {
    on_every_engine(|| {
        let env = env();
        // Shortens each packet by its own number of bytes, then returns its first byte.
        let prog = Asm::default()
            .mov_reg(6, 1)
            .mov(2, -4)
            .helper(44)
            .mov_reg(1, 6)
            .ctx(2, CtxField::Data)
            .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 0, 2, 4, 0))
            .exit();
        let mut bench = Bench::with(&env, &prog.load(&env, &[]));
        let mut buffers = [[0u8; 420]; 5];
        let mut pkts: Vec<Pkt> = buffers
            .iter_mut()
            .enumerate()
            .map(|(i, b)| {
                b[256] = i as u8;
                let start = b.as_mut_ptr();
                // SAFETY: all within the buffer.
                unsafe {
                    Pkt {
                        data_hard_start: start,
                        data_meta: start.add(256),
                        data: start.add(256),
                        data_end: start.add(320),
                        frame_end: start.add(420),
                        cookie: core::ptr::null_mut(),
                        rx: RxMeta::NONE,
                        frags: core::ptr::null_mut(),
                        action: 99,
                        redirect: Redirect::NONE,
                    }
                }
            })
            .collect();
        // SAFETY: the packets are in buffers of this test.
        unsafe { xdp_run_burst(&mut *bench.ctx, pkts.as_mut_ptr(), 5) };
        assert_eq!(pkts.iter().map(|p| p.action).collect::<Vec<_>>(), [0, 1, 2, 3, 0]);
        for pkt in &pkts {
            assert_eq!(pkt.data_end as usize - pkt.data as usize, 68);
            assert_eq!(pkt.data_meta, pkt.data);
        }
        // SAFETY: no packets.
        unsafe { xdp_run_burst(&mut *bench.ctx, core::ptr::null_mut(), 0) };
    });
}

#[test]
fn map_values_are_live_for_control_and_data_plane() {
    on_every_engine(|| {
        let env = env();
        let array = map(&env, MapType::Array, 4, 8, 4);
        // Adds 1 to element 2 through its address, and returns element 3's first byte through a lookup.
        let prog = Asm::default()
            .map_value(2, 0, 16)
            .mov(3, 1)
            .put(Insn::new(BPF_STX | BPF_ATOMIC | BPF_DW, 2, 3, 0, i32::from(BPF_ADD)))
            .put(Insn::new(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 3))
            .map(1, 0)
            .mov_reg(2, 10)
            .add(2, -4)
            .helper(1)
            .put(Insn::new(BPF_LDX | BPF_MEM | BPF_B, 0, 0, 0, 0))
            .exit();
        let mut bench = Bench::with(&env, &prog.load(&env, std::slice::from_ref(&array)));
        let slot = env.client_slot();
        array.update_elem(slot.slot(), &3u32.to_le_bytes(), &2u64.to_le_bytes(), 0).unwrap();
        assert_eq!(bench.run(), 2);
        array.update_elem(slot.slot(), &3u32.to_le_bytes(), &1u64.to_le_bytes(), 0).unwrap();
        assert_eq!(bench.run(), 1);
        let mut value = [0; 8];
        array.lookup_elem(&2u32.to_le_bytes(), &mut value, 0).unwrap();
        assert_eq!(u64::from_le_bytes(value), 2);
    });
}

/// A system that refuses to make memory executable.
struct Refusing;

impl CodeMemory for Refusing {
    fn alloc(&self, _: usize, _: usize) -> Result<NonNull<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    unsafe fn seal(&self, _: NonNull<u8>, _: usize) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    unsafe fn free(&self, _: NonNull<u8>, _: usize) {}
}

#[test]
fn without_executable_memory_the_interpreter_serves_and_says_so() {
    for code in [None, Some(&Refusing as &dyn CodeMemory)] {
        let env = Env::new(platform_with(code), &EnvOptions::default()).unwrap();
        let prog = install(&env, returns(3).verified(&[]), EngineChoice::Best).unwrap();
        assert_eq!(prog.engine().name(), "interp");
        assert_eq!(Bench::with(&env, &prog).run(), 3);
        // Who insists on compiled code is told.
        let insisted = install(&env, returns(3).verified(&[]), EngineChoice::Jit);
        assert_eq!(insisted.unwrap_err(), Errno::EOPNOTSUPP);
    }
}

#[test]
fn a_redirect_without_a_target_is_aborted_whatever_the_run_before_did() {
    on_every_engine(|| {
        let env = env();
        // bpf_redirect(7, 0), for the first packet alone.
        let goes = Asm::default().mov(1, 7).mov(2, 0).helper(23).exit();
        let bare = || Asm::default().mov(0, 4).exit();
        let calling = || Asm::default().helper(5).mov(0, 4).exit();
        let goes = goes.load(&env, &[]);
        let mut bench = Bench::new(&env);
        for next in [bare().load(&env, &[]), calling().load(&env, &[])] {
            bench.hook.set(std::slice::from_ref(&goes)).unwrap();
            assert_eq!((bench.run(), bench.ctx.redirect.kind), (4, RedirectKind::Ifindex));
            bench.hook.set(std::slice::from_ref(&next)).unwrap();
            assert_eq!((bench.run(), bench.ctx.abort_reason()), (0, Some(AbortReason::NoRedirectTarget)));
        }
    });
}
