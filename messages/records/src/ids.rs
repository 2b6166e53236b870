//! Ids as newtypes: one cannot be passed where another is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What is wrong with a text that should have been an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number of a fencing token: it grows with every lease granted on a device, durably. A device refuses a
    /// command that carries an older one than it has seen.
    FencingToken(u64)
);
number!(
    /// Grows each time a device is powered, reset, flashed or booted; every serial byte belongs to one.
    Epoch(u64)
);
number!(
    /// One try at a handoff, counted from 1 within a session; 0 is "none yet".
    Attempt(u32)
);
number!(
    /// Grows each time an actor is restarted, and with each start of the farm.
    Incarnation(u64)
);

/// One run of a job on one device. Shown as `s-7`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s-{}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("s-").unwrap_or(text);
        digits.parse().map(Self).map_err(|_| ParseIdError {
            text: text.into(),
            expected: "a session (they are written s-1, s-2, ...)",
        })
    }
}

/// Why a text cannot be a device's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} cannot name a device: {why}")]
pub struct InvalidName {
    text: String,
    why: &'static str,
}

/// The name of a device: 1 to 64 of `a-z A-Z 0-9 - _ .`, not starting with a dot. It is also a folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(String);

impl DeviceName {
    /// Takes a name, if it can be one.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let why = if text.is_empty() || text.len() > 64 {
            "it has 1 to 64 characters"
        } else if text.starts_with('.') {
            "it does not start with a dot"
        } else if !text.chars().all(ok) {
            "it has letters, digits, '-', '_' and '.' only"
        } else {
            return Ok(Self(text));
        };
        Err(InvalidName { text, why })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for DeviceName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl FromStr for DeviceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.0
    }
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The first twelve hexadecimal digits: enough for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..12].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = || ParseIdError { text: text.into(), expected: "64 hexadecimal digits" };
                if text.len() != 64 || !text.is_ascii() {
                    return Err(wrong());
                }
                let mut bytes = [0; 32];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
                }
                Ok(Self(bytes))
            }
        }
    };
}

hash!(
    /// The SHA-256 of a file's bytes.
    ContentHash
);
hash!(
    /// The SHA-256 of all that decides what a handoff does: driver, board, image, kind.
    PlanHash
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_as_it_is_shown() {
        assert_eq!("s-7".parse(), Ok(SessionId(7)));
        assert_eq!("7".parse(), Ok(SessionId(7)));
        assert!("s-".parse::<SessionId>().is_err());
    }

    #[test]
    fn a_device_name_cannot_leave_its_folder() {
        for bad in ["", ".", "..", "a/b", "a b", "\u{e9}", &"x".repeat(65)] {
            assert!(DeviceName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(DeviceName::new("uno-1").map(|name| name.to_string()), Ok("uno-1".into()));
    }

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let hash = ContentHash([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("ab".parse::<ContentHash>().is_err());
    }
}
