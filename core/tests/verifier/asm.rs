//! An assembler for the table: one line an instruction, in the syntax of the kernel's verifier log.
//!
//! It takes what `isa::Disasm` writes (without the opcode in front), and beyond that names as targets of branches and calls, helpers and kernel
//! functions by name alone, `r1 = 0x123 ll` for a wide constant, and `raw code dst src off imm` for words that are no instruction. Whole words are checked: a
//! line that is not understood is an error of the table.

use std::collections::HashMap;
use uxdp_core::helpers::{KFUNC_BASE, STANDARD, kernel_only};
use uxdp_core::isa::{
    AluOp, AtomicOp, Callee, Cond, EndKind, Ext, Insn, JaForm, Op, Operand, PacketMode, Reg, Size, WideImm,
    Width, helper_name,
};
use uxdp_core::program::{ArgKind, Signature};

/// Kernel functions that uxdp does not have, and the first of the numbers that stand for them here.
pub(crate) const KERNEL_ONLY: [&str; 2] = ["bpf_throw", "bpf_rcu_read_lock"];
pub(crate) const OTHERS: u32 = KFUNC_BASE + 200;

/// An assembled program: words, and the functions in it, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Assembled {
    pub(crate) insns: Vec<Insn>,
    pub(crate) functions: Vec<Function>,
}

/// A function of a program.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) start: u32,
    /// What a global one takes and returns.
    pub(crate) signature: Option<Signature>,
}

/// Assembles lines; `name:` is a label, `func name:` a label that starts a function, `global name(scalar, ctx, mem16):` one that starts a global
/// function of these arguments.
pub(crate) fn assemble<'a>(lines: impl IntoIterator<Item = &'a str> + Clone) -> Result<Assembled, String> {
    let mut labels = HashMap::new();
    let mut functions = vec![Function { name: "main".to_owned(), start: 0, signature: None }];
    let mut pc = 0;
    for line in lines.clone() {
        if let Some(label) = line.strip_suffix(':') {
            let mut name = label.strip_prefix("func ").unwrap_or(label);
            let mut signature = None;
            if let Some(global) = label.strip_prefix("global ") {
                let (before, args) = global.split_once('(').ok_or("no arguments")?;
                signature = Some(parse_signature(args)?);
                name = before;
            }
            if name != label {
                functions.push(Function { name: name.to_owned(), start: pc, signature });
            }
            if labels.insert(name, pc).is_some() {
                return Err(format!("label {name} twice"));
            }
        } else {
            pc += if is_wide(line) { 2 } else { 1 };
        }
    }
    let mut insns = Vec::new();
    for line in lines.into_iter().filter(|l| !l.ends_with(':')) {
        let pc = insns.len() as u32;
        let mut parser = Parser { tokens: tokens(line)?, at: 0, pc, labels: &labels };
        let words = parser.statement().and_then(|words| parser.end().map(|()| words));
        insns.extend(words.map_err(|e| format!("`{line}`: {e}"))?);
    }
    Ok(Assembled { insns, functions })
}

/// `scalar, ctx, mem16)`, with `void` behind it where nothing is returned.
fn parse_signature(text: &str) -> Result<Signature, String> {
    let (args, returns) = text.split_once(')').ok_or("arguments without an end")?;
    let mut signature = Signature { args: [None; 5], returns_scalar: returns.is_empty() };
    for (place, arg) in signature.args.iter_mut().zip(args.split(", ").filter(|a| !a.is_empty())) {
        *place = Some(match (arg, arg.strip_prefix("mem")) {
            ("scalar", _) => ArgKind::Scalar,
            ("ctx", _) => ArgKind::Ctx,
            ("unsupported", _) => ArgKind::Unsupported,
            (_, Some(size)) => ArgKind::MemOrNull { size: size.parse().map_err(|_| "no size")? },
            _ => return Err(format!("`{arg}` is no argument")),
        });
    }
    Ok(signature)
}

fn is_wide(line: &str) -> bool {
    line.ends_with(" ll") || line.contains("= map[") || line.contains("= subprog[") || line.contains("= btf[")
}

const SYMBOLS: [&str; 27] = [
    "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==", "!=", ">=", "<=", ">", "<", "&", "=",
    "*", "(", ")", "[", "]", "+", "-", ",", "#",
];

fn tokens(line: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len());
        let length = match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            Some(symbol) => symbol.len(),
            None if word > 0 => word,
            None => return Err(format!("`{line}`: cannot read `{rest}`")),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    pc: u32,
    labels: &'a HashMap<&'a str, u32>,
}

type Parsed<T> = Result<T, String>;

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, tokens: &[&str]) -> Parsed<()> {
        for token in tokens {
            let found = self.next();
            if found != *token {
                return Err(format!("`{token}` expected, not `{found}`"));
            }
        }
        Ok(())
    }

    fn end(&self) -> Parsed<()> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(format!("`{}` is too much", self.peek())) }
    }

    fn number(&mut self) -> Parsed<i64> {
        let negative = self.take("-");
        let _ = self.take("+");
        let text = self.next();
        let value = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        let value = value.map_err(|_| format!("`{text}` is no number"))? as i64;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    /// An immediate field: signed or unsigned 32 bits.
    fn imm(&mut self) -> Parsed<i32> {
        let value = self.number()?;
        i32::try_from(value)
            .or_else(|_| u32::try_from(value).map(|v| v as i32))
            .map_err(|_| "too wide".into())
    }

    fn reg_and_width(&mut self) -> Parsed<(Reg, Width)> {
        let token = self.next();
        register(token).ok_or_else(|| format!("`{token}` is no register"))
    }

    fn reg(&mut self) -> Parsed<Reg> {
        Ok(self.reg_and_width()?.0)
    }

    fn operand(&mut self) -> Parsed<Operand> {
        match register(self.peek()) {
            Some(_) => Ok(Operand::Reg(self.reg()?)),
            None => Ok(Operand::Imm(self.imm()?)),
        }
    }

    /// A label, or `pc+3`, or `+3`.
    fn target(&mut self) -> Parsed<u32> {
        if let Some(pc) = self.labels.get(self.peek()) {
            self.at += 1;
            return Ok(*pc);
        }
        let _ = self.take("pc");
        let distance = self.number()?;
        u32::try_from(i64::from(self.pc) + 1 + distance).map_err(|_| "a target before the program".into())
    }

    /// `(u32 *)(r1 +4)`.
    fn address(&mut self) -> Parsed<(Size, Ext, Reg, i16)> {
        self.expect(&["("])?;
        let kind = self.next();
        self.expect(&["*", ")", "("])?;
        let base = self.reg()?;
        let off = if self.peek() == ")" { 0 } else { self.number()? };
        self.expect(&[")"])?;
        let (size, ext) = size(kind).ok_or_else(|| format!("`{kind}` is no size"))?;
        Ok((size, ext, base, i16::try_from(off).map_err(|_| "offset too wide")?))
    }

    fn statement(&mut self) -> Parsed<Vec<Insn>> {
        if self.take("raw") {
            let mut field = || self.number();
            let (code, dst, src, off, imm) = (field()?, field()?, field()?, field()?, field()?);
            return Ok(vec![Insn::new(code as u8, dst as u8, src as u8, off as i16, imm as i32)]);
        }
        let op = self.op()?;
        let words = op.encode(self.pc).ok_or("no encoding")?;
        Ok(words.insns().to_vec())
    }

    fn op(&mut self) -> Parsed<Op> {
        match self.peek() {
            "exit" => {
                self.at += 1;
                Ok(Op::Exit)
            }
            "goto" | "gotol" => {
                let form = if self.next() == "goto" { JaForm::Off } else { JaForm::Imm };
                Ok(Op::Ja { target: self.target()?, form })
            }
            "call" => {
                self.at += 1;
                Ok(Op::Call(self.callee()?))
            }
            "callx" => {
                self.at += 1;
                Ok(Op::Call(Callee::Reg(self.reg()?)))
            }
            "if" => self.branch(),
            "*" => {
                self.at += 1;
                let (size, _, base, off) = self.address()?;
                self.expect(&["="])?;
                Ok(Op::Store { size, base, off, src: self.operand()? })
            }
            "lock" => self.lock(),
            "store_release" => {
                self.at += 1;
                self.expect(&["("])?;
                let (size, _, base, off) = self.address()?;
                self.expect(&[","])?;
                let src = self.reg()?;
                self.expect(&[")"])?;
                Ok(Op::StoreRel { size, base, off, src })
            }
            _ => self.assignment(),
        }
    }

    fn callee(&mut self) -> Parsed<Callee> {
        let token = self.peek();
        if token == "pc" || self.labels.contains_key(token) {
            return Ok(Callee::Local(self.target()?));
        }
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Callee::Helper(self.imm()? as u32));
        }
        if token == "unknown" {
            self.expect(&["unknown", "#"])?;
            return Ok(Callee::Helper(self.imm()? as u32));
        }
        if token == "kernel" {
            self.expect(&["kernel", "-", "function", "#"])?;
            return Ok(Callee::Kfunc { id: self.imm()?, off: 0 });
        }
        let name = self.next();
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let id = (0..256).find(|id| helper_name(*id) == Some(name));
        if self.take("#") {
            self.at += 1;
        }
        let full = format!("bpf_{name}");
        let other = || Some(OTHERS + KERNEL_ONLY.iter().position(|n| *n == full)? as u32);
        let refused = || (KFUNC_BASE..OTHERS + 256).find(|id| kernel_only(*id) == Some(&full));
        let kfunc = || {
            STANDARD
                .kfunc(&full)
                .or_else(refused)
                .or_else(other)
                .map(|id| Callee::Kfunc { id: id as i32, off: 0 })
        };
        id.map(Callee::Helper).or_else(kfunc).ok_or_else(|| format!("no helper {name}"))
    }

    fn branch(&mut self) -> Parsed<Op> {
        self.at += 1;
        let (dst, width) = self.reg_and_width()?;
        let symbol = self.symbol();
        let cond = Cond::ALL.into_iter().find(|c| c.symbol() == symbol);
        let cond = cond.ok_or_else(|| format!("no condition {symbol}"))?;
        let src = self.operand()?;
        self.expect(&["goto"])?;
        Ok(Op::Jmp { cond, width, dst, src, target: self.target()? })
    }

    /// An operator, with the `s` of signed ones.
    fn symbol(&mut self) -> String {
        let sign = if self.take("s") { "s" } else { "" };
        format!("{sign}{}", self.next())
    }

    fn lock(&mut self) -> Parsed<Op> {
        self.expect(&["lock", "*"])?;
        let (size, _, base, off) = self.address()?;
        let op = match self.next() {
            "+=" => AtomicOp::Add,
            "|=" => AtomicOp::Or,
            "&=" => AtomicOp::And,
            "^=" => AtomicOp::Xor,
            other => return Err(format!("no atomic operation {other}")),
        };
        Ok(Op::Atomic { op, fetch: false, size, base, off, src: self.reg()? })
    }

    fn assignment(&mut self) -> Parsed<Op> {
        let (dst, width) = self.reg_and_width()?;
        if !self.take("=") {
            let symbol = self.symbol();
            let op = AluOp::ALL.into_iter().find(|op| op.symbol() == symbol);
            let op = op.ok_or_else(|| format!("no operation {symbol}"))?;
            return Ok(Op::Alu { op, width, dst, src: self.operand()? });
        }
        let token = self.peek();
        match token {
            "-" if register(self.tokens.get(self.at + 1).unwrap_or(&"")).is_some() => {
                self.at += 1;
                self.expect(&[self.tokens[0]])?;
                Ok(Op::Neg { width, dst })
            }
            "(" => {
                self.at += 1;
                let from = self.next();
                let (from, _) = size(from).ok_or_else(|| format!("`{from}` is no size"))?;
                self.expect(&[")"])?;
                Ok(Op::MovSx { width, from, dst, src: self.reg()? })
            }
            "*" => self.load(dst),
            "load_acquire" => {
                self.expect(&["load_acquire", "("])?;
                let (size, _, base, off) = self.address()?;
                self.expect(&[")"])?;
                Ok(Op::LoadAcq { size, dst, base, off })
            }
            "map" => {
                self.at += 1;
                Ok(Op::LdImm64 { dst, imm: self.map()? })
            }
            "btf" => {
                self.expect(&["btf", "["])?;
                let id = self.next().strip_prefix("id:").and_then(|id| id.parse().ok()).ok_or("no id")?;
                self.expect(&["]"])?;
                Ok(Op::LdImm64 { dst, imm: WideImm::BtfId { id, btf_fd: 0 } })
            }
            "subprog" => {
                self.expect(&["subprog", "["])?;
                let target = self.target()?;
                self.expect(&["]"])?;
                Ok(Op::LdImm64 { dst, imm: WideImm::Func(target) })
            }
            _ if token.starts_with("atomic") => self.fetch(),
            _ if end_kind(token).is_some() => {
                self.at += 1;
                let (kind, size) = end_kind(token).ok_or("no conversion")?;
                let _ = self.reg()?;
                Ok(Op::End { kind, size, dst })
            }
            _ if register(token).is_some() => Ok(Op::Mov { width, dst, src: self.operand()? }),
            _ => {
                let value = self.number()?;
                if self.take("ll") {
                    return Ok(Op::LdImm64 { dst, imm: WideImm::Imm(value as u64) });
                }
                self.at -= 1;
                self.at -= usize::from(self.tokens[self.at - 1] == "-");
                Ok(Op::Mov { width, dst, src: Operand::Imm(self.imm()?) })
            }
        }
    }

    fn load(&mut self, dst: Reg) -> Parsed<Op> {
        self.at += 1;
        if self.tokens.get(self.at + 4) == Some(&"skb") {
            let kind = self.tokens[self.at + 1];
            self.at += 5;
            self.expect(&["["])?;
            let mode = match register(self.peek()) {
                Some(_) => PacketMode::Ind(Some(self.reg()?)),
                None => PacketMode::Abs,
            };
            let imm = self.imm()?;
            self.expect(&["]"])?;
            return Ok(Op::LegacyPacket { mode, size: size(kind).ok_or("no size")?.0, imm });
        }
        let (size, ext, base, off) = self.address()?;
        Ok(Op::Load { size, ext, dst, base, off })
    }

    /// `map[0]`, `map[idx:0]`, or with `+8`: an address in its value.
    fn map(&mut self) -> Parsed<WideImm> {
        self.expect(&["["])?;
        let token = self.next();
        let idx = token.strip_prefix("idx:").unwrap_or(token).parse().map_err(|_| "no map index")?;
        self.expect(&["]"])?;
        if self.peek() != "+" {
            return Ok(WideImm::MapIdx(idx));
        }
        Ok(WideImm::MapIdxValue { idx, off: self.imm()? as u32 })
    }

    /// `atomic64_fetch_add((u64 *)(r1 +0), r2)` and its kin; the register that takes the result is the operation's own.
    fn fetch(&mut self) -> Parsed<Op> {
        let name = self.next();
        let (_, name) = name.split_once('_').ok_or("no atomic operation")?;
        let op = match name {
            "fetch_add" => AtomicOp::Add,
            "fetch_or" => AtomicOp::Or,
            "fetch_and" => AtomicOp::And,
            "fetch_xor" => AtomicOp::Xor,
            "xchg" => AtomicOp::Xchg,
            "cmpxchg" => AtomicOp::Cmpxchg,
            other => return Err(format!("no atomic operation {other}")),
        };
        self.expect(&["("])?;
        let (size, _, base, off) = self.address()?;
        if op == AtomicOp::Cmpxchg {
            self.expect(&[",", "r0"])?;
        }
        self.expect(&[","])?;
        let src = self.reg()?;
        self.expect(&[")"])?;
        Ok(Op::Atomic { op, fetch: true, size, base, off, src })
    }
}

fn register(token: &str) -> Option<(Reg, Width)> {
    let (prefix, number) = token.split_at_checked(1)?;
    let width = match prefix {
        "r" => Width::W64,
        "w" => Width::W32,
        _ => return None,
    };
    Some((Reg::new(number.parse().ok()?)?, width))
}

fn size(token: &str) -> Option<(Size, Ext)> {
    let (prefix, bits) = token.split_at_checked(1)?;
    let ext = match prefix {
        "u" => Ext::Zero,
        "s" => Ext::Sign,
        _ => return None,
    };
    let size = match bits {
        "8" => Size::B,
        "16" => Size::H,
        "32" => Size::W,
        "64" => Size::DW,
        _ => return None,
    };
    Some((size, ext))
}

fn end_kind(token: &str) -> Option<(EndKind, Size)> {
    let (kind, bits) = token.split_at_checked(token.find(|c: char| c.is_ascii_digit())?)?;
    let kind = match kind {
        "le" => EndKind::Le,
        "be" => EndKind::Be,
        "bswap" => EndKind::Bswap,
        _ => return None,
    };
    size(&format!("u{bits}")).map(|(size, _)| (kind, size))
}
