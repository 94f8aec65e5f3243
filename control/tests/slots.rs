//! An object that puts programs into its own prog array: a session has them there, on each engine.

use std::path::Path;
use uxdp_control::session::Session;
use uxdp_core::vm::{Action, EngineChoice, Frame, Origin, Runner, Worker};

#[test]
fn programs_that_the_object_puts_into_its_array_are_called() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/progs/obj/slots.o");
    for engine in [EngineChoice::Interp, EngineChoice::Jit, EngineChoice::JitWithoutFacts] {
        let session = Session::open(&file, None, engine).unwrap();
        let ready = session.program(session.choose(Some("slots")).unwrap()).unwrap();
        let hook = session.hook(&ready).unwrap();
        let worker = Worker::register(session.env(), 0).unwrap();
        let mut runner = Runner::new(&worker, &hook, Origin::default()).unwrap();
        let mut buffer = vec![0; 1024];
        // Taken; an empty slot; two indexes beyond the array; 33 calls of itself, and of two by turns.
        let expected = [Action::Tx, Action::Drop, Action::Drop, Action::Drop, Action::Pass, Action::Pass];
        for (which, action) in expected.into_iter().enumerate() {
            buffer[256] = which as u8;
            let mut frame = Frame::new(&mut buffer, 256..320).unwrap();
            assert_eq!(runner.run(&mut frame), action as u32, "{engine:?}: {which}");
            worker.quiescent();
        }
        let data = session.find_map("slots.bss").unwrap();
        let mut value = vec![0; data.value_buffer_size()];
        data.lookup_elem(&[0; 4], &mut value, 0).unwrap();
        let ran = |i: usize| i64::from_le_bytes(value[8 * i..8 * i + 8].try_into().unwrap());
        assert_eq!([0, 1, 2, 3, 4].map(ran), [6, 1, 33 + 17, 2, 16], "{engine:?}: how often each ran");
        assert_eq!([9, 10, 11].map(ran), [1; 3], "{engine:?}: calls that were not taken");
    }
}
