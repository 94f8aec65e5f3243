//! Lookups against a naive oracle: every prefix tried.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn v4(table: u32, a: [u8; 4], len: u8, ifindex: u32) -> Route {
    Route::unicast(table, Prefix::v4(a, len), NextHop::on(ifindex))
}

fn query(destination: impl Into<IpAddr>) -> Query {
    let destination = destination.into();
    let source = if destination.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        IpAddr::from(Ipv6Addr::UNSPECIFIED)
    };
    Query { destination, source, tos: 0, table: None, input: 1, output: 0 }
}

fn with_links(n: u32) -> Fib {
    let mut fib = Fib::new();
    (1..=n).for_each(|i| fib.set_link(Link::forwarding(i)).unwrap());
    fib
}

fn out(tables: &Tables, q: &Query) -> Result<u32, Refused> {
    tables.route(q).map(|f| f.link.ifindex)
}

/// A sequence of numbers that is the same in each run.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[test]
fn longest_prefixes_are_those_of_trying_all() {
    let mut next = numbers(7);
    for round in 0..50 {
        let mut fib = with_links(200);
        let n = 1 + next() % 100;
        let mut list: std::vec::Vec<([u8; 4], u8)> = std::vec::Vec::new();
        for i in 0..n {
            let len = (next() % 33) as u8;
            // Few bits, so that prefixes nest.
            let bits =
                ((next() & 0x0303_0303) as u32) & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            let a = bits.to_be_bytes();
            if list.contains(&(a, len)) {
                continue;
            }
            list.push((a, len));
            fib.set_route(&v4(MAIN, a, len, 1 + i as u32)).unwrap();
        }
        let tables = fib.tables().unwrap();
        for _ in 0..500 {
            let a = ((next() & 0x0303_0303) as u32).to_be_bytes();
            let naive =
                fib.routes.all().iter().filter(|r| r.prefix.contains(a.into())).max_by_key(|r| r.prefix.len);
            let naive = naive.map(|r| r.next_hops[0].ifindex).ok_or(Refused::NotForwarded);
            assert_eq!(out(&tables, &query(a)), naive, "round {round}: {a:?}");
        }
    }
}

#[test]
fn metrics_types_of_service_and_tables_have_their_order() {
    let mut fib = with_links(5);
    let net = [10, 0, 0, 0];
    fib.set_route(&Route { metric: 20, ..v4(MAIN, net, 8, 1) }).unwrap();
    fib.set_route(&Route { metric: 10, ..v4(MAIN, net, 8, 2) }).unwrap();
    fib.set_route(&Route { metric: 30, tos: 0x10, ..v4(MAIN, net, 8, 3) }).unwrap();
    fib.set_route(&v4(77, net, 8, 4)).unwrap();
    fib.set_route(&Route::of_kind(RouteKind::Throw, MAIN, Prefix::v4([11, 0, 0, 0], 8))).unwrap();
    fib.set_route(&v4(DEFAULT, [11, 0, 0, 0], 8, 5)).unwrap();
    fib.set_route(&Route::of_kind(RouteKind::Local, LOCAL, Prefix::v4([10, 0, 0, 1], 32))).unwrap();
    let tables = fib.tables().unwrap();
    let q = query([10, 1, 1, 1]);
    assert_eq!(out(&tables, &q), Ok(2));
    assert_eq!(out(&tables, &Query { tos: 0x10, ..q }), Ok(3));
    assert_eq!(out(&tables, &Query { table: Some(77), ..q }), Ok(4));
    assert_eq!(out(&tables, &Query { table: Some(78), ..q }), Err(Refused::NotForwarded));
    assert_eq!(out(&tables, &query([11, 0, 0, 1])), Ok(5));
    assert_eq!(out(&tables, &query([10, 0, 0, 1])), Err(Refused::NotForwarded), "the host's own");
    assert_eq!(out(&tables, &Query { output: 1, ..q }), Ok(1), "the next that goes there");
    fib.remove_route(&Route { metric: 10, ..v4(MAIN, net, 8, 0) }).unwrap();
    assert_eq!(out(&fib.tables().unwrap(), &q), Ok(1));
    assert_eq!(fib.remove_route(&v4(MAIN, net, 9, 0)), Err(Errno::ENOENT));
}

#[test]
fn several_ways_share_flows_by_weight() {
    let mut fib = with_links(2);
    let mut route = v4(MAIN, [0; 4], 0, 1);
    route.next_hops.push(NextHop { weight: 3, ..NextHop::on(2) }).unwrap();
    fib.set_route(&route).unwrap();
    let tables = fib.tables().unwrap();
    let second = (0..4000u32).filter(|i| out(&tables, &query(i.to_be_bytes())) == Ok(2)).count();
    assert!((2800..3200).contains(&second), "{second} of 4000 take the heavier way");
}

#[test]
fn neighbours_are_found_by_link_and_address() {
    let mut fib = with_links(2);
    for i in 0..1000u32 {
        let mac = [0, 0, i.to_be_bytes()[2], i.to_be_bytes()[3], 0, 1];
        fib.set_neighbour(1 + i % 2, Ipv4Addr::from_bits(i).into(), mac).unwrap();
    }
    fib.remove_neighbour(1, Ipv4Addr::from_bits(4).into()).unwrap();
    let tables = fib.tables().unwrap();
    for i in 0..1000u32 {
        let at = |ifindex| tables.neighbour(ifindex, Ipv4Addr::from_bits(i).into());
        let known = (i != 4).then_some([0, 0, i.to_be_bytes()[2], i.to_be_bytes()[3], 0, 1]);
        assert_eq!((at(1 + i % 2), at(2 - i % 2)), (known, None));
    }
    assert_eq!(Fib::new().tables().unwrap().neighbour(1, Ipv4Addr::LOCALHOST.into()), None);
}

#[test]
fn what_is_no_route_is_refused() {
    let mut fib = Fib::new();
    let wrong = [
        Route::of_kind(RouteKind::Unicast, MAIN, Prefix::v4([0; 4], 0)),
        v4(MAIN, [0; 4], 33, 1),
        Route::unicast(MAIN, Prefix::v6([0; 16], 129), NextHop::on(1)),
        Route::unicast(MAIN, Prefix::v4([0; 4], 0), NextHop { weight: 0, ..NextHop::on(1) }),
    ];
    for route in wrong {
        assert_eq!(fib.set_route(&route), Err(Errno::EINVAL), "{route:?}");
    }
    assert_eq!(fib.set_link(Link::forwarding(0)), Err(Errno::EINVAL));
}

#[test]
fn a_large_table_of_routes_is_edited_route_by_route() {
    let mut fib = with_links(3);
    let prefix = |i: u32| (i << 8).to_be_bytes();
    let routes = 1u32 << 15;
    for i in 0..routes {
        fib.set_route(&v4(MAIN, prefix(i), 24, 1 + i % 2)).unwrap();
    }
    for i in (0..routes).step_by(3) {
        fib.set_route(&v4(MAIN, prefix(i), 24, 3)).unwrap();
    }
    for i in (1..routes).step_by(3) {
        fib.remove_route(&v4(MAIN, prefix(i), 24, 1)).unwrap();
        assert_eq!(fib.remove_route(&v4(MAIN, prefix(i), 24, 1)), Err(Errno::ENOENT));
    }
    let tables = fib.tables().unwrap();
    for i in (0..routes).step_by(997) {
        let expected = match i % 3 {
            0 => Ok(3),
            1 => Err(Refused::NotForwarded),
            _ => Ok(1 + i % 2),
        };
        assert_eq!(out(&tables, &query(prefix(i))), expected, "{i}");
    }
}
