//! What `getvar` answers (AOSP, fastboot/README.md, "Client Variables").

use super::phone::{Phone, slot_letter};
use super::presence::Mode;

/// One variable; `None` where it does not exist.
pub(super) fn value(phone: &Phone, name: &str) -> Option<String> {
    if let Some(own) = phone.options.variables.get(name) {
        return Some(own.clone());
    }
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    if let Some((kind, of)) = name.split_once(':') {
        let slotted = format!("{of}_{}", slot_letter(phone.slot));
        let partition = phone.partitions.get(of);
        return match kind {
            "has-slot" if partition.is_some() => Some(yes_no(false)),
            "has-slot" => phone.partitions.contains_key(&slotted).then(|| yes_no(true)),
            "partition-size" => partition.map(|partition| format!("{:#x}", partition.storage.len())),
            "partition-type" => partition.map(|partition| partition.kind.clone()),
            "is-logical" => partition.map(|partition| yes_no(partition.logical)),
            "slot-successful" | "slot-unbootable" | "slot-retry-count" => {
                let slot = (0..phone.options.slots).find(|slot| of == slot_letter(*slot).to_string());
                slot.map(|_| match kind {
                    "slot-successful" => yes_no(true),
                    "slot-unbootable" => yes_no(false),
                    _ => "7".to_owned(),
                })
            }
            _ => None,
        };
    }
    let slots = phone.options.slots;
    Some(match name {
        "version" => "0.4".to_owned(),
        "version-bootloader" => concat!("farmhand-sim-", env!("CARGO_PKG_VERSION")).to_owned(),
        "version-baseband" => "none".to_owned(),
        "product" => phone.options.product.clone(),
        "serialno" => phone.options.serial.clone(),
        "secure" => yes_no(phone.locked),
        "unlocked" => yes_no(!phone.locked),
        "is-userspace" => yes_no(phone.presence().mode == Mode::Userspace),
        "max-download-size" => format!("{:#x}", phone.options.max_download),
        "max-fetch-size" if phone.options.max_fetch > 0 => format!("{:#x}", phone.options.max_fetch),
        "slot-count" => slots.to_string(),
        "current-slot" if slots > 0 => slot_letter(phone.slot).to_string(),
        "battery-voltage" => "4000".to_owned(),
        "battery-soc-ok" => yes_no(true),
        "hw-revision" => "1".to_owned(),
        "variant" => "sim".to_owned(),
        "off-mode-charge" => "1".to_owned(),
        _ => return None,
    })
}

/// Those without an argument.
const PLAIN: [&str; 17] = [
    "version",
    "version-bootloader",
    "version-baseband",
    "product",
    "serialno",
    "secure",
    "unlocked",
    "is-userspace",
    "max-download-size",
    "max-fetch-size",
    "slot-count",
    "current-slot",
    "battery-voltage",
    "battery-soc-ok",
    "hw-revision",
    "variant",
    "off-mode-charge",
];

/// All of them, in the order in which `getvar:all` tells them.
pub(super) fn all(phone: &Phone) -> Vec<(String, String)> {
    let mut names: Vec<String> = PLAIN.map(str::to_owned).to_vec();
    for slot in (0..phone.options.slots).map(slot_letter) {
        names.extend(["successful", "unbootable", "retry-count"].map(|what| format!("slot-{what}:{slot}")));
    }
    for name in phone.partitions.keys() {
        let plain = name.strip_suffix(&format!("_{}", slot_letter(phone.slot)));
        names.push(format!("has-slot:{}", plain.unwrap_or(name)));
        names.extend(["partition-size", "partition-type", "is-logical"].map(|what| format!("{what}:{name}")));
    }
    names.extend(phone.options.variables.keys().cloned());
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| Some((value(phone, &name)?, name)))
        .map(|(value, name)| (name, value))
        .collect()
}
