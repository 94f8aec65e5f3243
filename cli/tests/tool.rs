//! The tool's subcommands: what they print, in which form, and how they end.

mod common;

use common::{arg, obj, progs, scratch, skip, uxdp};
use serde_json::{Value, json};

const FRAME: &str = "hex:ffffffffffff 020000000001 0800";

#[test]
fn help_of_every_subcommand_has_an_example() {
    for command in ["inspect", "verify", "run", "gen", "bench", "dump"] {
        let ran = uxdp(&[command, "--help"]);
        assert!(ran.code == 0 && ran.out.contains("Example"), "{command}: {}", ran.out);
    }
    assert!(uxdp(&["--help"]).out.contains("Exit codes"));
}

#[test]
fn programs_of_entries_run_on_redirected_packets() {
    let maps = scratch("entries.maps.json");
    let entries = json!({"maps": {
        "devices": [{"key": 0, "value": 2, "program": "stamp"}, {"key": 1, "value": 3, "program": "egress"}, {"key": 2, "value": 4}],
        "cpus": [{"key": 0, "value": 16, "program": "onward"}, {"key": 1, "value": 16}],
    }});
    std::fs::write(&maps, entries.to_string()).unwrap();
    let object = common::root().join("tests/progs/obj/egress.o");
    let run = |program: &str, engine: &str| {
        let out = scratch("entries.bin");
        let ran = uxdp(&[
            "run",
            &arg(&object),
            "--prog",
            program,
            "--maps",
            &arg(&maps),
            "--data-in",
            FRAME,
            "--data-out",
            &arg(&out),
            "--engine",
            engine,
            "--json",
            "-v",
        ]);
        (ran.json(), std::fs::read(out).unwrap())
    };
    for engine in ["jit", "interp"] {
        let (report, left) = run("ingress", engine);
        assert_eq!(report["entries"], json!({"XDP_PASS": 1}), "{report}");
        assert_eq!(report["results"][0]["data"], "ffffffffff020200000000010800");
        assert_eq!(left[5], 2);
        // To each but the ingress: one stamps, one drops, one has no program.
        let (report, left) = run("everywhere", engine);
        assert_eq!(report["entries"], json!({"XDP_DROP": 1, "XDP_PASS": 1}), "{report}");
        assert_eq!((left.len(), left[5], left[14 + 5]), (28, 2, 0xff));
        // The CPU's program sends it on to a device.
        let (report, left) = run("to_own_cpu", engine);
        assert_eq!(report["entries"], json!({"XDP_REDIRECT": 1, "XDP_PASS": 1}), "{report}");
        assert_eq!(report["results"][0]["redirect"]["kind"], "cpumap");
        assert_eq!((left.len(), left[5], left[11]), (14, 2, 0));
        // An entry without a program.
        let (report, left) = run("to_cpu", engine);
        assert_eq!((report.get("entries"), left.len()), (None, 14));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &["inspect"][..],
        &["frobnicate"],
        &["run", "x.o"],
        &["run", "x.o", "--in", "a", "--data-in", "b"],
        &["verify", "x.o", "--json", "--csv"],
        &["verify", "x.o", "--explain", "--csv"],
        &["run", "x.o", "--data-in", FRAME, "--ctx", "nonsense=1"],
        &["run", "x.o", "--data-in", FRAME, "--repeat", "0"],
        &["verify", "x.o", "--log", "3"],
        &["gen"],
        &["gen", "--out", "x.pcap", "--kinds", "nonsense"],
        &["gen", "--list", "--out", "x.pcap"],
        &["run", "x.o", "--data-in", FRAME, "--against", "somebody"],
    ] {
        assert_eq!(uxdp(args).code, 2, "{args:?}");
    }
}

#[test]
fn inspect_tells_programs_maps_and_helpers() {
    let said = uxdp(&["inspect", &obj("xdp_firewall"), "--json"]).json();
    assert_eq!(said["license"], "Dual MIT/GPL");
    assert_eq!(said["btf"], true);
    let program = &said["programs"][0];
    assert_eq!((&program["name"], &program["section"]), (&json!("xdp_firewall"), &json!("xdp")));
    assert_eq!(program["helpers"], json!([{"id": 1, "name": "map_lookup_elem"}]));
    assert_eq!(program["maps"], json!(["counters", "rules"]));
    let rules = said["maps"].as_array().unwrap().iter().find(|m| m["name"] == "rules").unwrap();
    assert_eq!(rules["type"], "percpu_hash");
    assert_eq!(
        (&rules["key_size"], &rules["value_size"], &rules["max_entries"]),
        (&json!(8), &json!(12), &json!(1024))
    );

    let needs = |name: &str| uxdp(&["inspect", &obj(name), "--json"]).json()["programs"][0]["needs"].clone();
    assert_eq!(needs("xdp_tx"), json!(["tx"]));
    assert_eq!(needs("xdp_pass"), json!([]));
    assert_eq!(needs("xdp_fw"), json!(["redirect"]));
    assert_eq!(
        needs("xdp_metadata"),
        json!(["redirect", "metadata", "rx_hash", "rx_timestamp", "rx_vlan_tag"])
    );

    let text = uxdp(&["inspect", &obj("xdp_firewall")]);
    assert_eq!(text.code, 0);
    for word in ["xdp_firewall", "percpu_hash", "map_lookup_elem", "BTF yes", "NEEDS"] {
        assert!(text.out.contains(word), "{word}: {}", text.out);
    }
}

#[test]
fn ambiguous_program_lists_the_candidates() {
    let list = ["choose one", "xdp_root, root_arp, root_ipv4"];
    uxdp(&["dump", &obj("xdp_root")]).fails(2, &list);
    uxdp(&["run", &obj("xdp_root"), "--data-in", FRAME]).fails(2, &list);
    uxdp(&["bench", &obj("xdp_root")]).fails(2, &list);
    uxdp(&["dump", &obj("xdp_root"), "--prog", "xdp"]).fails(2, &list);
    uxdp(&["verify", &obj("xdp_root"), "--prog", "nobody"]).fails(2, &["nobody", "root_arp"]);
}

#[test]
fn a_program_is_found_by_its_section() {
    let ran = uxdp(&["run", &obj("xdp_tx"), "--prog", "xdp", "--data-in", FRAME, "--json"]);
    assert_eq!(ran.json()["program"], "xdp_tx");
}

#[test]
fn unreadable_objects_end_with_2_and_say_why() {
    uxdp(&["inspect", "/nowhere/prog.o"]).fails(2, &["cannot read /nowhere/prog.o", "No such file"]);
    uxdp(&["inspect", &arg(progs("README.md"))]).fails(2, &["not an ELF file", "clang"]);
    let whole = std::fs::read(progs("obj/xdp_firewall.o")).unwrap();
    let cut = scratch("cut.o");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    for command in ["inspect", "verify", "dump", "bench"] {
        uxdp(&[command, &arg(&cut)]).fails(2, &["cut.o"]);
    }
    uxdp(&["run", &arg(&cut), "--data-in", FRAME]).fails(2, &["cut.o"]);
}

#[test]
fn verify_accepts_with_the_closing_line() {
    let ran = uxdp(&["verify", &obj("xdp_tx")]);
    assert_eq!(ran.code, 0);
    let closing = ran.out.lines().find(|l| l.contains("processed ")).unwrap().trim();
    let words: Vec<&str> = closing.split(' ').filter(|w| w.parse::<u64>().is_err()).collect();
    assert_eq!(
        words.join(" "),
        "processed insns (limit 1000000) max_states_per_insn total_states peak_states mark_read"
    );
    assert!(ran.out.contains("xdp_tx: accepted"));
}

#[test]
fn verify_judges_every_program_of_an_object() {
    let said = uxdp(&["verify", &obj("xdp_root"), "--json"]).json();
    let names: Vec<&str> = said.as_array().unwrap().iter().map(|p| p["program"].as_str().unwrap()).collect();
    assert_eq!(names, ["xdp_root", "root_arp", "root_ipv4", "root_ipv6", "root_udp", "root_tcp"]);
    assert!(said.as_array().unwrap().iter().all(|p| p["verdict"] == "success"));
}

#[test]
fn verify_refuses_in_the_kernels_words_with_place() {
    let expect: Value =
        serde_json::from_str(&std::fs::read_to_string(progs("expect/xdping_no_check.json")).unwrap())
            .unwrap();
    let reason = expect["refused"].as_str().unwrap();
    let ran = uxdp(&["verify", &obj("xdping_no_check")]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains(reason), "{}", ran.out);
    assert!(ran.out.contains("xdping_no_check.c:") && ran.out.contains("*(u8 *)(r1 +13)"), "{}", ran.out);

    let ran = uxdp(&["verify", &obj("xdping_no_check"), "--json"]);
    assert_eq!(ran.code, 1);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said[0]["verdict"], "failure");
    assert!(said[0]["refusal"]["reason"].as_str().unwrap().contains(reason));
    assert_eq!(said[0]["refusal"]["errno"], 13);
    assert!(said[0]["refusal"]["source"]["text"].as_str().unwrap().contains("h_proto"));
}

#[test]
fn verify_log_shows_the_refused_path_then_every_path() {
    let accepted = uxdp(&["verify", &obj("xdp_tx"), "--log", "1"]).out;
    assert!(accepted.starts_with("processed "), "a path that ended well is forgotten: {accepted}");
    let refused = uxdp(&["verify", &obj("xdping_no_check"), "--log", "1"]).out;
    let state = "\n0: (61) r1 = *(u32 *)(r1 +0)          ; R1=pkt(r=0)\n";
    assert!(refused.starts_with("0: R1=ctx() R10=fp0\n") && refused.contains(state), "{refused}");
    let loud = uxdp(&["verify", &obj("xdp_tx"), "--log", "2"]).out;
    assert!(loud.starts_with("func#0 @0\nLive regs before insn:\n"), "{loud}");
    assert!(loud.contains("R10=fp0") && loud.contains("\nfrom "), "{loud}");
}

#[test]
fn verify_explain_shows_path_values_and_the_check_that_would_do() {
    let object = obj("xdping_no_check");
    let told = uxdp(&["verify", &object, "--explain"]).out;
    for part in [
        "\n  the path:\n    xdping_no_check.c:35: if (eth->h_proto",
        "\n      1: (71) r2 = *(u8 *)(r1 +13): refused\n",
        "\n  known there:\n    r1 = packet, nothing of it proven readable\n",
        "\n    here: 1 byte at r1 +13, which is 13 from the packet's start\n",
        "\n  this would prove it:\n    if (data + 14 > data_end)\n        return XDP_DROP;\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let said: Value = serde_json::from_str(&uxdp(&["verify", &object, "--explain", "--json"]).out).unwrap();
    let explanation = &said[0]["refusal"]["explanation"];
    assert_eq!(explanation["values"][0], "r1 = packet, nothing of it proven readable");
    assert_eq!(explanation["check"], "if (data + 14 > data_end)\n    return XDP_DROP;");
    let short = uxdp(&["verify", &object]);
    assert!(
        short.out.contains("\n  what to do: Compare the end of what is read with data_end"),
        "{}",
        short.out
    );
    let said: Value = serde_json::from_str(&uxdp(&["verify", &object, "--json"]).out).unwrap();
    assert!(said[0]["refusal"]["explanation"].is_null());
    assert!(said[0]["refusal"]["advice"].as_str().unwrap().contains("data_end"));
}

#[test]
fn verify_csv_has_veristats_columns() {
    let ran = uxdp(&["verify", &obj("xdping_no_check"), "--csv"]);
    assert_eq!(ran.code, 1);
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|l| l.split(',').collect()).collect();
    let columns = "file_name prog_name verdict duration total_insns total_states peak_states max_states_per_insn \
                   max_mark_read_len prog_size prog_size_jited prog_type attach_type stack_depth mem_peak";
    assert_eq!(lines[0], columns.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1].len(), lines[0].len());
    assert_eq!(lines[1][..3], ["xdping_no_check.o", "xdping_no_check", "failure"]);
}

#[test]
fn run_refuses_what_verify_refuses() {
    let object = obj("xdping_no_check");
    uxdp(&["run", &object, "--data-in", FRAME]).fails(1, &["invalid access to packet", "uxdp verify"]);
    uxdp(&["bench", &object]).fails(1, &["invalid access to packet"]);
}

#[test]
fn run_aborts_what_takes_more_than_the_limit() {
    let object = format!("{}/../tests/progs/obj/loop.o", env!("CARGO_MANIFEST_DIR"));
    for engine in ["jit", "interp"] {
        let run = |limit| {
            let args = ["run", &object, "--prog", "loop", "--data-in", FRAME, "--engine", engine, "--json"];
            uxdp(&[&args[..], &["--run-limit", limit]].concat()).json()
        };
        let (short, long) = (run("20"), run("10000000"));
        assert_eq!(short["aborted"], json!({"limit": 1}), "{engine}");
        assert_eq!(long["aborted"], json!({}), "{engine}");
    }
}

#[test]
fn run_aborts_what_takes_more_time_than_it_may() {
    let object = format!("{}/../tests/progs/obj/long.o", env!("CARGO_MANIFEST_DIR"));
    for engine in ["jit", "interp"] {
        for (option, reason) in [("--run-time-limit", "time"), ("--run-limit", "limit")] {
            let args = ["run", &object, "--data-in", FRAME, "--engine", engine, "--json", option, "500"];
            assert_eq!(uxdp(&args).json()["aborted"], json!({ reason: 1 }), "{engine}");
        }
    }
}

#[test]
fn run_of_one_packet_gives_action_and_bytes() {
    let out = scratch("one.bin");
    let ran =
        uxdp(&["run", &obj("xdp_tx"), "--data-in", FRAME, "--data-out", &arg(&out), "--json", "-v"]).json();
    assert_eq!(
        ran["results"],
        json!([{"action": "XDP_TX", "length": 14, "data": "020000000001ffffffffffff0800"}])
    );
    assert_eq!(std::fs::read(&out).unwrap(), [2, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 8, 0]);
    // What came out goes in again as a file.
    let again = uxdp(&["run", &obj("xdp_tx"), "--data-in", &arg(&out), "--json", "-v"]).json();
    assert_eq!(again["results"][0]["data"], "ffffffffffff0200000000010800");
}

#[test]
fn repeated_runs_start_from_the_original() {
    let args = ["run", &obj("xdp_tx"), "--data-in", FRAME, "--repeat", "2", "--json", "-v"];
    let ran = uxdp(&args).json();
    assert_eq!((&ran["runs"], &ran["actions"]["XDP_TX"]), (&json!(2), &json!(2)));
    assert_eq!(ran["results"].as_array().unwrap().len(), 1);
    assert_eq!(ran["results"][0]["data"], "020000000001ffffffffffff0800");
}

#[test]
fn packets_go_to_the_capture_of_their_action() {
    let (tx, pass) = (scratch("tx.pcap"), scratch("pass.pcap"));
    let capture = arg(progs("pcap/xdping.pcap"));
    let ran = uxdp(&[
        "run",
        &obj("xdping"),
        "--in",
        &capture,
        "--out-tx",
        &arg(&tx),
        "--out-pass",
        &arg(&pass),
        "--json",
        "-v",
    ])
    .json();
    for (file, action) in [(&tx, "XDP_TX"), (&pass, "XDP_PASS")] {
        let count = ran["actions"][action].as_u64().unwrap();
        assert!(count > 0);
        // Each file is a capture that the tool reads again.
        let read = uxdp(&["run", &obj("xdp_pass"), "--in", &arg(file), "--json"]).json();
        assert_eq!(read["packets"], count, "{action}");
    }
}

#[test]
fn text_output_counts_actions() {
    let ran = uxdp(&["run", &obj("xdp_drop"), "--in", &arg(progs("pcap/xdp_drop.pcap")), "-v"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("XDP_DROP") && ran.out.contains("XDP_PASS") && ran.out.contains("53 packets"));
    assert!(ran.out.lines().count() > 53, "-v shows a line for each packet");
}

#[test]
fn aborted_packets_are_counted_by_reason() {
    let (capture, rules) = (arg(progs("pcap/xdp_firewall.pcap")), arg(progs("xdp_firewall.maps.json")));
    for engine in common::ENGINES {
        let args =
            ["run", &obj("xdp_firewall"), "--in", &capture, "--maps", &rules, "--engine", engine, "--json"];
        let ran = uxdp(&args).json();
        assert_eq!(ran["actions"]["XDP_ABORTED"], 1);
        assert_eq!(ran["aborted"], json!({"returned": 1}), "{engine}");
    }
}

#[test]
fn trace_shows_what_the_program_says() {
    let capture = arg(progs("pcap/xdping.pcap"));
    let ran = uxdp(&["run", &obj("xdping"), "--in", &capture, "--trace", "--json"]).json();
    let lines = ran["trace"].as_array().unwrap();
    assert!(!lines.is_empty() && lines.iter().all(|l| l.as_str().unwrap().contains("bpf_trace_printk: ")));
    let text = uxdp(&["run", &obj("xdping"), "--in", &capture, "--trace"]);
    assert!(text.out.contains("bpf_trace_printk: "));
}

#[test]
fn errors_in_map_contents_name_map_and_entry() {
    let file = scratch("maps.json");
    let run = |json: &str| {
        std::fs::write(&file, json).unwrap();
        uxdp(&["run", &obj("xdp_map_access"), "--data-in", FRAME, "--maps", &arg(&file)])
    };
    run(r#"{"maps": {"nowhere": []}}"#).fails(2, &["no map \"nowhere\"", "flags"]);
    run(r#"{"maps": {"flags": [{"key": 0, "value": 1}, {"key": 0, "value": "hex:0102"}]}}"#)
        .fails(2, &["map \"flags\", entry 1", "gives 2 bytes", "has 4"]);
    run(r#"{"maps": {"flags": [{"key": 7, "value": 1}]}}"#).fails(2, &["map \"flags\", entry 0", "too big"]);
    run(r#"{"maps": {"flags": [{"key": 0, "valeu": 1}]}}"#).fails(2, &["valeu", "docs/maps-json.md"]);
    run("{").fails(2, &["docs/maps-json.md"]);
    let missing = uxdp(&["run", &obj("xdp_map_access"), "--data-in", FRAME, "--maps", "/nowhere.json"]);
    missing.fails(2, &["cannot read /nowhere.json"]);
    let program = r#"{"maps": {"chain": [{"key": 0, "value": "nobody"}]}}"#;
    std::fs::write(&file, program).unwrap();
    let args = ["run", &obj("xdp_root"), "--prog", "xdp_root", "--data-in", FRAME, "--maps", &arg(&file)];
    uxdp(&args).fails(2, &["entry 0", "no program \"nobody\""]);
}

#[test]
fn errors_in_packets_end_with_2() {
    let object = obj("xdp_pass");
    uxdp(&["run", &object, "--in", "/nowhere.pcap"]).fails(2, &["cannot open /nowhere.pcap"]);
    uxdp(&["run", &object, "--in", &arg(progs("README.md"))]).fails(2, &["README.md", "capture"]);
    uxdp(&["run", &object, "--data-in", "hex:0"]).fails(2, &["pairs of hexadecimal digits"]);
    uxdp(&["run", &object, "--data-in", FRAME, "--map-dump", "nothing"]).fails(2, &["no map \"nothing\""]);
}

#[test]
fn dump_shows_bytecode_with_source_lines() {
    let ran = uxdp(&["dump", &obj("xdp_tx")]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.contains("xdp_tx:") && ran.out.contains("(95) exit") && ran.out.contains("xdp_tx.c:"),
        "{}",
        ran.out
    );
}

#[test]
fn every_form_of_a_dump_has_source_lines_and_its_own_words() {
    for (form, words) in [
        ("bpf", &["(85) call", "exit"][..]),
        ("xlated", &["ctx->data_end", "map[rules]", "map rules", "slots cleared"]),
        ("ir", &["func xdp_firewall", "block1", "load.", "map_value"]),
        #[cfg(target_arch = "x86_64")]
        ("asm", &["xdp_firewall:", "mov", ".L0:", "ret"]),
        #[cfg(target_arch = "x86_64")]
        ("jited", &["xdp_firewall:", "    0:  ", "c3", "ret", "; insn "]),
    ] {
        let ran = uxdp(&["dump", &obj("xdp_firewall"), "--as", form]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.err);
        for word in words.iter().chain(&["xdp_firewall.c:"]) {
            assert!(ran.out.contains(word), "{form}: \"{word}\" is not in {}", ran.out);
        }
    }
}

#[test]
fn bench_measures_every_engine_asked_for() {
    let ran = uxdp(&["bench", &obj("xdp_tx"), "--engine", "interp,interp", "--json"]).json();
    assert_eq!(ran.as_array().unwrap().len(), 2);
    for lane in ran.as_array().unwrap() {
        assert_eq!((&lane["engine"], &lane["packets"]), (&json!("interp"), &json!(64)));
        assert_eq!(lane["packets_change"], true);
        let ns = |key: &str| lane[key].as_f64().unwrap();
        assert!(0.0 < ns("ns_min") && ns("ns_min") <= ns("ns_median") && ns("ns_median") <= ns("ns_p99"));
        assert!(ns("verify_us") > 0.0);
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn programs_are_compiled_by_default() {
    let ran = uxdp(&["run", &obj("xdp_tx"), "--data-in", FRAME, "--json"]);
    assert_eq!(ran.json()["engine"], "jit");
    assert_eq!(ran.err, "");
    let capture = arg(progs("pcap/xdp_map_access.pcap"));
    let lanes = uxdp(&["bench", &obj("xdp_map_access"), "--in", &capture, "--json"]).json();
    let engines: Vec<&Value> = lanes.as_array().unwrap().iter().map(|l| &l["engine"]).collect();
    assert_eq!(engines, ["jit", "interp"]);
    assert!(lanes[0]["code_bytes"].as_u64().unwrap() > 0);
    assert!(lanes.as_array().unwrap().iter().all(|lane| lane["stack_bytes"].as_u64().unwrap() > 0));
    assert_eq!(lanes[0]["packets_change"], false);
}

/// The shape of `bpftool -j map dump`, asked from bpftool itself, in a mount namespace that goes with it.
#[test]
fn map_dumps_have_the_shape_of_bpftools() {
    let script = "set -e; d=$(mktemp -d); trap 'umount $d; rmdir $d' EXIT; mount -t bpf bpf $d
        bpftool map create $d/array type array key 4 value 4 entries 1 name flags
        bpftool map create $d/percpu type percpu_array key 4 value 8 entries 2 name counters
        bpftool map update pinned $d/array key 0 0 0 0 value 3 0 0 0
        bpftool -j map dump pinned $d/array; echo; bpftool -j map dump pinned $d/percpu";
    let Some(ran) = common::system("unshare", &["-m", "sh", "-c", script]) else {
        return skip("no unshare here");
    };
    if !ran.status.success() {
        return skip(&format!(
            "bpftool or bpf(2) cannot be used here: {}",
            String::from_utf8_lossy(&ran.stderr)
        ));
    }
    let theirs: Vec<Value> = String::from_utf8_lossy(&ran.stdout)
        .lines()
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let file = scratch("shape.json");
    // The program counts packets and bytes where the flags say so; none of them.
    std::fs::write(&file, r#"{"maps": {"flags": [{"key": 0, "value": 0}]}}"#).unwrap();
    let dumps = ["--map-dump", "flags", "--map-dump", "counters"];
    let object = obj("xdp_map_access");
    let mut args = vec!["run", &object, "--data-in", FRAME, "--json", "--maps", file.to_str().unwrap()];
    args.extend(dumps);
    let ours = uxdp(&args).json();
    let [flags, counters] = [&ours["maps"]["flags"], &ours["maps"]["counters"]];
    assert_eq!(*counters, theirs[1], "a per-CPU map with nothing counted");
    let mut flags = flags.clone();
    flags[0]["value"][0] = json!("0x03");
    assert_eq!(flags, theirs[0]);
}

#[test]
fn generated_captures_are_the_seeds_and_run() {
    let file = |name: &str, seed: &str, kinds: &str| {
        let path = arg(scratch(name));
        let ran = uxdp(&["gen", "--out", &path, "--count", "500", "--seed", seed, "--kinds", kinds]);
        assert!(ran.code == 0 && ran.out.contains("500 packets"), "{}{}", ran.out, ran.err);
        path
    };
    let (one, again) = (file("one.pcap", "3", "udp,malformed"), file("again.pcap", "3", "udp,malformed"));
    let other = file("other.pcap", "4", "udp,malformed");
    let bytes = |path: &str| std::fs::read(path).unwrap();
    assert_eq!(bytes(&one), bytes(&again));
    assert_ne!(bytes(&one), bytes(&other));
    let ran = uxdp(&["run", &obj("xdp_firewall"), "--in", &one, "--json"]).json();
    assert_eq!(ran["packets"], 500);
    assert!(uxdp(&["gen", "--list"]).out.contains("truncated"));
}

#[test]
fn records_of_rings_are_dumped() {
    let capture = arg(progs("pcap/xdp_observer.pcap"));
    let ran = uxdp(&["run", &obj("xdp_observer"), "--in", &capture, "--map-dump", "events", "--json"]).json();
    let records = ran["maps"]["events"].as_array().unwrap();
    assert_eq!(records.len(), 94);
    assert_eq!(records[0]["record"].as_array().unwrap().len(), 44);
    let capture = arg(progs("pcap/xdp_tcpdump.pcap"));
    let ran = uxdp(&["run", &obj("xdp_tcpdump"), "--in", &capture, "--map-dump", "samples", "--json"]).json();
    let samples = ran["maps"]["samples"].as_array().unwrap();
    assert!(samples.len() == 18 && samples.iter().all(|s| s["cpu"] == 0), "{}", samples.len());
}
