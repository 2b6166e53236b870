//! Devices that speak fastboot: which there are, where they are now, what is known of their models. Pure.

use farmhand_api::Problem;
use farmhand_messages::device::{ConsoleAt, FastbootWay};
use farmhand_messages::directory::PluggedIn;
use farmhand_messages::fastboot::{Address, Profile, UsbIdentity};
use farmhand_messages::scheduler::Offer;
use farmhand_records::v1::Claim;

use super::state::{State, problem, several_fit};
use crate::devices::{ConsoleEntry, DeviceEntry, FASTBOOT, Match};
use crate::problems::no_address;

/// Of a name, before it is shortened; a number may have to be put behind it (`DeviceName`: 64 characters).
const NAME_CHARS_MAX: usize = 60;

impl State {
    /// Whether there are devices of this board, and they speak fastboot.
    pub(crate) fn is_of_bootloaders(&self, board: &str) -> bool {
        self.entries.iter().any(|entry| entry.is_fastboot() && entry.board == board)
    }

    fn profile(&self, board: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.id == board)
    }

    /// These are the profiles that no project has.
    pub(crate) fn set_profiles(&mut self, profiles: Vec<Profile>) {
        self.profiles = profiles;
    }

    /// What a device shows itself as now.
    pub(crate) fn shown(&self, entry: &DeviceEntry) -> UsbIdentity {
        let plugged = self.plugged.iter().find(|plugged| self.is(entry, plugged));
        UsbIdentity {
            usb: plugged.and_then(|plugged| plugged.usb_id.clone()).into_iter().collect(),
            serial: plugged.and_then(|plugged| plugged.serial.clone()),
            port_path: plugged.and_then(|plugged| plugged.port_path.clone()),
        }
    }

    /// Whether this is that device, in whichever mode it shows itself.
    pub(super) fn is(&self, entry: &DeviceEntry, plugged: &PluggedIn) -> bool {
        if !entry.is_fastboot() {
            return entry.is(plugged);
        }
        let profile = self.profile(&entry.board);
        let others: Vec<_> = profile
            .iter()
            .flat_map(|profile| profile.identity.usb.iter().chain(&profile.next))
            .cloned()
            .collect();
        entry.is_or_becomes(plugged, &others)
    }

    /// Where its bootloader is; none: it shows itself as something else, or is away.
    pub(crate) fn address(&self, entry: &DeviceEntry) -> Option<Address> {
        let Match { tcp, udp, .. } = &entry.matching;
        let over =
            |kind: &str, to: &Option<String>| to.as_ref().and_then(|to| format!("{kind}:{to}").parse().ok());
        over("tcp", tcp).or_else(|| over("udp", udp)).or_else(|| {
            let mut here =
                self.plugged.iter().filter(|plugged| plugged.bootloader && self.is(entry, plugged));
            here.next().and_then(|plugged| plugged.port_path.clone()).map(Address::Usb)
        })
    }

    pub(super) fn offer_of_bootloader(&self, entry: &DeviceEntry) -> Offer {
        let seen = self.plugged.iter().find(|plugged| self.is(entry, plugged));
        let address = self.address(entry);
        Offer {
            device: entry.name.clone(),
            board: entry.board.clone(),
            present: seen.is_some() || address.is_some(),
            port: address
                .map(|address| address.to_string())
                .or_else(|| seen.and_then(|plugged| plugged.port_path.clone())),
            serial: self.serial_of(entry),
            also: self.also(entry),
            seen: self.seen_of(entry),
            virtual_: false,
        }
    }

    /// How it is reached.
    pub(super) fn way(&self, entry: &DeviceEntry) -> FastbootWay {
        let Match { usb, serial, port_path, .. } = &entry.matching;
        let known = self.profile(&entry.board).into_iter().flat_map(|profile| &profile.identity.usb);
        let usb: Vec<_> = usb.iter().map(|id| id.to_lowercase()).chain(known.cloned()).collect();
        // On USB it moves: whoever needs it asks where it is. What is configured does not change with it.
        let address = self.address(entry).filter(|address| !matches!(address, Address::Usb(_)));
        FastbootWay {
            address,
            identity: UsbIdentity { usb, serial: serial.clone(), port_path: port_path.clone() },
            allow: entry.allow.clone(),
            console: entry.console.as_ref().and_then(|console| self.console(console)),
        }
    }

    fn console(&self, console: &ConsoleEntry) -> Option<ConsoleAt> {
        match console {
            ConsoleEntry { port: Some(port), .. } => Some(ConsoleAt::Path(port.into())),
            ConsoleEntry { serial: Some(serial), .. } if serial == "auto" => Some(ConsoleAt::OfDevice),
            ConsoleEntry { serial, port_path, .. } => {
                let is = |plugged: &&PluggedIn| {
                    plugged.path.is_some()
                        && (serial.is_none() || plugged.serial == *serial)
                        && (port_path.is_none() || plugged.port_path == *port_path)
                };
                let path = self.plugged.iter().find(is).and_then(|plugged| plugged.path.clone());
                path.map(|path| ConsoleAt::Path(path.into()))
            }
        }
    }

    /// The serial port that a device shows itself.
    pub(crate) fn console_of(&self, entry: &DeviceEntry) -> Option<String> {
        self.plugged.iter().filter(|plugged| self.is(entry, plugged)).find_map(|plugged| plugged.path.clone())
    }

    /// Claims the bootloader that is plugged in and shows itself so, or the one at an address, for a board.
    pub(crate) fn provide_bootloader(
        &mut self,
        board: &str,
        at: Option<&str>,
        shows: &UsbIdentity,
    ) -> Result<(), Problem> {
        let entries: Vec<_> = self.entries.iter().filter(|entry| entry.is_fastboot()).collect();
        if let Some(at) = at {
            let address = match at.parse::<Address>() {
                Ok(address) => Some(address),
                Err(error) if at.starts_with("tcp:") || at.starts_with("udp:") => {
                    return Err(no_address(&error));
                }
                Err(_) => None,
            };
            let is_there = |entry: &DeviceEntry| {
                let now = self.address(entry);
                now.is_some() && (now == address || matches!(&now, Some(Address::Usb(path)) if path == at))
                    || entry.matching.serial.as_deref() == Some(at)
            };
            if entries.into_iter().any(is_there) {
                return Ok(());
            }
            return self.claim_bootloader(board, at, address);
        }
        if entries.iter().any(|entry| entry.board == board) {
            return Ok(());
        }
        let fits = |plugged: &PluggedIn| plugged.bootloader && may_be(shows, plugged);
        let here: Vec<_> = self.unclaimed().into_iter().filter(|plugged| fits(plugged)).collect();
        match here.as_slice() {
            [] => Ok(()),
            [one] => self.claim_as(board, told_apart(one)),
            several => Err(several_fit(board, several)),
        }
    }

    /// What was claimed since there were so many.
    pub(crate) fn claims_since(&self, before: usize) -> Vec<Claim> {
        let claims = self.entries.get(before..).unwrap_or_default().iter();
        let claim = |entry: &DeviceEntry| {
            let Match { serial, port_path, tcp, udp, .. } = entry.matching.clone();
            let (device, board) = (entry.name.clone(), entry.board.clone());
            Claim { device, board, serial, port_path, tcp, udp }
        };
        claims.filter(|entry| entry.is_fastboot()).map(claim).collect()
    }

    /// These were claimed when the farm ran last, and somebody has them yet. One that is configured since, under another
    /// name, is not had twice: who has it does not find it, and says so.
    pub(crate) fn restore(&mut self, claims: Vec<Claim>) {
        for Claim { device, board, serial, port_path, tcp, udp } in claims {
            let alike = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
            let is_it = |entry: &DeviceEntry| {
                let its = &entry.matching;
                entry.name == device
                    || entry.is_fastboot()
                        && (alike(&its.serial, &serial)
                            || alike(&its.port_path, &port_path)
                            || alike(&its.tcp, &tcp)
                            || alike(&its.udp, &udp))
            };
            if !self.entries.iter().any(is_it) {
                let matching = Match { serial, port_path, tcp, udp, ..Match::default() };
                self.entries.push(DeviceEntry::bootloader(device, board, matching));
            }
        }
    }

    /// By its own name, that no other device gets.
    fn claim_as(&mut self, board: &str, matching: Match) -> Result<(), Problem> {
        self.claim(&called(&matching), board, FASTBOOT, matching)
    }

    fn claim_bootloader(&mut self, board: &str, at: &str, address: Option<Address>) -> Result<(), Problem> {
        match address {
            Some(Address::Tcp(to)) => self.claim_as(board, Match { tcp: Some(to), ..Match::default() }),
            Some(Address::Udp(to)) => self.claim_as(board, Match { udp: Some(to), ..Match::default() }),
            Some(Address::Usb(_)) | None => {
                let path = match &address {
                    Some(Address::Usb(path)) => path.as_str(),
                    _ => at,
                };
                let is_it = |plugged: &&PluggedIn| {
                    plugged.bootloader
                        && (plugged.port_path.as_deref() == Some(path)
                            || plugged.serial.as_deref() == Some(at))
                };
                let found: Vec<_> = self.plugged.iter().filter(is_it).cloned().collect();
                match found.as_slice() {
                    [one] => self.claim_as(board, told_apart(one)),
                    [] => Err(not_plugged_in(at)),
                    several => Err(several_fit(board, several)),
                }
            }
        }
    }
}

fn not_plugged_in(at: &str) -> Problem {
    let mut help = vec![
        "farmhand devices lists what is there".to_owned(),
        "is it in its bootloader? most phones: volume down while it starts".to_owned(),
    ];
    if format!("tcp:{at}").parse::<Address>().is_ok() && at.contains(':') {
        help.insert(0, format!("over a network? then tcp:{at}, or udp:{at}"));
    }
    problem("F207", format!("no bootloader that speaks fastboot is at {at}"), help)
}

/// What tells it from its twins: its serial number; where it has none, where it is plugged in.
fn told_apart(plugged: &PluggedIn) -> Match {
    Match {
        serial: plugged.serial.clone(),
        port_path: plugged.port_path.clone().filter(|_| plugged.serial.is_none()),
        ..Match::default()
    }
}

/// What a device is called that nobody has named: by what tells it from others, so that it is called the same whenever it is
/// claimed, and no other is. Two that differ are called differently: `-`, `.`, letters and digits stand for themselves,
/// all else is escaped.
fn called(matching: &Match) -> String {
    let plain = |text: &str| -> String {
        let escaped = |byte: u8| match byte {
            b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        };
        text.bytes().map(escaped).collect()
    };
    let at = |kind: &str, to: &str| match to.rsplit_once(':') {
        Some((host, port)) => format!("{kind}-{}-{}", plain(host), plain(port)),
        None => format!("{kind}-{}", plain(to)),
    };
    let name = match matching {
        Match { tcp: Some(to), .. } => at("tcp", to),
        Match { udp: Some(to), .. } => at("udp", to),
        Match { serial: Some(serial), .. } => format!("{FASTBOOT}-{}", plain(serial)),
        Match { port_path: Some(path), .. } => format!("usb-{}", plain(path)),
        _ => FASTBOOT.to_owned(),
    };
    if name.len() <= NAME_CHARS_MAX {
        return name;
    }
    // FNV-1a (draft-eastlake-fnv), 64 bits: the same in every start.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{FASTBOOT}_{hash:016x}")
}

/// How a device was found, from how it was reached.
pub(super) fn matching(way: &FastbootWay) -> Match {
    let (tcp, udp) = match &way.address {
        Some(Address::Tcp(to)) => (Some(to.clone()), None),
        Some(Address::Udp(to)) => (None, Some(to.clone())),
        Some(Address::Usb(_)) | None => (None, None),
    };
    let UsbIdentity { serial, port_path, .. } = way.identity.clone();
    Match { serial, port_path, tcp, udp, ..Match::default() }
}

fn may_be(identity: &UsbIdentity, plugged: &PluggedIn) -> bool {
    let UsbIdentity { usb, serial, port_path } = identity;
    (usb.is_empty() || plugged.usb_id.as_ref().is_some_and(|id| usb.contains(id)))
        && (serial.is_none() || *serial == plugged.serial)
        && (port_path.is_none() || *port_path == plugged.port_path)
}

#[cfg(test)]
mod tests {
    use farmhand_messages::device::Attachment;
    use farmhand_messages::fastboot::{ANY, BootParameters};

    use super::*;

    fn phone(serial: &str, at: &str, bootloader: bool) -> PluggedIn {
        PluggedIn {
            usb_id: Some(if bootloader { "18d1:d00d" } else { "1d6b:0104" }.into()),
            serial: Some(serial.into()),
            port_path: Some(at.into()),
            path: (!bootloader).then(|| format!("/dev/ttyACM-{serial}")),
            bootloader,
        }
    }

    fn farm() -> State {
        let mut state = State::new(Vec::new(), false);
        let identity = UsbIdentity { usb: vec!["18d1:d00d".into()], ..UsbIdentity::default() };
        state.set_profiles(vec![Profile {
            id: "fajita".into(),
            title: "OnePlus 6T".into(),
            origin: "built in".into(),
            identity,
            probes: Vec::new(),
            boot: BootParameters::default(),
            next: vec!["1d6b:0104".into()],
            banner: None,
        }]);
        state
    }

    /// Whatever speaks fastboot.
    fn any() -> UsbIdentity {
        UsbIdentity::default()
    }

    fn address(state: &State, index: usize) -> Option<Address> {
        state.address(&state.entries[index])
    }

    fn way(state: &State, index: usize) -> FastbootWay {
        match state.config(&state.entries[index]).unwrap().attachment {
            Attachment::Fastboot(way) => *way,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_phone_is_claimed_by_its_serial_and_followed_through_its_modes_and_places() {
        let mut state = farm();
        state.seen(vec![phone("a", "1-1", true)]);
        state.provide_bootloader("fajita", None, &any()).unwrap();
        state.provide_bootloader("fajita", None, &any()).unwrap();
        assert_eq!(address(&state, 0), Some(Address::Usb("1-1".into())));
        // It runs what was booted, elsewhere.
        state.seen(vec![phone("a", "2-3", false)]);
        assert!(state.offers(|_| true)[0].present && state.unclaimed().is_empty());
        assert_eq!(address(&state, 0), None);
        assert_eq!(state.console_of(&state.entries[0]).as_deref(), Some("/dev/ttyACM-a"));
        state.seen(vec![phone("a", "2-4", true)]);
        assert_eq!(address(&state, 0), Some(Address::Usb("2-4".into())));
        assert_eq!(state.offers(|_| true).len(), 1, "one device all the while");
    }

    #[test]
    fn of_two_of_one_model_none_is_chosen_and_each_is_had_by_its_name() {
        let mut state = farm();
        state.seen(vec![phone("b", "1-2", true), phone("a", "1-1", true)]);
        assert_eq!(state.provide_bootloader("fajita", None, &any()).unwrap_err().code, "F206");
        state.provide_bootloader("fajita", Some("usb:1-2"), &any()).unwrap();
        state.provide_bootloader("fajita", Some("a"), &any()).unwrap();
        let serials: Vec<_> = state.entries.iter().map(|entry| entry.matching.serial.clone()).collect();
        assert_eq!(serials, [Some("b".into()), Some("a".into())]);
        // Plugged in again, in the other order, at the other's place.
        state.seen(vec![phone("b", "1-1", true), phone("a", "1-2", true)]);
        assert_eq!(address(&state, 0), Some(Address::Usb("1-1".into())));
        assert_eq!(address(&state, 1), Some(Address::Usb("1-2".into())));
    }

    #[test]
    fn without_serial_numbers_the_place_tells_twins_apart() {
        let mut state = farm();
        let nameless = |at: &str| PluggedIn { serial: None, ..phone("", at, true) };
        state.seen(vec![nameless("1-1"), nameless("1-2")]);
        state.provide_bootloader("fajita", Some("1-2"), &any()).unwrap();
        state.seen(vec![nameless("1-1")]);
        assert_eq!(address(&state, 0), None, "the other one is not it");
    }

    #[test]
    fn one_over_the_network_is_claimed_by_its_address() {
        let mut state = farm();
        state.provide_bootloader(ANY, Some("tcp:127.0.0.1"), &any()).unwrap();
        state.provide_bootloader(ANY, Some("tcp:127.0.0.1:5554"), &any()).unwrap();
        assert_eq!(state.entries.len(), 1);
        assert_eq!(address(&state, 0), Some(Address::Tcp("127.0.0.1:5554".into())));
        assert_eq!(state.provide_bootloader(ANY, Some("1-9"), &any()).unwrap_err().code, "F207");
    }

    #[test]
    fn a_restart_forgets_neither_who_it_is_nor_what_is_allowed() {
        let mut state = farm();
        state.seen(vec![phone("a", "1-1", true)]);
        state.provide_bootloader("fajita", None, &any()).unwrap();
        let config = state.config(&state.entries[0]).unwrap();
        let mut successor = farm();
        successor.remember(std::slice::from_ref(&config));
        successor.seen(vec![phone("a", "1-7", true)]);
        assert_eq!(address(&successor, 0), Some(Address::Usb("1-7".into())));
        assert_eq!(way(&successor, 0), way(&state, 0), "and its actors go on as they are");
    }

    fn names(state: &State) -> Vec<&str> {
        state.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    /// Guard: `called`. A counter gave the second one the first one's name when it was asked for first.
    #[test]
    fn a_phone_that_nobody_named_is_called_the_same_in_every_start_and_no_other_is() {
        let (a, b) = ("tcp:127.0.0.1:5001", "tcp:127.0.0.1:5002");
        let (mut one, mut other) = (farm(), farm());
        one.provide_bootloader(ANY, Some(a), &any()).unwrap();
        one.provide_bootloader(ANY, Some(b), &any()).unwrap();
        other.provide_bootloader(ANY, Some(b), &any()).unwrap();
        assert_eq!(names(&one), ["tcp-127.0.0.1-5001", "tcp-127.0.0.1-5002"]);
        assert_eq!(names(&other), ["tcp-127.0.0.1-5002"]);
        let by = |matching: Match| called(&matching);
        let serial = |text: &str| by(Match { serial: Some(text.into()), ..Match::default() });
        let tcp = |text: &str| by(Match { tcp: Some(text.into()), ..Match::default() });
        assert_eq!(serial("c0ffee"), "fastboot-c0ffee");
        assert_eq!(by(Match { port_path: Some("1-4.2".into()), ..Match::default() }), "usb-1-4.2");
        let all = [
            serial("a b"),
            serial("a-b"),
            serial("a_b"),
            serial("a:b"),
            serial("a_20b"),
            serial(&"x".repeat(70)),
            serial(&"x".repeat(71)),
            tcp("a-b:1"),
            tcp("a.b:1"),
            tcp("[::1]:5554"),
            tcp("[::1:5]:554"),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        for name in &all {
            assert!(farmhand_records::DeviceName::new(format!("{name}-99")).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_from_where_nobody_is() {
        let code = |at: &str| farm().provide_bootloader(ANY, Some(at), &any()).unwrap_err().code;
        for wrong in ["tcp:127.0.0.1:99999", "udp:", "tcp:a b"] {
            assert_eq!(code(wrong), "F211", "{wrong}");
        }
        assert_eq!(code("1-4.2"), "F207");
        let missed = farm().provide_bootloader(ANY, Some("127.0.0.1:5554"), &any()).unwrap_err();
        assert!(missed.help.iter().any(|line| line.contains("tcp:127.0.0.1:5554")), "{missed:?}");
    }

    #[test]
    fn what_was_claimed_is_there_again_and_not_twice() {
        let mut before = farm();
        before.seen(vec![phone("c0ffee", "1-1", true)]);
        before.provide_bootloader("fajita", Some("1-1"), &any()).unwrap();
        before.provide_bootloader(ANY, Some("udp:10.0.0.2"), &any()).unwrap();
        let claims = before.claims_since(0);
        assert_eq!(before.claims_since(1), claims[1..]);
        // It is not even plugged in: what it is called, and how it is found, is known.
        let mut after = farm();
        after.restore(claims.clone());
        assert_eq!(names(&after), names(&before));
        after.restore(claims.clone());
        after.provide_bootloader(ANY, Some("c0ffee"), &any()).unwrap();
        assert_eq!(after.entries.len(), 2);
        let found: Vec<_> = after.entries.iter().map(|entry| (&entry.board, &entry.matching)).collect();
        let were: Vec<_> = before.entries.iter().map(|entry| (&entry.board, &entry.matching)).collect();
        assert_eq!(found, were);
        // Somebody has configured it meanwhile.
        let matching = Match { udp: Some("10.0.0.2:5554".into()), ..Match::default() };
        let name = farmhand_records::DeviceName::new("mine").unwrap();
        let mut configured = State::new(vec![DeviceEntry::bootloader(name, ANY.into(), matching)], false);
        configured.restore(claims);
        assert_eq!(names(&configured), ["mine", "fastboot-c0ffee"]);
    }
}
