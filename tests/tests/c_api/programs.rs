//! C programs of the tests' own: every function with good and bad arguments, and memory that runs out.

use crate::support::{compile, have, have_library, object, pkg_config, root, run, work};
use std::process::Command;

/// Functions and their statuses; the program asserts and says "ok" at its end.
#[test]
fn every_function_does_what_its_comment_says() {
    let dir = work("api");
    let core = root().join("core/tests/objects/core.o");
    let arguments =
        [object("xdp_map_access"), object("xdp_maps"), object("xdp_root"), object("xdping_no_check"), core];
    let plain = dir.join("api");
    compile("api.c", &[], &plain);
    assert_eq!(run(Command::new(&plain).args(&arguments)), "ok\n");

    let sanitized = dir.join("api-asan");
    compile("api.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], &sanitized);
    assert_eq!(run(Command::new(&sanitized).args(&arguments)), "ok\n");

    if have("valgrind", "the API's functions under it") {
        let kinds = "definite,indirect,possible";
        run(Command::new("valgrind")
            .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
            .args([format!("--show-leak-kinds={kinds}"), format!("--errors-for-leak-kinds={kinds}")])
            .arg(&plain)
            .args(&arguments));
    }
}

/// Routes, callbacks, helpers of the host's own, packets in several buffers and what an object puts into its maps; the program asserts and says "ok" at its end.
#[test]
fn hosts_give_programs_what_they_ask_for() {
    let dir = work("host");
    let arguments = ["mine", "host", "fib", "frags", "named", "long", "slots", "kernel_only", "held"]
        .map(|o| root().join("tests/progs/obj").join(format!("{o}.o")));
    let plain = dir.join("host");
    compile("host.c", &[], &plain);
    assert_eq!(run(Command::new(&plain).args(&arguments)), "ok\n");
    if have("valgrind", "what hosts give under it") {
        let kinds = "definite,indirect,possible";
        run(Command::new("valgrind")
            .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
            .args([format!("--show-leak-kinds={kinds}"), format!("--errors-for-leak-kinds={kinds}")])
            .arg(&plain)
            .args(&arguments));
    }
}

/// Timers that a poll runs, until the map, the object or the hook goes.
#[test]
fn timers_expire_where_they_are_polled() {
    let dir = work("timers");
    let object = root().join("tests/progs/obj/timers.o");
    for (name, flags) in
        [("plain", &[][..]), ("asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])]
    {
        let out = dir.join(name);
        compile("timers.c", flags, &out);
        assert_eq!(run(Command::new(&out).arg(&object)), "ok\n");
    }
}

/// Records of programs, and samples for them.
#[test]
fn rings_are_read_and_filled_through_c() {
    let dir = work("rings");
    let objects = ["kinds", "user_ring"].map(|o| root().join("tests/progs/obj").join(format!("{o}.o")));
    for (name, flags) in
        [("plain", &[][..]), ("asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])]
    {
        let out = dir.join(name);
        compile("rings.c", flags, &out);
        assert_eq!(run(Command::new(&out).args(&objects)), "ok\n");
    }
}

/// Many elements in a call, values of one CPU, walks, bursts, inner maps and targets.
#[test]
fn maps_are_read_and_written_in_batches_through_c() {
    let dir = work("batches");
    let objects = ["kinds", "egress"].map(|o| root().join("tests/progs/obj").join(format!("{o}.o")));
    for (name, flags) in
        [("plain", &[][..]), ("asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])]
    {
        let out = dir.join(name);
        compile("batches.c", flags, &out);
        assert_eq!(run(Command::new(&out).args(&objects)), "ok\n");
    }
}

/// Programs of device and CPU maps' entries, and packets that are for every entry.
#[test]
fn programs_of_entries_run_through_c() {
    let dir = work("entries");
    let egress = root().join("tests/progs/obj/egress.o");
    for (name, flags) in
        [("plain", &[][..]), ("asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])]
    {
        let out = dir.join(name);
        compile("entries.c", flags, &out);
        assert_eq!(run(Command::new(&out).arg(&egress)), "ok\n");
    }
}

/// Priorities and chain-call actions, from the objects and from the host; what a port offers.
#[test]
fn programs_of_a_hook_run_as_they_and_the_host_say() {
    let dir = work("chain");
    let [chain, frags] = ["chain", "frags"].map(|o| root().join("tests/progs/obj").join(format!("{o}.o")));
    for (name, flags) in
        [("plain", &[][..]), ("asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])]
    {
        let out = dir.join(name);
        compile("chain.c", flags, &out);
        assert_eq!(run(Command::new(&out).args([&chain, &object("xdp_fw"), &frags])), "ok\n");
    }
}

/// Maps in memory, by descriptor and by file, with a process that is killed.
#[test]
fn processes_share_maps_through_c() {
    let dir = work("shared");
    let (plain, sanitized, file) = (dir.join("shared"), dir.join("shared-asan"), dir.join("map"));
    compile("shared.c", &[], &plain);
    assert_eq!(run(Command::new(&plain).arg(&file)), "ok\n");
    compile("shared.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], &sanitized);
    assert_eq!(run(Command::new(&sanitized).arg(&file)), "ok\n");
}

/// The n-th allocation fails, for every n until there are no more: an error each time, and nothing is left.
#[test]
fn load_survives_the_failure_of_every_allocation() {
    let out = work("oom").join("oom");
    let wrap = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=free,--wrap=mmap,--wrap=munmap";
    compile("oom.c", &[wrap], &out);
    for program in ["xdp_pass", "xdp_maps", "xdp_firewall"] {
        let said = run(Command::new(&out).arg(object(program)));
        let failures: u32 =
            said.trim_end().strip_suffix(" failures survived").unwrap_or("").parse().unwrap_or(0);
        assert!(failures > 20, "{program}: {said}");
    }
}

/// Which mbufs the glue refuses, and what it writes back; on real mbufs, without huge pages.
#[test]
fn mbuf_glue_refuses_what_is_not_ours_and_writes_back_what_changed() {
    if !have_library("libdpdk", "the mbuf glue on real mbufs") {
        return;
    }
    let dir = work("mbuf");
    let out = dir.join("mbuf");
    let flags = pkg_config(&["--cflags", "--libs", "libdpdk"]);
    compile("mbuf.c", &flags.iter().map(String::as_str).collect::<Vec<_>>(), &out);
    let said = run(Command::new(&out).env("XDG_RUNTIME_DIR", &dir).args([
        "--no-huge",
        "-m",
        "64",
        "--no-pci",
        "--no-shconf",
        "--log-level=error",
    ]));
    assert_eq!(said, "ok\n");
}
