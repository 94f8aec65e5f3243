//! New versions of programs on SIGHUP, and runs that take too long.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::chains::{bundled, numbers, test_prog};
use crate::common::{Bench, packets, parse};
use crate::egress::{ONE_LCORE, TWO_LCORES};

/// A process that does not outlive a test that fails.
struct Ended(Option<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().and_then(|()| child.wait()).expect("a child of this process ends when it is killed");
        }
    }
}

/// l2fwd on a port that always has packets, with an object that the test replaces.
struct Running {
    child: Ended,
    said: Lines<BufReader<ChildStderr>>,
    object: PathBuf,
}

impl Running {
    /// With an object that [`Self::reload`] replaces.
    fn start(bench: &Bench, object: &str, args: &[&str]) -> Self {
        let path = bench.path("prog.o");
        std::fs::copy(object, &path).unwrap();
        let prog = path.display().to_string();
        Self::run(bench, path, &[&["--prog", &prog], args].concat())
    }

    /// Returns once packets run: EAL's last words come before.
    fn run(bench: &Bench, path: PathBuf, args: &[&str]) -> Self {
        Self::run_on(ONE_LCORE, bench, path, args)
    }

    fn run_on(lcores: &str, bench: &Bench, path: PathBuf, args: &[&str]) -> Self {
        let mut child = bench
            .l2fwd_with(&[lcores], &["net_null0".to_owned()], &[&["--json"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        said.next().unwrap().unwrap();
        Running { child: Ended(Some(child)), said, object: path }
    }

    fn signal(&self, name: &str) {
        let id = self.child.0.as_ref().unwrap().id().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Puts a file in the object's place, sends SIGHUP, and returns what l2fwd says to that.
    fn reload(&mut self, object: &Path) -> String {
        let fresh = self.object.with_extension("new");
        std::fs::copy(object, &fresh).unwrap();
        std::fs::rename(&fresh, &self.object).unwrap();
        self.again()
    }

    /// Sends SIGHUP, and returns what l2fwd says to that.
    fn again(&mut self) -> String {
        self.signal("-HUP");
        let ours = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|l| l.starts_with("l2fwd: "));
        self.said.find(ours).unwrap().unwrap()
    }

    fn end(self) -> Value {
        self.signal("-INT");
        let Running { mut child, said, .. } = self;
        let child = child.0.take().unwrap();
        let rest = std::thread::spawn(move || said.count());
        let report = parse(&child.wait_with_output().unwrap());
        rest.join().unwrap();
        report
    }
}

/// Packets by version: what version1.o and version2.o count.
fn counts(report: &Value) -> Vec<u64> {
    numbers(&report["maps"]["counts"])
}

#[test]
fn a_new_version_takes_over_between_two_bursts_and_keeps_the_maps() {
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let args = ["--map-dump", "counts", "--map-dump", "shape", "--engine", engine];
        let mut running = Running::start(&bench, &test_prog("version1.o"), &args);
        let said = running.reload(Path::new(&test_prog("version2.o")));
        assert_eq!(said, "l2fwd: reloaded; maps kept: counts", "`shape` has another value");
        std::thread::sleep(Duration::from_millis(50));
        let report = running.end();

        // Every packet ran through one of the versions, the first or the second.
        let counts = counts(&report);
        let actions = &report["ports"][0]["actions"];
        assert!(counts[0] > 0 && counts[1] > 0, "{report:#}");
        assert_eq!((&actions["tx"], &actions["drop"]), (&counts[0].into(), &counts[1].into()));
        assert_eq!(counts[0] + counts[1], report["rx"].as_u64().unwrap());
        assert_eq!(numbers(&report["maps"]["shape"]), [counts[1]], "the new one's began at zero");
        assert_eq!(report["reloads"], serde_json::json!({"done": 1, "failed": 0}));
    }
}

#[test]
fn a_list_of_programs_is_changed_while_packets_run() {
    let bench = Bench::new();
    let list = bench.path("progs");
    let (tx, drop, pass) = (test_prog("version1.o"), test_prog("version2.o"), bundled("xdp_pass.o"));
    let write = |lines: &[&str]| std::fs::write(&list, lines.join("\n")).unwrap();
    write(&["# The first one answers.", "", &tx, &drop]);
    let path = list.display().to_string();
    let mut running = Running::run(&bench, list.clone(), &["--progs", &path]);
    for (lines, said) in [
        (&[drop.as_str(), &tx][..], "l2fwd: reloaded; maps kept: counts, shape, counts, shape"),
        (&[&pass], "l2fwd: reloaded"),
        (&["nothing.o"], "l2fwd: not reloaded, the running version stays: "),
        (&[&pass, "a.o,port=x"], "progs:2: \"port=x\" is none of"),
        (&["# nobody"], " names no program"),
        (&[&format!("{pass},priority=1"), &tx], "l2fwd: reloaded"),
    ] {
        write(lines);
        let answer = running.again();
        assert!(answer.contains(said), "{lines:?}: {answer}");
        std::thread::sleep(Duration::from_millis(30));
    }
    let report = running.end();
    let actions = &report["ports"][0]["actions"];
    for action in ["tx", "drop", "pass"] {
        assert!(actions[action].as_u64().unwrap() > 0, "{action}: {report:#}");
    }
    assert_eq!(report["reloads"], serde_json::json!({"done": 3, "failed": 3}));
}

#[test]
fn a_version_that_is_refused_leaves_the_running_one_and_says_why() {
    let bench = Bench::new();
    let mut running = Running::start(&bench, &test_prog("version1.o"), &["--map-dump", "counts"]);
    for (object, why) in [
        (bundled("xdping_no_check.o"), "invalid access to packet"),
        (bundled("xdp_metadata.o"), "does not offer what program \"xdp_metadata\" needs: rx_hash"),
        (format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR")), "compile with clang"),
    ] {
        let said = running.reload(Path::new(&object));
        assert!(said.starts_with("l2fwd: not reloaded, the running version stays: "), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let report = running.end();
    assert_eq!(counts(&report), [report["rx"].as_u64().unwrap(), 0]);
    assert_eq!(report["reloads"], serde_json::json!({"done": 0, "failed": 3}));
}

#[test]
fn runs_over_the_limit_are_aborted_and_counted() {
    // The packet's first byte is a number of turns.
    let sent: Vec<Vec<u8>> = packets(8, 64).into_iter().map(|p| [&[200], &p[1..]].concat()).collect();
    for engine in ["jit", "interp"] {
        for (limit, aborted) in [("20", 8), ("10000000", 0)] {
            let bench = Bench::new();
            let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
            let prog = test_prog("loop.o:loop");
            let args = ["--prog", &prog, "--run-limit", limit, "--engine", engine, "--exit-idle", "50"];
            let report = bench.report(&vdevs, &args);
            assert_eq!(report["ports"][0]["actions"]["aborted"], aborted, "{engine}: {report:#}");
            assert_eq!(report["aborts"]["limit reached"].as_u64().unwrap_or(0), aborted, "{engine}");
        }
    }
}

/// Packets are on their way to another lcore while what runs there is replaced: each ends in one counter, and all buffers come back, as `parse` sees.
#[test]
fn what_runs_on_another_lcore_is_replaced_while_packets_are_handed_over() {
    let bench = Bench::new();
    let object = bench.path("prog.o");
    std::fs::copy(test_prog("egress.o"), &object).unwrap();
    let contents = bench.path("maps.json");
    std::fs::write(&contents, r#"{"maps": {"cpus": [{"key": 1, "value": 64, "program": "remote"}]}}"#)
        .unwrap();
    let prog = format!("{}:to_cpu", object.display());
    let args = ["--prog", &prog, "--maps", contents.to_str().unwrap()];
    let mut running = Running::run_on(TWO_LCORES, &bench, object, &args);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(20));
        let said = running.reload(Path::new(&test_prog("egress.o")));
        assert!(said.starts_with("l2fwd: reloaded; maps kept: "), "{said}");
    }
    let report = running.end();
    let port = &report["ports"][0];
    assert!(port["handed_over"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(port["actions"]["redirect"], report["rx"], "{report:#}");
    assert_eq!(report["reloads"], serde_json::json!({"done": 5, "failed": 0}));
}
