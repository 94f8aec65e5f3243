//! Packets for measuring with, where none are given.

/// 64 different IPv4/UDP packets of 64 bytes.
pub fn packets() -> Vec<Vec<u8>> {
    (0..64u8)
        .map(|i| {
            let mut p = vec![0u8; 64];
            p[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            p[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
            p[12..14].copy_from_slice(&[8, 0]);
            p[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, i, 0, 0, 64, 17]);
            p[26..34].copy_from_slice(&[10, 0, 0, i, 192, 0, 2, 1]);
            let sum: u32 = p[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
            let check = !((sum & 0xffff) + (sum >> 16)) as u16;
            p[24..26].copy_from_slice(&check.to_be_bytes());
            p[34..42].copy_from_slice(&[0x10, i, 0, 53, 0, 30, 0, 0]);
            for (j, byte) in p[42..].iter_mut().enumerate() {
                *byte = i.wrapping_mul(7).wrapping_add(j as u8);
            }
            p
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::packets;

    #[test]
    fn samples_are_different_and_their_checksums_right() {
        let all = packets();
        for (i, p) in all.iter().enumerate() {
            let sum: u32 = p[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "packet {i}");
            assert!(!all[..i].contains(p));
        }
    }
}
