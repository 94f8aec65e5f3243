//! Files of map contents that name programs for entries of device and CPU maps.

use std::path::Path;
use uxdp_control::maps_json::MapsFile;
use uxdp_control::session::Session;
use uxdp_core::vm::EngineChoice;

fn session() -> Session {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/progs/obj/egress.o");
    Session::open(&file, None, EngineChoice::Interp).unwrap()
}

fn apply(session: &Session, text: &str) -> Result<(), String> {
    let contents = MapsFile::parse(text).map_err(|e| e.to_string())?;
    contents.apply(session, session.env().nr_cpus() as usize).map_err(|e| e.to_string())
}

#[test]
fn an_entry_gets_the_program_that_its_file_names() {
    let session = session();
    let text = r#"{"maps": {"devices": [{"key": 0, "value": 5, "program": "egress"}, {"key": 1, "value": 6}],
                            "cpus": [{"key": 0, "value": 64, "program": "remote"}]}}"#;
    apply(&session, text).unwrap();
    let entry = |map: &str, key: u32| {
        let mut value = [0; 8];
        session.find_map(map).unwrap().lookup_elem(&key.to_le_bytes(), &mut value, 0).unwrap();
        let (number, program) = value.split_at(4);
        (number.to_vec(), program.to_vec())
    };
    let id = |name: &str| {
        session.program(session.choose(Some(name)).unwrap()).unwrap().prog.id().to_le_bytes().to_vec()
    };
    let number = |n: u32| n.to_le_bytes().to_vec();
    assert_eq!(entry("devices", 0), (number(5), id("egress")));
    assert_eq!(entry("devices", 1), (number(6), number(0)));
    assert_eq!(entry("cpus", 0), (number(64), id("remote")));
}

#[test]
fn programs_that_an_entry_cannot_have_are_refused_with_the_entry() {
    for (entry, sentence) in [
        (r#""devices": [{"key": 0, "value": 5, "program": "none"}]"#, "the object has no program \"none\""),
        (r#""devices": [{"key": 0, "value": 5, "program": "remote"}]"#, "the map refuses it"),
        (r#""devices": [{"key": 0, "value": 5, "program": "ingress"}]"#, "the map refuses it"),
        (r#""cpus": [{"key": 0, "value": 64, "program": "egress"}]"#, "the map refuses it"),
        (r#""devices": [{"key": 0, "program": "egress"}]"#, "it has no \"value\""),
    ] {
        let error = apply(&session(), &format!(r#"{{"maps": {{{entry}}}}}"#)).unwrap_err();
        assert!(error.contains("entry 0") && error.contains(sentence), "{error}");
    }
}
