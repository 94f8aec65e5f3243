//! What each section of the file means, and the functions inside the executable ones.
//!
//! Every section gets one [`Role`]. Executable sections become [`Text`]s with their instructions; the symbols in them become
//! [`Function`]s, sorted by place so that a branch target finds its function by binary search.

use super::btf::Btf;
use super::core_reloc::Poison;
use super::elf::{Elf, Place, Section, SectionType, SymbolType};
use super::error::{ObjectError, Result};
use super::ext::{Ext, LineInfo};
use super::signature::Prototypes;
use crate::isa::Insn;
use crate::mem::{String, Vec};
use crate::program::{AttachType, Signature};

/// The section of subprograms.
pub(crate) const TEXT: &str = ".text";

/// What a section is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Instructions: the text with that index.
    Text(usize),
    /// Global data: the map with that index.
    Data(usize),
    /// Map definitions (`.maps` or `maps`).
    Maps,
    /// Nothing that code may refer to.
    Other,
}

/// The instructions of one executable section.
#[derive(Debug)]
pub(crate) struct Text {
    /// The section's name.
    pub(crate) name: String,
    /// Its index in the file.
    pub(crate) section: usize,
    /// Its instructions; map references are final, references to functions are not.
    pub(crate) insns: Vec<Insn>,
    /// References that linking resolves, sorted by slot.
    pub(crate) refs: Vec<CodeRef>,
    /// Source lines, sorted by slot.
    pub(crate) lines: Vec<LineInfo>,
    /// Relocations in error, sorted by slot: only a program with that instruction is refused.
    pub(crate) faults: Vec<Fault>,
    /// Instructions that nothing in the target fits, sorted by slot.
    pub(crate) poisons: Vec<Poison>,
}

impl Text {
    /// What is wrong with the relocation of an instruction.
    pub(crate) fn fault_at(&self, slot: u32) -> Option<ObjectError> {
        let found = self.faults.partition_point(|f| f.slot < slot);
        self.faults.get(found).filter(|f| f.slot == slot).map(|f| f.error)
    }
}

/// A relocation in error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The slot in its text.
    pub(crate) slot: u32,
    /// What is wrong.
    pub(crate) error: ObjectError,
}

/// A reference from code that linking resolves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRef {
    /// The slot in its text.
    pub(crate) slot: u32,
    /// What is meant.
    pub(crate) target: Target,
}

/// What a reference means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The function with that index.
    Function(usize),
    /// The external symbol with that index.
    Extern(usize),
}

/// One function of the object.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The text that it is in.
    pub(crate) text: usize,
    /// First slot in that text.
    pub(crate) start: u32,
    /// One beyond its last slot.
    pub(crate) end: u32,
    /// Whether other files may call it: then it can be a program.
    pub(crate) exported: bool,
    /// Whether its BTF calls it global: then it is verified alone.
    pub(crate) global: bool,
    /// Its BTF prototype, for a global one.
    pub(crate) signature: Option<Signature>,
    /// The name of its exception callback.
    pub(crate) exception_callback: Option<String>,
}

/// What the name of a section says of its programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SectionHint {
    /// Where they attach.
    pub(crate) attach: AttachType,
    /// Whether they take multi-buffer packets.
    pub(crate) frags: bool,
    /// Whether they are loaded unless asked otherwise (a leading `?` says no, and so does another type than XDP).
    pub(crate) autoload: bool,
    /// Whether they are of another type than XDP.
    pub(crate) foreign: bool,
}

/// Names of sections, alone or before `/` or `.`, whose programs are not XDP's (libbpf's table).
const FOREIGN: &[&str] = &[
    "action",
    "cgroup",
    "cgroup_skb",
    "classifier",
    "fentry",
    "fexit",
    "flow_dissector",
    "fmod_ret",
    "freplace",
    "fsession",
    "iter",
    "kprobe",
    "kretprobe",
    "kretsyscall",
    "ksyscall",
    "lirc_mode2",
    "lsm",
    "lsm_cgroup",
    "lwt_in",
    "lwt_out",
    "lwt_seg6local",
    "lwt_xmit",
    "netfilter",
    "netkit",
    "perf_event",
    "raw_tp",
    "raw_tracepoint",
    "sk_lookup",
    "sk_msg",
    "sk_reuseport",
    "sk_skb",
    "socket",
    "sockops",
    "struct_ops",
    "syscall",
    "tc",
    "tcx",
    "tp",
    "tp_btf",
    "tracepoint",
    "uprobe",
    "uretprobe",
    "usdt",
];

impl SectionHint {
    /// Reads the name.
    pub(crate) fn of(section: &str) -> Self {
        let name = section.strip_prefix('?').unwrap_or(section);
        let (frags, hook) = match name.strip_prefix("xdp.frags") {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix("xdp").unwrap_or("")),
        };
        let hook = hook.strip_prefix(['/', '_']).unwrap_or("");
        let is = |kind: &str| hook.strip_prefix(kind).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let attach = if is("devmap") {
            AttachType::XdpDevmap
        } else if is("cpumap") {
            AttachType::XdpCpumap
        } else {
            AttachType::Xdp
        };
        let first = name.split(['/', '.']).next().unwrap_or("");
        let foreign = FOREIGN.contains(&first);
        SectionHint { attach, frags, autoload: name.len() == section.len() && !foreign, foreign }
    }
}

/// Whether a section holds instructions.
fn is_code(section: &Section<'_>) -> bool {
    section.executable && section.kind == SectionType::Progbits && !section.data.is_empty()
}

/// The instructions of every executable section.
pub(crate) fn texts(elf: &Elf<'_>, ext: &Ext) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for (index, section) in elf.sections.iter().enumerate().filter(|(_, s)| is_code(s)) {
        if !section.data.len().is_multiple_of(8) {
            let odd = section.data.len() as u64;
            return Err(ObjectError::malformed("code is not a multiple of 8 bytes").at(section.name, odd));
        }
        let mut insns = Vec::with_capacity(section.data.len() / 8)?;
        for bytes in section.data.as_chunks::<8>().0 {
            insns.push(Insn::from_bytes(*bytes))?;
        }
        let lines = Vec::from_slice(ext.section_lines(index))?;
        let name = String::from_text(section.name)?;
        let (refs, faults, poisons) = (Vec::new(), Vec::new(), Vec::new());
        texts.push(Text { name, section: index, insns, refs, lines, faults, poisons })?;
    }
    Ok(texts)
}

/// The functions of every text, sorted by text and start.
pub(crate) fn functions(
    elf: &Elf<'_>,
    texts: &[Text],
    btf: Option<&Btf<'_>>,
    ext: &Ext,
) -> Result<Vec<Function>> {
    let mut functions: Vec<Function> = Vec::new();
    let prototypes = btf.map(Prototypes::new).transpose()?;
    for symbol in elf.symbols() {
        let (_, symbol) = symbol?;
        let Place::Section(section) = symbol.place else { continue };
        let Ok(text) = texts.binary_search_by_key(&section, |t| t.section) else { continue };
        let Some(Text { name, insns, .. }) = texts.get(text) else { continue };
        let entry = symbol.kind == SymbolType::Untyped && symbol.global && name.as_str() != TEXT;
        if symbol.kind != SymbolType::Func && !entry {
            continue;
        }
        let bad = |what| Err(ObjectError::malformed(what).at(name, symbol.value).named(symbol.name));
        if !symbol.value.is_multiple_of(8) || !symbol.size.is_multiple_of(8) {
            return bad("a function does not begin and end at an instruction");
        }
        let end = symbol.value.checked_add(symbol.size).map(|e| e / 8);
        let (Some(end), start) = (end, symbol.value / 8) else { return bad("a function has no end") };
        if end > insns.len() as u64 || start >= insns.len() as u64 {
            return bad("a function reaches beyond its section");
        }
        let func = ext.func_type(section, start as u32);
        let (global, signature) = match &prototypes {
            Some(prototypes) => prototypes.of(func, symbol.hidden)?,
            None => (false, None),
        };
        let callback = prototypes.as_ref().and_then(|p| p.exception_callback(func));
        functions.push(Function {
            name: String::from_text(symbol.name)?,
            text,
            start: start as u32,
            end: end as u32,
            exported: symbol.global,
            global,
            signature,
            exception_callback: callback.map(String::from_text).transpose()?,
        })?;
    }
    functions.sort_unstable_by_key(|f| (f.text, f.start, f.end));
    close(&mut functions, texts);
    Ok(functions)
}

/// Ends each function without a size where the next one starts, else at the end of its text.
fn close(functions: &mut [Function], texts: &[Text]) {
    let mut next: Option<(usize, u32)> = None;
    for f in functions.iter_mut().rev() {
        let limit = texts.get(f.text).map_or(0, |t| t.insns.len() as u32);
        if f.end == f.start {
            f.end = match next {
                Some((text, start)) if text == f.text && start > f.start => start,
                _ => limit,
            };
        }
        if next != Some((f.text, f.start)) {
            next = Some((f.text, f.start));
        }
    }
}

/// The function that starts at a slot of a text.
pub(crate) fn function_at(functions: &[Function], text: usize, start: u32) -> Option<usize> {
    let first = functions.partition_point(|f| (f.text, f.start) < (text, start));
    functions.get(first).filter(|f| f.text == text && f.start == start).map(|_| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_names_say_where_a_program_attaches() {
        let hint = |attach, frags, autoload| SectionHint { attach, frags, autoload, foreign: false };
        for (name, wanted) in [
            ("xdp", hint(AttachType::Xdp, false, true)),
            ("xdp/prog", hint(AttachType::Xdp, false, true)),
            ("xdp_prog", hint(AttachType::Xdp, false, true)),
            ("prog", hint(AttachType::Xdp, false, true)),
            ("xdp.frags", hint(AttachType::Xdp, true, true)),
            ("xdp.frags/devmap", hint(AttachType::XdpDevmap, true, true)),
            ("xdp/devmap", hint(AttachType::XdpDevmap, false, true)),
            ("xdp_devmap/map_prog", hint(AttachType::XdpDevmap, false, true)),
            ("xdp/cpumap", hint(AttachType::XdpCpumap, false, true)),
            ("xdp/devmapper", hint(AttachType::Xdp, false, true)),
            ("?xdp", hint(AttachType::Xdp, false, false)),
        ] {
            assert_eq!(SectionHint::of(name), wanted, "{name}");
        }
    }

    #[test]
    fn section_names_say_that_a_program_is_not_for_xdp() {
        for (name, foreign) in [
            ("tc", true),
            ("tcx/ingress", true),
            ("?fentry.s/foo", true),
            ("freplace", true),
            ("uprobe.multi/x", true),
            ("tcpdump", false),
            ("xdp.frags", false),
            ("xdp_socket", false),
        ] {
            let hint = SectionHint::of(name);
            assert_eq!((hint.foreign, hint.autoload), (foreign, !foreign), "{name}");
        }
    }
}
