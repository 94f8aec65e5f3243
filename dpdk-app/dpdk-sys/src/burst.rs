//! A burst of packets that owns its mbufs.
//!
//! The invariant is the application's promise that no mbuf is ever lost: an mbuf is in exactly one burst, or with a driver. It leaves a
//! burst by being sent, by moving to another burst, or by being freed; a burst that is dropped frees what it still holds.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

use crate::ffi::{self, REASONS, RteMbuf};
use crate::{Mempool, Segments};

/// Packets a burst has room for: DPDK's customary 32.
pub const BURST: usize = 32;

/// The head of the record that an application keeps per packet: the buffer and the packet in it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// First byte of the buffer.
    pub data_hard_start: *mut u8,
    /// Start of the metadata before the packet; equal to `data`: none.
    pub data_meta: *mut u8,
    /// First byte of the packet.
    pub data: *mut u8,
    /// One past its last byte.
    pub data_end: *mut u8,
    /// One past the last byte of the buffer.
    pub frame_end: *mut u8,
    /// The mbuf; for comparing only.
    pub cookie: *mut c_void,
}

impl Frame {
    /// A frame of no packet.
    pub const EMPTY: Self = Self {
        data_hard_start: null_mut(),
        data_meta: null_mut(),
        data: null_mut(),
        data_end: null_mut(),
        frame_end: null_mut(),
        cookie: null_mut(),
    };
}

/// A record that begins with a [`Frame`].
///
/// # Safety
/// The type is `repr(C)` and its first field is a [`Frame`]. At byte `SEGMENTS_AT`, where that is not 0, it has a pointer to [`Segments`].
pub unsafe trait FrameHead {
    /// Where the record points to the segments behind the first; 0: nowhere.
    const SEGMENTS_AT: usize;
}

// SAFETY: it is one.
unsafe impl FrameHead for Frame {
    const SEGMENTS_AT: usize = 0;
}

/// What the driver said about a packet beside its bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RxMeta {
    timestamp: u64,
    hash: u32,
    vlan_tci: u16,
    valid: u16,
}

impl RxMeta {
    /// The receive-side-scaling hash, if the device computed one.
    pub fn hash(&self) -> Option<u32> {
        (self.valid & 1 != 0).then_some(self.hash)
    }

    /// The VLAN tag that the device took out of the packet, in host order.
    pub fn vlan_tci(&self) -> Option<u16> {
        (self.valid & 2 != 0).then_some(self.vlan_tci)
    }

    /// When the packet came, in nanoseconds of the device's clock.
    pub fn timestamp(&self) -> Option<u64> {
        (self.valid & 4 != 0).then_some(self.timestamp)
    }
}

/// Packets that were not given to a program, or not taken back from it as it left them, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([u64; REASONS]);

impl Refusals {
    const BAD_FRAME: usize = 4;
    const NAMES: [&'static str; REASONS] = ["chained", "shared", "indirect", "external", "bad_frame"];

    /// Each reason and its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Self::NAMES.into_iter().zip(self.0)
    }

    /// Adds others to them.
    pub fn add(&mut self, others: &Refusals) {
        self.0.iter_mut().zip(others.0).for_each(|(sum, more)| *sum += more);
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What whoever had the packets may have done to them. The less it is, the less there is to write back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Nothing: they were only read.
    Nothing,
    /// Their bytes may have changed, so what the driver vouched for is void. They begin and end where they did.
    Bytes,
    /// They may also begin and end elsewhere.
    Bounds,
}

/// Up to [`BURST`] packets.
#[derive(Debug)]
pub struct Burst<'pool> {
    len: usize,
    /// Set by `load`: the driver vouched for something in one of the packets.
    vouched: i32,
    mbufs: [MaybeUninit<NonNull<RteMbuf>>; BURST],
    _pool: PhantomData<&'pool Mempool<'pool>>,
}

/// One packet on its way from a burst to another; see [`Burst::drain`]. Dropping it frees it.
#[derive(Debug)]
pub struct Mbuf<'pool> {
    raw: NonNull<RteMbuf>,
    _pool: PhantomData<&'pool Mempool<'pool>>,
}

// SAFETY: an mbuf has one owner at a time, and its pool takes it back from any thread.
unsafe impl Send for Mbuf<'_> {}

impl<'pool> Mbuf<'pool> {
    /// A copy of the packet and of `metadata` bytes before it, in buffers of `pool`; `None` where it has none left.
    pub fn copy(&mut self, pool: &'pool Mempool<'_>, metadata: u16) -> Option<Mbuf<'pool>> {
        // SAFETY: self owns the mbuf; the pool lives.
        let raw = unsafe { ffi::glue_copy(self.raw.as_ptr(), pool.raw(), metadata) };
        NonNull::new(raw).map(|raw| Mbuf { raw, _pool: PhantomData })
    }
}

impl Mbuf<'_> {
    /// Takes over an mbuf.
    ///
    /// # Safety
    /// Nobody else frees it, and its pool outlives the lifetime chosen.
    #[cfg(test)]
    pub(crate) unsafe fn from_raw(raw: NonNull<RteMbuf>) -> Self {
        Self { raw, _pool: PhantomData }
    }
}

impl Drop for Mbuf<'_> {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        // SAFETY: self owns the mbuf.
        unsafe { ffi::glue_free_bulk(&raw mut raw, 1) };
    }
}

impl Default for Burst<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'pool> Burst<'pool> {
    /// An empty burst.
    pub const fn new() -> Self {
        Self { len: 0, vouched: 0, mbufs: [MaybeUninit::uninit(); BURST], _pool: PhantomData }
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more it takes.
    pub fn room(&self) -> usize {
        BURST - self.len
    }

    /// Frees all that it holds, and says how many they were.
    #[inline]
    pub fn free(&mut self) -> usize {
        self.free_from(0)
    }

    /// Frees all but the first `keep`, and says how many they were.
    #[inline]
    pub fn free_from(&mut self, keep: usize) -> usize {
        let freed = self.len.saturating_sub(keep);
        if freed > 0 {
            self.len = keep;
            // SAFETY: the slots keep..keep + freed were filled and are no longer counted: they are freed once.
            unsafe { ffi::glue_free_bulk(self.mbufs.as_mut_ptr().add(keep).cast(), freed as u32) };
        }
        freed
    }

    /// Adds a packet; a full burst gives it back.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf<'pool>) -> Result<(), Mbuf<'pool>> {
        match self.mbufs.get_mut(self.len) {
            Some(slot) => {
                slot.write(mbuf.raw);
                std::mem::forget(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    /// Empties the burst, handing over each packet with its position.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(usize, Mbuf<'pool>)) {
        let len = std::mem::take(&mut self.len);
        for (position, slot) in self.mbufs.iter().take(len).enumerate() {
            // SAFETY: the first `len` slots were filled; len is 0 now, so this is their only owner.
            let raw = unsafe { slot.assume_init() };
            each(position, Mbuf { raw, _pool: PhantomData });
        }
    }

    /// Writes where each packet lies into the heads of `records`, and what the driver said about it into `meta`.
    ///
    /// A packet that no program may write to (chained, shared, indirect) is freed and counted in `refused`; those that remain
    /// keep their order. Says how many remain: `records[..n]` belong to them.
    ///
    /// With `segments`, packets in several segments remain, too, up to [`crate::MAX_SEGMENTS`] behind the first; the records of all that remain then point to theirs, or
    /// are null there, until the caller changes that.
    #[inline]
    pub fn load<T: FrameHead>(
        &mut self,
        records: &mut [T; BURST],
        meta: Option<&mut [RxMeta; BURST]>,
        segments: Option<&mut [Segments; BURST]>,
        refused: &mut Refusals,
    ) -> usize {
        let meta = meta.map_or(null_mut(), |meta| meta.as_mut_ptr());
        let segments = segments.filter(|_| T::SEGMENTS_AT != 0).map_or(null_mut(), |s| s.as_mut_ptr());
        // SAFETY: the first len slots are owned mbufs; records, meta and segments have BURST >= len elements; T begins with a Frame and has its pointer to
        // segments where it says (its unsafe trait says so); refused has one counter a reason.
        let kept = unsafe {
            ffi::glue_frames_load(
                self.mbufs.as_mut_ptr().cast(),
                self.len as u16,
                records.as_mut_ptr().cast(),
                size_of::<T>(),
                meta,
                segments,
                T::SEGMENTS_AT,
                refused.0.as_mut_ptr(),
                &raw mut self.vouched,
            )
        };
        self.free_from(usize::from(kept));
        usize::from(kept)
    }

    /// Takes over from the records that [`Burst::load`] filled what may have changed since.
    ///
    /// A record whose pointers are not in order inside its packet's buffer changes nothing; it is counted in `refused` and its bit
    /// is set in the result.
    #[inline]
    pub fn store<T: FrameHead>(
        &mut self,
        records: &[T; BURST],
        changes: Changes,
        refused: &mut Refusals,
    ) -> u64 {
        match changes {
            Changes::Nothing => return 0,
            Changes::Bytes if self.vouched == 0 => return 0,
            Changes::Bytes | Changes::Bounds => (),
        }
        // SAFETY: as in load; the glue checks every pointer against the mbuf's own buffer and follows none but those to segments that load wrote, whose cookies nobody
        // changes.
        let bad = unsafe {
            ffi::glue_frames_store(
                self.mbufs.as_mut_ptr().cast(),
                self.len as u16,
                records.as_ptr().cast(),
                size_of::<T>(),
                T::SEGMENTS_AT,
            )
        };
        if bad != 0 {
            refused.0[Refusals::BAD_FRAME] += u64::from(bad.count_ones());
        }
        bad
    }

    /// Lets `fill` write up to `n` new mbufs behind the others; it says how many it wrote.
    #[inline]
    pub(crate) fn append_with(
        &mut self,
        n: usize,
        fill: impl FnOnce(&mut [MaybeUninit<NonNull<RteMbuf>>]) -> usize,
    ) -> usize {
        let Some(slots) = self.mbufs.get_mut(self.len..self.len + n) else { return 0 };
        let filled = fill(slots).min(n);
        self.len += filled;
        filled
    }

    /// Lets `take` have mbufs from the front; it says how many it took. The others move up.
    #[inline]
    pub(crate) fn give_front(
        &mut self,
        take: impl FnOnce(&mut [MaybeUninit<NonNull<RteMbuf>>]) -> usize,
    ) -> usize {
        let len = std::mem::take(&mut self.len);
        let Some(held) = self.mbufs.get_mut(..len) else { return 0 };
        let taken = take(held).min(len);
        if taken < len {
            held.copy_within(taken.., 0);
            self.len = len - taken;
        }
        taken
    }
}

impl Drop for Burst<'_> {
    fn drop(&mut self) {
        self.free();
    }
}
