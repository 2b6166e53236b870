//! Which interface speaks fastboot.

use farmhand_wire::fastboot::USB_INTERFACE;
use nusb::descriptors::{ConfigurationDescriptor, TransferType};
use nusb::transfer::Direction;

/// Bytes of a device descriptor, which stands first (USB 2.0, table 9-8).
const DEVICE_LEN: usize = 18;
/// Where a configuration says how long it is with all that belongs to it (USB 2.0, table 9-10, `wTotalLength`).
const TOTAL_LEN_AT: usize = 2;

/// An interface that speaks fastboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) interface: u8,
    /// The alternate setting that has the endpoints.
    pub(super) alternate: u8,
    /// Endpoint addresses.
    pub(super) bulk_in: u8,
    pub(super) bulk_out: u8,
}

/// The first interface of class ff, subclass 42, protocol 03 that has one bulk endpoint each way and no other: gadgets
/// exist that bear the three numbers so that udev lets users in, and speak something else over more endpoints.
pub(super) fn of(configuration: &ConfigurationDescriptor<'_>) -> Option<Shape> {
    configuration.interface_alt_settings().find_map(|setting| {
        if (setting.class(), setting.subclass(), setting.protocol()) != USB_INTERFACE {
            return None;
        }
        let (mut bulk_in, mut bulk_out) = (None, None);
        for endpoint in setting.endpoints() {
            let taken = match (endpoint.transfer_type(), endpoint.direction()) {
                (TransferType::Bulk, Direction::In) => bulk_in.replace(endpoint.address()),
                (TransferType::Bulk, Direction::Out) => bulk_out.replace(endpoint.address()),
                _ => return None,
            };
            if taken.is_some() {
                return None;
            }
        }
        Some(Shape {
            interface: setting.interface_number(),
            alternate: setting.alternate_setting(),
            bulk_in: bulk_in?,
            bulk_out: bulk_out?,
        })
    })
}

/// Of what the kernel shows of a device: its descriptor, and those of its configurations.
pub(super) fn of_descriptors(all: &[u8]) -> Option<Shape> {
    let mut rest = all.get(DEVICE_LEN..)?;
    while let Some(&[low, high]) = rest.get(TOTAL_LEN_AT..TOTAL_LEN_AT + 2) {
        let len = usize::from(u16::from_le_bytes([low, high])).clamp(1, rest.len());
        let (one, behind) = rest.split_at(len);
        if let Some(shape) = ConfigurationDescriptor::new(one).as_ref().and_then(of) {
            return Some(shape);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An endpoint: address, attributes.
    fn endpoint((address, attributes): (u8, u8)) -> Vec<u8> {
        vec![7, 5, address, attributes, 0x00, 0x02, 0]
    }

    fn setting(interface: u8, alternate: u8, class: [u8; 3], endpoints: &[(u8, u8)]) -> Vec<u8> {
        let [class, subclass, protocol] = class;
        let count = u8::try_from(endpoints.len()).unwrap();
        let mut bytes = vec![9, 4, interface, alternate, count, class, subclass, protocol, 0];
        bytes.extend(endpoints.iter().copied().flat_map(endpoint));
        bytes
    }

    fn device(settings: &[Vec<u8>]) -> Vec<u8> {
        let body = settings.concat();
        let [low, high] = u16::try_from(9 + body.len()).unwrap().to_le_bytes();
        let mut bytes = vec![18, 1, 0, 2, 0, 0, 0, 64, 0xd1, 0x18, 0x0d, 0xd0, 0, 1, 1, 2, 3, 1];
        bytes.extend([9, 2, low, high, 1, 1, 0, 0x80, 250]);
        bytes.extend(body);
        bytes
    }

    const FASTBOOT: [u8; 3] = [0xff, 0x42, 0x03];

    #[test]
    fn the_interface_is_found_behind_others_and_in_an_alternate_setting() {
        let adb = setting(0, 0, [0xff, 0x42, 0x01], &[(0x81, 2), (0x01, 2)]);
        let empty = setting(1, 0, FASTBOOT, &[]);
        let full = setting(1, 1, FASTBOOT, &[(0x02, 2), (0x82, 2)]);
        let found = of_descriptors(&device(&[adb.clone(), empty.clone(), full]));
        assert_eq!(found, Some(Shape { interface: 1, alternate: 1, bulk_in: 0x82, bulk_out: 0x02 }));
        assert_eq!(of_descriptors(&device(&[adb, empty])), None);
    }

    #[test]
    fn what_only_bears_the_numbers_is_not_it() {
        let smoo = setting(0, 0, FASTBOOT, &[(0x81, 3), (0x01, 3), (0x82, 2), (0x02, 2)]);
        assert_eq!(of_descriptors(&device(&[smoo])), None);
        let two = setting(0, 0, FASTBOOT, &[(0x81, 2), (0x82, 2), (0x02, 2)]);
        assert_eq!(of_descriptors(&device(&[two])), None);
        let whole = device(&[setting(0, 0, FASTBOOT, &[(0x81, 2), (0x01, 2)])]);
        assert!(of_descriptors(&whole).is_some());
        for cut in 0..whole.len() - 7 {
            assert_eq!(of_descriptors(&whole[..cut]), None, "{cut}");
        }
    }
}
