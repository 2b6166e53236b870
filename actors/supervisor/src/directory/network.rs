//! Bootloaders over a network: nobody sees them come and go; they answer who tries, or not.

use farmhand_messages::fastboot::Address;
use farmhand_messages::scheduler::Seen;
use farmhand_records::DeviceName;

use super::state::State;
use crate::devices::DeviceEntry;

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

    pub(super) fn seen_of(&self, entry: &DeviceEntry) -> Seen {
        match (&entry.matching.tcp, &entry.matching.udp) {
            (None, None) => Seen::Now,
            _ => self.answered.get(&entry.name).copied().unwrap_or(Seen::UNTRIED),
        }
    }
}

#[cfg(test)]
mod tests {
    use farmhand_messages::fastboot::ANY;

    use super::*;

    #[test]
    fn an_address_is_tried_once_before_it_is_a_device() {
        let mut state = State::new(Vec::new(), false);
        let at = Some("tcp:127.0.0.1:5001");
        assert_eq!(state.untried(at), "tcp:127.0.0.1:5001".parse().ok());
        state.provide_bootloader(ANY, at).unwrap();
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
        state.provide_bootloader(ANY, Some("udp:127.0.0.1:5001")).unwrap();
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
}
