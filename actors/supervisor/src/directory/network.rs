//! Bootloaders over a network: nobody sees them come and go; they answer who tries, or not.

use farmhand_messages::fastboot::Address;
use farmhand_messages::scheduler::Seen;
use farmhand_records::DeviceName;
use farmhand_records::v1::Identity;

use super::state::State;
use crate::devices::{DeviceEntry, with_port};

impl State {
    /// The address that a wish names and no device is known at: to be tried before there is one. What is mistyped is no
    /// device.
    pub(crate) fn untried(&self, at: Option<&str>) -> Option<Address> {
        let address = at?.parse::<Address>().ok().filter(|address| !matches!(address, Address::Usb(_)))?;
        let is_there =
            |entry: &DeviceEntry| entry.is_fastboot() && self.address(entry).as_ref() == Some(&address);
        (!self.entries.iter().any(is_there)).then_some(address)
    }

    /// It was tried.
    pub(crate) fn tried(&mut self, device: &DeviceName, well: bool, now_unix_ms: u64) {
        let seen = self.answered.entry(device.clone()).or_insert(Seen::UNTRIED);
        *seen = seen.tried(well, now_unix_ms);
    }

    /// Its bootloader was reached, and calls itself this.
    pub(crate) fn met(&mut self, device: DeviceName, identity: Identity) {
        self.met.insert(device, identity);
    }

    /// Other names of a device: over a network one phone may be at several addresses, and plugged in besides. Where two
    /// bootloaders call themselves the same, with a serial number, they are one.
    pub(crate) fn also(&self, entry: &DeviceEntry) -> Vec<DeviceName> {
        let others =
            self.entries.iter().filter(|other| other.name != entry.name && self.are_one(entry, other));
        others.map(|other| other.name.clone()).collect()
    }

    fn are_one(&self, one: &DeviceEntry, other: &DeviceEntry) -> bool {
        // On USB the place tells twins apart to whom their maker gave one number.
        if !(is_over_network(one) || is_over_network(other)) || listen_apart(one, other) {
            return false;
        }
        let of = |entry: &DeviceEntry| {
            let met = self.met.get(&entry.name).filter(|_| entry.is_fastboot())?;
            (!met.signature.is_empty()).then_some(met)
        };
        match (of(one), of(other)) {
            (Some(one), Some(other)) => one == other,
            (Some(met), None) | (None, Some(met)) => {
                let unmet = if of(one).is_none() { one } else { other };
                unmet.is_fastboot()
                    && self.serial_of(unmet).is_some_and(|serial| serial.as_bytes() == met.signature)
            }
            (None, None) => false,
        }
    }

    pub(super) fn seen_of(&self, entry: &DeviceEntry) -> Seen {
        if !is_over_network(entry) {
            return Seen::Now;
        }
        self.answered.get(&entry.name).copied().unwrap_or(Seen::UNTRIED)
    }
}

/// Two ports of one host: a device listens at one. Behind a forwarder, or simulated, many have one host, and may have one
/// serial number.
fn listen_apart(one: &DeviceEntry, other: &DeviceEntry) -> bool {
    let apart = |one: &Option<String>, other: &Option<String>| match (one, other) {
        (Some(one), Some(other)) => {
            let (one, other) = (with_port(one), with_port(other));
            let host = |place: &str| place.rsplit_once(':').map(|(host, _)| host.to_owned());
            one != other && host(&one) == host(&other)
        }
        _ => false,
    };
    let (one, other) = (&one.matching, &other.matching);
    apart(&one.tcp, &other.tcp) || apart(&one.udp, &other.udp)
}

fn is_over_network(entry: &DeviceEntry) -> bool {
    entry.matching.tcp.is_some() || entry.matching.udp.is_some()
}

#[cfg(test)]
mod tests {
    use farmhand_messages::directory::PluggedIn;
    use farmhand_messages::fastboot::{ANY, UsbIdentity};

    use super::*;
    use crate::devices::Match;

    #[test]
    fn an_address_is_tried_once_before_it_is_a_device() {
        let mut state = State::new(Vec::new(), false);
        let at = Some("tcp:127.0.0.1:5001");
        assert_eq!(state.untried(at), "tcp:127.0.0.1:5001".parse().ok());
        state.provide_bootloader(ANY, at, &UsbIdentity::default()).unwrap();
        assert_eq!(state.untried(at), None);
        assert_eq!(state.untried(Some("tcp:127.0.0.1:5002")), "tcp:127.0.0.1:5002".parse().ok());
        // What is plugged in is seen.
        for other in [None, Some("1-4.2"), Some("c0ffee")] {
            assert_eq!(state.untried(other), None, "{other:?}");
        }
    }

    #[test]
    fn it_is_there_until_it_does_not_answer_and_was_seen_when_it_did() {
        let mut state = State::new(Vec::new(), false);
        state.provide_bootloader(ANY, Some("udp:127.0.0.1:5001"), &UsbIdentity::default()).unwrap();
        let name = state.entries[0].name.clone();
        let offer = |state: &State| state.offers(|_| false).remove(0);
        assert!(offer(&state).is_seen() && offer(&state).seen == Seen::UNTRIED);
        state.tried(&name, true, 7);
        assert!(offer(&state).is_seen());
        state.tried(&name, false, 9);
        let now = offer(&state);
        assert_eq!(now.seen, Seen::Answered { at_unix_ms: Some(7), last: false });
        assert!(now.present && !now.is_seen(), "it can be tried");
        state.tried(&name, true, 11);
        assert_eq!(offer(&state).seen, Seen::Answered { at_unix_ms: Some(11), last: true });
    }

    fn identity(serial: &str, product: &str) -> Identity {
        Identity { signature: serial.as_bytes().to_vec(), loader: format!("fastboot {product}") }
    }

    /// Guard: `are_one`.
    #[test]
    fn two_names_are_one_device_once_both_have_told_the_same_serial_number() {
        let mut state = State::new(Vec::new(), false);
        for at in ["tcp:127.0.0.1:1", "udp:127.0.0.1:1", "tcp:127.0.0.1:2", "tcp:localhost:1"] {
            state.provide_bootloader(ANY, Some(at), &UsbIdentity::default()).unwrap();
        }
        let names: Vec<_> = state.entries.iter().map(|entry| entry.name.clone()).collect();
        let also = |state: &State, at: usize| state.also(&state.entries[at]);
        state.met(names[0].clone(), identity("c0ffee", "fajita"));
        assert_eq!(also(&state, 0), [], "nobody else has told");
        state.met(names[1].clone(), identity("c0ffee", "fajita"));
        state.met(names[2].clone(), identity("c0ffee", "enchilada"));
        assert_eq!((also(&state, 0), also(&state, 1)), (vec![names[1].clone()], vec![names[0].clone()]));
        assert_eq!(also(&state, 2), [], "makers give one number to several models");
        state.met(names[3].clone(), identity("c0ffee", "fajita"));
        assert_eq!(also(&state, 3), names[..2], "and it has a third name");
        state.met(names[2].clone(), identity("c0ffee", "fajita"));
        assert_eq!(also(&state, 0), [names[1].clone(), names[3].clone()], "another port is another device");
        state.met(names[3].clone(), identity("facade", "fajita"));
        state.met(names[2].clone(), identity("facade2", "fajita"));
        // Another phone is there since.
        state.met(names[1].clone(), identity("decaf", "fajita"));
        assert_eq!(also(&state, 0), []);
        // What tells no serial number is nobody.
        state.met(names[0].clone(), identity("", "fajita"));
        state.met(names[1].clone(), identity("", "fajita"));
        assert_eq!(also(&state, 0), []);
    }

    #[test]
    fn a_phone_that_is_plugged_in_is_known_by_what_it_shows_and_twins_on_usb_by_their_places() {
        let mut state = State::new(Vec::new(), false);
        let plugged = |at: &str| PluggedIn {
            serial: Some("c0ffee".into()),
            port_path: Some(at.into()),
            bootloader: true,
            ..PluggedIn::default()
        };
        state.seen(vec![plugged("1-1")]);
        state.provide_bootloader(ANY, Some("1-1"), &UsbIdentity::default()).unwrap();
        state.provide_bootloader(ANY, Some("tcp:127.0.0.1:1"), &UsbIdentity::default()).unwrap();
        let names: Vec<_> = state.entries.iter().map(|entry| entry.name.clone()).collect();
        let also = |state: &State, at: usize| state.also(&state.entries[at]);
        assert_eq!(also(&state, 0), []);
        state.met(names[1].clone(), identity("c0ffee", "fajita"));
        assert_eq!((also(&state, 0), also(&state, 1)), (vec![names[1].clone()], vec![names[0].clone()]));
        let by_place = |name: &str, at: &str| {
            let matching = Match { port_path: Some(at.into()), ..Match::default() };
            DeviceEntry::bootloader(DeviceName::new(name).unwrap(), ANY.into(), matching)
        };
        let mut twins = State::new(vec![by_place("a", "1-1"), by_place("b", "1-2")], false);
        twins.seen(vec![plugged("1-1"), plugged("1-2")]);
        for entry in twins.entries.clone() {
            twins.met(entry.name, identity("c0ffee", "fajita"));
        }
        assert_eq!(also(&twins, 0), []);
    }
}
