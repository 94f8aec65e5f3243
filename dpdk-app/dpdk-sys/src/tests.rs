//! One test, since EAL starts once in a process: bursts on a real pool with every kind of mbuf, and the pool full again after each.

use std::path::Path;
use std::ptr::NonNull;

use crate::burst::{BURST, Burst, Changes, Frame, Mbuf, Refusals, RxMeta};
use crate::ffi::{RteMbuf, RteMempool};
use crate::{Descriptors, Eal, Error, InUse, Mempool, Offers, Port, Setup, port_by_name};

type Check = fn(&Mempool<'_>);

unsafe extern "C" {
    fn fixture_alloc(pool: *mut RteMempool, len: u16) -> *mut RteMbuf;
    fn fixture_indirect(m: *mut RteMbuf, pool: *mut RteMempool) -> *mut RteMbuf;
    fn fixture_chain(head: *mut RteMbuf, tail: *mut RteMbuf) -> i32;
    fn fixture_add_reference(m: *mut RteMbuf, by: i16);
    fn fixture_vouch(m: *mut RteMbuf, hash: u32);
    fn fixture_vouched(m: *const RteMbuf) -> u64;
    fn fixture_shape(m: *const RteMbuf, shape: *mut [u32; 3]);
}

#[test]
fn bursts_on_a_real_pool() {
    // DPDK puts its runtime files where XDG_RUNTIME_DIR says; a test leaves none behind.
    let runtime = tempfile::tempdir().unwrap();
    // SAFETY: the only test of this process; no other thread reads the environment.
    unsafe { std::env::set_var("XDG_RUNTIME_DIR", runtime.path()) };
    let eal = Eal::init([
        "dpdk-sys-test",
        "--no-huge",
        "-m",
        "128",
        "--no-pci",
        "--no-shconf",
        "--log-level=warning",
        "--vdev=net_ring0",
    ])
    .unwrap();
    assert!(matches!(Eal::init(["again"]), Err(Error::EalTwice)));
    assert!(!eal.lcores().is_empty());
    assert!(Path::new(runtime.path()).exists());

    let pool = Mempool::new(&eal, "test", 2047, 2048).unwrap();
    assert!(
        matches!(Mempool::new(&eal, "test", 255, 2048), Err(Error::Mempool { .. })),
        "the name is in use"
    );
    let checks: [(&str, Check); 6] = [
        ("frames", a_frame_is_the_mbuf_with_its_real_room),
        ("refusals", awkward_mbufs_are_refused_and_the_others_keep_their_order),
        ("store", what_changed_is_written_back),
        ("flags", what_the_driver_vouched_for_goes_when_the_packet_changed),
        ("bounds", a_frame_outside_its_buffer_changes_nothing),
        ("alloc", filling_beyond_the_pool_is_refused),
    ];
    for (name, check) in checks {
        check(&pool);
        assert_eq!((pool.in_use(), pool.available()), (0, pool.size()), "mbufs lost by {name}");
    }
    a_full_ring_leaves_the_rest_in_the_burst(&eal, &pool);
    assert_eq!(pool.free(), Ok(()));

    let leaky = Mempool::new(&eal, "leaky", 63, 2048).unwrap();
    let mut burst = Burst::new();
    leaky.fill(&mut burst, 3).unwrap();
    std::mem::forget(burst);
    assert_eq!(leaky.free(), Err(InUse(3)));
}

fn alloc(pool: &Mempool<'_>, len: u16) -> *mut RteMbuf {
    // SAFETY: the pool lives.
    let raw = unsafe { fixture_alloc(pool.raw(), len) };
    assert!(!raw.is_null());
    raw
}

fn burst_of<'pool>(_pool: &'pool Mempool<'_>, mbufs: &[*mut RteMbuf]) -> Burst<'pool> {
    let mut burst = Burst::new();
    for &raw in mbufs {
        // SAFETY: each test hands over mbufs of its own.
        let mbuf = unsafe { Mbuf::from_raw(NonNull::new(raw).unwrap()) };
        assert!(burst.push(mbuf).is_ok());
    }
    burst
}

fn shape(raw: *const RteMbuf) -> [u32; 3] {
    let mut shape = [0; 3];
    // SAFETY: raw is an mbuf of the calling test, shape a place for three numbers.
    unsafe { fixture_shape(raw, &raw mut shape) };
    shape
}

fn a_frame_is_the_mbuf_with_its_real_room(pool: &Mempool<'_>) {
    let raw = alloc(pool, 60);
    let mut burst = burst_of(pool, &[raw]);
    let (mut frames, mut refused) = ([Frame::EMPTY; BURST], Refusals::default());
    assert_eq!(burst.load(&mut frames, None, None, &mut refused), 1);
    let frame = frames[0];
    let [data_off, ..] = shape(raw);
    assert_eq!(frame.data as usize - frame.data_hard_start as usize, data_off as usize);
    assert_eq!(frame.data_end as usize - frame.data as usize, 60);
    assert_eq!(frame.frame_end as usize - frame.data_hard_start as usize, 2048 + data_off as usize);
    assert_eq!(frame.data_meta, frame.data);
    assert_eq!(frame.cookie, raw.cast());
}

fn awkward_mbufs_are_refused_and_the_others_keep_their_order(pool: &Mempool<'_>) {
    let good: Vec<_> = (0..3).map(|i| alloc(pool, 60 + i)).collect();
    let chained = alloc(pool, 100);
    // SAFETY: fresh mbufs of this test; each ends in the burst, the second reference of `shared` is given back below.
    let (shared, original, indirect) = unsafe {
        assert_eq!(fixture_chain(chained, alloc(pool, 50)), 0);
        let shared = alloc(pool, 80);
        fixture_add_reference(shared, 1);
        let original = alloc(pool, 90);
        (shared, original, fixture_indirect(original, pool.raw()))
    };
    let mut burst = burst_of(pool, &[chained, good[0], shared, good[1], indirect, good[2]]);
    let (mut frames, mut refused) = ([Frame::EMPTY; BURST], Refusals::default());
    assert_eq!(burst.load(&mut frames, None, None, &mut refused), 3);
    assert_eq!(burst.len(), 3);
    for (frame, &raw) in frames.iter().zip(&good) {
        assert_eq!(frame.cookie, raw.cast());
    }
    let counted: Vec<_> = refused.iter().filter(|&(_, count)| count > 0).collect();
    assert_eq!(counted, [("chained", 1), ("shared", 1), ("indirect", 1)]);
    let mut kept = Vec::new();
    burst.drain(|_, mbuf| kept.push(mbuf));
    assert_eq!(kept.len(), 3);
    drop(burst_of(pool, &[shared, original]));
}

fn what_changed_is_written_back(pool: &Mempool<'_>) {
    let raw = alloc(pool, 60);
    let mut burst = burst_of(pool, &[raw]);
    let (mut frames, mut refused) = ([Frame::EMPTY; BURST], Refusals::default());
    burst.load(&mut frames, None, None, &mut refused);
    let [before, ..] = shape(raw);
    frames[0].data = frames[0].data_hard_start;
    frames[0].data_end = frames[0].frame_end;
    assert_eq!(burst.store(&frames, Changes::Bounds, &mut refused), 0);
    assert_eq!(shape(raw), [0, 2048 + before, 2048 + before]);
    frames[0].data = frames[0].data_end;
    assert_eq!(burst.store(&frames, Changes::Bounds, &mut refused), 0);
    assert_eq!(shape(raw), [2048 + before, 0, 0]);
    assert_eq!(refused.total(), 0);
}

fn what_the_driver_vouched_for_goes_when_the_packet_changed(pool: &Mempool<'_>) {
    let raw = alloc(pool, 60);
    // SAFETY: a fresh mbuf of this test.
    unsafe { fixture_vouch(raw, 0xfeed) };
    let plain = alloc(pool, 60);
    let mut burst = burst_of(pool, &[raw, plain]);
    let (mut frames, mut refused) = ([Frame::EMPTY; BURST], Refusals::default());
    let mut meta = [RxMeta::default(); BURST];
    burst.load(&mut frames, Some(&mut meta), None, &mut refused);
    assert_eq!((meta[0].hash(), meta[0].vlan_tci()), (Some(0xfeed), None));
    assert_eq!(meta[1].hash(), None);
    // SAFETY: raw is in the burst, alive.
    let vouched = || unsafe { fixture_vouched(raw) };
    burst.store(&frames, Changes::Nothing, &mut refused);
    assert_ne!(vouched(), 0, "nothing changed");
    burst.store(&frames, Changes::Bytes, &mut refused);
    assert_eq!(vouched(), 0, "bytes may have changed");
    // SAFETY: as above.
    unsafe { fixture_vouch(raw, 1) };
    burst.store(&frames, Changes::Bounds, &mut refused);
    assert_eq!(vouched(), 0, "the packet may begin elsewhere");
}

fn a_frame_outside_its_buffer_changes_nothing(pool: &Mempool<'_>) {
    let raw = alloc(pool, 60);
    let mut burst = burst_of(pool, &[raw]);
    let (mut frames, mut refused) = ([Frame::EMPTY; BURST], Refusals::default());
    burst.load(&mut frames, None, None, &mut refused);
    let (good, before) = (frames[0], shape(raw));
    let outside = [
        Frame { data: good.data_hard_start.wrapping_sub(1), ..good },
        Frame { data_end: good.frame_end.wrapping_add(1), ..good },
        Frame { data: good.data_end, data_end: good.data, ..good },
        Frame { data: std::ptr::null_mut(), data_end: std::ptr::null_mut(), ..good },
    ];
    for (count, frame) in (1..).zip(outside) {
        frames[0] = frame;
        assert_eq!(burst.store(&frames, Changes::Bounds, &mut refused), 1);
        assert_eq!(shape(raw), before);
        assert_eq!(refused.iter().last(), Some(("bad_frame", count)));
    }
}

fn filling_beyond_the_pool_is_refused(pool: &Mempool<'_>) {
    let mut bursts = Vec::new();
    loop {
        let mut burst = Burst::new();
        if pool.fill(&mut burst, BURST).is_err() {
            assert!(burst.is_empty());
            break;
        }
        bursts.push(burst);
    }
    assert_eq!(bursts.len(), pool.size() as usize / BURST);
}

fn a_full_ring_leaves_the_rest_in_the_burst(eal: &Eal, pool: &Mempool<'_>) {
    let ports = eal.ports().unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(port_by_name("net_ring0").unwrap(), ports[0].id);
    assert!(ports[0].rx_queues >= 1 && ports[0].mtu >= 1500, "{:?}", ports[0]);
    let setup =
        Setup { rx_queues: 1, descriptors: Descriptors { rx: 512, tx: 512 }, used: Offers::default() };
    assert!(matches!(port_by_name("net_none"), Err(Error::NoSuchPort(_))));
    let mut port = Port::open(ports[0].id, pool, setup).unwrap();
    assert_eq!(port.receive(1, &mut Burst::new()), 0, "no such queue");
    let mut burst = Burst::new();
    pool.fill(&mut burst, 20).unwrap();
    let mut sent = 0;
    loop {
        let taken = port.send(&mut burst);
        sent += taken;
        if !burst.is_empty() {
            assert_eq!(burst.len(), 20 - taken);
            break;
        }
        pool.fill(&mut burst, 20).unwrap();
    }
    assert_eq!(sent, 1023, "what a ring of 1024 holds");
    assert_eq!(pool.in_use() as usize, sent + burst.len());
    burst.free();
    assert_eq!(port.receive(0, &mut burst), BURST);
    assert_eq!(burst.free_from(5), BURST - 5);
    assert_eq!(pool.in_use() as usize, sent - BURST + 5);
    let mut received = BURST;
    while {
        burst.free();
        received += port.receive(0, &mut burst);
        !burst.is_empty()
    } {}
    assert_eq!((received, pool.in_use()), (sent, 0));
    assert_eq!(port.stats().unwrap().tx_packets as usize, sent);
}
