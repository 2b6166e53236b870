//! What the two ends say to each other (protocol description 0.7). The *guest* is the virtual machine, the *host* is
//! where the device is: we.

use bytes::Bytes;

/// The endpoints that a device can have: 16 OUT, then 16 IN.
pub(crate) const ENDPOINTS: usize = 32;

/// Where an endpoint's entry is in [`Packet::EpInfo`]: its number, and 16 more where it is IN.
#[must_use]
pub fn endpoint_index(address: u8) -> usize {
    usize::from((address & 0x80) >> 3 | (address & 0x0f))
}

/// What an end can do beyond the protocol's first version. A thing is used where both ends can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// USB 3 bulk streams.
    BulkStreams = 0,
    /// [`DeviceConnect`] has the device's version.
    ConnectDeviceVersion = 1,
    /// Filters: which devices the guest wants. Advice, which may be ignored.
    Filter = 2,
    /// A disconnect is acknowledged.
    DeviceDisconnectAck = 3,
    /// [`Packet::EpInfo`] has packet sizes.
    EpInfoMaxPacketSize = 4,
    /// Ids have 64 bits.
    Ids64 = 5,
    /// The length of a bulk packet has 32 bits.
    BulkLength32 = 6,
    /// The host reads ahead from bulk endpoints.
    BulkReceiving = 7,
}

/// Several of them: bit N is capability N.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Of these.
    #[must_use]
    pub fn of(all: &[Capability]) -> Self {
        Self(all.iter().fold(0, |bits, &one| bits | 1 << one as u8))
    }

    /// Whether this one is there.
    #[must_use]
    pub fn has(self, one: Capability) -> bool {
        self.0 & 1 << one as u8 != 0
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The first packet of each end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What program that is; at most 63 bytes arrive.
    pub version: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// A device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceConnect {
    /// 0 low, 1 full, 2 high, 3 super, 255 unknown.
    pub speed: u8,
    /// Class, subclass and protocol of its device descriptor.
    pub class: [u8; 3],
    /// Its vendor.
    pub vendor: u16,
    /// Its product.
    pub product: u16,
    /// Its version, in BCD; 0 on the wire where an end cannot say it.
    pub version_bcd: u16,
}

/// One of a device's interfaces, in its current setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its number.
    pub number: u8,
    /// Class, subclass and protocol.
    pub class: [u8; 3],
}

/// One of a device's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointInfo {
    /// 0 control, 1 isochronous, 2 bulk, 3 interrupt, 255 not there.
    pub kind: u8,
    /// As in its descriptor; not 0 for an interrupt endpoint.
    pub interval: u8,
    /// Whose it is.
    pub interface: u8,
    /// In bytes; 0 on the wire where an end cannot say it.
    pub max_packet: u16,
}

impl EndpointInfo {
    /// None is there.
    pub const ABSENT: Self = Self { kind: 255, interval: 0, interface: 0, max_packet: 0 };
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Well.
    #[default]
    Success = 0,
    /// It was called off.
    Cancelled = 1,
    /// It was none that there can be.
    Invalid = 2,
    /// The bus failed.
    IoError = 3,
    /// The endpoint is halted, or the request refused.
    Stall = 4,
    /// The device did not answer in time.
    Timeout = 5,
    /// The device sent more than was asked for.
    Babble = 6,
}

impl Status {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        use Status::{Babble, Cancelled, Invalid, IoError, Stall, Success, Timeout};
        [Success, Cancelled, Invalid, IoError, Stall, Timeout, Babble]
            .into_iter()
            .find(|&status| status as u8 == byte)
    }
}

/// A control transfer, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPacket {
    /// 0x80 for one that reads, else 0.
    pub endpoint: u8,
    /// `bRequest`.
    pub request: u8,
    /// `bmRequestType`.
    pub request_type: u8,
    /// Only its end has one.
    pub status: Status,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// Asked for, then transferred, in bytes.
    pub length: u16,
    /// What travels with it: to the device with the request, from it with the end.
    pub data: Bytes,
}

/// A bulk transfer, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPacket {
    /// Its address.
    pub endpoint: u8,
    /// Only its end has one.
    pub status: Status,
    /// Asked for, then transferred, in bytes.
    pub length: u32,
    /// USB 3; 0 without streams.
    pub stream: u32,
    /// What travels with it.
    pub data: Bytes,
}

/// What an interrupt endpoint said, or is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterruptPacket {
    /// Its address.
    pub endpoint: u8,
    /// Only what the device's end sends has one.
    pub status: Status,
    /// In bytes.
    pub length: u16,
    /// What travels with it.
    pub data: Bytes,
}

/// One packet; the number of each is its type on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// 0, from both.
    Hello(Hello),
    /// 1, from the host, after the two infos.
    DeviceConnect(DeviceConnect),
    /// 2, from the host.
    DeviceDisconnect,
    /// 3, from the guest: the bus is reset.
    Reset,
    /// 4, from the host; at most 32.
    InterfaceInfo(Vec<InterfaceInfo>),
    /// 5, from the host, by [`endpoint_index`].
    EpInfo(Box<[EndpointInfo; ENDPOINTS]>),
    /// 6, from the guest.
    SetConfiguration(u8),
    /// 7, from the guest.
    GetConfiguration,
    /// 8, from the host.
    ConfigurationStatus {
        /// How it went.
        status: Status,
        /// The one in use.
        configuration: u8,
    },
    /// 9, from the guest.
    SetAltSetting {
        /// Of which interface.
        interface: u8,
        /// The setting.
        alt: u8,
    },
    /// 10, from the guest.
    GetAltSetting {
        /// Of which interface.
        interface: u8,
    },
    /// 11, from the host.
    AltSettingStatus {
        /// How it went.
        status: Status,
        /// Of which interface.
        interface: u8,
        /// The one in use.
        alt: u8,
    },
    /// 15, from the guest: send what this endpoint says, unasked.
    StartInterruptReceiving {
        /// Its address.
        endpoint: u8,
    },
    /// 16, from the guest.
    StopInterruptReceiving {
        /// Its address.
        endpoint: u8,
    },
    /// 17, from the host.
    InterruptReceivingStatus {
        /// How it went.
        status: Status,
        /// Its address.
        endpoint: u8,
    },
    /// 21, from the guest: call off the transfer of this id.
    CancelDataPacket,
    /// 22, from the guest: this device is not wanted.
    FilterReject,
    /// 23, from both: rules, as text. Advice.
    FilterFilter(Bytes),
    /// 24, from the guest.
    DeviceDisconnectAck,
    /// 100.
    Control(ControlPacket),
    /// 101.
    Bulk(BulkPacket),
    /// 103.
    Interrupt(InterruptPacket),
    /// One of a kind that we do not deal in: isochronous, streams, reading ahead, or newer than us.
    Other {
        /// Its type.
        kind: u32,
        /// All of it.
        body: Bytes,
    },
}
