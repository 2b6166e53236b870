//! The udev rules that let whoever sits at the machine open a phone in its bootloader.

use std::collections::BTreeSet;

/// Before `73-seat-late.rules`, which gives the rights that `uaccess` asks for (systemd, rules.d).
pub(super) const FILE: &str = "70-farmhand.rules";

/// The rules, for these `vendor:product` ids of profiles besides all that shows itself as fastboot.
pub(super) fn of(ids: &BTreeSet<String>) -> String {
    let mut text = String::from(
        "\
# Written by: farmhand doctor --write-rules
# Whoever sits at this machine may open a device in its bootloader, and ModemManager leaves it alone.
ACTION==\"remove\", GOTO=\"farmhand_end\"
SUBSYSTEM!=\"usb\", GOTO=\"farmhand_end\"
ENV{DEVTYPE}!=\"usb_device\", GOTO=\"farmhand_end\"

# Whatever has an interface that speaks fastboot: class ff, subclass 42, protocol 03.
ENV{ID_USB_INTERFACES}==\"*:ff4203:*\", TAG+=\"uaccess\", ENV{ID_MM_DEVICE_IGNORE}=\"1\"

# Makers of the devices in profiles, whatever mode they are in.
",
    );
    let ids: BTreeSet<_> = ids.iter().map(|id| id.to_lowercase()).collect();
    let pairs = ids.iter().filter_map(|id| id.split_once(':'));
    let vendors: BTreeSet<_> = pairs.clone().map(|(vendor, _)| vendor).collect();
    for vendor in &vendors {
        text.push_str(&format!("ATTR{{idVendor}}==\"{vendor}\", TAG+=\"uaccess\"\n"));
    }
    // By both: of the same maker there are modems.
    text.push_str("\n# Those devices in their bootloader.\n");
    for (vendor, product) in pairs {
        text.push_str(&format!(
            "ATTR{{idVendor}}==\"{vendor}\", ATTR{{idProduct}}==\"{product}\", ENV{{ID_MM_DEVICE_IGNORE}}=\"1\"\n"
        ));
    }
    text.push_str("\nLABEL=\"farmhand_end\"\n");
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn rules_name_the_interface_the_makers_and_the_devices() {
        let ids = ["18D1:d00d", "18d1:4ee0", "04e8:685d"].map(str::to_owned).into();
        assert_snapshot!(of(&ids), @r#"
        # Written by: farmhand doctor --write-rules
        # Whoever sits at this machine may open a device in its bootloader, and ModemManager leaves it alone.
        ACTION=="remove", GOTO="farmhand_end"
        SUBSYSTEM!="usb", GOTO="farmhand_end"
        ENV{DEVTYPE}!="usb_device", GOTO="farmhand_end"

        # Whatever has an interface that speaks fastboot: class ff, subclass 42, protocol 03.
        ENV{ID_USB_INTERFACES}=="*:ff4203:*", TAG+="uaccess", ENV{ID_MM_DEVICE_IGNORE}="1"

        # Makers of the devices in profiles, whatever mode they are in.
        ATTR{idVendor}=="04e8", TAG+="uaccess"
        ATTR{idVendor}=="18d1", TAG+="uaccess"

        # Those devices in their bootloader.
        ATTR{idVendor}=="04e8", ATTR{idProduct}=="685d", ENV{ID_MM_DEVICE_IGNORE}="1"
        ATTR{idVendor}=="18d1", ATTR{idProduct}=="4ee0", ENV{ID_MM_DEVICE_IGNORE}="1"
        ATTR{idVendor}=="18d1", ATTR{idProduct}=="d00d", ENV{ID_MM_DEVICE_IGNORE}="1"

        LABEL="farmhand_end"
        "#);
    }
}
