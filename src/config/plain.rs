//! Text as the editors of this world save it: UTF-8 with or without a mark in
//! front, or the two forms of UTF-16 that Windows offers.

use std::borrow::Cow;

/// Which of the two bytes of a UTF-16 unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wide {
    /// The low one, as Windows does.
    Little,
    /// The high one.
    Big,
}

impl Wide {
    /// What `bytes` look like; `None` for all that is not UTF-16. Without its
    /// mark it is known by the zeros that half of its bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, ..] => Some(Self::Little),
            [0xfe, 0xff, ..] => Some(Self::Big),
            [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(Self::Little),
            [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(Self::Big),
            _ => None,
        }
    }

    /// A character of the first plane in this form.
    #[must_use]
    pub fn bytes(self, unit: u16) -> [u8; 2] {
        match self {
            Self::Little => unit.to_le_bytes(),
            Self::Big => unit.to_be_bytes(),
        }
    }

    fn unit(self, pair: &[u8]) -> u16 {
        let pair = [pair[0], pair.get(1).copied().unwrap_or(0)];
        match self {
            Self::Little => u16::from_le_bytes(pair),
            Self::Big => u16::from_be_bytes(pair),
        }
    }
}

/// Bytes that are no text, and where that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not UTF-8 text; save the file as UTF-8")]
pub struct NotText {
    /// The line, from 1.
    pub line: usize,
}

/// The text in `bytes`, without a mark in front.
///
/// # Errors
/// When it is in none of the forms this knows.
pub fn plain_text(bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    let line = |before: &[u8]| 1 + before.iter().filter(|b| **b == b'\n').count();
    if let Some(wide) = Wide::of(bytes) {
        let units = bytes.chunks(2).map(|pair| wide.unit(pair));
        let units = units.skip_while(|unit| *unit == 0xfeff);
        let text: Result<String, _> = char::decode_utf16(units).collect();
        return text.map(Cow::Owned).map_err(|_| NotText { line: 1 });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes);
    text.map(Cow::Borrowed).map_err(|e| NotText {
        line: line(&bytes[..e.valid_up_to()]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_alike() {
        let text = "ssid = \"Café 8\"\r\n";
        let wide = |form: Wide, mark: bool| -> Vec<u8> {
            let mark = mark.then_some(0xfeff);
            let units = mark.into_iter().chain(text.encode_utf16());
            units.flat_map(|unit| form.bytes(unit)).collect()
        };
        let forms = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide(Wide::Little, true),
            wide(Wide::Little, false),
            wide(Wide::Big, true),
            wide(Wide::Big, false),
        ];
        for bytes in forms {
            assert_eq!(plain_text(&bytes).as_deref(), Ok(text), "{bytes:x?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_their_line() {
        assert_eq!(plain_text(b"a\nb\n\xe4"), Err(NotText { line: 3 }));
        assert_eq!(
            plain_text(b"\xff\xfe\x00\xd8\x61"),
            Err(NotText { line: 1 })
        );
        assert_eq!(plain_text(b"").as_deref(), Ok(""));
    }
}
