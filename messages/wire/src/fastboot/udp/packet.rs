//! One packet (README, "UDP Packet format").

/// In bytes.
pub const HEADER_LEN: usize = 4;

/// The flag of a packet whose data goes on in the next (README, "UDP Packet format", `Flags`).
const CONTINUED: u8 = 1;

/// What a packet is for (README, "Packet Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketId {
    /// 0: the device did not like the packet.
    Error,
    /// 1: which number comes next?
    Query,
    /// 2: versions and sizes; begins anew.
    Init,
    /// 3: what fastboot says.
    Fastboot,
    /// Any other.
    Unknown(u8),
}

impl PacketId {
    /// From its byte.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Error,
            1 => Self::Query,
            2 => Self::Init,
            3 => Self::Fastboot,
            _ => Self::Unknown(byte),
        }
    }

    /// Its byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Error => 0,
            Self::Query => 1,
            Self::Init => 2,
            Self::Fastboot => 3,
            Self::Unknown(byte) => byte,
        }
    }
}

/// What stands before a packet's data. Flags that are not known are ignored: they are for the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// What it is for.
    pub id: PacketId,
    /// Whether its data goes on in the next.
    pub continued: bool,
    /// Its number.
    pub seq: u16,
}

impl Header {
    /// Header and data; `None` where it is shorter than a header.
    pub fn split(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (&[id, flags, high, low], data) = packet.split_first_chunk::<HEADER_LEN>()?;
        let header = Self {
            id: PacketId::from_byte(id),
            continued: flags & CONTINUED != 0,
            seq: u16::from_be_bytes([high, low]),
        };
        Some((header, data))
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; HEADER_LEN] {
        let [high, low] = self.seq.to_be_bytes();
        [self.id.byte(), if self.continued { CONTINUED } else { 0 }, high, low]
    }
}

/// Header and data, as one packet.
pub fn packet(header: Header, data: &[u8]) -> Vec<u8> {
    [&header.bytes()[..], data].concat()
}
