//! A native function in a program's place: what forwarding costs when the program costs nothing but a call.

use dpdk_sys::Changes;
use uxdp_core::vm;

use super::{Engine, Pkt, XDP_DROP, XDP_PASS, XDP_TX};
use crate::args::Native;

type Function = unsafe extern "C" fn(&mut vm::Pkt) -> u32;

pub(super) struct NativeEngine {
    which: Native,
    function: Function,
}

impl NativeEngine {
    pub(super) fn new(which: Native) -> Self {
        let function: Function = match which {
            Native::Tx => native_tx,
            Native::Drop => native_drop,
            Native::Pass => native_pass,
        };
        // The compiler must not know which one it is, or it would inline it.
        Self { which, function: std::hint::black_box(function) }
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> String {
        format!("native {:?}", self.which).to_lowercase()
    }

    fn changes(&self) -> Changes {
        if self.which == Native::Tx { Changes::Bytes } else { Changes::Nothing }
    }

    unsafe fn run_burst(&mut self, _input: usize, pkts: &mut [Pkt]) {
        for Pkt(pkt) in pkts {
            // SAFETY: what the caller promises for each packet is what the functions need.
            pkt.action = unsafe { (self.function)(pkt) };
        }
    }
}

/// Swaps the MAC addresses; a packet that has none is dropped.
///
/// # Safety
/// As for [`Engine::run_burst`].
unsafe extern "C" fn native_tx(pkt: &mut vm::Pkt) -> u32 {
    const ADDRESSES: usize = 12;
    const ETHERNET_HEADER: usize = 14;
    let vm::Pkt { data, data_end, .. } = *pkt;
    if (data_end as usize) - (data as usize) < ETHERNET_HEADER {
        return XDP_DROP;
    }
    // SAFETY: at least 14 bytes lie between data and data_end, in a buffer that is ours (caller). Bytes need no alignment.
    unsafe {
        let addresses = data.cast::<[u8; ADDRESSES]>();
        let [d0, d1, d2, d3, d4, d5, s @ ..] = addresses.read();
        let [s0, s1, s2, s3, s4, s5] = s;
        addresses.write([s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5]);
    }
    XDP_TX
}

unsafe extern "C" fn native_drop(_pkt: &mut vm::Pkt) -> u32 {
    XDP_DROP
}

unsafe extern "C" fn native_pass(_pkt: &mut vm::Pkt) -> u32 {
    XDP_PASS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(which: Native, packet: &mut [u8]) -> u32 {
        let std::ops::Range { start, end } = packet.as_mut_ptr_range();
        let frame = vm::Pkt {
            data_hard_start: start,
            data_meta: start,
            data: start,
            data_end: end,
            frame_end: end,
            ..vm::Pkt::EMPTY
        };
        let mut pkts = [Pkt(frame)];
        // SAFETY: the pointers are those of a slice that is ours alone.
        unsafe { NativeEngine::new(which).run_burst(0, &mut pkts) };
        pkts[0].action()
    }

    #[test]
    fn native_tx_swaps_the_addresses() {
        let mut packet = *b"DDDDDDSSSSSSTTpayload";
        assert_eq!(run(Native::Tx, &mut packet), XDP_TX);
        assert_eq!(&packet, b"SSSSSSDDDDDDTTpayload");
    }

    #[test]
    fn native_tx_drops_what_has_no_ethernet_header() {
        let mut packet = *b"DDDDDDSSSSSST";
        assert_eq!(run(Native::Tx, &mut packet), XDP_DROP);
        assert_eq!(&packet, b"DDDDDDSSSSSST");
    }
}
