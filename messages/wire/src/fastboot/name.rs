//! The words that commands are made of. Each is checked where it is made, so that none can say more than it should.

use std::fmt;
use std::str::FromStr;

use super::command::CommandError;

/// Whether all of it can be part of a command: printable ASCII (README, "Command Reference": commands are ASCII).
/// A NUL would end it early on devices that keep it as a C string, and a newline would forge a line of a log.
pub(super) fn check_printable(text: &str) -> Result<(), CommandError> {
    if text.is_empty() {
        return Err(CommandError::Empty);
    }
    match text.bytes().enumerate().find(|(_, byte)| !matches!(byte, b' '..=b'~')) {
        Some((at, byte)) => Err(CommandError::Character { at, byte }),
        None => Ok(()),
    }
}

/// Whether it is one argument: no colon, which would begin the next one, and no space around it.
fn check_argument(text: &str) -> Result<(), CommandError> {
    check_printable(text)?;
    match text.find(':') {
        Some(at) => Err(CommandError::Separator { at }),
        None if text.trim() != text => Err(CommandError::SpaceAround),
        None => Ok(()),
    }
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Refused where it would not be what it says: see the type.
            pub fn new(text: impl Into<String>) -> Result<Self, CommandError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// As it is sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = CommandError;

            fn from_str(text: &str) -> Result<Self, CommandError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word! {
    /// A partition: printable ASCII without a colon, which would begin another argument.
    ///
    /// Loaders that number their disks in the name (`partition:0`) are reached by parsing the whole command, which
    /// gives a [`RawCommand`](super::RawCommand).
    Partition, check_argument
}
word! {
    /// A slot of the device, such as `a`: printable ASCII without a colon.
    Slot, check_argument
}
word! {
    /// A variable's name, with what it is asked about (`partition-size:boot`): printable ASCII.
    Variable, check_printable
}
word! {
    /// What stands behind `oem` or `flashing`: printable ASCII, of words that only the device understands.
    Arguments, check_printable
}
