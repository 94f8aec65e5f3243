//! Environments, workers, hooks and runs on a platform of the tests' own.

mod alloc;
mod callbacks;
mod chains;
mod entries;
mod hooks;
mod limits;
mod locks;
mod runs;
mod tails;
mod timers;
mod trace;
mod units;

use super::*;
use crate::error::Errno;
use crate::helpers::STANDARD;
use crate::isa::Insn;
use crate::isa::op::*;
use crate::maps::{Map, MapSpec, MapType};
use crate::platform::*;
use crate::program::{
    AttachType, Code, CtxField, Frame, MapSel, Program, Rewrite, Rewrites, Subprog, Verified,
};
use crate::sync::{Arc, AtomicU64, Ordering};
use std::ptr::NonNull;

/// A platform over std: a clock that the test sets, random bytes that count up.
pub(crate) struct TestPlatform {
    pub(crate) now: AtomicU64,
    /// What each reading of the clock moves it on by.
    pub(crate) step: AtomicU64,
    /// What happens at the next reading, in the middle of the run that reads it.
    pub(crate) meanwhile: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
    random: AtomicU64,
    code: Option<&'static dyn CodeMemory>,
}

pub(crate) fn platform() -> &'static TestPlatform {
    platform_with(Some(&crate::jit::testing::TestMemory))
}

/// The same with other executable memory, or none.
pub(crate) fn platform_with(code: Option<&'static dyn CodeMemory>) -> &'static TestPlatform {
    Box::leak(Box::new(TestPlatform {
        now: AtomicU64::new(1),
        step: AtomicU64::new(0),
        meanwhile: std::sync::Mutex::new(None),
        random: AtomicU64::new(1),
        code,
    }))
}

impl MapMemory for TestPlatform {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        let layout = std::alloc::Layout::from_size_align(request.size.max(1), 4096).ok()?;
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        let layout = std::alloc::Layout::from_size_align(size.max(1), 4096).unwrap();
        // SAFETY: from `alloc` with that size.
        unsafe { std::alloc::dealloc(ptr.as_ptr(), layout) };
    }
}

impl Platform for TestPlatform {
    fn code_memory(&self) -> Option<&dyn CodeMemory> {
        self.code
    }
    fn clock_ns(&self, _clock: Clock) -> Option<u64> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(happens) = meanwhile {
            happens();
        }
        let step = self.step.load(Ordering::Relaxed);
        Some(self.now.fetch_add(step, Ordering::Relaxed))
    }
    fn random(&self, out: &mut [u8]) -> bool {
        out.fill(self.random.fetch_add(1, Ordering::Relaxed) as u8);
        true
    }
    fn yield_now(&self) {
        std::thread::yield_now();
    }
    fn page_size(&self) -> usize {
        4096
    }
    fn possible_cpus(&self) -> u32 {
        2
    }
}

pub(crate) fn env() -> Arc<Env> {
    Env::new(platform(), &EnvOptions::default()).unwrap()
}

thread_local! {
    /// The engine that this thread's test loads programs with.
    static CHOICE: std::cell::Cell<EngineChoice> = const { std::cell::Cell::new(EngineChoice::Interp) };
}

/// Runs a test with each engine of this machine.
pub(crate) fn on_every_engine(test: impl Fn()) {
    let compiled = [EngineChoice::Jit, EngineChoice::JitWithoutFacts];
    let compiled = if crate::jit::Target::HOST.is_some() { compiled.as_slice() } else { &[] };
    for choice in [EngineChoice::Interp].iter().chain(compiled) {
        CHOICE.set(*choice);
        test();
    }
}

/// A program under construction: instructions with their rewrites.
#[derive(Default)]
pub(crate) struct Asm {
    insns: Vec<Insn>,
    rewrites: Vec<Rewrite>,
    starts: Vec<u32>,
    /// Slots that every function clears.
    pub(crate) clear: u64,
    /// Whether it takes packets in several buffers.
    pub(crate) frags: bool,
}

impl Asm {
    pub(crate) fn put(mut self, insn: Insn) -> Self {
        self.insns.push(insn);
        self.rewrites.push(Rewrite::Plain);
        self
    }
    pub(crate) fn mov(self, dst: u8, imm: i32) -> Self {
        self.put(Insn::new(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm))
    }
    pub(crate) fn mov_reg(self, dst: u8, src: u8) -> Self {
        self.put(Insn::new(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0))
    }
    pub(crate) fn add(self, dst: u8, imm: i32) -> Self {
        self.put(Insn::new(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm))
    }
    pub(crate) fn exit(self) -> Self {
        self.put(Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0))
    }
    fn with(mut self, insn: Insn, rewrite: Rewrite) -> Self {
        self.insns.push(insn);
        self.rewrites.push(rewrite);
        self
    }
    fn wide(self, dst: u8, rewrite: Rewrite) -> Self {
        self.with(Insn::new(LD_IMM64, dst, 0, 0, 0), rewrite).with(Insn::default(), Rewrite::Dead)
    }
    pub(crate) fn imm64(self, dst: u8, value: u64) -> Self {
        let lo = Insn::new(LD_IMM64, dst, 0, 0, value as u32 as i32);
        let hi = Insn::new(0, 0, 0, 0, (value >> 32) as i32);
        self.with(lo, Rewrite::Plain).with(hi, Rewrite::Dead)
    }
    pub(crate) fn map(self, dst: u8, index: u32) -> Self {
        self.wide(dst, Rewrite::MapPtr(index))
    }
    pub(crate) fn func(self, dst: u8, index: u32) -> Self {
        self.wide(dst, Rewrite::Func(index))
    }
    pub(crate) fn map_value(self, dst: u8, map: u32, offset: u32) -> Self {
        self.wide(dst, Rewrite::MapValue { map, offset })
    }
    pub(crate) fn ctx(self, dst: u8, field: CtxField) -> Self {
        self.with(Insn::new(BPF_LDX | BPF_MEM | BPF_W, dst, 1, field as i16 * 4, 0), Rewrite::CtxLoad(field))
    }
    pub(crate) fn helper(self, id: u32) -> Self {
        self.helper_of(id, if id == 12 { MapSel::Known(0) } else { MapSel::Many })
    }
    pub(crate) fn helper_of(self, id: u32, map: MapSel) -> Self {
        let row = STANDARD.row_of(id).unwrap();
        let insn = Insn::new(BPF_JMP | BPF_CALL, 0, 0, 0, id as i32);
        self.with(insn, Rewrite::CallHelper { row, map })
    }
    pub(crate) fn call(self, subprog: u32) -> Self {
        self.with(Insn::new(BPF_JMP | BPF_CALL, 0, 1, 0, 0), Rewrite::CallSubprog(subprog))
    }
    /// What follows is the next function.
    pub(crate) fn function(mut self) -> Self {
        self.starts.push(self.insns.len() as u32);
        self
    }
    pub(crate) fn dead(self) -> Self {
        self.with(Insn::default(), Rewrite::Dead)
    }

    pub(crate) fn verified(self, maps: &[Arc<Map>]) -> Program<Verified> {
        self.verified_as(maps, AttachType::Xdp)
    }

    fn verified_as(self, maps: &[Arc<Map>], attach: AttachType) -> Program<Verified> {
        use crate::mem;
        let ends = self.starts.iter().copied().chain([self.insns.len() as u32]);
        let starts = [0].into_iter().chain(self.starts.iter().copied());
        let subprogs = starts.zip(ends).map(|(start, end)| Subprog { start, end, ..Subprog::default() });
        let mut code = Code {
            name: mem::String::from_text("test").unwrap(),
            attach,
            frags: self.frags,
            ..Code::default()
        };
        code.subprogs.extend(subprogs).unwrap();
        code.insns.extend_from_slice(&self.insns).unwrap();
        let frames = code.subprogs.len();
        let rewrites = Rewrites {
            insns: mem::Vec::from_slice(&self.rewrites).unwrap(),
            frames: mem::Vec::filled(Frame { size: 32, clear: self.clear }, frames).unwrap(),
        };
        let mut list = mem::Vec::new();
        list.extend(maps.iter().cloned()).unwrap();
        // SAFETY: the tests give programs that keep to their packet, stack and maps.
        unsafe { Program::new(code).assume_verified(list, rewrites) }
    }

    pub(crate) fn load(self, env: &Arc<Env>, maps: &[Arc<Map>]) -> Arc<Prog> {
        install(env, self.verified(maps), CHOICE.get()).unwrap()
    }

    /// As `load`, of a program that attaches elsewhere.
    pub(crate) fn load_as(self, env: &Arc<Env>, attach: AttachType) -> Arc<Prog> {
        install(env, self.verified_as(&[], attach), CHOICE.get()).unwrap()
    }

    /// As `load`; every action is counted.
    pub(crate) fn load_counting(self, env: &Arc<Env>, maps: &[Arc<Map>]) -> Arc<Prog> {
        let options =
            ProgOptions { engine: CHOICE.get(), counting: Counting::Actions, ..ProgOptions::default() };
        install(env, self.verified(maps), options).unwrap()
    }
}

pub(crate) fn map(env: &Env, kind: MapType, key: u32, value: u32, max_entries: u32) -> Arc<Map> {
    let spec = MapSpec::new(kind, key, value, max_entries);
    let made = create_maps(env, &[MapDef { name: "m", spec, reuse: None }], None).unwrap();
    made[0].clone()
}

/// A packet in a buffer with Linux's headroom, and a context on a hook.
pub(crate) struct Bench {
    pub(crate) ctx: Box<Ctx>,
    buffer: Vec<u8>,
    pub(crate) hook: Arc<Hook>,
    pub(crate) worker: Worker,
}

impl Bench {
    pub(crate) fn new(env: &Arc<Env>) -> Bench {
        Self::in_slot(env, 0)
    }

    pub(crate) fn in_slot(env: &Arc<Env>, slot: u32) -> Bench {
        let worker = Worker::register(env, slot).unwrap();
        let hook = Hook::create(env).unwrap();
        let mut bench =
            Bench { ctx: Box::new(Ctx::empty()), buffer: vec![0xee; 256 + 64 + 100], hook, worker };
        // SAFETY: worker and hook live as long as the bench.
        unsafe { ctx_init(&mut *bench.ctx, &bench.worker, &bench.hook).unwrap() };
        bench.packet(&[0; 64]);
        bench
    }

    pub(crate) fn with(env: &Arc<Env>, prog: &Arc<Prog>) -> Bench {
        let bench = Self::new(env);
        bench.hook.set(std::slice::from_ref(prog)).unwrap();
        bench
    }

    /// Puts a packet of 64 bytes behind 256 bytes of headroom, with 100 bytes of tailroom.
    pub(crate) fn packet(&mut self, bytes: &[u8; 64]) {
        self.buffer.fill(0xee);
        self.buffer[256..320].copy_from_slice(bytes);
        let start = self.buffer.as_mut_ptr();
        // SAFETY: all within the buffer.
        unsafe {
            self.ctx.data_hard_start = start;
            self.ctx.data = start.add(256);
            self.ctx.data_meta = self.ctx.data;
            self.ctx.data_end = start.add(320);
            self.ctx.frame_end = start.add(420);
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let len = self.ctx.data_end as usize - self.ctx.data as usize;
        // SAFETY: the packet's bytes, within the buffer.
        unsafe { std::slice::from_raw_parts(self.ctx.data, len) }
    }

    pub(crate) fn run(&mut self) -> u32 {
        // SAFETY: the context is tied to a living worker and hook, its pointers to the buffer.
        unsafe { xdp_run(&mut *self.ctx) }
    }
}
