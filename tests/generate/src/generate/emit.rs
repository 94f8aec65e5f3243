//! Instructions in a row, and jumps to the program's way out.

use uxdp_core::isa::Insn;
use uxdp_core::isa::build::call_local;

/// A program's instructions so far.
#[derive(Default)]
pub(super) struct Emit {
    insns: Vec<Insn>,
    /// Jumps that lead to the way out, which is not there yet.
    outs: Vec<usize>,
    /// Calls of functions, with the function's number.
    calls: Vec<(usize, usize)>,
}

impl Emit {
    pub(super) fn put(&mut self, insns: &[Insn]) {
        self.insns.extend_from_slice(insns);
    }

    /// A jump to the way out.
    pub(super) fn jump_out(&mut self, jump: Insn) {
        self.outs.push(self.insns.len());
        self.insns.push(jump);
    }

    /// A jump over what `skipped` is; its offset is filled in.
    pub(super) fn over(&mut self, jump: Insn, skipped: &[Insn]) {
        self.insns.push(Insn { off: skipped.len() as i16, ..jump });
        self.put(skipped);
    }

    pub(super) fn call(&mut self, function: usize) {
        self.calls.push((self.insns.len(), function));
        self.insns.push(call_local(0));
    }

    /// The way out begins here; whether anything leads to it.
    pub(super) fn out(&mut self) -> bool {
        let used = !self.outs.is_empty();
        let here = self.insns.len();
        for at in self.outs.drain(..) {
            self.insns[at].off = (here - at - 1) as i16;
        }
        used
    }

    /// The whole program, functions behind it.
    pub(super) fn finish(mut self, functions: &[Vec<Insn>]) -> Vec<Insn> {
        let mut starts = Vec::new();
        for body in functions {
            starts.push(self.insns.len());
            self.insns.extend_from_slice(body);
        }
        for (at, function) in self.calls {
            self.insns[at].imm = (starts[function] - at - 1) as i32;
        }
        self.insns
    }
}
