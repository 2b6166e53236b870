//! What is configured of devices: the entries of `farm.toml`.

use farmhand_messages::directory::PluggedIn;
use farmhand_messages::fastboot::Allow;
use farmhand_records::DeviceName;
use serde::{Deserialize, Serialize};

/// How a device is told from others. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Match {
    /// `vendor:product` in hexadecimal; any of them: a board has others in its loader.
    #[serde(default)]
    pub usb: Vec<String>,
    /// The USB serial number.
    pub serial: Option<String>,
    /// The USB port path, such as `1-4.2`.
    pub port_path: Option<String>,
    /// A device file, for a port that is not on USB.
    pub port: Option<String>,
    /// `host[:port]` of a bootloader that is spoken to over TCP.
    pub tcp: Option<String>,
    /// `host[:port]` of one that is spoken to over UDP.
    pub udp: Option<String>,
}

impl Match {
    /// What two of these have in common that one device alone can have; none where they may be two devices.
    pub(crate) fn clash(&self, other: &Self) -> Option<String> {
        let same = |one: &Option<String>, two: &Option<String>| one.as_ref().filter(|_| one == two).cloned();
        let differ =
            |one: &Option<String>, two: &Option<String>| one.is_some() && two.is_some() && one != two;
        let at = |place: &Option<String>| place.as_ref().map(|place| with_port(place));
        let places = [
            ("tcp", at(&self.tcp), at(&other.tcp)),
            ("udp", at(&self.udp), at(&other.udp)),
            ("port", self.port.clone(), other.port.clone()),
        ];
        let place = places.iter().find_map(|(name, one, two)| Some(format!("{name} {}", same(one, two)?)));
        let other_model = !self.usb.is_empty()
            && !other.usb.is_empty()
            && !self.usb.iter().any(|id| other.usb.iter().any(|two| id.eq_ignore_ascii_case(two)));
        if place.is_some() || other_model {
            return place;
        }
        let serial = same(&self.serial, &other.serial).filter(|_| !differ(&self.port_path, &other.port_path));
        let path = same(&self.port_path, &other.port_path).filter(|_| !differ(&self.serial, &other.serial));
        serial.map(|serial| format!("serial {serial}")).or(path.map(|path| format!("port-path {path}")))
    }
}

/// A host with the port that fastboot is spoken on, where none is said.
pub(crate) fn with_port(place: &str) -> String {
    let said = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if said { place.to_owned() } else { format!("{place}:{}", farmhand_messages::fastboot::PORT) }
}

/// Where the console of a device is whose bootloader is reached another way. One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConsoleEntry {
    /// A device file.
    pub port: Option<String>,
    /// The USB serial number of its adapter; `auto`: the port that the device shows itself.
    pub serial: Option<String>,
    /// The USB port path of its adapter.
    pub port_path: Option<String>,
}

/// One `[[device]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeviceEntry {
    /// Its name; with `count`, what its names begin with.
    pub name: DeviceName,
    /// Its board, such as `arduino:avr:uno`.
    pub board: String,
    /// Its driver: `stk500v1` or `fastboot`, or of farmhand's own `virtual-uno` or `qemu`.
    #[serde(default = "default_driver")]
    pub driver: String,
    /// How it is found; a virtual one needs none.
    #[serde(rename = "match", default)]
    pub matching: Match,
    /// So many of them, NAME-1 to NAME-N.
    pub count: Option<u32>,
    /// What may be done to it that writes, or ends what it does: a device that speaks fastboot.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// Its console, where that is a line apart.
    pub console: Option<ConsoleEntry>,
}

fn default_driver() -> String {
    STK500V1.into()
}

/// The driver of boards with an STK500v1 loader on a serial port.
pub const STK500V1: &str = "stk500v1";
/// The driver of devices whose bootloader speaks fastboot.
pub const FASTBOOT: &str = "fastboot";
/// The driver of farmhand's own virtual Uno.
pub const VIRTUAL_UNO: &str = "virtual-uno";
/// The driver of machines that QEMU emulates.
pub const QEMU: &str = "qemu";
/// What the boards of such machines begin with; behind it stands the machine's kind, such as `riscv32-virt`.
pub const QEMU_BOARD: &str = "qemu:";
/// The board that a virtual Uno is.
pub const UNO: &str = "arduino:avr:uno";

/// The kind of machine that a board is; none where it is no board of QEMU's.
pub(crate) fn machine_of(board: &str) -> Option<&'static farmhand_machine::Kind> {
    farmhand_machine::Kind::named(board.strip_prefix(QEMU_BOARD)?)
}

/// The boards of QEMU's machines.
pub(crate) fn machines() -> impl Iterator<Item = String> {
    farmhand_machine::kinds().iter().map(|kind| format!("{QEMU_BOARD}{}", kind.name))
}

impl DeviceEntry {
    /// One that speaks fastboot, and may boot from memory: nothing that writes is allowed by itself.
    #[must_use]
    pub fn bootloader(name: DeviceName, board: String, matching: Match) -> Self {
        let (driver, allow) = (FASTBOOT.to_owned(), vec![Allow::Boot]);
        Self { name, board, driver, matching, count: None, allow, console: None }
    }

    /// One entry a device.
    #[must_use]
    pub fn expand(&self) -> Vec<Self> {
        let Some(count) = self.count else { return vec![self.clone()] };
        let one = |number: u32| {
            let name = DeviceName::new(format!("{}-{number}", self.name)).ok()?;
            Some(Self { name, count: None, ..self.clone() })
        };
        (1..=count).filter_map(one).collect()
    }

    /// Whether it is one of farmhand's own.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.driver == VIRTUAL_UNO || self.is_machine()
    }

    /// Whether it is a machine that QEMU emulates.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.driver == QEMU
    }

    /// Whether its bootloader speaks fastboot.
    #[must_use]
    pub fn is_fastboot(&self) -> bool {
        self.driver == FASTBOOT
    }

    /// Whether it is what is plugged in there.
    #[must_use]
    pub fn is(&self, port: &PluggedIn) -> bool {
        self.is_or_becomes(port, &[])
    }

    /// Whether it is what is plugged in there, which may show itself as one of `others`, too.
    #[must_use]
    pub fn is_or_becomes(&self, port: &PluggedIn, others: &[String]) -> bool {
        let Match { usb, serial, port_path, port: path, tcp: _, udp: _ } = &self.matching;
        let given = !usb.is_empty() || serial.is_some() || port_path.is_some() || path.is_some();
        given
            && (usb.is_empty()
                || usb
                    .iter()
                    .chain(others)
                    .any(|id| port.usb_id.as_deref() == Some(id.to_lowercase().as_str())))
            && (serial.is_none() || *serial == port.serial)
            && (port_path.is_none() || *port_path == port.port_path)
            && (path.is_none() || path.as_deref() == port.path.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> DeviceEntry {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn one_device_has_one_entry() {
        let clash = |one: &str, two: &str| {
            let of = |matching: &str| entry(&format!("name='a'\nboard='b'\nmatch={{{matching}}}")).matching;
            assert_eq!(of(one).clash(&of(two)), of(two).clash(&of(one)));
            of(one).clash(&of(two))
        };
        assert_eq!(clash("tcp='h'", "tcp='h:5554'").as_deref(), Some("tcp h:5554"));
        assert_eq!(clash("serial='1'", "serial='1',usb=['18d1:d00d']").as_deref(), Some("serial 1"));
        assert_eq!(clash("port-path='1-2'", "port-path='1-2',serial='1'").as_deref(), Some("port-path 1-2"));
        assert_eq!(clash("port='/dev/ttyS0'", "port='/dev/ttyS0'").as_deref(), Some("port /dev/ttyS0"));
        for (one, two) in [
            ("tcp='h:1'", "tcp='h:2'"),
            ("tcp='h'", "udp='h'"),
            ("serial='1'", "serial='2'"),
            // Numbers that makers give to all: another model, or another place.
            ("serial='1',usb=['2341:0043']", "serial='1',usb=['18d1:d00d']"),
            ("serial='1',port-path='1-1'", "serial='1',port-path='1-2'"),
            ("port-path='1-2',serial='1'", "port-path='1-2',serial='2'"),
            ("usb=['2341:0043']", "usb=['2341:0043']"),
        ] {
            assert_eq!(clash(one, two), None, "{one} and {two}");
        }
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let uno = entry("name='u'\nboard='arduino:avr:uno'\nmatch={usb=['2341:0043'],serial='75'}");
        let there = PluggedIn {
            usb_id: Some("2341:0043".into()),
            serial: Some("75".into()),
            port_path: Some("1-4".into()),
            path: Some("/dev/ttyACM0".into()),
            bootloader: false,
        };
        assert!(uno.is(&there));
        assert!(!uno.is(&PluggedIn { serial: Some("76".into()), ..there.clone() }));
        let nothing = entry("name='u'\nboard='arduino:avr:uno'");
        assert!(!nothing.is(&there), "an entry that says nothing fits nothing");
    }

    #[test]
    fn a_count_makes_that_many() {
        let names: Vec<_> = entry("name='uno'\nboard='b'\ndriver='virtual-uno'\ncount=3")
            .expand()
            .into_iter()
            .map(|entry| entry.name.to_string())
            .collect();
        assert_eq!(names, ["uno-1", "uno-2", "uno-3"]);
    }
}
