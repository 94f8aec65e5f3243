//! Bytes of keys and values as people write them: the `bytes` rule of `docs/maps-json.md`.
//!
//! A description gives exactly the size that is asked for, or an error says by how much it misses.

use serde::Deserialize;
use std::net::IpAddr;

/// How a key or value is written in JSON.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Written {
    /// A number in the map's whole size, least significant byte first.
    Number(serde_json::Number),
    /// Text with or without a prefix that gives it a form.
    Text(String),
    /// Pieces, one after the other.
    Pieces(Vec<String>),
}

/// Why a description does not give the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// The sum of the pieces is another size.
    #[error("gives {given} bytes, the map's {what} has {wanted}")]
    Size {
        /// Bytes described.
        given: usize,
        /// Bytes of the map.
        wanted: usize,
        /// "key" or "value".
        what: &'static str,
    },
    /// A number that needs more bytes, or is not whole.
    #[error("{0} is not a whole number of {1} bytes")]
    Number(String, usize),
    /// A form that does not go on as it should.
    #[error("\"{0}\" is not what its prefix announces: {1}")]
    Form(String, &'static str),
    /// A plain text among pieces.
    #[error("\"{0}\" has no size of its own: write text:…, hex:…, u32:… or another sized form")]
    Unsized(String),
}

impl Written {
    /// The bytes of a key or value of `size` bytes.
    pub fn to_bytes(&self, size: usize, what: &'static str) -> Result<Vec<u8>, BytesError> {
        let bytes = match self {
            Written::Number(n) => whole(&n.to_string(), size)?.to_vec(),
            Written::Text(t) => match piece(t)? {
                Some(bytes) => bytes,
                None => padded(t.strip_prefix("text:").unwrap_or(t), size, what)?,
            },
            Written::Pieces(pieces) => {
                let mut all = Vec::new();
                for p in pieces {
                    all.extend(match piece(p)? {
                        Some(bytes) => bytes,
                        None => match p.strip_prefix("text:") {
                            Some(text) => text.as_bytes().to_vec(),
                            None => return Err(BytesError::Unsized(p.clone())),
                        },
                    });
                }
                all
            }
        };
        if bytes.len() != size {
            return Err(BytesError::Size { given: bytes.len(), wanted: size, what });
        }
        Ok(bytes)
    }

    /// The text itself, where it is one: a program's name.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Written::Text(t) => Some(t),
            _ => None,
        }
    }
}

/// Text bytes and zeros up to `size`.
fn padded(text: &str, size: usize, what: &'static str) -> Result<Vec<u8>, BytesError> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() > size {
        return Err(BytesError::Size { given: bytes.len(), wanted: size, what });
    }
    bytes.resize(size, 0);
    Ok(bytes)
}

/// A whole number in two's complement, little-endian, of `size` bytes.
fn whole(text: &str, size: usize) -> Result<Vec<u8>, BytesError> {
    let error = || BytesError::Number(text.to_owned(), size);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u128::from_str_radix(hex, 16),
        None => digits.parse::<u128>(),
    }
    .map_err(|_| error())?;
    let bits = (size * 8).min(127) as u32;
    let fits = if negative { magnitude <= 1 << (bits.max(1) - 1) } else { magnitude < 1 << bits };
    if size == 0 || !fits {
        return Err(error());
    }
    let (value, fill) =
        if negative && magnitude != 0 { (magnitude.wrapping_neg(), 0xff) } else { (magnitude, 0) };
    let mut bytes = vec![fill; size];
    let n = size.min(16);
    bytes[..n].copy_from_slice(&value.to_le_bytes()[..n]);
    Ok(bytes)
}

/// The bytes of a sized form; `None` for plain text (with or without `text:`).
fn piece(text: &str) -> Result<Option<Vec<u8>>, BytesError> {
    let form = |why| BytesError::Form(text.to_owned(), why);
    let Some((prefix, rest)) = text.strip_prefix("0x").map(|r| ("hex", r)).or_else(|| text.split_once(':'))
    else {
        return Ok(None);
    };
    let bytes = match prefix {
        "hex" => {
            let digits: String = rest.chars().filter(|c| !matches!(c, ' ' | ':')).collect();
            if digits.is_empty()
                || !digits.len().is_multiple_of(2)
                || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            {
                return Err(form("hexadecimal digits come in pairs"));
            }
            (0..digits.len())
                .step_by(2)
                .filter_map(|i| u8::from_str_radix(&digits[i..i + 2], 16).ok())
                .collect()
        }
        "ip" => match rest.parse::<IpAddr>() {
            Ok(IpAddr::V4(a)) => a.octets().to_vec(),
            Ok(IpAddr::V6(a)) => a.octets().to_vec(),
            Err(_) => return Err(form("an IPv4 or IPv6 address")),
        },
        "mac" => {
            let parts: Vec<_> = rest.split(':').collect();
            let octets: Option<Vec<u8>> = parts
                .iter()
                .map(|p| (p.len() == 2).then(|| u8::from_str_radix(p, 16).ok()).flatten())
                .collect();
            octets.filter(|o| o.len() == 6).ok_or_else(|| form("six pairs of digits with colons between"))?
        }
        "zero" => {
            let n: usize = rest.parse().map_err(|_| form("a count of zero bytes"))?;
            if n > 1 << 20 {
                return Err(form("a count of at most a million zero bytes"));
            }
            vec![0; n]
        }
        "u8" | "u16" | "u32" | "u64" => {
            let size = prefix[1..].parse::<usize>().unwrap_or(8) / 8;
            whole(rest, size).map_err(|_| form("a whole number that fits"))?
        }
        "be16" | "be32" | "be64" => {
            let size = prefix[2..].parse::<usize>().unwrap_or(8) / 8;
            let mut bytes = whole(rest, size).map_err(|_| form("a whole number that fits"))?;
            bytes.reverse();
            bytes
        }
        _ => return Ok(None),
    };
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &str, size: usize) -> Result<Vec<u8>, BytesError> {
        serde_json::from_str::<Written>(json).unwrap().to_bytes(size, "key")
    }

    #[test]
    fn every_form_gives_its_bytes() {
        for (json, want) in [
            ("7", &[7, 0, 0, 0][..]),
            ("-1", &[0xff; 4]),
            ("-2147483648", &[0, 0, 0, 0x80]),
            ("4294967295", &[0xff; 4]),
            ("18446744073709551615", &[0xff; 8]),
            (
                "-2",
                &[
                    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                    0xff, 0xff, 0xff,
                ],
            ),
            (r#""hex:0a0b 0C:0d""#, &[10, 11, 12, 13]),
            (r#""0x0a0b""#, &[10, 11]),
            (r#""ip:192.0.2.1""#, &[192, 0, 2, 1]),
            (r#""mac:02:00:00:00:00:01""#, &[2, 0, 0, 0, 0, 1]),
            (r#""abc""#, b"abc\0\0"),
            (r#""text:u8:1""#, b"u8:1\0"),
            (r#""a:b""#, b"a:b"),
            (r#"["u32:24", "ip:192.0.2.0"]"#, &[24, 0, 0, 0, 192, 0, 2, 0]),
            (r#"["0x0a", "0x0b"]"#, &[10, 11]),
            (r#"["be16:0x0102", "zero:2", "u8:-1"]"#, &[1, 2, 0, 0, 255]),
        ] {
            assert_eq!(bytes(json, want.len()).as_deref(), Ok(want), "{json}");
        }
        assert_eq!(bytes(r#""ip:2001:db8::1""#, 16).unwrap()[..4], [0x20, 1, 0x0d, 0xb8]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (json, size) in [
            ("4294967296", 4),
            ("-2147483649", 4),
            ("1.5", 4),
            ("1e3", 4),
            ("0", 0),
            (r#""hex:0a0""#, 2),
            (r#""0x""#, 0),
            (r#""ip:300.0.0.1""#, 4),
            (r#""mac:02:00""#, 6),
            (r#""u8:256""#, 1),
            (r#""be16:x""#, 2),
            (r#""zero:-1""#, 1),
            (r#""toolong""#, 3),
            (r#"["u32:1"]"#, 8),
            (r#"["plain"]"#, 5),
        ] {
            assert!(bytes(json, size).is_err(), "{json}");
        }
        assert_eq!(
            bytes(r#"["u32:24", "u16:1", "u8:0"]"#, 8).unwrap_err().to_string(),
            "gives 7 bytes, the map's key has 8"
        );
    }
}
