//! The entry of a set of programs: see [`crate::jit::unit`].

use super::enc::{self, Arith, Cc, Mem, W, modrm, op_0f};
use super::masm::Assembler;
use super::regs::*;
use crate::jit::buffer::Label;
use crate::jit::unit::{EVERY_ACTION, Member, PROG};
use crate::mem::{OutOfMemory, Vec};
use crate::vm::Action;

impl Assembler {
    /// Writes the entry, and the table that its calls go through where a program is out of reach.
    pub(crate) fn unit(
        &mut self,
        members: &[Member],
        veneers: &mut Vec<(usize, u32)>,
    ) -> Result<(), OutOfMemory> {
        let done = self.buf.new_label();
        enc::push(&mut self.buf, RBX);
        enc::mov(&mut self.buf, W::Q, RBX, RDI);
        for member in members {
            enc::mov_imm(&mut self.buf, RAX, member.prog as i64);
            enc::store(&mut self.buf, W::Q, Mem::new(RBX, PROG), RAX);
            enc::mov(&mut self.buf, W::Q, RDI, RBX);
            self.far(0xe8, member.entry);
            self.leave_unless(member.next & EVERY_ACTION, done);
            if member.next & EVERY_ACTION == 0 {
                break;
            }
        }
        if members.iter().all(|m| m.next & EVERY_ACTION != 0) {
            enc::mov_imm(&mut self.buf, RAX, i64::from(Action::Pass as u32));
        }
        self.buf.dynamic_label(done);
        enc::store_imm(&mut self.buf, W::Q, Mem::new(RBX, PROG), 0);
        enc::pop(&mut self.buf, RBX);
        self.buf.push(0xc3);
        let mut targets = Vec::new();
        self.buf.extern_targets(&mut targets)?;
        for target in targets {
            veneers.push((target, self.buf.offset()))?;
            self.veneer_op(target);
        }
        Ok(())
    }

    /// To `done` unless the action in `eax` is one of `next`. Entries give nothing but actions.
    fn leave_unless(&mut self, next: u32, done: Label) {
        match next {
            0 | EVERY_ACTION => {}
            one if one.is_power_of_two() => {
                enc::arith_imm(&mut self.buf, W::D, Arith::Cmp, RAX, one.trailing_zeros() as i32);
                enc::jcc(&mut self.buf, Cc::Ne, done);
            }
            some => {
                enc::mov_imm(&mut self.buf, RCX, i64::from(some));
                modrm(&mut self.buf, W::D, op_0f(0xa3), RAX.0, RCX); // bt ecx, eax
                enc::jcc(&mut self.buf, Cc::Ae, done);
            }
        }
    }
}
