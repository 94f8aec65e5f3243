//! Ports with RX queues and one TX queue: found, described, opened, closed.

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;

use crate::error::check;
use crate::ffi;
use crate::{Burst, Error, Mempool};

/// What a port is, before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// Its number: what EAL calls it.
    pub id: u16,
    /// The device: a PCI address or the name of a virtual device.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// Its Ethernet address, zero if it has none.
    pub mac: [u8; 6],
    /// The NUMA node, if it has one.
    pub socket: Option<u32>,
    /// RX queues at most.
    pub rx_queues: u16,
    /// Bytes of its largest packet, without Ethernet header.
    pub mtu: u16,
    /// The kernel's interface that it is, by number.
    pub ifindex: Option<u32>,
    /// What it can do when it is asked to.
    pub offers: Offers,
}

/// What a device can do beside receiving and sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// Tell the hash by which it chose the queue.
    pub hash: bool,
    /// Take the VLAN tag off and tell it.
    pub vlan: bool,
    /// Receive packets that are longer than a buffer, in several.
    pub scatter: bool,
    /// Tell when a packet came.
    pub timestamp: bool,
}

impl Offers {
    const fn from_bits(bits: u32) -> Self {
        Self { hash: bits & 1 != 0, vlan: bits & 2 != 0, scatter: bits & 4 != 0, timestamp: bits & 8 != 0 }
    }

    const fn bits(self) -> u32 {
        self.hash as u32 | (self.vlan as u32) << 1 | (self.scatter as u32) << 2 | (self.timestamp as u32) << 3
    }
}

/// How a port is to be opened. The driver bends it to what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Its RX queues, over which flows are spread where the device can.
    pub rx_queues: u16,
    /// Sizes of the rings.
    pub descriptors: Descriptors,
    /// What of its offers is used.
    pub used: Offers,
}

/// What the driver counted. Not every driver counts everything.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets handed to the application.
    pub rx_packets: u64,
    /// Packets taken from it and sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Packets the device had no room for.
    pub rx_missed: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets that it failed to send.
    pub tx_errors: u64,
    /// Receptions given up because the pool was empty.
    pub rx_no_mbuf: u64,
}

/// Sizes of the two rings; the driver bends them to what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// RX ring.
    pub rx: u16,
    /// TX ring.
    pub tx: u16,
}

/// A started port with some RX queues and one TX queue. Dropping it stops and closes the device, which gives back the buffers in its rings.
#[derive(Debug)]
pub struct Port<'pool> {
    id: u16,
    rx_queues: u16,
    _pool: PhantomData<&'pool Mempool<'pool>>,
}

pub(crate) fn all() -> Result<Vec<PortInfo>, Error> {
    // SAFETY: reads a counter.
    let mut ports = Vec::with_capacity(usize::from(unsafe { ffi::glue_port_count() }));
    let mut from = 0;
    loop {
        // SAFETY: any number may be asked about.
        let next = unsafe { ffi::glue_port_next(from) };
        let Ok(id) = u16::try_from(next) else { return Ok(ports) };
        ports.push(info(id)?);
        from = next + 1;
    }
}

/// The number of the port with this device name.
///
/// # Errors
/// There is none.
pub fn port_by_name(name: &str) -> Result<u16, Error> {
    let c_name = CString::new(name).map_err(|_| Error::Argument(name.to_owned()))?;
    // SAFETY: c_name is NUL-terminated.
    let ret = unsafe { ffi::glue_port_by_name(c_name.as_ptr()) };
    u16::try_from(ret).map_err(|_| Error::NoSuchPort(name.to_owned()))
}

fn info(id: u16) -> Result<PortInfo, Error> {
    let mut raw = ffi::PortInfo {
        name: [0; 64],
        driver: [0; 32],
        mac: [0; 6],
        max_rx_queues: 0,
        max_tx_queues: 0,
        socket: 0,
        offers: 0,
        ifindex: 0,
        mtu: 0,
    };
    // SAFETY: raw is a place for the result.
    check(id, "describe it", unsafe { ffi::glue_port_info(id, &raw mut raw) })?;
    let (name, driver) = (text(&raw.name), text(&raw.driver));
    Ok(PortInfo {
        id,
        name,
        driver,
        mac: raw.mac,
        socket: u32::try_from(raw.socket).ok(),
        rx_queues: raw.max_rx_queues,
        mtu: raw.mtu,
        ifindex: (raw.ifindex != 0).then_some(raw.ifindex),
        offers: Offers::from_bits(raw.offers),
    })
}

fn text(field: &[c_char]) -> String {
    debug_assert!(field.contains(&0));
    // SAFETY: the glue fills these fields with snprintf, which terminates them.
    unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
}

impl<'pool> Port<'pool> {
    /// Configures and starts a port whose packets come from `pool`. Rings get near the sizes wished for.
    ///
    /// `setup.rx_queues` is from 1 to what the port has.
    ///
    /// # Errors
    /// Whatever the driver refuses; the port is then closed.
    pub fn open(id: u16, pool: &'pool Mempool<'_>, setup: Setup) -> Result<Self, Error> {
        let Setup { rx_queues, descriptors: Descriptors { mut rx, mut tx }, used } = setup;
        // Made first: if a step fails, dropping it closes what the steps before opened.
        let port = Self { id, rx_queues, _pool: PhantomData };
        // SAFETY: the pool outlives the port (borrow); rx and tx are places for the results.
        check(id, "configure it", unsafe {
            ffi::glue_port_configure(id, pool.raw(), rx_queues, used.bits(), &raw mut rx, &raw mut tx)
        })?;
        // SAFETY: the port is configured.
        check(id, "start it", unsafe { ffi::glue_port_start(id) })?;
        Ok(port)
    }

    /// Its number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Its RX queues.
    pub fn rx_queues(&self) -> u16 {
        self.rx_queues
    }

    /// Lets packets for other addresses in.
    ///
    /// # Errors
    /// Drivers without address filters may refuse; they let everything in anyway.
    pub fn set_promiscuous(&self) -> Result<(), Error> {
        // SAFETY: the port is open while self lives.
        check(self.id, "enter promiscuous mode", unsafe { ffi::glue_port_promiscuous(self.id, 1) })
    }

    /// The driver's counters.
    ///
    /// # Errors
    /// The driver has none.
    pub fn stats(&self) -> Result<PortStats, Error> {
        let mut stats = PortStats::default();
        // SAFETY: stats is a place for the result, its layout is the glue's.
        check(self.id, "read its counters", unsafe { ffi::glue_port_stats(self.id, &raw mut stats) })?;
        Ok(stats)
    }

    /// Fills an empty burst with what has arrived on an RX queue, at most [`crate::BURST`] packets, and says how many. A queue that it does not have receives nothing.
    #[inline]
    pub fn receive(&mut self, queue: u16, burst: &mut Burst<'pool>) -> usize {
        if queue >= self.rx_queues {
            return 0;
        }
        let room = burst.room();
        burst.append_with(room, |slots| {
            // SAFETY: the port is started with this queue; slots has room for `room` pointers.
            usize::from(unsafe { ffi::glue_rx_burst(self.id, queue, slots.as_mut_ptr().cast(), room as u16) })
        })
    }

    /// Sends from the front of the burst and says how many the device took. The others stay in it.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst<'pool>) -> usize {
        burst.give_front(|mbufs| {
            // SAFETY: the port is started with queue 0; the pointers are mbufs that the burst owns. Those taken are the driver's now.
            usize::from(unsafe {
                ffi::glue_tx_burst(self.id, 0, mbufs.as_mut_ptr().cast(), mbufs.len() as u16)
            })
        })
    }

    /// Asks the driver to give back buffers that it has sent. Drivers may not know how; they then do it when the port closes.
    pub fn reclaim(&mut self) {
        // SAFETY: the port is started with queue 0.
        unsafe { ffi::glue_tx_done_cleanup(self.id, 0) };
    }
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        // SAFETY: no other thread uses the port: its queues are reached through &mut self only. Stopping a port that never
        // started is an error that changes nothing.
        unsafe {
            ffi::glue_port_stop(self.id);
            ffi::glue_port_close(self.id);
        }
    }
}
