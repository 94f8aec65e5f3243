//! What a proof hands over: rewrites, facts, frames, counts, and what the log says.

use super::cases::expand;
use super::world::{check, program};
use crate::program::{ArgKind, CtxField, Edge, MapSel, MemClass, Rewrite, Signature};
use crate::verifier::{Proof, Rejection, VerifyOptions};

fn proof(text: &str) -> Proof {
    check(&program(&expand(text), None), 0, &mut String::new()).unwrap_or_else(|r| panic!("{r}: {text}"))
}

/// The slot of the n-th instruction whose word has that opcode.
fn nth(text: &str, code: u8, n: usize) -> u32 {
    let code_of = program(&expand(text), None);
    let at = code_of.insns.iter().enumerate().filter(|(_, i)| i.code == code).nth(n);
    at.unwrap_or_else(|| panic!("no such instruction")).0 as u32
}

const CALL: u8 = 0x85;

#[test]
fn constant_of_the_explored_path_is_no_fact_where_the_other_path_has_another() {
    let text = "r6 = u32[r1+12]; r7 = 1; if r6 > 4 goto x; r7 = 2; x:; u32[r10-4] = r7; r2 = r10; r2 += -4; r1 = map0; call 1; r0 = 0; exit";
    let p = proof(text);
    let fact = p.facts.at(nth(text, CALL, 0));
    assert_eq!((fact.const_key, fact.non_null), (None, false), "other keys were not looked for");
    let text = text.replace("r7 = 2", "r7 = 9");
    assert_eq!(
        (p.facts.at(nth(&text, CALL, 0)).const_key, proof(&text).facts.at(nth(&text, CALL, 0)).non_null),
        (None, false)
    );
}

#[test]
fn constant_key_on_every_path_is_a_fact() {
    let text = "u32[r10-4] = 3; r2 = r10; r2 += -4; r1 = map0; call 1; if r0 == 0 goto out; r0 = u64[r0+8]; exit; OUT";
    let p = proof(text);
    let at = nth(text, CALL, 0);
    assert_eq!((p.facts.at(at).const_key, p.facts.at(at).non_null), (Some(3), true));
    assert!(matches!(p.rewrites.insns[at as usize], Rewrite::CallHelper { map: MapSel::Known(0), .. }));
    assert_eq!(p.facts.at(nth(text, 0x79, 0)).mem, MemClass::Map(0));
}

#[test]
fn map_chosen_at_run_time_is_many() {
    let text = "r6 = u32[r1+12]; r2 = r10; r2 += -4; u32[r2+0] = 1; r1 = map7; if r6 > 4 goto x; r1 = map0; x:; call 1; if r0 == 0 goto out; r0 = u32[r0+0]; OUT";
    let p = proof(text);
    assert!(matches!(
        p.rewrites.insns[nth(text, CALL, 0) as usize],
        Rewrite::CallHelper { map: MapSel::Many, .. }
    ));
    assert_eq!(p.facts.at(nth(text, 0x61, 1)).mem, MemClass::MapAny);
}

#[test]
fn context_loads_and_wide_immediates_are_rewritten() {
    let p = proof("r2 = u32[r1+4]; r3 = map4[8]; r4 = map1; call @f; exit; @f:; r0 = 0; exit");
    let at = |i: usize| p.rewrites.insns[i];
    assert_eq!(at(0), Rewrite::CtxLoad(CtxField::DataEnd));
    assert_eq!((at(1), at(2)), (Rewrite::MapValue { map: 4, offset: 8 }, Rewrite::Dead));
    assert_eq!((at(3), at(5)), (Rewrite::MapPtr(1), Rewrite::CallSubprog(1)));
}

#[test]
fn edge_that_no_path_takes_is_known_and_its_instructions_are_dead() {
    let p = proof("r6 = u32[r1+12]; r6 &= 3; if r6 > 3 goto x; r0 = 1; exit; x:; r0 = 2; exit");
    assert_eq!(p.facts.at(2).edge, Edge::NeverTaken);
    assert_eq!(p.rewrites.insns[5], Rewrite::Dead);
    let p = proof("r6 = u32[r1+12]; if r6 > 3 goto x; r0 = 1; exit; x:; r0 = 2; exit");
    assert_eq!(p.facts.at(1).edge, Edge::Both);
}

#[test]
fn only_slots_that_may_be_read_unwritten_are_cleared() {
    let frame = |text: &str| {
        let p = proof(text);
        (p.rewrites.frames[0].size, p.rewrites.frames[0].clear)
    };
    assert_eq!(frame("u64[r10-8] = 1; r0 = u64[r10-8]; exit"), (8, 0));
    assert_eq!(frame("r0 = u64[r10-16]; exit"), (16, 2));
    assert_eq!(frame("r0 = 1; u8[r10-8] = 1; r0 = u64[r10-8]; exit"), (8, 1), "seven bytes were not written");
    assert_eq!(
        frame("r0 = u32[r1+12]; if r0 > 3 goto x; u64[r10-8] = 1; x:; r0 = u64[r10-8]; exit"),
        (8, 1),
        "not on every path"
    );
    assert_eq!(
        frame("u32[r10-8] = 1; u32[r10-4] = 1; r0 = u64[r10-8]; exit"),
        (8, 0),
        "written in two halves"
    );
    assert_eq!(frame("r2 = r10; r2 += -8; r1 = map1; call 1; r0 = 0; exit"), (8, 1), "a helper reads it");
    assert_eq!(
        frame("r1 = r10; r1 += -24; call @f; exit; @f:; r0 = u64[r1+0]; exit"),
        (24, 4),
        "a callee reads it"
    );
    assert_eq!(
        frame("r2 = 0; r3 = r10; r3 += -8; r4 = 8; call 189; r0 = u64[r10-8]; exit"),
        (8, 1),
        "the helper may fail"
    );
    assert_eq!(
        frame(
            "r0 = u32[r1+12]; r0 &= 7; r2 = r10; r2 += -16; r2 += r0; u8[r2+0] = 1; r0 = u64[r10-16]; exit"
        ),
        (16, 2),
        "one of the bytes was written"
    );
}

#[test]
fn store_that_goes_to_the_stack_on_one_path_alone_does_not_count_as_written() {
    let p = proof(
        "r0 = u32[r1+12]; r2 = map4[0]; if r0 > 3 goto x; r2 = r10; r2 += -8; x:; u64[r2+0] = 1; r0 = u64[r10-8]; exit",
    );
    assert_eq!(p.rewrites.frames[0].clear, 1);
}

fn global(text: &str, args: &[ArgKind]) -> Result<Proof, Rejection> {
    let mut all = [None; 5];
    for (slot, arg) in all.iter_mut().zip(args) {
        *slot = Some(*arg);
    }
    let signature = Signature { args: all, returns_scalar: true };
    check(&program(&expand(text), Some(signature)), 0, &mut String::new())
}

#[test]
fn global_function_is_verified_alone_against_its_signature() {
    let refused = |text: &str, args: &[ArgKind], why: &str| {
        let r = global(text, args).map(|_| ()).expect_err(text);
        assert!(r.to_string().contains(why), "{r}");
    };
    let accepted = |text: &str, args: &[ArgKind]| {
        global(text, args).unwrap_or_else(|r| panic!("{r}: {text}"));
    };
    let (scalar, mem) = (ArgKind::Scalar, ArgKind::MemOrNull { size: 8 });
    accepted("r1 = 5; call @g; exit; @g:; r0 = r1; exit", &[scalar]);
    refused(
        "r1 = 5; call @g; r2 = map4[0]; r2 += r0; r0 = u8[r2+0]; exit; @g:; r0 = 1; exit",
        &[scalar],
        "unbounded",
    );
    refused("call @g; exit; @g:; r0 = r1; exit", &[scalar], "R1 is not a scalar");
    refused("r1 = r10; r1 += -8; call @g; exit; @g:; r0 = u64[r1+0]; exit", &[mem], "mem_or_null");
    accepted(
        "r1 = r10; r1 += -8; call @g; exit; @g:; if r1 == 0 goto out; r0 = u64[r1+0]; exit; OUT",
        &[mem],
    );
    let atomic =
        "r1 = r10; r1 += -8; call @g; exit; @g:; r0 = 1; if r1 == 0 goto out; lock u64[r1+0] += r0; OUT";
    refused(atomic, &[mem], "BPF_ATOMIC stores into R1 mem");
    refused("r1 = r10; r1 += -4; call @g; exit; @g:; r0 = 0; exit", &[mem], "stack R1 off=-4 size=8");
    refused(
        "r1 = r10; r1 += -8; call @g; exit; @g:; if r1 == 0 goto out; r0 = u64[r1+8]; exit; OUT",
        &[mem],
        "invalid access to memory",
    );
    refused("call @g; exit; @g:; r0 = r1; exit", &[ArgKind::Ctx], "R0 is not a scalar");
    let changing = "r6 = r1; ETH; r7 = r2; r1 = r6; call @g; r0 = u8[r7+0]; exit; OUT; @g:; r2 = 0; call 44; r0 = 0; exit";
    refused(changing, &[ArgKind::Ctx], "R7 invalid mem access 'scalar'");
    accepted(&changing.replace("call 44", "call 188"), &[ArgKind::Ctx]);
    let tail = changing.replace("r2 = 0; call 44", "r2 = map2; r3 = 0; call 12");
    refused(&tail, &[ArgKind::Ctx], "R7 invalid mem access 'scalar'");
}

#[test]
fn tail_call_in_a_function_may_return_anything_and_a_changed_packet_to_its_caller() {
    let text = "r6 = r1; call @f; r2 = map4[0]; r2 += r0; r0 = u8[r2+0]; exit; @f:; r2 = map2; r3 = 0; call 12; r0 = 0; exit";
    assert!(check(&program(text, None), 0, &mut String::new()).is_err());
    let main = "r6 = r1; ETH; r7 = r2; r1 = r6; r2 = map2; r3 = 0; call 12; r0 = u8[r7+0]; exit; OUT";
    proof(main);
}

#[test]
fn budget_and_memory_are_verdicts_of_their_own() {
    use crate::error::{Errno, Status};
    let code = program(
        "r6 = 0; x:; r6 += 1; call 7; if r0 == 0 goto y; r6 += 1; y:; if r6 < 300 goto x; r0 = 0; exit",
        None,
    );
    let with = |opts: VerifyOptions| {
        crate::verifier::prove(&code, &[], crate::helpers::STANDARD, &opts, &mut String::new())
            .map(|_| ())
            .map_err(|r| r.errno())
    };
    let all = VerifyOptions::default();
    assert_eq!(with(VerifyOptions { insn_budget: 500, ..all }), Err(Errno::E2BIG));
    assert_eq!(with(VerifyOptions { memory_limit: 8 << 10, ..all }), Err(Errno::ENOMEM));
    assert_eq!(with(all), Ok(()));
}

#[test]
fn number_of_the_cpu_is_below_how_many_there_are() {
    let wide = program("call 8; r1 = map4[0]; r1 += r0; r0 = u8[r1+0]; exit", None);
    let size = super::world::maps()[4].spec.value_size;
    let with = |nr_cpus: u32| {
        let opts = VerifyOptions { nr_cpus, ..VerifyOptions::default() };
        let maps = super::world::maps();
        crate::verifier::prove(&wide, &maps, crate::helpers::STANDARD, &opts, &mut String::new()).is_ok()
    };
    assert!(with(1) && with(size), "{size} bytes, and as many CPUs");
    assert!(!with(size + 1) && !with(0), "a CPU more, or nobody knows");
}

#[test]
fn log_ends_with_the_reason_and_the_closing_line() {
    let mut log = String::new();
    let refused = check(&program("r0 = r2; exit", None), 1, &mut log);
    assert!(refused.is_err());
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..3], ["0: R1=ctx() R10=fp0", "0: (bf) r0 = r2", "R2 !read_ok"]);
    let closing = "processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0";
    assert!(lines[3].starts_with(closing), "{log}");
    let mut log = String::new();
    check(&program("r2 = u32[r1+0]; r2 += 4; r0 = 7; exit", None), 2, &mut log).unwrap();
    assert!(log.contains("\n0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)\n"), "{log}");
    assert!(log.contains("\n1: (07) r2 += 4                       ; R2=pkt(off=4,r=0)\n"), "{log}");
}
