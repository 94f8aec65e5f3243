//! Keys and routes, the same in every run.

use crate::measure::Keys;

/// Different keys in an order; more than fit the nearest caches.
const ORDER: usize = 1 << 17;
/// Bits by which keys that are absent lie beyond those that are there.
pub(crate) const ABSENT: u64 = 1 << 40;

/// The generator of Knuth's MMIX; its upper half is good.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) * n) >> 32
    }
}

/// `span` keys from `first` on, in random order.
pub(crate) fn keys(first: u64, span: u64) -> Keys {
    let mut random = Random(first ^ 99);
    Keys { first, span, order: (0..ORDER).map(|_| first + random.below(span)).collect() }
}

/// Keys of a trie for lookups: length 32, an address in network order above it.
pub(crate) fn addresses(routes: &[Route]) -> Keys {
    let mut random = Random(7);
    let mut address = || {
        // Three of four are inside some route.
        let inside = routes[random.below(routes.len() as u64) as usize];
        let any = random.below(1 << 32) as u32;
        if random.below(4) == 0 { any } else { inside.address | any & (u32::MAX >> inside.len.min(31)) }
    };
    let order = (0..ORDER).map(|_| 32 | u64::from(address().to_be()) << 32).collect();
    Keys { first: 0, span: 1 << 32, order }
}

/// A prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) address: u32,
    pub(crate) len: u8,
}

/// So many different routes, of lengths as in a full table of the Internet: of a thousand, so many have the length. Two of one bit are the default.
pub(crate) fn routes(n: usize) -> Vec<Route> {
    const MIX: [(u8, u64); 14] = [
        (24, 620),
        (23, 98),
        (22, 118),
        (21, 52),
        (20, 44),
        (19, 26),
        (18, 14),
        (17, 8),
        (16, 14),
        (15, 2),
        (14, 1),
        (13, 1),
        (12, 1),
        (32, 1),
    ];
    let (mut random, mut seen) = (Random(3), std::collections::HashSet::new());
    seen.extend([0, 1 << 31].map(|address| Route { address, len: 1 }));
    while seen.len() < n {
        let mut at = random.below(MIX.iter().map(|m| m.1).sum());
        let len = MIX.iter().find_map(|&(len, share)| match at.checked_sub(share) {
            Some(rest) => {
                at = rest;
                None
            }
            None => Some(len),
        });
        let len = len.unwrap_or(24);
        // Unicast addresses.
        let address = (random.below(223 << 24) as u32 + (1 << 24)) & (u32::MAX << (32 - len));
        seen.insert(Route { address, len });
    }
    let mut all: Vec<Route> = seen.into_iter().collect();
    all.sort_unstable_by_key(|r| (r.address, r.len));
    all
}
