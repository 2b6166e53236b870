//! What a device says it is (USB 2.0, 9.6).

use bytes::{BufMut, Bytes, BytesMut};

use super::packet::{DeviceConnect, ENDPOINTS, EndpointInfo, InterfaceInfo, endpoint_index};

/// Of endpoint 0 at full and high speed (USB 2.0, 5.5.3).
const CONTROL_MAX_PACKET: u16 = 64;

/// How fast its bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Speed {
    /// 12 Mbit/s: bulk packets of up to 64 bytes.
    Full = 1,
    /// 480 Mbit/s: bulk packets of 512 bytes.
    High = 2,
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Transfer {
    /// Much data, when there is room.
    Bulk = 2,
    /// A little data, polled.
    Interrupt = 3,
}

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number, with 0x80 where data goes to the host.
    pub address: u8,
    /// What it is for.
    pub transfer: Transfer,
    /// In bytes.
    pub max_packet: u16,
    /// How often it is polled; not 0 for an interrupt endpoint.
    pub interval: u8,
}

impl Endpoint {
    /// For much data, at high speed.
    #[must_use]
    pub fn bulk(address: u8) -> Self {
        Self { address, transfer: Transfer::Bulk, max_packet: 512, interval: 0 }
    }
}

/// One interface, with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Class, subclass and protocol.
    pub class: [u8; 3],
    /// Its name.
    pub name: Option<String>,
    /// Descriptors of its class, as they stand.
    pub extra: Vec<u8>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A device with one configuration, number 1. Interfaces are numbered from 0, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// Its bus.
    pub speed: Speed,
    /// Class, subclass and protocol; zeros where its interfaces say.
    pub class: [u8; 3],
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`.
    pub version_bcd: u16,
    /// Its maker's name.
    pub manufacturer: Option<String>,
    /// Its name.
    pub product_name: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its interfaces; at most 32.
    pub interfaces: Vec<Interface>,
}

impl Descriptors {
    /// All its strings; the first has index 1.
    fn strings(&self) -> Vec<&str> {
        let own = [&self.manufacturer, &self.product_name, &self.serial];
        own.into_iter()
            .chain(self.interfaces.iter().map(|one| &one.name))
            .flatten()
            .map(String::as_str)
            .collect()
    }

    fn index_of(&self, string: Option<&String>) -> u8 {
        let Some(string) = string else { return 0 };
        let at = self.strings().iter().position(|one| one == string);
        at.map_or(0, |at| at as u8 + 1)
    }

    /// The device descriptor.
    #[must_use]
    pub fn device(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&[18, 1]);
        out.put_u16_le(0x0200);
        out.put_slice(&self.class);
        out.put_u8(CONTROL_MAX_PACKET as u8);
        out.put_u16_le(self.vendor);
        out.put_u16_le(self.product);
        out.put_u16_le(self.version_bcd);
        let strings = [&self.manufacturer, &self.product_name, &self.serial];
        out.put_slice(&strings.map(|string| self.index_of(string.as_ref())));
        out.put_u8(1);
        out.freeze()
    }

    /// The configuration descriptor with all that belongs to it.
    #[must_use]
    pub fn configuration(&self) -> Bytes {
        let mut out = BytesMut::new();
        // Bus powered, 100 mA; the total length follows.
        out.put_slice(&[9, 2, 0, 0, self.interfaces.len() as u8, 1, 0, 0x80, 50]);
        for (number, interface) in self.interfaces.iter().enumerate() {
            out.put_slice(&[9, 4, number as u8, 0, interface.endpoints.len() as u8]);
            out.put_slice(&interface.class);
            out.put_u8(self.index_of(interface.name.as_ref()));
            out.put_slice(&interface.extra);
            for endpoint in &interface.endpoints {
                out.put_slice(&[7, 5, endpoint.address, endpoint.transfer as u8]);
                out.put_u16_le(endpoint.max_packet);
                out.put_u8(endpoint.interval);
            }
        }
        let total = (out.len() as u16).to_le_bytes();
        out[2..4].copy_from_slice(&total);
        out.freeze()
    }

    /// A string; index 0 is the list of languages: English (United States).
    #[must_use]
    pub fn string(&self, index: u8) -> Option<Bytes> {
        let mut out = BytesMut::new();
        out.put_slice(&[0, 3]);
        match index.checked_sub(1) {
            None => out.put_u16_le(0x0409),
            Some(at) => {
                self.strings().get(usize::from(at))?.encode_utf16().for_each(|unit| out.put_u16_le(unit))
            }
        }
        // A length is one byte, and its strings have whole units.
        out.truncate(254);
        out[0] = out.len() as u8;
        Some(out.freeze())
    }

    /// An endpoint by its address.
    #[must_use]
    pub fn endpoint(&self, address: u8) -> Option<&Endpoint> {
        self.interfaces.iter().flat_map(|one| &one.endpoints).find(|one| one.address == address)
    }

    pub(crate) fn connect(&self) -> DeviceConnect {
        DeviceConnect {
            speed: self.speed as u8,
            class: self.class,
            vendor: self.vendor,
            product: self.product,
            version_bcd: self.version_bcd,
        }
    }

    pub(crate) fn interface_infos(&self) -> Vec<InterfaceInfo> {
        let one = |(number, interface): (usize, &Interface)| InterfaceInfo {
            number: number as u8,
            class: interface.class,
        };
        self.interfaces.iter().enumerate().map(one).collect()
    }

    pub(crate) fn endpoint_infos(&self) -> [EndpointInfo; ENDPOINTS] {
        let mut all = [EndpointInfo::ABSENT; ENDPOINTS];
        for address in [0x00, 0x80] {
            let control = EndpointInfo { kind: 0, interval: 0, interface: 0, max_packet: CONTROL_MAX_PACKET };
            all[endpoint_index(address)] = control;
        }
        for (number, interface) in self.interfaces.iter().enumerate() {
            for endpoint in &interface.endpoints {
                all[endpoint_index(endpoint.address)] = EndpointInfo {
                    kind: endpoint.transfer as u8,
                    interval: endpoint.interval,
                    interface: number as u8,
                    max_packet: endpoint.max_packet,
                };
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> Descriptors {
        Descriptors {
            speed: Speed::High,
            class: [0; 3],
            vendor: 0x18d1,
            product: 0x4ee0,
            version_bcd: 0x0100,
            manufacturer: Some("farmhand".into()),
            product_name: None,
            serial: Some("c0ffee".into()),
            interfaces: vec![Interface {
                class: [0xff, 0x42, 0x03],
                name: Some("fastboot".into()),
                extra: Vec::new(),
                endpoints: vec![Endpoint::bulk(0x81), Endpoint::bulk(0x01)],
            }],
        }
    }

    #[test]
    fn are_as_the_specification_lays_them_out() {
        let phone = phone();
        assert_eq!(phone.device()[..], [18, 1, 0, 2, 0, 0, 0, 64, 0xd1, 0x18, 0xe0, 0x4e, 0, 1, 1, 0, 2, 1]);
        let configuration = [
            &[9, 2, 32, 0, 1, 1, 0, 0x80, 50][..],
            &[9, 4, 0, 0, 2, 0xff, 0x42, 3, 3],
            &[7, 5, 0x81, 2, 0, 2, 0],
            &[7, 5, 1, 2, 0, 2, 0],
        ];
        assert_eq!(phone.configuration()[..], configuration.concat());
        assert_eq!(phone.string(0).unwrap()[..], [4, 3, 9, 4]);
        assert_eq!(phone.string(2).unwrap()[..], *b"\x0e\x03c\x000\x00f\x00f\x00e\x00e\x00");
        assert_eq!(phone.string(4), None);
    }

    #[test]
    fn endpoints_are_where_the_protocol_looks_for_them() {
        let all = phone().endpoint_infos();
        let there: Vec<_> = (0..ENDPOINTS).filter(|&at| all[at].kind != 255).collect();
        assert_eq!(there, [0, 1, 16, 17]);
        assert_eq!(all[17], EndpointInfo { kind: 2, interval: 0, interface: 0, max_packet: 512 });
    }
}
