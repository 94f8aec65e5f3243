//! The statements that programs are made of.

use super::{Kind, Maker, Scope};
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::build::*;
use uxdp_core::isa::op::*;
use uxdp_core::isa::{AluOp, AtomicOp, Cond, Insn, Size};

/// Masks that keep a number small.
const MASKS: [i32; 6] = [1, 3, 7, 15, 16, 31];
/// Numbers of helpers that take a register or two and change nothing.
const PLAIN: [u32; 6] = [5, 7, 8, 14, 42, 118];

impl Maker<'_, '_> {
    pub(super) fn statement(&mut self) {
        match self.bytes.below(26) {
            0..=3 => self.arithmetic(),
            4 => self.moved(),
            5 | 6 => self.branch(),
            7 => self.mask(),
            8 | 9 => self.direct_value(),
            10 | 11 => self.lookup(),
            12 => self.update(),
            13 | 14 => self.packet(),
            15 | 16 => self.stack(),
            17 => self.stack_at_number(),
            18 => self.atomic(),
            19 => self.plain_helper(),
            20 => self.packet_helper(),
            21 => self.looped(),
            22 => self.function(),
            23 => self.kept(),
            24 => self.widths(),
            _ => self.rare_helper(),
        }
    }

    /// What at least half of the compared programs have: a loop, a map, a write to the packet, in some order.
    pub(super) fn usual(&mut self) {
        let order = self.bytes.below(3);
        for i in 0..3 {
            if self.bytes.rarely(5) {
                continue;
            }
            match (order + i) % 3 {
                0 => self.looped(),
                1 => self.lookup(),
                _ => self.packet_write(),
            }
        }
    }

    /// A store to the packet's first bytes, behind its check.
    fn packet_write(&mut self) {
        let room = 8 + self.bytes.below(40) as i16;
        self.emit.put(&[ldx(Size::W, 3, 6, 4), ldx(Size::W, 1, 6, 0)]);
        self.emit.put(&[mov64_reg(4, 1), alu64_imm(AluOp::Add, 4, i32::from(room))]);
        self.emit.jump_out(jmp_reg(Cond::Gt, 4, 3, 0));
        let size = self.size();
        let off = self.bytes.below((room - size.bytes() as i16) as usize + 1) as i16;
        let constant = i32::from(self.bytes.byte());
        match self.number() {
            Some(from) if self.bytes.rarely(2) => self.emit.put(&[stx(size, 1, off, from)]),
            _ => self.emit.put(&[st(size, 1, off, constant)]),
        }
    }

    fn operation(&mut self, a: u8, b: u8) -> Insn {
        let op = self.bytes.pick(&AluOp::ALL);
        let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
        let divide = matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod);
        let constant = match self.constant() {
            0 if divide => 3,
            n => n,
        };
        let count = |bits: i32| if shift { constant & (bits - 1) } else { constant };
        match self.bytes.below(4) {
            0 => alu64_imm(op, a, count(64)),
            1 => alu32_imm(op, a, count(32)),
            2 => alu64_reg(op, a, b),
            _ => alu32_reg(op, a, b),
        }
    }

    fn arithmetic(&mut self) {
        let (Some(a), Some(b)) = (self.number(), self.number()) else { return };
        if self.bytes.rarely(8) {
            return self.constants(a);
        }
        let insn = self.operation(a, b);
        self.emit.put(&[insn]);
    }

    /// A register becomes a constant, and is reckoned with: what a compiler knows beforehand.
    fn constants(&mut self, a: u8) {
        let n = self.constant();
        let n = if self.bytes.rarely(2) { !n } else { n };
        self.emit.put(&[if self.bytes.rarely(2) { mov64_imm(a, n) } else { mov32_imm(a, n) }]);
        for _ in 0..1 + self.bytes.below(3) {
            let insn = self.operation(a, a);
            self.emit.put(&[insn]);
        }
    }

    fn moved(&mut self) {
        let (from, to) = (self.bytes.below(3), self.bytes.below(3));
        let (a, b) = (7 + to as u8, 7 + from as u8);
        if self.kinds[from] == Kind::Number && self.bytes.rarely(2) {
            let narrow = Insn { off: self.bytes.pick(&[8, 16, 32]), ..mov64_reg(a, b) };
            self.emit.put(&[narrow]);
        } else {
            self.emit.put(&[mov64_reg(a, b)]);
        }
        self.kinds[to] = self.kinds[from];
    }

    fn branch(&mut self) {
        let (Some(a), Some(b)) = (self.number(), self.number()) else { return };
        let (cond, n) = (self.cond(), self.constant());
        let jump = match self.bytes.below(4) {
            0 => jmp_reg(cond, a, b, 0),
            1 => jmp32_imm(cond, a, n, 0),
            2 => jmp32_reg(cond, a, b, 0),
            _ => jmp_imm(cond, a, n, 0),
        };
        if self.bytes.rarely(3) {
            self.emit.jump_out(jump);
        } else {
            let skipped = [self.operation(b, a)];
            self.emit.over(jump, &skipped);
        }
    }

    fn mask(&mut self) {
        let Some(a) = self.number() else { return };
        let mask = self.bytes.pick(&MASKS);
        self.emit.put(&[alu64_imm(AluOp::And, a, mask)]);
    }

    /// r2 = a number that is masked, as a rule.
    fn index(&mut self, mask: i32) {
        let Some(a) = self.number() else { return self.emit.put(&[mov64_imm(2, 1)]) };
        self.emit.put(&[mov64_reg(2, a)]);
        match self.bytes.below(16) {
            0 => {}
            1..=4 => {
                let narrow = self.bytes.rarely(2);
                let jump = if narrow { jmp32_imm } else { jmp_imm };
                self.emit.jump_out(jump(Cond::Gt, 2, mask, 0));
                if narrow {
                    self.emit.put(&[mov32_reg(2, 2)]);
                }
            }
            _ => self.emit.put(&[alu64_imm(AluOp::And, 2, mask)]),
        }
    }

    /// A load or store at `base`, of which `room` bytes may be touched.
    fn access(&mut self, base: u8, room: i16) {
        let size = self.size();
        let off = self.offset(room, size);
        let constant = i32::from(self.bytes.byte());
        match (self.bytes.below(3), self.number()) {
            (0, _) => {
                let to = self.fresh();
                self.emit.put(&[ldx(size, to, base, off)]);
            }
            (1, Some(from)) => self.emit.put(&[stx(size, base, off, from)]),
            _ => self.emit.put(&[st(size, base, off, constant)]),
        }
    }

    fn direct_value(&mut self) {
        let (map, size) = self.bytes.pick(&[(4, 32), (3, 32)]);
        let mask = self.bytes.pick(&[7, 15]);
        self.index(mask);
        self.emit.put(&ld_map_value(1, map, 0));
        self.emit.put(&[alu64_reg(AluOp::Add, 1, 2)]);
        if map == 3 && !self.bytes.rarely(16) {
            let (size, to) = (self.size(), self.fresh());
            let off = self.offset(16, size);
            return self.emit.put(&[ldx(size, to, 1, off)]);
        }
        self.access(1, size - mask as i16);
    }

    /// The key of a map that programs look up, at r10 - 64, r2 pointing to it.
    fn key(&mut self, map: u32) {
        let n = self.bytes.below(6) as i32;
        match self.number() {
            Some(from) if self.bytes.rarely(2) => self.emit.put(&[stx(Size::DW, 10, -64, from)]),
            _ => self.emit.put(&[st(Size::DW, 10, -64, n)]),
        }
        self.emit.put(&ld_map_idx(1, map));
        self.emit.put(&[mov64_reg(2, 10), alu64_imm(AluOp::Add, 2, -64)]);
    }

    fn lookup(&mut self) {
        let (map, size) = self.bytes.pick(&[(0, 64), (1, 16), (5, 8), (6, 8), (4, 32)]);
        self.key(map);
        self.emit.put(&[call(1)]);
        if !self.bytes.rarely(24) {
            self.emit.jump_out(jmp_imm(Cond::Eq, 0, 0, 0));
        }
        if self.bytes.rarely(3) {
            let i = self.bytes.below(3);
            self.kinds[i] = Kind::Value(size);
            self.emit.put(&[mov64_reg(7 + i as u8, 0)]);
        } else {
            self.access(0, size);
        }
    }

    fn update(&mut self) {
        let map = self.bytes.pick(&[1, 5, 1, 6]);
        self.key(map);
        if self.bytes.rarely(4) {
            self.emit.put(&[call(3)]);
        } else {
            let flags = self.bytes.pick(&[0, 0, 1, 2]);
            self.emit.put(&[mov64_reg(3, 10), alu64_imm(AluOp::Add, 3, -48), mov64_imm(4, flags), call(2)]);
        }
        let to = self.fresh();
        self.emit.put(&[mov64_reg(to, 0)]);
    }

    fn packet(&mut self) {
        let room = 1 + self.bytes.below(40) as i16;
        self.emit.put(&[ldx(Size::W, 3, 6, 4), ldx(Size::W, 1, 6, 0)]);
        if self.bytes.rarely(2) {
            let mask = self.bytes.pick(&[3, 15, 31, 255]);
            self.index(mask);
            if self.bytes.rarely(24) {
                // Before the packet, perhaps.
                let less = 1 + self.bytes.below(8) as i32;
                self.emit.put(&[alu64_imm(AluOp::Sub, 2, less)]);
            }
            self.emit.put(&[alu64_reg(AluOp::Add, 1, 2)]);
        }
        self.emit.put(&[mov64_reg(4, 1), alu64_imm(AluOp::Add, 4, i32::from(room))]);
        use uxdp_core::isa::Cond::*;
        match self.bytes.below(32) {
            0..=2 => self.emit.jump_out(jmp_reg(Ge, 4, 3, 0)),
            3..=5 => self.emit.jump_out(jmp_reg(Lt, 3, 4, 0)),
            6 => {
                let cond = self.cond();
                self.emit.jump_out(jmp_reg(cond, 4, 3, 0));
            }
            7..=9 => self.emit.over(jmp_reg(Le, 4, 3, 0), &[mov64_imm(0, 1), exit()]),
            _ => self.emit.jump_out(jmp_reg(Gt, 4, 3, 0)),
        }
        self.access(1, room);
        if self.bytes.rarely(2) {
            self.access(1, room);
        }
    }

    fn stack(&mut self) {
        let size = self.size();
        let off = -24 + self.aligned(24, size);
        match self.number() {
            Some(from) if self.bytes.rarely(2) => self.emit.put(&[stx(size, 10, off, from)]),
            _ => {
                let to = self.fresh();
                self.emit.put(&[ldx(size, to, 10, off)]);
            }
        }
    }

    fn stack_at_number(&mut self) {
        let mask = self.bytes.pick(&[8, 16, 7]);
        self.index(mask);
        if !self.bytes.rarely(8) {
            self.emit.put(&[alu64_imm(AluOp::And, 2, 24)]);
        }
        self.emit.put(&[mov64_reg(1, 10), alu64_imm(AluOp::Add, 1, -24), alu64_reg(AluOp::Add, 1, 2)]);
        let size = self.size();
        let off = self.aligned(24 - (mask as i16 & 24), size);
        match self.number() {
            Some(from) if self.bytes.rarely(2) => self.emit.put(&[stx(size, 1, off, from)]),
            _ => {
                let to = self.fresh();
                self.emit.put(&[ldx(size, to, 1, off)]);
            }
        }
    }

    fn atomic(&mut self) {
        let Some(src) = self.number() else { return };
        let size = self.bytes.pick(&[Size::W, Size::DW]);
        let base = if self.bytes.rarely(2) {
            self.emit.put(&ld_map_value(1, 4, 0));
            1
        } else {
            10
        };
        let slot = 8 * self.bytes.below(3) as i16;
        let off = if base == 10 { -24 + slot } else { slot };
        const OPS: [AtomicOp; 6] =
            [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];
        let op = self.bytes.pick(&OPS);
        let insn = match op {
            AtomicOp::Xchg | AtomicOp::Cmpxchg => atomic_fetch(op, size, base, off, src),
            _ if self.bytes.rarely(2) => atomic_fetch(op, size, base, off, src),
            _ => atomic(op, size, base, off, src),
        };
        self.emit.put(&[mov64_imm(0, 2), insn]);
    }

    fn plain_helper(&mut self) {
        let id = self.bytes.pick(&PLAIN);
        if !self.may_call(id) {
            return;
        }
        let to = self.fresh();
        self.emit.put(&[call(id), mov64_reg(to, 0)]);
    }

    fn packet_helper(&mut self) {
        let id = self.bytes.pick(&[44, 54, 65, 188, 189, 190, 28]);
        let by = i32::from(self.bytes.byte() as i8) >> 2;
        let len = 1 + self.bytes.below(24) as i32;
        let buffer = [mov64_reg(3, 10), alu64_imm(AluOp::Add, 3, -48), mov64_imm(4, len)];
        self.emit.put(&[mov64_reg(1, 6), mov64_imm(2, by)]);
        match id {
            189 | 190 => {
                self.emit.put(&[mov64_imm(2, by & 63)]);
                self.emit.put(&buffer);
            }
            28 => self.emit.put(&[
                mov64_imm(1, 0),
                mov64_imm(2, 0),
                mov64_reg(3, 10),
                alu64_imm(AluOp::Add, 3, -48),
                mov64_imm(4, len & 28),
                mov64_imm(5, by),
            ]),
            _ => {}
        }
        let to = self.fresh();
        self.emit.put(&[call(id), mov64_reg(to, 0)]);
    }

    fn looped(&mut self) {
        let Some(a) = self.number() else { return };
        let (turns, body) = (1 + self.bytes.below(12) as i32, self.operation(a, a));
        self.emit.put(&[mov64_imm(5, 0), body, alu64_imm(AluOp::Add, 5, 1)]);
        let cond = self.bytes.pick(&[Cond::Lt, Cond::Ne]);
        self.emit.put(&[jmp_imm(cond, 5, turns, -3)]);
    }

    fn function(&mut self) {
        let (Some(a), Some(b)) = (self.number(), self.number()) else { return };
        let n = self.constant();
        let slot = -8 * (1 + self.bytes.below(3) as i16);
        self.emit.put(&[mov64_reg(1, a), mov64_reg(2, b), mov64_reg(3, 10)]);
        self.emit.put(&[alu64_imm(AluOp::Add, 3, i32::from(slot))]);
        let (first, second) = (self.operation(0, 2), self.operation(6, 1));
        let body = match self.bytes.below(4) {
            3 => vec![mov32_reg(0, 1), exit()],
            0 => vec![mov64_reg(0, 1), first, stx(Size::DW, 3, 0, 0), exit()],
            1 => {
                let jump = jmp_imm(self.cond(), 1, n, 1);
                vec![mov64_reg(0, 1), jump, first, exit()]
            }
            _ => vec![
                mov64_reg(6, 2),
                second,
                stx(Size::DW, 10, -8, 6),
                ldx(Size::W, 0, 10, -8),
                ldx(Size::DW, 1, 3, 0),
                alu64_reg(AluOp::Add, 0, 1),
                exit(),
            ],
        };
        self.emit.call(self.functions.len());
        self.functions.push(body);
        let to = self.fresh();
        self.emit.put(&[mov64_reg(to, 0)]);
    }

    /// An access through a value that is held in a register.
    fn kept(&mut self) {
        for i in 0..3 {
            if let Kind::Value(size) = self.kinds[i] {
                let base = 7 + i as u8;
                let moved = self.bytes.below(size as usize / 2) as i16;
                self.emit.put(&[mov64_reg(1, base), alu64_imm(AluOp::Add, 1, i32::from(moved))]);
                return self.access(1, size - moved);
            }
        }
        self.arithmetic();
    }

    /// Byte order, sign extension from memory, wide constants, negation.
    fn widths(&mut self) {
        let Some(a) = self.number() else { return };
        let width = self.bytes.pick(&[16, 32, 64]);
        let class = self.bytes.pick(&[BPF_ALU | BPF_TO_BE, BPF_ALU | BPF_TO_LE, BPF_ALU64 | BPF_TO_LE]);
        match self.bytes.below(4) {
            0 => self.emit.put(&[Insn::new(class | BPF_END, a, 0, 0, width)]),
            1 => {
                let size = self.bytes.pick(&[BPF_B, BPF_H, BPF_W]);
                let off = -24 + self.bytes.below(5) as i16 * 4;
                self.emit.put(&[Insn::new(BPF_LDX | BPF_MEMSX | size, a, 10, off, 0)]);
            }
            2 => {
                let (low, high) = (self.constant() as u32, self.constant() as u32);
                self.emit.put(&ld_imm64(a, u64::from(high) << 32 | u64::from(low)));
            }
            _ => {
                let class = self.bytes.pick(&[BPF_ALU, BPF_ALU64]);
                self.emit.put(&[Insn::new(class | BPF_NEG, a, 0, 0, 0)]);
            }
        }
    }

    /// A tail call, a record of the ring, a map in a map, a queue; where all helpers are wanted, a lock or any of them.
    fn rare_helper(&mut self) {
        let all = self.scope == Scope::EveryHelper;
        match self.bytes.below(if all { 8 } else { 4 }) {
            0 => self.tail_call(),
            1 => self.record(),
            2 => self.inner_lookup(),
            3 => self.queue(),
            4 | 5 => self.locked(),
            _ => self.any_helper(),
        }
    }

    fn tail_call(&mut self) {
        self.index(3);
        self.emit.put(&[mov64_reg(3, 2), mov64_reg(1, 6)]);
        self.emit.put(&ld_map_idx(2, 2));
        self.emit.put(&[call(12)]);
    }

    fn record(&mut self) {
        let size = 8 * (1 + self.bytes.below(4) as i16);
        self.emit.put(&ld_map_idx(1, 7));
        if self.bytes.rarely(4) {
            self.emit.put(&[mov64_reg(2, 10), alu64_imm(AluOp::Add, 2, -48)]);
            return self.emit.put(&[mov64_imm(3, i32::from(size)), mov64_imm(4, 0), call(130)]);
        }
        self.emit.put(&[mov64_imm(2, i32::from(size)), mov64_imm(3, 0), call(131)]);
        if !self.bytes.rarely(16) {
            self.emit.jump_out(jmp_imm(Cond::Eq, 0, 0, 0));
        }
        // A record is whatever was there before: engines are compared by what programs write.
        for at in (0..size).step_by(8) {
            self.emit.put(&[st(Size::DW, 0, at, 0)]);
        }
        self.access(0, size);
        let end = self.bytes.pick(&[132, 132, 133]);
        self.emit.put(&[mov64_reg(1, 0), mov64_imm(2, 0)]);
        if !self.bytes.rarely(32) {
            self.emit.put(&[call(end)]);
        }
    }

    fn inner_lookup(&mut self) {
        self.key(8);
        self.emit.put(&[call(1)]);
        self.emit.jump_out(jmp_imm(Cond::Eq, 0, 0, 0));
        let n = self.bytes.below(5) as i32;
        self.emit.put(&[mov64_reg(1, 0), mov64_reg(2, 10), alu64_imm(AluOp::Add, 2, -56)]);
        self.emit.put(&[st(Size::DW, 10, -56, n), call(1)]);
        if !self.bytes.rarely(24) {
            self.emit.jump_out(jmp_imm(Cond::Eq, 0, 0, 0));
        }
        self.access(0, 64);
    }

    fn queue(&mut self) {
        let id = self.bytes.pick(&[87, 87, 88, 89]);
        let slot = -8 * (1 + self.bytes.below(3) as i32);
        self.emit.put(&ld_map_idx(1, 9));
        self.emit.put(&[mov64_reg(2, 10), alu64_imm(AluOp::Add, 2, slot), mov64_imm(3, 0)]);
        let to = self.fresh();
        self.emit.put(&[call(id), mov64_reg(to, 0)]);
    }

    /// A store under a lock. The value is kept on the stack, so that the lock that is let go is the one that was taken.
    fn locked(&mut self) {
        self.emit.put(&ld_map_value(1, 10, 0));
        self.emit.put(&[stx(Size::DW, 10, -56, 1), call(93), ldx(Size::DW, 1, 10, -56)]);
        let at = self.bytes.pick(&[4, 8, 16, 0]);
        self.emit.put(&[st(Size::W, 1, at, 7)]);
        if !self.bytes.rarely(8) {
            self.emit.put(&[call(94)]);
        }
    }

    /// Any helper, with arguments that may fit.
    fn any_helper(&mut self) {
        let rows = STANDARD.rows();
        let row = &rows[self.bytes.below(rows.len())];
        for r in 1..=5u8 {
            match self.bytes.below(6) {
                0 => self.emit.put(&[mov64_reg(r, 6)]),
                1 => {
                    let map = self.bytes.below(16) as u32;
                    self.emit.put(&ld_map_idx(r, map));
                }
                2 | 3 => self.emit.put(&[mov64_reg(r, 10), alu64_imm(AluOp::Add, r, -64)]),
                4 => self.emit.put(&[mov64_imm(r, 8)]),
                _ => self.emit.put(&[mov64_imm(r, 0)]),
            }
        }
        let kfunc = if row.is_kfunc() { BPF_PSEUDO_KFUNC_CALL } else { 0 };
        self.emit.put(&[Insn::new(BPF_JMP | BPF_CALL, 0, kfunc, 0, row.id as i32)]);
    }
}
