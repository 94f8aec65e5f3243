//! The loop with an engine that decides by script. One test, since EAL starts once in a process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dpdk_sys::{Burst, Changes, Descriptors, Eal, Mempool, Offers, Port, Setup};

use uxdp_core::vm::RedirectKind;

use super::{EndedBy, Forwarder, Limits, PassTo};
use crate::counters::Totals;
use crate::egress::{Egress, Lanes};
use crate::engine::{Engine, Pkt, XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX};

/// What happens to the packets of port 0, by position; whatever comes in elsewhere is dropped.
const SCRIPT: [(u32, u32); 9] = [
    (XDP_ABORTED, 0),
    (XDP_DROP, 0),
    (XDP_PASS, 0),
    (XDP_TX, 0),
    (XDP_REDIRECT, 2), // port 1
    (XDP_REDIRECT, 0), // no interface
    (XDP_REDIRECT, 9), // no such port
    (XDP_REDIRECT, u32::MAX),
    (77, 0),
];

struct Script {
    rounds: u32,
}

impl Engine for Script {
    fn name(&self) -> String {
        "script".into()
    }

    fn changes(&self) -> Changes {
        Changes::Bounds
    }

    unsafe fn run_burst(&mut self, input: usize, pkts: &mut [Pkt]) {
        for (pkt, (action, ifindex)) in pkts.iter_mut().zip(SCRIPT.into_iter().chain([(XDP_TX, 0)])) {
            let (action, ifindex) =
                if input == 0 && self.rounds == 0 { (action, ifindex) } else { (XDP_DROP, 0) };
            pkt.0.action = action;
            pkt.0.redirect.kind = RedirectKind::Ifindex;
            pkt.0.redirect.target = ifindex.into();
        }
        if let Some(last) = pkts.get_mut(SCRIPT.len()) {
            last.0.data = last.0.data_hard_start.wrapping_sub(1);
        }
        self.rounds += 1;
    }
}

#[test]
fn each_action_ends_where_it_should_and_is_counted() {
    let runtime = tempfile::tempdir().unwrap();
    // SAFETY: the other tests of this process do not read the environment.
    unsafe { std::env::set_var("XDG_RUNTIME_DIR", runtime.path()) };
    let eal_args =
        "test --no-huge -m 64 --no-pci --no-shconf --log-level=warning --vdev=net_ring0 --vdev=net_ring1";
    let eal = Eal::init(eal_args.split(' ')).unwrap();
    let pool = Mempool::new(&eal, "test", 511, 2048).unwrap();
    let descriptors = Descriptors { rx: 256, tx: 256 };
    let open =
        |id| Port::open(id, &pool, Setup { rx_queues: 1, descriptors, used: Offers::default() }).unwrap();
    let mut ports = vec![open(0), open(1)];

    // What a ring port sends, it receives: ten packets for port 0, the last of which comes back with an impossible pointer.
    let mut burst = Burst::new();
    pool.fill(&mut burst, SCRIPT.len() + 1).unwrap();
    assert_eq!(ports[0].send(&mut burst), SCRIPT.len() + 1);

    drop(burst);

    let ways = Arc::new(Lanes::new([0, 1], PassTo::Lane(1)));
    let mut forwarder = Forwarder::new(ports, Arc::clone(&ways), Egress::new(&pool, ways, Vec::new()), None);
    let limits = Limits { count: None, idle: Some(Duration::from_millis(20)) };
    let ended_by = forwarder.run(&mut Script { rounds: 0 }, &limits, &AtomicBool::new(false), |_| ());
    assert_eq!(ended_by, EndedBy::Idle);
    forwarder.drain(&pool);
    let lanes = forwarder.close();

    let (first, second) = (lanes[0].0, lanes[1].0);
    // The packet sent back comes in again, and is dropped then.
    assert_eq!((first.rx, first.sent_back, first.tx), (11, 1, 1));
    assert_eq!((first.dropped, first.aborted, first.unknown_action), (2, 1, 1));
    assert_eq!((first.passed, first.pass_freed), (1, 0));
    assert_eq!((first.redirected, first.redirect_no_port), (4, 3));
    assert_eq!(first.refused.iter().find(|(_, count)| *count > 0), Some(("bad_frame", 1)));
    assert_eq!((second.tx, second.rx, second.dropped), (2, 2, 2), "one passed, one redirected");
    assert_eq!(Totals::of([&first, &second]).unaccounted(), 0);
    assert_eq!(pool.free(), Ok(()));
}
