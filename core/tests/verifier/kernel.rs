//! The kernel's verdict: `bpf(2)` by itself, with real maps. Linux on x86-64 and AArch64 only.

use crate::asm::{Assembled, KERNEL_ONLY, OTHERS};
use crate::btf;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use uxdp_core::helpers::{KFUNC_BASE, STANDARD, kernel_only};
use uxdp_core::isa::Insn;
use uxdp_core::isa::op::{
    BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE,
};
use uxdp_core::maps::{MapSpec, MapType, ValueFields};
use uxdp_core::program::{AttachType, Code};

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_BTF_LOAD: i32 = 18;
const BPF_MAP_FREEZE: i32 = 22;
const BPF_PROG_TYPE_XDP: u32 = 6;

/// `call bpf_tail_call#12`
const TAIL_CALL: Insn = Insn::new(0x85, 0, 0, 0, 12);

/// `call kernel-function`
const KFUNC_CALL: Insn = Insn::new(0x85, 0, 2, 0, 0);

/// Whether the kernel wants to know the types of a program's functions: for tail calls in functions, for callbacks, for global functions.
fn needs_types(program: &Assembled) -> bool {
    let names_function = |i: &Insn| i.is_wide() && i.src() == BPF_PSEUDO_FUNC;
    program.insns.iter().any(|i| *i == TAIL_CALL || names_function(i))
        || program.functions.iter().any(|f| f.signature.is_some())
}

/// `union bpf_attr`, written by fields.
#[repr(C, align(8))]
struct Attr([u8; 144]);

impl Attr {
    const fn new() -> Self {
        Attr([0; 144])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn address<T>(self, at: usize, value: *const T) -> Self {
        self.u64(at, value as u64)
    }

    /// Runs a command: a non-negative answer or an errno.
    fn call(&self, command: i32) -> Result<i32, i32> {
        // SAFETY: the attribute is as long as said, and every address in it is of memory that its maker holds for the call, as long as the fields beside it say.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), self.0.len()) };
        if answer < 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
        Ok(answer as i32)
    }
}

/// Whether to ask for the reason of a refusal, which takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    None,
    Reason,
}

/// What the kernel says of a program.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    /// The errno and the end of the log.
    Refused(i32, String),
}

/// A program with its functions and lines, and what its maps are: name, geometry, frozen content.
pub(crate) struct Loadable<'a> {
    pub(crate) code: &'a Code,
    pub(crate) maps: &'a [(&'a str, MapSpec, Option<&'a [u8]>)],
}

/// The kernel, with the maps that were made for it.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    maps: Vec<(MapSpec, OwnedFd)>,
    btf: HashMap<Vec<u8>, OwnedFd>,
    functions: HashMap<String, u32>,
    log: Vec<u8>,
}

impl Kernel {
    /// The kernel, or why it cannot be asked. Root in CI has to be able to.
    pub(crate) fn new() -> Result<Self, String> {
        let mut kernel =
            Kernel { log: vec![0; 1 << 20], functions: btf::kernel_functions(), ..Kernel::default() };
        let Err(errno) = kernel.create(&crate::maps::spec("array8")) else { return Ok(kernel) };
        // SAFETY: a call without arguments that cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(!(root && ci), "CI runs as root, but bpf(2) answers errno {errno}");
        Err(format!("bpf(2) is not permitted here (errno {errno})"))
    }

    fn map(&mut self, spec: &MapSpec) -> Result<i32, i32> {
        if let Some((_, fd)) = self.maps.iter().find(|(s, _)| s == spec) {
            return Ok(fd.as_raw_fd());
        }
        // What is left to the machine is no number for bpf(2).
        let fd = self.create(&spec.fitted(1, 4096))?;
        let raw = fd.as_raw_fd();
        self.maps.push((*spec, fd));
        Ok(raw)
    }

    /// Makes a map; frozen data is written and frozen.
    fn create(&mut self, spec: &MapSpec) -> Result<OwnedFd, i32> {
        let content = crate::maps::is_frozen(spec).then(|| crate::maps::rodata(spec));
        self.create_named("", spec, content.as_deref())
    }

    /// Makes a map of that name, which is at most 15 characters; with content it is frozen.
    fn create_named(&mut self, name: &str, spec: &MapSpec, content: Option<&[u8]>) -> Result<OwnedFd, i32> {
        let mut attr = Attr::new()
            .u32(0, spec.kind as u32)
            .u32(4, spec.key_size)
            .u32(8, spec.value_size)
            .u32(12, spec.max_entries)
            .u32(16, spec.flags);
        attr.0[28..28 + name.len()].copy_from_slice(name.as_bytes());
        if let Some(inner) = &spec.inner {
            attr = attr.u32(20, self.map(&inner.spec())? as u32);
        }
        if spec.fields != ValueFields::default() {
            let (blob, key, value) = btf::of_map(spec);
            attr = attr.u32(48, self.btf(blob) as u32).u32(52, key).u32(56, value);
        }
        let fd = attr.call(BPF_MAP_CREATE)?;
        // SAFETY: the kernel just made this descriptor for us.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        if let Some(value) = content {
            let key = 0u32;
            let attr = Attr::new().u32(0, fd as u32).address(8, &raw const key).address(16, value.as_ptr());
            attr.call(BPF_MAP_UPDATE_ELEM)?;
            Attr::new().u32(0, fd as u32).call(BPF_MAP_FREEZE)?;
        }
        Ok(owned)
    }

    /// The log at level 2 of a program that is accepted, loaded with its functions' names and source lines.
    pub(crate) fn log(&mut self, subject: &Loadable<'_>) -> String {
        let maps: Vec<_> = subject
            .maps
            .iter()
            .map(|(name, spec, content)| {
                self.create_named(name, spec, *content).unwrap_or_else(|e| panic!("{name}: errno {e}"))
            })
            .collect();
        let code = subject.code;
        let mut insns = code.insns.to_vec();
        with_maps(&mut insns, |i| maps[i].as_raw_fd());
        let (blob, func_info, lines) = btf::of_code(code);
        let btf = self.btf(blob);
        let mut attr = program_attr(&insns, code.attach)
            .u32(72, btf as u32)
            .u32(76, 8)
            .address(80, func_info.as_ptr())
            .u32(88, func_info.len() as u32);
        if !lines.is_empty() {
            attr = attr.u32(92, 16).address(96, lines.as_ptr()).u32(104, lines.len() as u32);
        }
        self.log.resize(64 << 20, 0);
        self.log[0] = 0;
        attr = attr.u32(24, 2).u32(28, self.log.len() as u32).address(32, self.log.as_mut_ptr());
        let answer = attr.call(BPF_PROG_LOAD);
        let end = self.log.iter().position(|b| *b == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&self.log[..end]).into_owned();
        match answer {
            // SAFETY: the kernel just made this descriptor for us.
            Ok(fd) => drop(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(e) => panic!("{}: errno {e}: {text}", code.name.as_str()),
        }
        text
    }

    /// A kernel function's number in the kernel that runs, for ours; for numbers of nothing, that of nothing.
    fn kfunc(&self, ours: i32) -> i32 {
        let Some(number) = u32::try_from(ours).ok().filter(|n| (KFUNC_BASE..KFUNC_BASE + 256).contains(n))
        else {
            return ours;
        };
        let row = STANDARD.row_of(number).and_then(|row| STANDARD.get(row)).map(|row| row.name);
        let other = || KERNEL_ONLY.get(number.checked_sub(OTHERS)? as usize).copied();
        let id = row.or_else(|| kernel_only(number)).or_else(other).and_then(|name| self.functions.get(name));
        id.map_or(0x7fff_ffff, |id| *id as i32)
    }

    /// Loads a program, whose maps are named by index, and lets it go again.
    pub(crate) fn verify(
        &mut self,
        program: &Assembled,
        maps: &[MapSpec],
        attach: AttachType,
        log: Log,
    ) -> Verdict {
        let mut insns = program.insns.clone();
        // A prog array belongs to the first program that uses it: a new one each time.
        self.maps.retain(|(spec, _)| spec.kind != MapType::ProgArray);
        for insn in &mut insns {
            if insn.code == KFUNC_CALL.code && insn.src() == KFUNC_CALL.src() {
                insn.imm = self.kfunc(insn.imm);
            }
        }
        with_maps(&mut insns, |i| match maps.get(i) {
            Some(spec) => self.map(spec).unwrap_or_else(|e| panic!("{spec:?}: errno {e}")),
            None => 0x7fff_ffff,
        });
        self.log[0] = 0;
        let mut attr = program_attr(&insns, attach);
        let (blob, func_info) = btf::of_program(program);
        if needs_types(program) {
            let fd = self.btf(blob);
            attr = attr.u32(72, fd as u32).u32(76, 8).address(80, func_info.as_ptr());
            attr = attr.u32(88, func_info.len() as u32);
        }
        if log == Log::Reason {
            // Level 4 is the closing counts; reasons are written at every level but 0.
            attr = attr.u32(24, 4).u32(28, self.log.len() as u32).address(32, self.log.as_mut_ptr());
        }
        match attr.call(BPF_PROG_LOAD) {
            Ok(fd) => {
                // SAFETY: the kernel just made this descriptor for us.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                Verdict::Accepted
            }
            Err(errno) => Verdict::Refused(errno, self.log_tail()),
        }
    }

    /// Loads type information, once.
    fn btf(&mut self, blob: Vec<u8>) -> i32 {
        let fd = self.btf.entry(blob).or_insert_with_key(|blob| {
            let attr = Attr::new().address(0, blob.as_ptr()).u32(16, blob.len() as u32);
            let fd = attr.call(BPF_BTF_LOAD).unwrap_or_else(|e| panic!("BTF: errno {e}"));
            // SAFETY: the kernel just made this descriptor for us.
            unsafe { OwnedFd::from_raw_fd(fd) }
        });
        fd.as_raw_fd()
    }

    /// The last lines of the log, without the counts.
    fn log_tail(&self) -> String {
        let end = self.log.iter().position(|b| *b == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&self.log[..end]);
        let noise = ["processed ", "verification time", "stack depth", "cur state", "old state"];
        let lines: Vec<_> = text.lines().filter(|l| !noise.iter().any(|n| l.starts_with(n))).collect();
        lines[lines.len().saturating_sub(4)..].join("\n")
    }
}

/// Puts descriptors where maps are named by index.
fn with_maps(insns: &mut [Insn], mut fd_of: impl FnMut(usize) -> i32) {
    let mut at = 0;
    while at < insns.len() {
        let insn = &mut insns[at];
        at += if insn.is_wide() { 2 } else { 1 };
        let kind = match insn.src() {
            BPF_PSEUDO_MAP_IDX if insn.is_wide() => BPF_PSEUDO_MAP_FD,
            BPF_PSEUDO_MAP_IDX_VALUE if insn.is_wide() => BPF_PSEUDO_MAP_VALUE,
            _ => continue,
        };
        let fd = usize::try_from(insn.imm).map_or(0x7fff_ffff, &mut fd_of);
        *insn = Insn::new(insn.code, insn.dst(), kind, insn.off, fd);
    }
}

/// What every load of an XDP program says; the instructions stay with the caller.
fn program_attr(insns: &[Insn], attach: AttachType) -> Attr {
    let attach = match attach {
        AttachType::Xdp => 37,
        AttachType::XdpDevmap => 33,
        AttachType::XdpCpumap => 35,
    };
    let license = c"GPL";
    Attr::new()
        .u32(0, BPF_PROG_TYPE_XDP)
        .u32(4, insns.len() as u32)
        .address(8, insns.as_ptr())
        .address(16, license.as_ptr())
        .u32(68, attach)
}

/// A line that is seen although the test passes, which the harness's own capture would hide.
pub(crate) fn skip(what: &str, why: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
}
