//! Every program of `xdp_progs` through the C API, over its capture: the kernel's actions and bytes.

use crate::support::{compile, object, root, work};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use uxdp_control::bytes::Written;
use uxdp_core::object::{Object, OpenOptions};

fn json(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(root().join("xdp_progs").join(path)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The packets of a classic little-endian capture.
fn packets(name: &str) -> Vec<String> {
    let file = std::fs::read(root().join("xdp_progs/pcap").join(format!("{name}.pcap"))).unwrap();
    let mut rest = &file[24..];
    let mut packets = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(16) {
        let (packet, next) = body.split_at(u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize);
        packets.push(hex(packet));
        rest = next;
    }
    packets
}

/// What fills the maps, as the C program takes it.
fn contents(name: &str) -> Option<Vec<String>> {
    let Some(file) = json(&format!("{name}.maps.json")) else { return Some(Vec::new()) };
    let elf = std::fs::read(object(name)).unwrap();
    let parsed = Object::open(&elf, &OpenOptions { name, ..OpenOptions::default() }).unwrap();
    let mut arguments = Vec::new();
    for (map, entries) in file["maps"].as_object().unwrap() {
        let spec = parsed.maps()[parsed.find_map(map).unwrap()].spec;
        for entry in entries.as_array().unwrap() {
            if entry.get("ring").is_some() {
                return None;
            }
            let written = |v: &Value| serde_json::from_value::<Written>(v.clone()).unwrap();
            let program = entry["value"].as_str().filter(|v| parsed.find_program(v).is_ok());
            let (kind, key, value) = match program {
                Some(program) => ("slot", entry["key"].to_string(), program.to_owned()),
                None => {
                    let bytes =
                        |v: &Value, size| hex(&written(v).to_bytes(size as usize, "element").unwrap());
                    ("elem", bytes(&entry["key"], spec.key_size), bytes(&entry["value"], spec.value_size))
                }
            };
            arguments.extend([kind.to_owned(), map.clone(), key, value]);
        }
    }
    Some(arguments)
}

/// A packet's digits with what no two runs have alike zeroed, as `xdp_progs/masks.json` says.
fn masked(digits: &str, masks: &Value) -> String {
    let mut digits = digits.to_owned();
    for mask in masks.as_array().into_iter().flatten() {
        let number = |field: &str| 2 * mask[field].as_u64().unwrap() as usize;
        let (start, end) = (number("offset"), number("offset") + number("length"));
        if digits.get(24..28) == mask["ethertype"].as_str() && end <= digits.len() {
            digits.replace_range(start..end, &"0".repeat(end - start));
        }
    }
    digits
}

#[test]
fn every_program_answers_through_c_as_the_kernel_does() {
    let out = work("every").join("every");
    compile("every.c", &[], &out);
    let mut programs = 0;
    for file in std::fs::read_dir(root().join("xdp_progs/expect")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = json(&format!("expect/{name}.json")).unwrap();
        let stem = expected["object"].as_str().unwrap().to_owned();
        let Some(expected) = expected["packets"].as_array() else { continue };
        // Rings are hundreds of thousands of elements: too many for a command line. The tool's tests run this one.
        let Some(contents) = contents(&stem) else { continue };
        let packets = packets(&stem);
        let masks = json("masks.json").unwrap()["programs"][name]["packets"].take();
        let mut child = Command::new(&out)
            .arg(object(&stem))
            .arg(name)
            .args(contents)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not load ends before it reads.
        let _ = child.stdin.take().unwrap().write_all((packets.join("\n") + "\n").as_bytes());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        if err.contains("is not provided in this version") {
            continue;
        }
        assert!(output.status.success(), "{name}: {:?} {err}", output.status);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().count(), expected.len(), "{name}");
        const ACTIONS: [&str; 5] = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
        for (i, ((line, want), packet)) in said.lines().zip(expected).zip(&packets).enumerate() {
            let (action, data) = line.split_once(' ').unwrap();
            let action = ACTIONS[action.parse::<usize>().unwrap()];
            // xdp_progs/masks.json: without a target it is an error at once here, when the packet is sent on there.
            let may_differ = name == "xdp_redirect_err" && action == "XDP_ABORTED";
            assert!(want["action"] == action || may_differ, "{name}, packet {i}: {action}");
            let want = want["data"].as_str().unwrap_or(packet);
            assert_eq!(masked(data, &masks), masked(want, &masks), "{name}, packet {i}");
        }
        programs += 1;
    }
    assert!(programs >= 30, "{programs} programs have an expectation");
}
