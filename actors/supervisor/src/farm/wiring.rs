//! What a device's configuration changes to: pure. Nothing that is known of it is forgotten, and nobody who uses it is
//! disturbed for what only a later flash needs.

use farmhand_messages::device::DeviceConfig;

/// What is done with a new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is the same.
    Same,
    /// For the next start: somebody uses the device.
    Later(DeviceConfig),
    /// At once.
    Now(DeviceConfig),
}

/// What `new` comes to, where an actor runs with `old`. `leased`: a session uses the device.
pub(super) fn change(old: &DeviceConfig, new: DeviceConfig, leased: bool) -> Change {
    let new = with_facts_of(old, new);
    if new == *old {
        return Change::Same;
    }
    let reached_alike =
        new.board == old.board && new.driver == old.driver && new.attachment == old.attachment;
    if reached_alike && leased { Change::Later(new) } else { Change::Now(new) }
}

/// A configuration for the console alone knows nothing of the chip: what was known of it is kept.
pub(super) fn with_facts_of(old: &DeviceConfig, new: DeviceConfig) -> DeviceConfig {
    if !new.signature.is_empty() || new.board != old.board {
        return new;
    }
    DeviceConfig {
        upload_baud: old.upload_baud,
        signature: old.signature.clone(),
        page_bytes: old.page_bytes,
        flash_bytes_max: old.flash_bytes_max,
        ..new
    }
}

#[cfg(test)]
mod tests {
    use farmhand_messages::device::Attachment;
    use farmhand_records::DeviceName;

    use super::*;

    fn config(port: &str, signature: &[u8]) -> DeviceConfig {
        DeviceConfig {
            name: DeviceName::new("uno-1").unwrap(),
            board: "arduino:avr:uno".into(),
            driver: "stk500v1".into(),
            attachment: Attachment::Port(port.into()),
            upload_baud: if signature.is_empty() { 9600 } else { 115_200 },
            signature: signature.to_vec(),
            page_bytes: 128,
            flash_bytes_max: 32_256,
        }
    }

    #[test]
    fn a_console_replaces_no_complete_configuration() {
        let (whole, console) = (config("/dev/a", &[1, 2, 3]), config("/dev/a", &[]));
        assert_eq!(change(&whole, console.clone(), false), Change::Same);
        let moved = change(&whole, config("/dev/b", &[]), false);
        assert_eq!(moved, Change::Now(config("/dev/b", &[1, 2, 3])), "its port moved, and its chip did not");
        assert_eq!(change(&console, whole.clone(), false), Change::Now(whole));
    }

    #[test]
    fn what_is_learnt_of_a_board_waits_for_who_uses_it() {
        let (whole, console) = (config("/dev/a", &[1, 2, 3]), config("/dev/a", &[]));
        assert_eq!(change(&console, whole.clone(), true), Change::Later(whole.clone()));
        assert_eq!(
            change(&console, config("/dev/b", &[1, 2, 3]), true),
            Change::Now(config("/dev/b", &[1, 2, 3]))
        );
    }
}
