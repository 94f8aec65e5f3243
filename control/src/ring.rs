//! Consistent-hash rings in the manner of Maglev: which of some members serves each of a ring's places.
//!
//! Each member has a permutation of the places of its own, from its number alone. In turns, each takes the next place of its permutation that is still free (as many as
//! its weight), until none is. So each gets its share, and when a member goes, few places but its own change hands. `size` is a prime, so that every step walks over all places.
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4.

use serde::Deserialize;

/// A ring as a file of map contents describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    size: u32,
    members: Vec<Member>,
}

/// One that serves places.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    value: u32,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

/// A member's walk over the places.
struct Walk {
    at: u64,
    step: u64,
}

impl Ring {
    /// The member of each place, in order; or why there is no such ring.
    pub fn places(&self) -> Result<Vec<u32>, &'static str> {
        let size = self.size;
        if !is_prime(size) {
            return Err("the size of a ring is a prime number");
        }
        if self.members.is_empty() || self.members.iter().any(|m| m.weight == 0 || m.weight > size) {
            return Err("a ring has members, each with a weight of at least 1 and at most its size");
        }
        let mut order: Vec<&Member> = self.members.iter().collect();
        order.sort_by_key(|m| m.value);
        if order.windows(2).any(|pair| pair[0].value == pair[1].value) {
            return Err("a member of a ring is named once; give it a weight");
        }
        let size = u64::from(size);
        let mut walks: Vec<Walk> = order
            .iter()
            .map(|m| {
                let bits = mixed(u64::from(m.value));
                Walk { at: (bits >> 32) % size, step: (bits & 0xffff_ffff) % (size - 1) + 1 }
            })
            .collect();
        let mut places = vec![None; size as usize];
        let mut free = places.len();
        while free > 0 {
            for (member, walk) in order.iter().zip(&mut walks) {
                for _ in 0..member.weight.min(free as u32) {
                    while places[walk.at as usize].is_some() {
                        walk.at = (walk.at + walk.step) % size;
                    }
                    places[walk.at as usize] = Some(member.value);
                    free -= 1;
                }
            }
        }
        Ok(places.into_iter().flatten().collect())
    }
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d: &u32| d.saturating_mul(*d) <= n).all(|d| !n.is_multiple_of(d))
}

/// The finaliser of splitmix64.
fn mixed(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(json: &str) -> Result<Vec<u32>, &'static str> {
        serde_json::from_str::<Ring>(json).unwrap().places()
    }

    fn share(places: &[u32], member: u32) -> usize {
        places.iter().filter(|p| **p == member).count()
    }

    #[test]
    fn members_share_by_weight() {
        let places =
            ring(r#"{"size": 65537, "members": [{"value": 3, "weight": 2}, {"value": 1}, {"value": 2}]}"#)
                .unwrap();
        assert_eq!(places.len(), 65537);
        assert!(share(&places, 1).abs_diff(65537 / 4) <= 2 && share(&places, 3).abs_diff(65537 / 2) <= 2);
    }

    #[test]
    fn a_member_that_goes_moves_few_other_places() {
        let all: Vec<String> = (1..=10).map(|n| format!(r#"{{"value": {n}}}"#)).collect();
        let before = ring(&format!(r#"{{"size": 65537, "members": [{}]}}"#, all.join(","))).unwrap();
        let after = ring(&format!(r#"{{"size": 65537, "members": [{}]}}"#, all[..9].join(","))).unwrap();
        let moved = before.iter().zip(&after).filter(|(b, a)| **b != 10 && b != a).count();
        assert!(moved < 65537 / 10, "{moved} places moved");
    }

    #[test]
    fn rings_that_cannot_be_are_refused() {
        for wrong in [
            r#"{"size": 65536, "members": [{"value": 1}]}"#,
            r#"{"size": 7, "members": []}"#,
            r#"{"size": 7, "members": [{"value": 1, "weight": 0}]}"#,
            r#"{"size": 7, "members": [{"value": 1}, {"value": 1}]}"#,
        ] {
            assert!(ring(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ring(r#"{"size": 2, "members": [{"value": 9}]}"#).unwrap(), [9, 9]);
    }
}
