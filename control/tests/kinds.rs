//! An object with a step for each type of map that is no array and no hash: opened, filled, proven, run by each engine.

use std::ops::ControlFlow;
use std::path::Path;
use uxdp_control::session::Session;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapSpec, PerfRecord};
use uxdp_core::vm::{EngineChoice, Frame, Origin, RedirectKind, Runner, Worker};

fn value_of(map: &Map, key: &[u8]) -> Vec<u8> {
    let mut value = vec![0; map.value_buffer_size()];
    map.lookup_elem(key, &mut value, 0).unwrap();
    value
}

fn one_engine(engine: EngineChoice) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/progs/obj/kinds.o");
    let session = Session::open(&file, None, engine).unwrap();
    let env = session.env();
    let map = |name| session.find_map(name).unwrap();
    let route = |len: u32, address: [u8; 4]| [len.to_le_bytes(), address].concat();
    for (len, address, device) in [(8, [10, 0, 0, 0], 1u32), (24, [10, 0, 1, 0], 2)] {
        env.update_elem(map("routes"), &route(len, address), &device.to_le_bytes(), 0).unwrap();
    }
    env.update_elem(map("devices"), &2u32.to_le_bytes(), &77u32.to_le_bytes(), 0).unwrap();
    let special = uxdp_core::vm::create_maps(
        env,
        &[uxdp_core::vm::MapDef {
            name: "special",
            spec: MapSpec { inner: None, ..*map("even").spec() },
            reuse: None,
        }],
        None,
    )
    .unwrap();
    env.set_map(map("by_address"), &[10, 0, 1, 5], &special[0], 0).unwrap();
    map("samples").perf_open(0).unwrap();

    let ready = session.program(0).unwrap();
    let hook = session.hook(&ready).unwrap();
    let worker = Worker::register(env, 0).unwrap();
    let mut runner = Runner::new(&worker, &hook, Origin::default()).unwrap();
    let mut buffer = vec![0; 1024];
    let packets =
        [([10, 0, 1, 5], 4, 77), ([10, 9, 9, 8], 1, 0), ([11, 0, 0, 1], 1, 0), ([10, 0, 1, 5], 4, 77)];
    for (address, action, target) in packets {
        buffer[256..260].copy_from_slice(&address);
        let mut frame = Frame::new(&mut buffer, 256..320).unwrap();
        assert_eq!(runner.run(&mut frame), action, "{address:?}");
        if action == 4 {
            let r = runner.redirect();
            assert_eq!((r.kind, r.index, r.target), (RedirectKind::Devmap, 2, target));
        }
        worker.quiescent();
    }

    assert_eq!(value_of(map("even"), &[0; 4]), 1u64.to_le_bytes());
    assert_eq!(value_of(map("odd"), &[0; 4]), 3u64.to_le_bytes());
    assert_eq!(value_of(&special[0], &[0; 4]), 2u64.to_le_bytes());
    assert_eq!(value_of(map("counters"), &1u32.to_le_bytes()), map("odd").id().to_le_bytes());
    let mut value = [0; 4];
    for (address, _, _) in packets {
        let slot = env.client_slot();
        map("seen").lookup_and_delete_elem(slot.slot(), &[], &mut value, 0).unwrap();
        assert_eq!(value, address);
    }
    assert_eq!(map("seen").lookup_elem(&[], &mut value, 0), Err(Errno::ENOENT));
    let mut events = Vec::new();
    map("events")
        .ringbuf_consume(&mut |event| {
            events.push(event.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    let routes = [2u32, 1, 0, 2];
    let want: Vec<Vec<u8>> =
        packets.iter().zip(routes).map(|(p, route)| [p.0, route.to_le_bytes()].concat()).collect();
    assert_eq!(events, want);
    assert!(map("events").ringbuf_take_wake(), "the reader had read all before");
    let mut samples = Vec::new();
    map("samples")
        .perf_read(0, &mut |record| match record {
            PerfRecord::Sample(bytes) => samples.push(bytes.to_vec()),
            PerfRecord::Lost(n) => panic!("{n} lost"),
        })
        .unwrap();
    assert_eq!(samples, packets.map(|p| p.0.to_vec()));
}

#[test]
fn program_with_every_kind_of_map_runs_as_its_comment_says() {
    for engine in [EngineChoice::Interp, EngineChoice::Best] {
        one_engine(engine);
    }
}
