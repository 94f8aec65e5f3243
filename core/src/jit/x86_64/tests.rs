//! Encodings against dynasmrt: our buffer under its macro, and our short forms against its own for fixed registers.

use super::enc::{self, Arith, Cc, Mem, Shift, W, modrm, op, op_0f};
use super::regs::*;
use crate::jit::buffer::CodeBuffer;
use dynasm::dynasm;
use dynasmrt::{DynasmApi as _, DynasmLabelApi as _, SimpleAssembler, VecAssembler, x64::X64Relocation};
use dynasmrt_std as dynasmrt;

fn bytes(buf: CodeBuffer) -> std::vec::Vec<u8> {
    buf.finish().unwrap().0.to_vec()
}

/// One sequence through both assemblers, with labels in both directions and both sizes of jump.
macro_rules! sequence {
    ($name:expr, $back:expr, $ahead:expr) => {{
        let (rq, byte, long, wide) = (9u8, -7i8, 0x1234_5678i32, 0x0123_4567_89ab_cdefi64);
        dynasm!($name ; .arch x64
            ; =>$back
            ; push rbx ; mov rbx, rdi ; mov DWORD [rdi + long], 0
            ; add Rq(rq), BYTE byte ; mov Rq(rq), QWORD wide ; lock cmpxchg [r10 + 8], rdx
            ; jz BYTE =>$ahead ; test r11d, r11d ; jne =>$back ; cqo ; idiv r11 ; xorps xmm0, xmm0
            ; =>$ahead
            ; jmp QWORD [rip] ; mov r11, [r11 + r10 * 8] ; call =>$back ; pop rbx ; ret)
    }};
}

#[test]
fn our_buffer_has_the_bytes_of_dynasmrt() {
    let mut ours = CodeBuffer::new();
    let (back, ahead) = (ours.new_label(), ours.new_label());
    sequence!(ours, back, ahead);
    let mut theirs = VecAssembler::<X64Relocation>::new(0);
    let (back, ahead) = (theirs.new_dynamic_label(), theirs.new_dynamic_label());
    sequence!(theirs, back, ahead);
    assert_eq!(bytes(ours), theirs.finalize().unwrap());
}

/// What one function of ours writes, and the same instruction for dynasmrt.
macro_rules! same {
    ($(|$b:ident| $ours:expr => { $($theirs:tt)* })*) => {{
        let mut wrong = std::vec::Vec::new();
        $({
        let mut $b = CodeBuffer::new();
        $ours;
        let mut theirs = SimpleAssembler::new();
        dynasm!(theirs ; .arch x64 ; $($theirs)*);
        let (ours, theirs) = (bytes($b), theirs.finalize());
        if ours != theirs {
            wrong.push((stringify!($($theirs)*), ours, theirs));
        }
        })*
        assert!(wrong.is_empty(), "{wrong:02x?}");
    }};
}

fn at(base: crate::regalloc::PReg, disp: i32) -> Mem {
    Mem::new(base, disp)
}

#[test]
fn short_forms_are_those_of_dynasmrt() {
    same! {
        |b| enc::arith(&mut b, W::Q, Arith::Add, RCX, at(RDX, 8)) => { add rcx, [rdx + 8] }
        |b| enc::arith(&mut b, W::D, Arith::Xor, R9, at(R13, 0)) => { xor r9d, [r13] }
        |b| enc::arith(&mut b, W::Q, Arith::Sub, RAX, at(RSP, 16)) => { sub rax, [rsp + 16] }
        |b| enc::arith(&mut b, W::D, Arith::Cmp, RSI, at(R12, 0x1234)) => { cmp esi, [r12 + 0x1234] }
        |b| enc::arith_imm(&mut b, W::Q, Arith::And, RBP, -2) => { and rbp, BYTE -2 }
        |b| enc::arith_imm(&mut b, W::D, Arith::Or, R8, 0x1000) => { or r8d, DWORD 0x1000 }
        |b| enc::mov(&mut b, W::Q, RDI, at(RBP, 0)) => { mov rdi, [rbp + 0] }
        |b| enc::mov(&mut b, W::D, R14, at(RAX, -128)) => { mov r14d, [rax - 128] }
        |b| enc::mov(&mut b, W::D, R14, at(RAX, 128)) => { mov r14d, [rax + 128] }
        |b| enc::mov(&mut b, W::Q, RAX, Mem { base: R11, index: Some(R10), disp: 0 }) => { mov rax, [r11 + r10] }
        |b| enc::mov_imm(&mut b, RAX, 2) => { mov eax, DWORD 2 }
        |b| enc::mov_imm(&mut b, R10, -1) => { mov r10, DWORD -1 }
        |b| enc::mov_imm(&mut b, R15, 0x0123_4567_89ab_cdef) => { mov r15, QWORD 0x0123_4567_89ab_cdef }
        |b| enc::store(&mut b, W::B, at(RAX, 1), RSI) => { mov [rax + 1], sil }
        |b| enc::store(&mut b, W::B, at(RAX, 1), RCX) => { mov [rax + 1], cl }
        |b| enc::store(&mut b, W::H, at(R8, 2), R9) => { mov [r8 + 2], r9w }
        |b| enc::store(&mut b, W::Q, at(RSP, 0), RDX) => { mov [rsp], rdx }
        |b| enc::store_imm(&mut b, W::B, at(RDI, 3), -1) => { mov BYTE [rdi + 3], BYTE -1 }
        |b| enc::store_imm(&mut b, W::H, at(RDI, 3), 0x1234) => { mov WORD [rdi + 3], WORD 0x1234 }
        |b| enc::store_imm(&mut b, W::Q, at(RDI, 3), -5) => { mov QWORD [rdi + 3], DWORD -5 }
        |b| enc::lea(&mut b, W::Q, RCX, Mem { base: R13, index: Some(RAX), disp: 0 }) => { lea rcx, [r13 + rax + 0] }
        |b| enc::lea(&mut b, W::D, RCX, at(RAX, -1)) => { lea ecx, [rax - 1] }
        |b| enc::shift_imm(&mut b, W::Q, Shift::Shl, R12, 7) => { shl r12, BYTE 7 }
        |b| enc::shift_imm(&mut b, W::H, Shift::Rol, RDX, 8) => { rol dx, BYTE 8 }
        |b| enc::shiftx(&mut b, W::Q, Shift::Sar, RAX, R9, RCX) => { sarx rax, r9, rcx }
        |b| enc::shiftx(&mut b, W::D, Shift::Shl, R10, RDX, R15) => { shlx r10d, edx, r15d }
        |b| enc::shiftx(&mut b, W::Q, Shift::Shr, R8, R11, R10) => { shrx r8, r11, r10 }
        |b| enc::bswap(&mut b, W::D, R9) => { bswap r9d }
        |b| enc::bswap(&mut b, W::Q, RSI) => { bswap rsi }
        |b| enc::push(&mut b, R12) => { push r12 }
        |b| enc::pop(&mut b, RBP) => { pop rbp }
        |b| modrm(&mut b, W::D, op_0f(0xb6).byte_rm(), RAX.0, RDI) => { movzx eax, dil }
        |b| modrm(&mut b, W::Q, op_0f(0xbf), R8.0, at(RCX, 6)) => { movsx r8, WORD [rcx + 6] }
        |b| modrm(&mut b, W::Q, op(0x63), RDX.0, R9) => { movsxd rdx, r9d }
        |b| modrm(&mut b, W::Q, op_0f(0xc1).locked(), R11.0, at(R10, 8)) => { lock xadd [r10 + 8], r11 }
        |b| modrm(&mut b, W::D, op_0f(0x40 | Cc::B as u8), RSI.0, at(RSP, 8)) => { cmovb esi, [rsp + 8] }
        |b| modrm(&mut b, W::Q, op(0xf7), 3, R13) => { neg r13 }
        |b| enc::test_imm(&mut b, W::Q, RSI, 5) => { test sil, BYTE 5 }
        |b| enc::test_imm(&mut b, W::Q, RCX, -8) => { test rcx, DWORD -8 }
    }
}

#[test]
fn jump_takes_the_short_form_in_the_second_pass_where_it_reaches() {
    let write = |mut b: CodeBuffer, gap: usize| {
        let (start, end) = (b.new_label(), b.new_label());
        b.dynamic_label(start);
        enc::jmp(&mut b, end);
        (0..gap).for_each(|_| b.push(0x90));
        enc::jcc(&mut b, Cc::E, start);
        b.dynamic_label(end);
        b
    };
    for (gap, sizes) in [(0, [2, 2]), (117, [2, 2]), (121, [2, 6]), (122, [5, 6]), (200, [5, 6])] {
        let short = write(CodeBuffer::new(), gap).short_jumps().unwrap();
        let code = bytes(write(CodeBuffer::with_short_jumps(short), gap));
        assert_eq!(code.len(), gap + sizes[0] + sizes[1], "{gap}");
    }
}

#[test]
fn label_that_is_never_bound_is_an_error() {
    let mut b = CodeBuffer::new();
    let nowhere = b.new_label();
    enc::jmp(&mut b, nowhere);
    assert!(b.finish().is_err());
}
