//! Frames, calls and returns: System V, with the context pinned.
//!
//! ```text
//! higher    return address
//!           saved registers, pushed in order of their number
//!           padding, where the function calls something, to 16 bytes
//!           BPF stack      <- r10 is its upper end
//!           spill slots    <- rsp, or below it: a small frame of a function that calls nothing lives in the red zone
//! ```
//!
//! A function that needs none of this has no frame at all.

use super::enc::{self, Arith, Cc, Mem, W, modrm, op, op_0f};
use super::masm::Assembler;
use super::regs::*;
use crate::jit::buffer::Label;
use crate::jit::masm::{Externs, FrameSpec, Opnd, ReturnMode};
use crate::maps::ProgArrayGeometry;
use crate::regalloc::{Allocation, PReg};
use crate::vm::{AbortReason, RedirectKind};
use dynasm::dynasm;

/// Bytes below `rsp` that nothing else touches.
const RED_ZONE: i32 = 128;

/// Where things are in the frame of one function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameLayout {
    /// Registers to push, as a set.
    saved: u32,
    /// Bytes below them that `rsp` moves.
    adjust: i32,
    /// First spill slot, from `rsp`.
    pub(crate) slots_at: i32,
    /// r10, from `rsp`.
    pub(crate) fp_at: i32,
    /// All bytes, the return address included.
    pub(crate) bytes: u32,
    /// Whether the context is in `rdi`.
    env_in_rdi: bool,
    /// Whether the context arrives in `rdi` and moves to `rbx`.
    takes_env: bool,
}

impl FrameLayout {
    fn new(spec: &FrameSpec, alloc: &Allocation) -> Self {
        let env_in_rdi = spec.main && spec.leaf;
        let takes_env = spec.main && !spec.leaf;
        let mut saved = alloc.used.0 & CALLEE_SAVED.0;
        if takes_env {
            saved |= 1 << RBX.0;
        }
        let pushed = 8 * saved.count_ones() as i32;
        let locals = 8 * alloc.slots as i32 + spec.bpf_stack as i32;
        let red_zone = spec.leaf && locals <= RED_ZONE;
        let padded = if spec.leaf { locals } else { ((8 + pushed + locals + 15) & !15) - 8 - pushed };
        let slots_at = if red_zone { -locals } else { 0 };
        FrameLayout {
            saved,
            adjust: if red_zone { 0 } else { padded },
            slots_at,
            fp_at: slots_at + locals,
            bytes: (8 + pushed + padded) as u32,
            env_in_rdi,
            takes_env,
        }
    }

    fn saved(self) -> impl DoubleEndedIterator<Item = PReg> {
        (0..16).map(PReg).filter(move |r| self.saved >> r.0 & 1 == 1)
    }

    /// Where the context's address is.
    pub(crate) const fn env(self) -> PReg {
        if self.env_in_rdi { RDI } else { RBX }
    }
}

impl Assembler {
    pub(crate) fn prologue(&mut self, spec: &FrameSpec, alloc: &Allocation) {
        self.frame = FrameLayout::new(spec, alloc);
        for r in self.frame.saved() {
            enc::push(&mut self.buf, r);
        }
        if self.frame.adjust != 0 {
            enc::arith_imm(&mut self.buf, W::Q, Arith::Sub, RSP, self.frame.adjust);
        }
        if self.frame.takes_env {
            enc::mov(&mut self.buf, W::Q, RBX, RDI);
        }
        self.clear_stack(spec);
    }

    /// Clears the slots that may be read before they are written: pairs with one store.
    fn clear_stack(&mut self, spec: &FrameSpec) {
        let slots = spec.bpf_stack / 8;
        let wanted = |i: u32| i < slots && spec.clear >> i & 1 == 1;
        let mut i = 0;
        let mut ready = false;
        while i < slots {
            if !wanted(i) {
                i += 1;
                continue;
            }
            if !core::mem::replace(&mut ready, true) {
                let buf = &mut self.buf;
                dynasm!(buf ; .arch x64 ; xorps xmm0, xmm0);
            }
            let pair = wanted(i + 1);
            i += 1 + u32::from(pair);
            let m = Mem::new(RSP, self.frame.fp_at - 8 * i as i32);
            if pair {
                modrm(&mut self.buf, W::D, op_0f(0x11), 0, m); // movups [m], xmm0
            } else {
                modrm(&mut self.buf, W::D, op_0f(0x13), 0, m); // movlps [m], xmm0
            }
        }
    }

    /// Gives the frame back; keeps flags out of the bargain, and every register but those that it restores.
    pub(crate) fn epilogue(&mut self) {
        if self.frame.adjust != 0 {
            enc::arith_imm(&mut self.buf, W::Q, Arith::Add, RSP, self.frame.adjust);
        }
        for r in self.frame.saved().rev() {
            enc::pop(&mut self.buf, r);
        }
    }

    pub(crate) fn ret_op(&mut self, mode: ReturnMode, value: Opnd, slow: Label) {
        self.mov_to(RAX, value);
        if mode == ReturnMode::Action {
            match value {
                Opnd::Imm(1..=3) => {}
                Opnd::Imm(_) | Opnd::None => return enc::jmp(&mut self.buf, slow),
                _ => self.check_action(slow),
            }
        }
        self.epilogue();
        self.buf.push(0xc3);
    }

    /// To `slow` unless `eax` is 1 to 3: whether a redirect has a target is judged there.
    fn check_action(&mut self, slow: Label) {
        enc::lea(&mut self.buf, W::D, RCX, Mem::new(RAX, -1));
        enc::arith_imm(&mut self.buf, W::D, Arith::Cmp, RCX, 2);
        enc::jcc(&mut self.buf, Cc::A, slow);
    }

    /// The code is in `rax`. Such an entry did not prepare the context: what earlier runs left there goes now.
    pub(crate) fn slow_return_op(&mut self, ext: &Externs) {
        enc::mov(&mut self.buf, W::Q, RSI, RAX);
        let env = self.frame.env();
        enc::store_imm(&mut self.buf, W::D, Mem::new(env, ext.tail_calls), 0);
        enc::store_imm(&mut self.buf, W::D, Mem::new(env, ext.abort), 0);
        if !ext.redirects {
            self.forget_redirect_op(ext);
        }
        if env != RDI {
            enc::mov(&mut self.buf, W::Q, RDI, env);
        }
        self.epilogue();
        self.far(0xe9, ext.on_abort);
    }

    pub(crate) fn forget_redirect_op(&mut self, ext: &Externs) {
        let m = Mem::new(self.frame.env(), ext.redirect);
        enc::store_imm(&mut self.buf, W::D, m, RedirectKind::None as i32);
    }

    /// `call` or `jmp` to an address.
    pub(super) fn far(&mut self, opcode: u8, target: usize) {
        self.buf.extend(&[opcode, 0, 0, 0, 0]);
        self.buf.extern_field(target);
    }

    pub(crate) fn call_helper_op(&mut self, target: usize) {
        let env = self.frame.env();
        enc::mov(&mut self.buf, W::Q, R9, env);
        self.far(0xe8, target);
    }

    pub(crate) fn call_func_op(&mut self, target: Label) {
        self.buf.extend(&[0xe8, 0, 0, 0, 0]);
        self.buf.far_field(target);
    }

    /// Through the record whose address is the last operand.
    pub(crate) fn call_value_op(&mut self) {
        let env = self.frame.env();
        enc::mov(&mut self.buf, W::Q, R9, env);
        modrm(&mut self.buf, W::D, op(0xff), 2, Mem::new(CALL_OPERANDS[5], 0));
    }

    /// Twice: the stack stays aligned.
    pub(crate) fn keep_prog_op(&mut self, ext: &Externs) -> u32 {
        let m = Mem::new(self.frame.env(), ext.prog);
        for _ in 0..2 {
            modrm(&mut self.buf, W::D, op(0xff), 6, m); // push [prog]
        }
        16
    }

    /// To `r10`, which no result is in.
    pub(crate) fn take_prog_op(&mut self) {
        enc::pop(&mut self.buf, R10);
        enc::pop(&mut self.buf, R10);
    }

    pub(crate) fn name_prog_op(&mut self, ext: &Externs) {
        modrm(&mut self.buf, W::Q, op(0x89), R10.0, Mem::new(self.frame.env(), ext.prog));
    }

    /// As a helper is called, with the context in `r9`; the function has it in `rbx`.
    pub(crate) fn thunk_op(&mut self, func: Label) -> u32 {
        let at = self.buf.offset();
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; push rbx ; mov rbx, r9);
        self.call_func_op(func);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; pop rbx ; ret);
        at
    }

    /// Kernel: `bpf_tail_call` compares the index as 32 bits, then the count, then looks for a program; so does this.
    pub(crate) fn tail_call_op(&mut self, ext: &Externs, table: &ProgArrayGeometry, index: Opnd) {
        let out = self.buf.new_label();
        let env = self.frame.env();
        match index {
            Opnd::Reg(r) => enc::mov(&mut self.buf, W::D, R10, r),
            _ => {
                self.mov_to(R10, index);
                enc::mov(&mut self.buf, W::D, R10, R10);
            }
        }
        enc::mov_imm(&mut self.buf, R11, i64::from(table.max_entries));
        enc::arith(&mut self.buf, W::D, Arith::Cmp, R10, R11);
        enc::jcc(&mut self.buf, Cc::Ae, out);
        let count = Mem::new(env, ext.tail_calls);
        enc::arith_imm(&mut self.buf, W::D, Arith::Cmp, count, ext.tail_call_limit);
        enc::jcc(&mut self.buf, Cc::Ae, out);
        enc::mov_imm(&mut self.buf, R11, table.shadow as i64);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; mov r11, [r11 + r10 * 8]);
        modrm(&mut self.buf, W::Q, op(0x85), R11.0, R11);
        enc::jcc(&mut self.buf, Cc::E, out);
        modrm(&mut self.buf, W::D, op(0xff), 0, count);
        modrm(&mut self.buf, W::Q, op(0x89), R11.0, Mem::new(env, ext.prog)); // mov [prog], r11
        if env != RDI {
            enc::mov(&mut self.buf, W::Q, RDI, env);
        }
        self.epilogue();
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; mov rsi, r11 ; jmp QWORD [r11] ; =>out);
    }

    /// The target is found by a call, which counts, too.
    pub(crate) fn tail_call_any_op(&mut self, ext: &Externs) {
        let out = self.buf.new_label();
        let env = self.frame.env();
        self.call_helper_op(ext.tail_target);
        modrm(&mut self.buf, W::Q, op(0x85), RAX.0, RAX);
        enc::jcc(&mut self.buf, Cc::E, out);
        enc::mov(&mut self.buf, W::Q, R11, RAX);
        if env != RDI {
            enc::mov(&mut self.buf, W::Q, RDI, env);
        }
        self.epilogue();
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; mov rsi, r11 ; jmp QWORD [r11] ; =>out);
    }

    pub(crate) fn branch_if_aborted_op(&mut self, ext: &Externs, to: Label) {
        let m = Mem::new(self.frame.env(), ext.abort);
        enc::arith_imm(&mut self.buf, W::D, Arith::Cmp, m, 0);
        enc::jcc(&mut self.buf, Cc::Ne, to);
    }

    /// The first reason stays.
    pub(crate) fn set_abort_op(&mut self, ext: &Externs, why: AbortReason) {
        let known = self.buf.new_label();
        self.branch_if_aborted_op(ext, known);
        let m = Mem::new(self.frame.env(), ext.abort);
        enc::store_imm(&mut self.buf, W::D, m, why as i32 + 1);
        self.buf.dynamic_label(known);
    }

    /// The budget has no sign.
    pub(crate) fn spend_op(&mut self, ext: &Externs, cost: i32, to: Label) {
        let m = Mem::new(self.frame.env(), ext.budget);
        enc::arith_imm(&mut self.buf, W::Q, Arith::Sub, m, cost);
        enc::jcc(&mut self.buf, Cc::B, to);
    }

    /// Beneath the red zone, which holds the frames of small functions.
    pub(crate) fn ask_for_more_op(&mut self, refill: Label, back: Label, ended: Label) {
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; lea rsp, [rsp - RED_ZONE]);
        self.call_func_op(refill);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; lea rsp, [rsp + RED_ZONE]);
        enc::jcc(&mut self.buf, Cc::Ne, back);
        enc::jmp(&mut self.buf, ended);
    }

    /// The answer is in the flags, which what follows the test leaves alone.
    pub(crate) fn refill_op(&mut self, ext: &Externs) {
        const CLOBBERED: [PReg; 9] = [RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11];
        for r in CLOBBERED {
            enc::push(&mut self.buf, r);
        }
        let env = self.frame.env();
        if env != RDI {
            enc::mov(&mut self.buf, W::Q, RDI, env);
        }
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64
            ; mov rax, rsp
            ; and rsp, -16
            ; push rax
            ; push rax);
        self.far(0xe8, ext.refill);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64
            ; mov rsp, [rsp]
            ; test eax, eax);
        for r in CLOBBERED.iter().rev() {
            enc::pop(&mut self.buf, *r);
        }
        self.buf.push(0xc3);
    }

    /// Stores a constant of 64 bits into the context, which is in `rdi`; takes `rax` where it is wide.
    fn store_context(&mut self, offset: i32, value: u64) {
        let m = Mem::new(RDI, offset);
        match i32::try_from(value as i64) {
            Ok(value) => enc::store_imm(&mut self.buf, W::Q, m, value),
            Err(_) => {
                enc::mov_imm(&mut self.buf, RAX, value as i64);
                modrm(&mut self.buf, W::Q, op(0x89), RAX.0, m);
            }
        }
    }

    pub(crate) fn wrapper_op(&mut self, ext: &Externs, main: Label) {
        let (slow, aborted) = (self.buf.new_label(), self.buf.new_label());
        let (tail_calls, abort) = (ext.tail_calls, ext.abort);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64
            ; push rbx
            ; mov rbx, rdi
            ; mov DWORD [rdi + tail_calls], 0
            ; mov DWORD [rdi + abort], 0);
        self.store_context(ext.budget, ext.limit);
        for (offset, value) in ext.beyond.iter().flatten() {
            self.store_context(*offset, *value);
        }
        if ext.redirects {
            enc::store_imm(&mut self.buf, W::D, Mem::new(RDI, ext.redirect), RedirectKind::None as i32);
        }
        self.call_func_op(main);
        self.check_action(slow);
        enc::arith_imm(&mut self.buf, W::D, Arith::Cmp, Mem::new(RBX, abort), 0);
        enc::jcc(&mut self.buf, Cc::Ne, aborted);
        enc::store_imm(&mut self.buf, W::Q, Mem::new(RBX, ext.prog), 0);
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64
            ; pop rbx
            ; ret
            ; =>aborted
            ; xor eax, eax
            ; =>slow
            ; mov rsi, rax
            ; mov rdi, rbx
            ; pop rbx);
        if !ext.redirects {
            enc::store_imm(&mut self.buf, W::D, Mem::new(RDI, ext.redirect), RedirectKind::None as i32);
        }
        self.far(0xe9, ext.on_abort);
    }

    pub(crate) fn veneer_op(&mut self, target: usize) {
        let buf = &mut self.buf;
        dynasm!(buf ; .arch x64 ; jmp QWORD [rip]);
        self.buf.push_i64(target as i64);
    }
}
