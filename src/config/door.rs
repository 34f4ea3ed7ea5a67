//! What opens a door: a code, or words.

use std::fmt;
use std::str::FromStr;

use crate::units::Digit;

/// Most keys of a code.
const KEYS_MAX: usize = 12;

/// The keys that open a door, 1 to 12. Whether one is enough the door says.
///
/// `Debug` hides them, there is no `Display`, and no message about a code
/// repeats it.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Vec<Digit>);

impl Code {
    /// The keys in their order.
    #[must_use]
    pub fn digits(&self) -> &[Digit] {
        &self.0
    }

    /// A code of one key is guessed in ten tries.
    pub(super) fn check(&self, one_is_enough: bool) -> Result<(), BadCode> {
        match self.0.len() {
            1 if !one_is_enough => Err(BadCode::Single),
            _ => Ok(()),
        }
    }

    /// Whether whoever types one of the two types the other on the way.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let holds = |long: &[Digit], short: &[Digit]| {
            let mut parts = long.windows(short.len());
            parts.any(|part| part == short)
        };
        holds(&self.0, &other.0) || holds(&other.0, &self.0)
    }
}

impl FromStr for Code {
    type Err = BadCode;

    fn from_str(text: &str) -> Result<Self, BadCode> {
        let keys: Option<Vec<Digit>> = text.trim().chars().map(Digit::parse).collect();
        match keys {
            None => Err(BadCode::Key),
            Some(keys) if (1..=KEYS_MAX).contains(&keys.len()) => Ok(Self(keys)),
            Some(_) => Err(BadCode::Length),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Words and phrases, each of which opens a door when it is said. A secret as a
/// code is: `Debug` counts them, and no message repeats one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Words(pub(super) Vec<String>);

impl Words {
    /// The words and phrases.
    #[must_use]
    pub fn phrases(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.0.len())
    }
}

/// Why a text is no code. It does not say which text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// A character no telephone has.
    #[error("a code is made of the keys of a telephone: 0 to 9, * and #")]
    Key,
    /// One key, and the door does not say that it is enough.
    #[error("a code of one key is easily guessed; take more, or write allow_single_digit = true")]
    Single,
    /// None or too many.
    #[error("a code has 2 to {KEYS_MAX} keys")]
    Length,
}
