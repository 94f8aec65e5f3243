//! Instructions as text, in the syntax of the kernel's verifier log and of `bpftool prog dump xlated`.
//!
//! [`Disasm`] shows one instruction (`(b7) r0 = 2`), [`Listing`] a whole program with a line and a pc for each. Both are `Display`
//! adapters: nothing is allocated. Names of helpers, maps and functions come from a [`Names`]; without one, numbers stand.
//! A word that is no instruction is shown as its bytes, with the reason.

use super::decode::decode;
use super::helper_names::helper_name;
use super::insn::Insn;
use super::typed::{
    AluOp, AtomicOp, Callee, EndKind, Ext, JaForm, Op, Operand, PacketMode, Reg, Size, WideImm, Width,
};
use core::fmt::{self, Formatter};

/// Where the disassembler finds names. Each answer may be `None`: then a number stands.
pub trait Names {
    /// The name of a helper, without the prefix `bpf_`; by default that of the kernel's helper.
    fn helper(&self, id: u32) -> Option<&str> {
        helper_name(id)
    }
    /// The name of the map at this place of the list of maps.
    fn map(&self, _idx: u32) -> Option<&str> {
        None
    }
    /// The name of a kernel function.
    fn kfunc(&self, _id: i32) -> Option<&str> {
        None
    }
    /// The name of the BPF function that starts at this pc.
    fn function(&self, _pc: u32) -> Option<&str> {
        None
    }
    /// The source line that begins at this pc.
    fn source(&self, _pc: u32) -> Option<Source<'_>> {
        None
    }
}

/// A line of source: shown as `; text @ file:number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The line without its indentation.
    pub text: &'a str,
    /// The file's path; its last part is shown.
    pub file: &'a str,
    /// Line number.
    pub line: u32,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let file = self.file.rsplit('/').next().unwrap_or(self.file);
        write!(f, "; {} @ {file}:{}", self.text, self.line)
    }
}

/// Knows no names but those of the kernel's helpers.
#[derive(Clone, Copy, Debug)]
pub struct NoNames;

impl Names for NoNames {}

/// Shows the instruction at one pc, without the pc: `(61) r2 = *(u32 *)(r1 +4)`.
#[derive(Clone, Copy)]
pub struct Disasm<'a> {
    insns: &'a [Insn],
    pc: u32,
    names: &'a dyn Names,
}

impl<'a> Disasm<'a> {
    /// The instruction at `pc` of `insns`.
    pub fn new(insns: &'a [Insn], pc: u32, names: &'a dyn Names) -> Self {
        Disasm { insns, pc, names }
    }
}

impl fmt::Display for Disasm<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(insn) = self.insns.get(self.pc as usize) else {
            return f.write_str("(past the end)");
        };
        write!(f, "({:02x}) ", insn.code)?;
        match decode(self.insns, self.pc) {
            Ok(op) => show(f, &op, self.pc, insn, self.names),
            Err(error) => write!(f, "BUG_{:02x} {error}", insn.code),
        }
    }
}

/// Shows a whole program, a line for each instruction: `0: (b7) r0 = 2`, with function names and source lines between where known.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    insns: &'a [Insn],
    names: &'a dyn Names,
}

impl<'a> Listing<'a> {
    /// The program `insns`.
    pub fn new(insns: &'a [Insn], names: &'a dyn Names) -> Self {
        Listing { insns, names }
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut pc = 0;
        while let Some(insn) = self.insns.get(pc as usize) {
            if let Some(name) = self.names.function(pc) {
                writeln!(f, "{name}:")?;
            }
            if let Some(source) = self.names.source(pc) {
                writeln!(f, "{source}")?;
            }
            writeln!(f, "{pc}: {}", Disasm::new(self.insns, pc, self.names))?;
            pc += if insn.is_wide() { 2 } else { 1 };
        }
        Ok(())
    }
}

fn show(f: &mut Formatter<'_>, op: &Op, pc: u32, insn: &Insn, names: &dyn Names) -> fmt::Result {
    match *op {
        Op::Alu { op, width, dst, src } => alu(f, op, width, dst, src),
        Op::Mov { width, dst, src } => {
            let p = prefix(width);
            match src {
                Operand::Reg(r) => write!(f, "{p}{} = {p}{}", dst.num(), r.num()),
                Operand::Imm(imm) => write!(f, "{p}{} = {imm}", dst.num()),
            }
        }
        Op::MovSx { width, from, dst, src } => {
            let p = prefix(width);
            write!(f, "{p}{} = (s{}){p}{}", dst.num(), from.bits(), src.num())
        }
        Op::Neg { width, dst } => write!(f, "{0}{1} = -{0}{1}", prefix(width), dst.num()),
        Op::End { kind, size, dst } => {
            let name = match kind {
                EndKind::Le => "le",
                EndKind::Be => "be",
                EndKind::Bswap => "bswap",
            };
            write!(f, "r{0} = {name}{1} r{0}", dst.num(), size.bits())
        }
        Op::LdImm64 { dst, imm } => {
            write!(f, "r{} = ", dst.num())?;
            wide(f, imm, insn, names)
        }
        Op::Load { size, ext, dst, base, off } => {
            let sign = if ext == Ext::Sign { 's' } else { 'u' };
            write!(f, "r{} = *({sign}{} *)(r{} {off:+})", dst.num(), size.bits(), base.num())
        }
        Op::Store { size, base, off, src } => {
            write!(f, "{} = ", Place(size, base, off))?;
            match src {
                Operand::Reg(r) => write!(f, "r{}", r.num()),
                Operand::Imm(imm) => write!(f, "{imm}"),
            }
        }
        Op::Atomic { op, fetch, size, base, off, src } => atomic(f, op, fetch, size, (base, off), src),
        Op::LoadAcq { size, dst, base, off } => {
            write!(f, "r{} = load_acquire({})", dst.num(), Address(size, base, off))
        }
        Op::StoreRel { size, base, off, src } => {
            write!(f, "store_release({}, r{})", Address(size, base, off), src.num())
        }
        Op::Ja { target, form } => {
            let name = if form == JaForm::Off { "goto" } else { "gotol" };
            write!(f, "{name} pc{:+}", distance(pc, target))
        }
        Op::Jmp { cond, width, dst, src, target } => {
            let p = prefix(width);
            write!(f, "if {p}{} {} ", dst.num(), cond.symbol())?;
            match src {
                Operand::Reg(r) => write!(f, "{p}{}", r.num())?,
                Operand::Imm(imm) => write!(f, "{imm:#x}")?,
            }
            write!(f, " goto pc{:+}", distance(pc, target))
        }
        Op::Call(callee) => call(f, callee, pc, names),
        Op::Exit => f.write_str("exit"),
        Op::LegacyPacket { mode, size, imm } => match mode {
            PacketMode::Abs => write!(f, "r0 = *(u{} *)skb[{imm}]", size.bits()),
            PacketMode::Ind(r) => {
                let r = r.map_or(insn.src(), Reg::num);
                write!(f, "r0 = *(u{} *)skb[r{r} + {imm}]", size.bits())
            }
        },
    }
}

/// `(u32 *)(r1 +4)`: a typed address.
struct Address(Size, Reg, i16);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "(u{} *)(r{} {:+})", self.0.bits(), self.1.num(), self.2)
    }
}

/// `*(u32 *)(r1 +4)`: what is there.
struct Place(Size, Reg, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "*{}", Address(self.0, self.1, self.2))
    }
}

fn prefix(width: Width) -> char {
    match width {
        Width::W32 => 'w',
        Width::W64 => 'r',
    }
}

fn distance(pc: u32, target: u32) -> i64 {
    i64::from(target) - i64::from(pc) - 1
}

fn alu(f: &mut Formatter<'_>, op: AluOp, width: Width, dst: Reg, src: Operand) -> fmt::Result {
    let p = prefix(width);
    match src {
        Operand::Reg(r) => write!(f, "{p}{} {} {p}{}", dst.num(), op.symbol(), r.num()),
        Operand::Imm(imm) => write!(f, "{p}{} {} {imm}", dst.num(), op.symbol()),
    }
}

fn atomic(
    f: &mut Formatter<'_>,
    op: AtomicOp,
    fetch: bool,
    size: Size,
    (base, off): (Reg, i16),
    src: Reg,
) -> fmt::Result {
    let (name, symbol) = match op {
        AtomicOp::Add => ("add", "+="),
        AtomicOp::Or => ("or", "|="),
        AtomicOp::And => ("and", "&="),
        AtomicOp::Xor => ("xor", "^="),
        AtomicOp::Xchg => ("xchg", ""),
        AtomicOp::Cmpxchg => ("cmpxchg", ""),
    };
    let bits = if size == Size::DW { "64" } else { "" };
    let at = Address(size, base, off);
    let src = src.num();
    match op {
        AtomicOp::Xchg => write!(f, "r{src} = atomic{bits}_{name}({at}, r{src})"),
        AtomicOp::Cmpxchg => write!(f, "r0 = atomic{bits}_{name}({at}, r0, r{src})"),
        _ if fetch => write!(f, "r{src} = atomic{bits}_fetch_{name}({at}, r{src})"),
        _ => write!(f, "lock *{at} {symbol} r{src}"),
    }
}

fn wide(f: &mut Formatter<'_>, imm: WideImm, insn: &Insn, names: &dyn Names) -> fmt::Result {
    match imm {
        WideImm::Imm(v) => write!(f, "{v:#x}"),
        WideImm::MapFd(fd) => write!(f, "map[fd:{fd}]"),
        WideImm::MapValue { fd, off } => write!(f, "map[fd:{fd}][0]+{off}"),
        WideImm::BtfId { id, .. } => write!(f, "btf[id:{id}]"),
        WideImm::Func(pc) => match names.function(pc) {
            Some(name) => write!(f, "subprog[{name}]"),
            None => write!(f, "subprog[{:+}]", insn.imm),
        },
        WideImm::MapIdx(idx) => match names.map(idx) {
            Some(name) => write!(f, "map[{name}]"),
            None => write!(f, "map[idx:{idx}]"),
        },
        WideImm::MapIdxValue { idx, off } => match names.map(idx) {
            Some(name) => write!(f, "map[{name}][0]+{off}"),
            None => write!(f, "map[idx:{idx}]+{off}"),
        },
    }
}

fn call(f: &mut Formatter<'_>, callee: Callee, pc: u32, names: &dyn Names) -> fmt::Result {
    match callee {
        Callee::Helper(id) => match names.helper(id) {
            Some(name) => write!(f, "call bpf_{name}#{id}"),
            None => write!(f, "call unknown#{}", id as i32),
        },
        Callee::Local(target) => {
            write!(f, "call pc{:+}", distance(pc, target))?;
            names.function(target).map_or(Ok(()), |name| write!(f, "#{name}"))
        }
        Callee::Kfunc { id, .. } => match names.kfunc(id) {
            Some(name) => write!(f, "call {name}#{id}"),
            None => write!(f, "call kernel-function#{id}"),
        },
        Callee::Reg(r) => write!(f, "callx r{}", r.num()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{ld_func, ld_map_idx, ld_map_value};
    use super::*;

    struct Known;

    impl Names for Known {
        fn map(&self, idx: u32) -> Option<&str> {
            (idx == 1).then_some("ports")
        }
    }

    fn words(hex: &str) -> Vec<Insn> {
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        let slot = |s: usize| Insn::from_bytes(std::array::from_fn(|i| byte(8 * s + i)));
        (0..hex.len() / 16).map(slot).collect()
    }

    #[test]
    fn listing_reads_as_the_verifier_log_of_linux() {
        let golden = include_str!("../../tests/golden/verifier_log.txt");
        let rows = golden.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(' '));
        let mut insns = Vec::new();
        let mut wanted = String::new();
        for (hex, text) in rows {
            wanted += &format!("{}: {text}\n", insns.len());
            insns.extend(words(hex));
        }
        assert!(insns.len() > 170);
        assert_eq!(Listing::new(&insns, &Known).to_string(), wanted);
    }

    #[test]
    fn references_show_names_where_known() {
        let program = [ld_map_idx(1, 1), ld_map_idx(1, 2), ld_map_value(2, 1, 8), ld_func(3, -1)].concat();
        let lines = [
            "(18) r1 = map[ports]",
            "(18) r1 = map[idx:2]",
            "(18) r2 = map[ports][0]+8",
            "(18) r3 = subprog[-1]",
        ];
        for (i, line) in lines.iter().enumerate() {
            assert_eq!(Disasm::new(&program, 2 * i as u32, &Known).to_string(), *line);
        }
    }

    #[test]
    fn what_is_no_instruction_is_shown_with_the_reason() {
        let bad = [Insn::new(0xff, 0, 0, 0, 0)];
        assert_eq!(Disasm::new(&bad, 0, &NoNames).to_string(), "(ff) BUG_ff unknown opcode ff");
    }
}
