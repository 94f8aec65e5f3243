//! Packets in several buffers, and programs that take them or do not.

use super::*;

const GET_BUFF_LEN: u32 = 188;

/// Returns XDP_PASS where it sees 64 bytes, XDP_TX where it sees more.
fn sees(frags: bool) -> Program<Verified> {
    let jump = Insn::new(BPF_JMP | BPF_JLE | BPF_K, 6, 0, 1, 64);
    let asm = Asm { frags, ..Asm::default() };
    asm.helper(GET_BUFF_LEN).mov_reg(6, 0).mov(0, 2).put(jump).mov(0, 3).exit().verified(&[])
}

fn load(env: &Arc<Env>, program: Program<Verified>) -> Arc<Prog> {
    install(env, program, CHOICE.get()).unwrap()
}

/// Runs the bench's packet with ten bytes more in a second buffer, alone and as a burst of one.
fn run_chain(bench: &mut Bench) -> [u32; 2] {
    let mut more = [7u8; 10];
    let mut frags = Frags::EMPTY;
    frags.nr = 1;
    frags.frags[0] = Frag { data: more.as_mut_ptr(), len: 10, room: 10, cookie: core::ptr::null_mut() };
    bench.ctx.frags = &raw mut frags;
    let alone = bench.run();
    let c = &*bench.ctx;
    let mut pkt = Pkt { frags: c.frags, action: 99, ..Pkt::EMPTY };
    (pkt.data_hard_start, pkt.data_meta, pkt.data) = (c.data_hard_start, c.data_meta, c.data);
    (pkt.data_end, pkt.frame_end) = (c.data_end, c.frame_end);
    // SAFETY: the packet's pointers are those of the bench's buffer.
    unsafe { xdp_run_burst(&mut *bench.ctx, &raw mut pkt, 1) };
    bench.ctx.frags = core::ptr::null_mut();
    [alone, pkt.action]
}

#[test]
fn a_program_that_takes_fragments_sees_all_of_the_packet() {
    on_every_engine(|| {
        let env = env();
        let mut bench = Bench::with(&env, &load(&env, sees(true)));
        assert_eq!(run_chain(&mut bench), [3, 3]);
        assert_eq!(bench.run(), 2, "one buffer");
        assert!(bench.hook.takes_frags());
    });
}

#[test]
fn a_program_without_frags_is_not_run_on_a_packet_in_several_buffers() {
    on_every_engine(|| {
        let env = env();
        let prog = load(&env, sees(false));
        let mut bench = Bench::with(&env, &prog);
        assert_eq!(run_chain(&mut bench), [0, 0]);
        assert_eq!(bench.ctx.abort_reason(), Some(AbortReason::SeveralBuffers));
        let counted = |aborts: [u64; AbortReason::COUNT]| aborts[AbortReason::SeveralBuffers as usize];
        assert_eq!((counted(prog.stats().sum(None).aborts), counted(env.aborts(None))), (2, 2));
        assert_eq!(bench.run(), 2, "one buffer is what it takes");

        // No fragments is one buffer, too.
        let mut none = Frags::EMPTY;
        bench.ctx.frags = &raw mut none;
        assert_eq!(bench.run(), 2);
        bench.ctx.frags = core::ptr::null_mut();
    });
}

#[test]
fn one_program_without_frags_keeps_them_from_all_that_are_attached() {
    on_every_engine(|| {
        let env = env();
        let mut bench = Bench::new(&env);
        bench.hook.set(&[load(&env, sees(true)), load(&env, sees(false))]).unwrap();
        assert_eq!(run_chain(&mut bench), [0, 0]);
        assert!(!bench.hook.takes_frags());
        bench.hook.set(&[load(&env, sees(true)), load(&env, sees(true))]).unwrap();
        assert_eq!(run_chain(&mut bench), [3, 3]);
    });
}

#[test]
fn helpers_of_a_program_without_frags_see_the_first_buffer_alone() {
    on_every_engine(|| {
        let env = env();
        // The entry itself, as a host may call it that asks nobody.
        let mut bench = Bench::with(&env, &load(&env, sees(false)));
        let mut more = [7u8; 10];
        let mut frags = Frags::EMPTY;
        frags.nr = 1;
        frags.frags[0] = Frag { data: more.as_mut_ptr(), len: 10, room: 10, cookie: core::ptr::null_mut() };
        bench.ctx.frags = &raw mut frags;
        // SAFETY: the hook's entry, with a context of that hook.
        let code = unsafe { Hook::of(&raw const *bench.ctx).entry()(&raw mut *bench.ctx) };
        assert!(matches!(code, 0 | 2), "refused, or nothing seen of the second buffer: {code}");
        bench.ctx.frags = core::ptr::null_mut();
    });
}
