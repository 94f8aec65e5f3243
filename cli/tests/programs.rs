//! Every program of `xdp_progs` over its capture, on every engine and in every instruction set, against what the Linux kernel answered.

#[expect(dead_code, reason = "the other test file uses the rest of it")]
mod common;

use common::{ENGINES, Ran, arg, progs, root, scratch, skip, system, uxdp};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One run: which program of which object, over what, and what to expect.
struct Case {
    program: String,
    object: PathBuf,
    capture: PathBuf,
    maps: PathBuf,
    expect: Value,
}

fn names() -> Vec<String> {
    let files = std::fs::read_dir(progs("expect")).unwrap();
    let mut names: Vec<String> =
        files.map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() >= 40, "the expectations are there");
    names
}

/// The folder's description of what is not compared.
fn masks(program: &str, what: &str) -> Vec<Value> {
    read_json(&progs("masks.json"))["programs"][program][what].as_array().cloned().unwrap_or_default()
}

/// Digits with what a mask covers zeroed.
fn zeroed(digits: &str, mask: &Value) -> String {
    let number = |field: &str| mask[field].as_u64().unwrap() as usize * 2;
    let covered = number("offset")..number("offset") + number("length");
    let zero = |(at, c)| if covered.contains(&at) { '0' } else { c };
    digits.chars().enumerate().map(zero).collect()
}

/// A packet's bytes afterwards, masked.
fn masked(data: Option<&Value>, masks: &[Value]) -> Option<Value> {
    let mut digits = data?.as_str()?.to_owned();
    for mask in masks {
        let end = (mask["offset"].as_u64()? + mask["length"].as_u64()?) as usize * 2;
        if digits.get(24..28) == mask["ethertype"].as_str() && end <= digits.len() {
            digits = zeroed(&digits, mask);
        }
    }
    Some(Value::String(digits))
}

fn case(name: &str, objects: &Path) -> Case {
    let expect = read_json(&progs(&format!("expect/{name}.json")));
    let stem = expect["object"].as_str().unwrap();
    Case {
        program: name.to_owned(),
        object: objects.join(format!("{stem}.o")),
        capture: progs(&format!("pcap/{stem}.pcap")),
        maps: progs(&format!("{stem}.maps.json")),
        expect,
    }
}

fn demo(objects: &Path) -> Case {
    Case {
        program: "xdp_firewall".into(),
        object: objects.join("xdp_firewall.o"),
        capture: progs("demo/firewall.pcap"),
        maps: progs("demo/firewall.maps.json"),
        expect: read_json(&progs("demo/firewall.expect.json")),
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Runs a case and compares actions, bytes and maps.
fn check(case: &Case, engine: &str) {
    let what = format!("{} on {engine}", case.object.display());
    let object = arg(&case.object);
    let Some(packets) = case.expect.get("packets").and_then(Value::as_array) else {
        return check_refused(&uxdp(&["verify", &object]), &case.expect, &what);
    };
    let none = serde_json::Map::new();
    let maps = case.expect["maps"].as_object().unwrap();
    let records = case.expect["records"].as_object().unwrap_or(&none);
    let (capture, contents) = (arg(&case.capture), arg(&case.maps));
    let mut args =
        vec!["run", &object, "--prog", &case.program, "--in", &capture, "--engine", engine, "--json", "-v"];
    if case.maps.exists() {
        args.extend(["--maps", &contents]);
    }
    if !maps.is_empty() || !records.is_empty() {
        args.push("--nonzero");
    }
    for name in maps.keys().chain(records.keys()) {
        args.extend(["--map-dump", name]);
    }
    let ran = uxdp(&args);
    if ran.code == 1 && ran.err.contains("not provided") {
        // The kernel's answer is written down; the function is not here yet.
        return skip_missing(&ran.err);
    }
    let ran = ran.json();
    assert_eq!(ran["engine"], engine, "{what}");
    let actions = masks(&case.program, "actions");
    let results = ran["results"].as_array().unwrap();
    assert_eq!(results.len(), packets.len(), "{what}: packets");
    for (number, (got, want)) in results.iter().zip(packets).enumerate() {
        let may_differ = |m: &Value| m["kernel"] == want["action"] && m["uxdp"] == got["action"];
        assert!(
            got["action"] == want["action"] || actions.iter().any(may_differ),
            "{what}: packet {number} is {}, not {}",
            got["action"],
            want["action"]
        );
        let data = masked(got.get("data"), &masks(&case.program, "packets"));
        assert_eq!(data.as_ref(), want.get("data"), "{what}: bytes of packet {number}");
    }
    let masks = masks(&case.program, "values");
    for (name, want) in maps {
        assert_eq!(&contents_of(&ran["maps"][name], &object, name, &masks), want, "{what}: map {name}");
    }
    for (name, want) in records {
        let got: Vec<_> =
            ran["maps"][name].as_array().unwrap().iter().map(|r| digits(&r["record"])).collect();
        assert_eq!(&serde_json::json!(got), want, "{what}: records of {name}");
    }
}

/// Bytes as bpftool writes them, as digits.
fn digits(bytes: &Value) -> String {
    bytes.as_array().unwrap().iter().map(|b| &b.as_str().unwrap()[2..]).collect()
}

/// Says once which function a program waits for.
fn skip_missing(err: &str) {
    std::io::stderr().write_all(format!("not run: {err}").as_bytes()).unwrap();
}

fn check_refused(ran: &Ran, expect: &Value, what: &str) {
    assert_eq!(ran.code, 1, "{what}: {}", ran.err);
    let reason = expect["refused"].as_str().unwrap();
    assert!(ran.out.contains(reason), "{what}: \"{reason}\" is not in {}", ran.out);
}

/// A dump as expectations have it: sorted, CPU 0's values, arrays without their zeros.
fn contents_of(dump: &Value, object: &str, name: &str, masks: &[Value]) -> Value {
    let inspected = uxdp(&["inspect", object, "--json"]).json();
    let map = inspected["maps"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
    let is_array = map["type"].as_str().unwrap().ends_with("array");
    let mut entries: Vec<(String, String)> = dump
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (digits(&e["key"]), digits(e.get("value").unwrap_or_else(|| &e["values"][0]["value"]))))
        .map(|(key, value)| {
            (key, masks.iter().filter(|m| m["map"] == name).fold(value, |v, m| zeroed(&v, m)))
        })
        .filter(|(_, value)| !is_array || value.bytes().any(|b| b != b'0'))
        .collect();
    entries.sort();
    entries.into_iter().map(|(key, value)| serde_json::json!({"key": key, "value": value})).collect()
}

fn check_all(objects: &Path, engine: &str) {
    for name in names() {
        check(&case(&name, objects), engine);
    }
    check(&demo(objects), engine);
}

#[test]
fn compiled_programs_do_what_the_kernel_does() {
    check_all(&progs("obj"), ENGINES[0]);
}

#[test]
fn interpreted_programs_do_what_the_kernel_does() {
    check_all(&progs("obj"), ENGINES[1]);
}

#[test]
fn instruction_set_v2_does_what_the_kernel_does() {
    ENGINES.iter().for_each(|engine| check_all(&progs("obj/v2"), engine));
}

#[test]
fn instruction_set_v4_does_what_the_kernel_does() {
    ENGINES.iter().for_each(|engine| check_all(&progs("obj/v4"), engine));
}

#[test]
fn programs_built_by_this_machines_clang_do_the_same() {
    let there = |tool| system(tool, &["--version"]).is_some_and(|o| o.status.success());
    if !["clang", "llvm-strip", "make"].into_iter().all(there) {
        return skip("no clang here");
    }
    let out = scratch("rebuilt");
    let built = system("make", &["-C", &arg(progs("")), &format!("OUT={}", arg(&out))]).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    ENGINES.iter().for_each(|engine| check_all(&out, engine));
}

#[test]
fn the_running_kernel_answers_what_is_written_down() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.18.") {
        return skip("the answers are those of Linux 6.18");
    }
    let script = arg(root().join("scripts/kernel_expect.py"));
    let Some(ran) = system("python3", &[&script, "--check"]) else {
        return skip("no python3 here");
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
    if said.contains("Operation not permitted") || said.contains("libbpf.so") {
        return skip("bpf(2) or libbpf cannot be used here");
    }
    assert!(ran.status.success(), "{said}");
}
