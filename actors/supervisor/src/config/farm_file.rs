//! `farm.toml`: the devices of a farm.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use farmhand_api::{DeviceName, Place};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Fault};
use super::file::{parse, table, text_of};
use super::nearest::nearest;
use super::place::Text;
use super::shown;
use crate::devices::{machine_of, machines};
use crate::{DeviceEntry, FASTBOOT, QEMU, STK500V1, VIRTUAL_UNO};

/// The keys of a `[[device]]`.
const DEVICE: &[&str] = &["name", "board", "driver", "match", "count", "allow", "console"];
/// The keys of its `match`.
const MATCH: &[&str] = &["usb", "serial", "port-path", "port", "tcp", "udp"];
/// The keys of its `console`.
const CONSOLE: &[&str] = &["port", "serial", "port-path"];
/// What `allow` may hold.
const ALLOW: &[&str] = &["boot", "flash", "erase", "set-active", "oem", "flashing"];
/// The drivers that there are.
const DRIVERS: &[&str] = &[STK500V1, VIRTUAL_UNO, FASTBOOT, QEMU];
/// Devices of one entry: the largest lab that the farm is made for.
const COUNT_MAX: u32 = 1000;

/// The devices of a file, one entry a device; none where there is no such file.
pub fn read_devices(path: &Path) -> Result<Option<Vec<DeviceEntry>>, ConfigError> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    let file = shown(path);
    let text = Text { file: &file, text: &text };
    let document = parse(text)?;
    let mut devices: Vec<DeviceEntry> = Vec::new();
    let mut names: BTreeMap<DeviceName, Place> = BTreeMap::new();
    let entries = entries(document.get_ref(), text)?;
    for entry in entries {
        let read = one(entry, text)?;
        let place = text.place(entry.span().start);
        for device in read.expand() {
            if let Some(first) = names.insert(device.name.clone(), place.clone()) {
                let why = format!("{} is already the one of line {}", device.name, first.line);
                return Err(wrong("name", why, None, place));
            }
            let one = |known: &&DeviceEntry| known.matching.clash(&device.matching).is_some();
            if let Some(known) = devices.iter().find(one) {
                let what = known.matching.clash(&device.matching).unwrap_or_default();
                let first = names.get(&known.name).map_or(0, |first| first.line);
                let why =
                    format!("{what} is {} already, of line {first}: one device has one entry", known.name);
                return Err(wrong("match", why, None, place));
            }
            devices.push(device);
        }
    }
    Ok(Some(devices))
}

fn entries<'t, 'i>(
    document: &'t DeTable<'i>,
    text: Text<'_>,
) -> Result<Vec<&'t Spanned<DeValue<'i>>>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in document {
        if name.get_ref() != "device" {
            return Err(unknown("", name, &["device"], text));
        }
        let place = text.place(value.span().start);
        let array = value.get_ref().as_array();
        let array =
            array.ok_or_else(|| wrong("device", "each one is written [[device]]".into(), None, place))?;
        found.extend(array.iter());
    }
    Ok(found)
}

fn one(entry: &Spanned<DeValue<'_>>, text: Text<'_>) -> Result<DeviceEntry, ConfigError> {
    let fields = table("device", entry, text)?;
    for (name, value) in fields {
        if !DEVICE.contains(&name.get_ref().as_ref()) {
            return Err(unknown("device", name, DEVICE, text));
        }
        match name.get_ref().as_ref() {
            "match" => known_keys("device.match", value, MATCH, text)?,
            "console" => known_keys("device.console", value, CONSOLE, text)?,
            "allow" => known_words(value, text)?,
            _ => {}
        }
    }
    let deserializer = toml::de::ValueDeserializer::from(entry.clone());
    let read: DeviceEntry =
        serde::Deserialize::deserialize(deserializer).map_err(|error: toml::de::Error| {
            let place = text.place(error.span().map_or(entry.span().start, |span| span.start));
            wrong("device", error.message().replace('\n', ", "), None, place)
        })?;
    let at = |key: &str| {
        let value = fields.iter().find(|(name, _)| name.get_ref() == key);
        text.place(value.map_or(entry.span().start, |(_, value)| value.span().start))
    };
    if !DRIVERS.contains(&read.driver.as_str()) {
        let meant = nearest(&read.driver, DRIVERS.iter().copied()).map(str::to_owned);
        let why = format!("there is no driver {:?}; there are: {}", read.driver, DRIVERS.join(", "));
        return Err(wrong("driver", why, meant, at("driver")));
    }
    if let Some(id) = read.matching.usb.iter().find(|id| !is_usb_id(id)) {
        let why = format!("{id:?} is not vendor:product in hexadecimal, such as 2341:0043");
        return Err(wrong("match.usb", why, None, at("match")));
    }
    if read.is_machine() && machine_of(&read.board).is_none() {
        let boards: Vec<_> = machines().collect();
        let meant = nearest(&read.board, boards.iter().map(String::as_str)).map(str::to_owned);
        let why = format!("{QEMU} has no board {:?}; it has: {}", read.board, boards.join(", "));
        return Err(wrong("board", why, meant, at("board")));
    }
    match read.count {
        Some(count) if !(1..=COUNT_MAX).contains(&count) => {
            Err(wrong("count", format!("it wants a whole number from 1 to {COUNT_MAX}"), None, at("count")))
        }
        Some(_) if !read.is_virtual() => {
            let why =
                format!("each real device has its own entry; only {VIRTUAL_UNO} and {QEMU} can be counted");
            Err(wrong("count", why, None, at("count")))
        }
        _ if !read.is_fastboot() && !read.allow.is_empty() => {
            let why = format!("only the driver {FASTBOOT} is told what it may do");
            Err(wrong("allow", why, None, at("allow")))
        }
        _ if !read.is_fastboot() && read.console.is_some() => {
            let why = format!("only a device of the driver {FASTBOOT} has a console that is a line apart");
            Err(wrong("console", why, None, at("console")))
        }
        _ if !read.is_fastboot() && (read.matching.tcp.is_some() || read.matching.udp.is_some()) => {
            let why = format!("only the driver {FASTBOOT} goes over a network");
            Err(wrong("match", why, None, at("match")))
        }
        _ if !read.is_virtual() && read.matching == crate::Match::default() => {
            let why = "it needs match: usb, serial, port-path, port, tcp or udp".to_owned();
            Err(wrong("device", why, None, text.place(entry.span().start)))
        }
        _ => Ok(read),
    }
}

fn known_keys(
    of: &str,
    value: &Spanned<DeValue<'_>>,
    keys: &[&str],
    text: Text<'_>,
) -> Result<(), ConfigError> {
    for (name, _) in table(of, value, text)? {
        if !keys.contains(&name.get_ref().as_ref()) {
            return Err(unknown(of, name, keys, text));
        }
    }
    Ok(())
}

fn known_words(value: &Spanned<DeValue<'_>>, text: Text<'_>) -> Result<(), ConfigError> {
    let place = |value: &Spanned<DeValue<'_>>| text.place(value.span().start);
    let Some(words) = value.get_ref().as_array() else {
        return Err(wrong("allow", "it is a list, such as [\"boot\"]".into(), None, place(value)));
    };
    for word in words.iter() {
        let said = word.get_ref().as_str().unwrap_or_default();
        if !ALLOW.contains(&said) {
            let why = format!("{said:?} is nothing that can be allowed; there are: {}", ALLOW.join(", "));
            let meant = nearest(said, ALLOW.iter().copied()).map(str::to_owned);
            return Err(wrong("allow", why, meant, place(word)));
        }
    }
    Ok(())
}

fn is_usb_id(text: &str) -> bool {
    let is_id = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_once(':').is_some_and(|(vendor, product)| is_id(vendor) && is_id(product))
}

pub(super) fn wrong(key: &str, why: String, nearest: Option<String>, place: Place) -> ConfigError {
    ConfigError::in_file(Fault::Value { key: key.into(), why, nearest }, place)
}

pub(super) fn unknown(
    table: &str,
    name: &Spanned<toml::de::DeString<'_>>,
    known: &[&str],
    text: Text<'_>,
) -> ConfigError {
    let fault = Fault::UnknownKey {
        key: name.get_ref().to_string(),
        table: table.into(),
        nearest: nearest(name.get_ref(), known.iter().copied()).map(str::to_owned),
        known: known.iter().map(|&key| key.to_owned()).collect(),
    };
    ConfigError::in_file(fault, text.place(name.span().start))
}

/// Adds an entry at the end of a file, which may not be there yet; what it says already is kept as it is written.
pub fn append_device(path: &Path, device: &DeviceEntry) -> Result<(), ConfigError> {
    let known = read_devices(path)?.unwrap_or_default();
    if known.iter().any(|other| other.name == device.name) {
        let why = format!("{} is there already", device.name);
        return Err(wrong("name", why, None, Place { file: shown(path), line: 1, column: 1 }));
    }
    let block = block_of(device);
    let appended = OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| {
        file.write_all(block.as_bytes())?;
        file.sync_all()
    });
    appended.map_err(|error| ConfigError::read(path, &error))
}

/// An entry as people write it: what is not said is left out.
fn block_of(device: &DeviceEntry) -> String {
    let said = &device.matching;
    let mut matching = toml::Table::new();
    if !said.usb.is_empty() {
        matching.insert("usb".into(), said.usb.clone().into());
    }
    let ways = [
        ("serial", &said.serial),
        ("port-path", &said.port_path),
        ("port", &said.port),
        ("tcp", &said.tcp),
        ("udp", &said.udp),
    ];
    for (key, value) in ways {
        if let Some(value) = value {
            matching.insert(key.into(), value.clone().into());
        }
    }
    let text = |text: &str| toml::Value::from(text);
    let mut block = String::from("\n[[device]]\n");
    let mut line = |key: &str, value: toml::Value| {
        let _infallible = writeln!(block, "{key} = {value}");
    };
    line("name", text(device.name.as_str()));
    line("board", text(&device.board));
    line("driver", text(&device.driver));
    if !matching.is_empty() {
        line("match", matching.into());
    }
    if !device.allow.is_empty() {
        let allow: Vec<_> = device.allow.iter().map(|allow| text(allow.as_str())).collect();
        line("allow", allow.into());
    }
    if let Some(count) = device.count {
        line("count", i64::from(count).into());
    }
    block
}
