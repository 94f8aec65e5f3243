//! Atomics for `--cfg loom`: those of core outside a model, loom's inside one.
//!
//! Map memory is raw and zeroed, loom's atomics are neither. So an atomic here is a plain one in memory, and inside [`check`] every access to its address goes to a loom
//! atomic that stands for it, made at the first access with what memory held. Memory that a model frees must not be used again inside it.
//!
//! Loom remembers one access of an atomic, and so forgets a load of one thread behind a load of another, and with it the schedules where a store comes between. So every
//! access first counts in a second atomic, relaxed: of counts it forgets none, and they order nothing else.
//!
//! Loom takes SeqCst accesses for AcqRel ones. Each is put between two SeqCst fences here, which loom knows: stronger than the language says where accesses of other orderings
//! stand beside, and so blind to a protocol that needs its SeqCst accesses to order those too.

use core::any::{Any, TypeId};
use core::cell::{Cell, RefCell};
use core::sync::atomic as plain;
use std::boxed::Box;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::thread_local;

pub(crate) use core::sync::atomic::Ordering;

thread_local! {
    /// Whether this thread runs a model; loom's threads are fibres of one thread.
    static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    /// The loom atomics of this execution, by address and type.
    static SHADOWS: RefCell<HashMap<(usize, TypeId), Box<dyn Any>>> = RefCell::default();
}

/// Runs `model` under every schedule that loom finds worth a look, with at most so many preemptions, and says how many those were.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    let schedules = Arc::new(plain::AtomicUsize::new(0));
    let count = schedules.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        SHADOWS.with_borrow_mut(HashMap::clear);
        IN_MODEL.set(true);
        model();
        IN_MODEL.set(false);
    });
    std::io::stderr()
        .write_all(format!("{} schedules\n", schedules.load(Ordering::Relaxed)).as_bytes())
        .unwrap();
}

/// Makes what stands for all words of a piece of map memory before threads begin: loom holds the making of an atomic for a write that everybody has to know of.
///
/// # Safety
/// `base` is 8-aligned readable memory of `size` bytes that only atomics of this module access.
pub(crate) unsafe fn prepare(base: *mut u8, size: usize) {
    for at in (0..size / 4 * 4).step_by(4) {
        // SAFETY: inside the memory, aligned; the caller's word for the rest.
        unsafe {
            if at % 8 == 0 && at + 8 <= size {
                AtomicU64::from_ptr(base.add(at).cast()).load(Ordering::Relaxed);
            }
            AtomicU32::from_ptr(base.add(at).cast()).load(Ordering::Relaxed);
        }
    }
}

/// As [`core::sync::atomic::fence`].
pub fn fence(order: Ordering) {
    if IN_MODEL.get() { loom::sync::atomic::fence(order) } else { plain::fence(order) }
}

/// Does an access; a SeqCst one between fences.
fn ordered<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order != Ordering::SeqCst {
        return access();
    }
    loom::sync::atomic::fence(Ordering::SeqCst);
    let result = access();
    loom::sync::atomic::fence(Ordering::SeqCst);
    result
}

/// What stands for an atomic, and the count of its accesses.
struct Shadow<A> {
    atomic: A,
    accesses: loom::sync::atomic::AtomicUsize,
}

/// What stands for the atomic at an address, about to be accessed; `None` outside a model.
fn shadow<A: Any>(address: usize, make: impl FnOnce() -> A) -> Option<Arc<Shadow<A>>> {
    if !IN_MODEL.get() {
        return None;
    }
    let key = (address, TypeId::of::<A>());
    let known = SHADOWS.with_borrow(|all| all.get(&key)?.downcast_ref::<Arc<Shadow<A>>>().cloned());
    let shadow = known.unwrap_or_else(|| {
        // Loom may switch fibres here, so that nothing is borrowed.
        let made = Arc::new(Shadow { atomic: make(), accesses: loom::sync::atomic::AtomicUsize::new(0) });
        SHADOWS.with_borrow_mut(|all| all.insert(key, Box::new(made.clone())));
        made
    });
    shadow.accesses.fetch_add(1, Ordering::Relaxed);
    Some(shadow)
}

macro_rules! atomics {
    ($($name:ident: $number:ty;)*) => {$(
        /// As the one of the same name in [`core::sync::atomic`].
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(plain::$name);

        #[expect(missing_docs, reason = "as in core::sync::atomic")]
        impl $name {
            pub const fn new(value: $number) -> Self {
                Self(plain::$name::new(value))
            }

            /// # Safety
            /// As in core::sync::atomic.
            pub const unsafe fn from_ptr<'a>(at: *mut $number) -> &'a Self {
                // SAFETY: the caller's word; the type is transparent.
                unsafe { &*at.cast::<Self>() }
            }

            fn shadow(&self) -> Option<Arc<Shadow<loom::sync::atomic::$name>>> {
                shadow(self.0.as_ptr().addr(), || {
                    loom::sync::atomic::$name::new(self.0.load(Ordering::Relaxed))
                })
            }

            pub fn as_ptr(&self) -> *mut $number {
                self.0.as_ptr()
            }

            pub fn load(&self, order: Ordering) -> $number {
                match self.shadow() {
                    Some(s) => ordered(order, || s.atomic.load(unless_seq(order, Ordering::Acquire))),
                    None => self.0.load(order),
                }
            }

            pub fn store(&self, value: $number, order: Ordering) {
                match self.shadow() {
                    Some(s) => ordered(order, || s.atomic.store(value, unless_seq(order, Ordering::Release))),
                    None => self.0.store(value, order),
                }
            }

            pub fn swap(&self, value: $number, order: Ordering) -> $number {
                match self.shadow() {
                    Some(s) => ordered(order, || s.atomic.swap(value, unless_seq(order, Ordering::AcqRel))),
                    None => self.0.swap(value, order),
                }
            }

            pub fn compare_exchange(
                &self,
                from: $number,
                to: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                match self.shadow() {
                    Some(s) => ordered(success, || {
                        let failure = unless_seq(failure, Ordering::Acquire);
                        s.atomic.compare_exchange(from, to, unless_seq(success, Ordering::AcqRel), failure)
                    }),
                    None => self.0.compare_exchange(from, to, success, failure),
                }
            }

            pub fn compare_exchange_weak(
                &self,
                from: $number,
                to: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                self.compare_exchange(from, to, success, failure)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut change: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                let mut old = self.load(fetch);
                while let Some(new) = change(old) {
                    match self.compare_exchange(old, new, set, fetch) {
                        Ok(_) => return Ok(old),
                        Err(now) => old = now,
                    }
                }
                Err(old)
            }

            atomics!(@fetch $number: fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max);
        }
    )*};
    (@fetch $number:ty: $($op:ident),*) => {$(
        pub fn $op(&self, value: $number, order: Ordering) -> $number {
            match self.shadow() {
                Some(s) => ordered(order, || s.atomic.$op(value, unless_seq(order, Ordering::AcqRel))),
                None => self.0.$op(value, order),
            }
        }
    )*};
}

/// The order, or what is left of SeqCst between fences.
fn unless_seq(order: Ordering, strongest: Ordering) -> Ordering {
    if order == Ordering::SeqCst { strongest } else { order }
}

atomics! {
    AtomicU8: u8;
    AtomicU16: u16;
    AtomicU32: u32;
    AtomicU64: u64;
}

/// As the one of the same name in [`core::sync::atomic`]: inside a model a number, the address.
#[repr(transparent)]
pub struct AtomicPtr<T>(plain::AtomicPtr<T>);

impl<T> core::fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[expect(missing_docs, reason = "as in core::sync::atomic")]
impl<T> AtomicPtr<T> {
    pub const fn new(value: *mut T) -> Self {
        Self(plain::AtomicPtr::new(value))
    }

    pub fn get_mut(&mut self) -> &mut *mut T {
        self.0.get_mut()
    }

    fn shadow(&self) -> Option<Arc<Shadow<loom::sync::atomic::AtomicUsize>>> {
        shadow(self.0.as_ptr().addr(), || {
            loom::sync::atomic::AtomicUsize::new(self.0.load(Ordering::Relaxed).expose_provenance())
        })
    }

    pub fn load(&self, order: Ordering) -> *mut T {
        match self.shadow() {
            Some(s) => pointer(ordered(order, || s.atomic.load(unless_seq(order, Ordering::Acquire)))),
            None => self.0.load(order),
        }
    }

    pub fn store(&self, value: *mut T, order: Ordering) {
        match self.shadow() {
            Some(s) => ordered(order, || {
                s.atomic.store(value.expose_provenance(), unless_seq(order, Ordering::Release))
            }),
            None => self.0.store(value, order),
        }
    }

    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        match self.shadow() {
            Some(s) => pointer(ordered(order, || {
                s.atomic.swap(value.expose_provenance(), unless_seq(order, Ordering::AcqRel))
            })),
            None => self.0.swap(value, order),
        }
    }

    pub fn compare_exchange(
        &self,
        from: *mut T,
        to: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let Some(s) = self.shadow() else { return self.0.compare_exchange(from, to, success, failure) };
        let (from, to) = (from.expose_provenance(), to.expose_provenance());
        let done = ordered(success, || {
            let failure = unless_seq(failure, Ordering::Acquire);
            s.atomic.compare_exchange(from, to, unless_seq(success, Ordering::AcqRel), failure)
        });
        done.map(pointer).map_err(pointer)
    }

    pub fn compare_exchange_weak(
        &self,
        from: *mut T,
        to: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.compare_exchange(from, to, success, failure)
    }
}

fn pointer<T>(address: usize) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address)
}
