//! What names a command.

use std::fmt;

/// Names a command. Grows with each one, also from one connection to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub(super) connection: u32,
    pub(super) number: u32,
}

impl Id {
    pub(super) const fn to_wire(self) -> u64 {
        (self.connection as u64) << 32 | self.number as u64
    }

    pub(super) const fn from_wire(id: u64) -> Self {
        Self { connection: (id >> 32) as u32, number: id as u32 }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.number)
    }
}
