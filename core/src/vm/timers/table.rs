//! The timers of one map: as many as it has elements, in private memory that nobody touches before a timer is used.

use super::{Timer, Timers};
use crate::error::Errno;
use crate::maps::{Map, ProgRef};
use crate::platform::{MemRequest, Platform};
use crate::sync::{Arc, AtomicPtr, AtomicU32, Ordering};
use core::ptr::{NonNull, null_mut};

/// The timers of one map, at the indices of its elements.
pub(crate) struct TimerTable {
    all: Arc<Timers>,
    /// Where it is in the directory.
    number: usize,
    memory: Memory,
    /// One beyond the last that was ever used.
    used: AtomicU32,
    /// The map that owns it.
    map: *const Map,
}

/// Where the timers are; given back when dropped.
struct Memory {
    platform: &'static dyn Platform,
    base: NonNull<Timer>,
    len: u32,
}

impl Drop for Memory {
    fn drop(&mut self) {
        let size = self.len as usize * size_of::<Timer>();
        // SAFETY: allocated in `TimerTable::new` with that size; no list has any of the timers, and no program the map.
        unsafe { self.platform.free(self.base.cast(), size) };
    }
}

impl TimerTable {
    /// A table for a map that has `len` elements, entered in the directory.
    ///
    /// # Errors
    /// ENOMEM; ENOSPC where the environment has too many maps with timers.
    ///
    /// # Safety
    /// The map owns the table and outlives it; both stay where they are.
    pub(in crate::vm) unsafe fn new(
        all: &Arc<Timers>,
        platform: &'static dyn Platform,
        map: &Map,
        len: u32,
    ) -> Result<Arc<TimerTable>, Errno> {
        let size = (len as usize).checked_mul(size_of::<Timer>()).ok_or(Errno::ENOMEM)?;
        let request = MemRequest { name: map.name(), size, align: align_of::<Timer>(), numa_node: -1 };
        // One at a time looks for a place.
        let _wheel = all.wheel.lock();
        let number = all.tables.iter().position(|t| t.load(Ordering::Relaxed).is_null());
        let number = number.ok_or(Errno::ENOSPC)?;
        let base = platform.alloc(&request).ok_or(Errno::ENOMEM)?.cast();
        let used = AtomicU32::new(0);
        let memory = Memory { platform, base, len };
        let table = Arc::new(TimerTable { all: all.clone(), number, memory, used, map })?;
        // Release: pairs with the Acquire in `Timers::find`.
        all.tables[number].store(Arc::as_ptr(&table).cast_mut(), Ordering::Release);
        Ok(table)
    }

    pub(super) fn map(&self) -> &Map {
        // SAFETY: the map owns this table (`new`).
        unsafe { &*self.map }
    }

    /// The timer of an element.
    pub(crate) fn timer(&self, index: u32) -> Option<&Timer> {
        // SAFETY: `len` timers were allocated, zeroed, which is a timer; the index is below that.
        (index < self.memory.len).then(|| unsafe { self.memory.base.add(index as usize).as_ref() })
    }

    /// The element of a timer of this table.
    pub(super) fn index_of(&self, timer: &Timer) -> Option<u32> {
        let skip = core::ptr::from_ref(timer).addr().checked_sub(self.memory.base.as_ptr().addr())?;
        u32::try_from(skip / size_of::<Timer>()).ok().filter(|i| *i < self.memory.len)
    }

    /// What a value holds as its timer.
    pub(crate) fn id(&self, index: u32) -> u64 {
        self.used.fetch_max(index + 1, Ordering::Relaxed);
        (self.number as u64 + 1) << 32 | u64::from(index + 1)
    }

    /// An element is another one's now, or nobody's: its timer does not expire any more. `slot` is the caller's.
    pub(crate) fn free(&self, index: u32, slot: u32) {
        if let Some(timer) = self.timer(index)
            && timer.free(slot, self.memory.platform)
        {
            self.all.ask(timer);
        }
    }

    /// The map's last user is gone: no timer expires any more, and none holds a program.
    pub(crate) fn let_go(&self, slot: u32, mut retire: impl FnMut(ProgRef)) {
        for timer in (0..self.used.load(Ordering::Relaxed)).filter_map(|i| self.timer(i)) {
            timer.free(slot, self.memory.platform);
            timer.take_all().into_iter().flatten().for_each(&mut retire);
        }
    }
}

impl Drop for TimerTable {
    fn drop(&mut self) {
        self.all.tables[self.number].store(null_mut(), Ordering::Relaxed);
        let used = self.used.load(Ordering::Relaxed);
        self.all.forget(|timer| self.index_of(timer).is_some(), (0..used).filter_map(|i| self.timer(i)));
        for timer in (0..used).filter_map(|i| self.timer(i)) {
            timer.take_all();
        }
    }
}

impl Timers {
    /// Takes timers whose table goes out of every list.
    fn forget<'a>(&self, is_theirs: impl Fn(&Timer) -> bool, timers: impl Iterator<Item = &'a Timer>) {
        let mut wheel = self.wheel.lock();
        let mut kept = null_mut();
        while let Some(timer) = self.next_asked(&mut wheel) {
            // What is asked anew meanwhile is of maps that programs have, so not theirs.
            if !is_theirs(timer) && timer.is_first_to_ask() {
                timer.next_asked.store(kept, Ordering::Relaxed);
                kept = core::ptr::from_ref(timer).cast_mut();
            }
        }
        wheel.rest = kept;
        timers.for_each(|t| wheel.take_out(t));
        self.note_next(&wheel);
    }
}

/// Where a map keeps its table, if it has one; set once.
#[derive(Debug)]
pub(crate) struct TimerCell(AtomicPtr<TimerTable>);

impl TimerCell {
    pub(crate) const fn empty() -> Self {
        TimerCell(AtomicPtr::new(null_mut()))
    }

    pub(crate) fn set(&self, table: Arc<TimerTable>) {
        let table = Arc::into_raw(table).cast_mut();
        // Release: pairs with the Acquire in `get`. Nobody sets it twice; if somebody did, the second table would stay unused for ever.
        let _ = self.0.compare_exchange(null_mut(), table, Ordering::Release, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<&TimerTable> {
        // SAFETY: null, or the table that `set` took over, which goes with this cell. Acquire: pairs with `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// The timer of an element that changes hands.
    #[inline]
    pub(crate) fn free(&self, index: u32, slot: u32) {
        if let Some(table) = self.get() {
            table.free(index, slot);
        }
    }
}

impl Drop for TimerCell {
    fn drop(&mut self) {
        let table = *self.0.get_mut();
        if !table.is_null() {
            // SAFETY: `set` gave this reference away.
            drop(unsafe { Arc::from_raw(table) });
        }
    }
}
