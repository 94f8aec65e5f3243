//! Netlink's messages and attributes, read out of bytes. Nothing is read beyond them, whatever the lengths inside say.

use std::net::IpAddr;

const HEADER: usize = 16;

/// One message.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    body: &'a [u8],
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

/// An address of either family, by its length.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    four().or_else(|| Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)))
}

/// The messages one behind the other, up to the first that says it is longer than there are bytes.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(bytes(rest, 0)?) as usize;
        let body = rest.get(HEADER..len)?;
        let message = Message {
            kind: u16::from_ne_bytes(bytes(rest, 4)?),
            flags: u16::from_ne_bytes(bytes(rest, 6)?),
            seq: u32::from_ne_bytes(bytes(rest, 8)?),
            body,
        };
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

impl<'a> Message<'a> {
    pub(super) fn u8(&self, at: usize) -> Option<u8> {
        self.body.get(at).copied()
    }

    pub(super) fn u16(&self, at: usize) -> Option<u16> {
        bytes(self.body, at).map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Option<u32> {
        bytes(self.body, at).map(u32::from_ne_bytes)
    }

    /// The attributes behind a head of so many bytes.
    pub(super) fn attrs(&self, head: usize) -> Attrs<'a> {
        Attrs(self.body.get(head..).unwrap_or_default())
    }
}

/// Attributes one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Attrs<'a>(&'a [u8]);

impl<'a> Attrs<'a> {
    /// The first attribute of a type.
    pub(super) fn get(self, kind: u16) -> Option<&'a [u8]> {
        /// Without the two flags on top.
        const TYPE: u16 = 0x3fff;
        let mut rest = self.0;
        loop {
            let len = usize::from(u16::from_ne_bytes(bytes(rest, 0)?));
            let value = rest.get(4..len)?;
            if u16::from_ne_bytes(bytes(rest, 2)?) & TYPE == kind {
                return Some(value);
            }
            rest = rest.get(len.next_multiple_of(4)..)?;
        }
    }

    pub(super) fn u32(self, kind: u16) -> Option<u32> {
        self.get(kind)?.try_into().ok().map(u32::from_ne_bytes)
    }

    pub(super) fn ip(self, kind: u16) -> Option<IpAddr> {
        self.get(kind).and_then(ip)
    }

    /// Without the zero at its end.
    pub(super) fn text(self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(kind)?.strip_suffix(&[0])?).ok()
    }

    /// The attributes in an attribute; none where it is missing.
    pub(super) fn nested(self, kind: u16) -> Attrs<'a> {
        Attrs(self.get(kind).unwrap_or_default())
    }

    /// The ways of a multipath attribute: interface, flags, weight, attributes (`struct rtnexthop`).
    pub(super) fn hops(self, kind: u16) -> impl Iterator<Item = (u32, u32, u16, Attrs<'a>)> {
        let mut rest = self.get(kind).unwrap_or_default();
        std::iter::from_fn(move || {
            let len = usize::from(u16::from_ne_bytes(bytes(rest, 0)?));
            let attrs = Attrs(rest.get(8..len)?);
            let [flags, hops] = bytes(rest, 2)?;
            let ifindex = u32::from_ne_bytes(bytes(rest, 4)?);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((ifindex, flags.into(), u16::from(hops) + 1, attrs))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of kind 24 whose body is an attribute of type 1 with four bytes, and one of type 9 with one way.
    fn message() -> Vec<u8> {
        let way = [&[16, 0, 0, 2, 7, 0, 0, 0][..], &[8, 0, 5, 0, 10, 0, 0, 1]].concat();
        let attrs = [&[8, 0, 1, 0, 192, 0, 2, 0][..], &[20, 0, 9, 0], &way].concat();
        let len = (HEADER + attrs.len()) as u8;
        [&[len, 0, 0, 0, 24, 0, 2, 0, 5, 0, 0, 0, 0, 0, 0, 0][..], &attrs].concat()
    }

    #[test]
    fn attributes_are_found_by_their_type() {
        let bytes = [message(), message()].concat();
        assert_eq!(messages(&bytes).count(), 2);
        let m = messages(&bytes).next().unwrap();
        assert_eq!((m.kind, m.flags, m.seq), (24, 2, 5));
        assert_eq!(m.attrs(0).ip(1), Some([192, 0, 2, 0].into()));
        assert_eq!(m.attrs(0).get(2), None);
        let (ifindex, flags, weight, attrs) = m.attrs(0).hops(9).next().unwrap();
        assert_eq!((ifindex, flags, weight, attrs.ip(5)), (7, 0, 3, Some([10, 0, 0, 1].into())));
    }

    #[test]
    fn whatever_is_cut_short_or_lies_about_its_length_ends_without_a_panic() {
        let whole = message();
        for end in 0..whole.len() {
            assert_eq!(messages(&whole[..end]).count(), 0, "{end}");
        }
        for at in 0..whole.len() {
            for wrong in [0, 1, 3, 255] {
                let mut bytes = whole.clone();
                bytes[at] = wrong;
                let mut seen = 0;
                for m in messages(&bytes) {
                    seen += 1 + m.attrs(4).hops(9).count() + m.attrs(0).hops(9).count();
                    seen += usize::from(m.attrs(0).ip(9).is_some());
                }
                // Whatever is shorter than its own head ends its list.
                assert!(seen <= whole.len());
            }
        }
    }
}
