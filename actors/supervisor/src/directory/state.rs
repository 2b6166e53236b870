//! Which devices there are: pure. What is configured, what is plugged in, what was claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use farmhand_api::{Problem, ProblemClass};
use farmhand_messages::device::{Attachment, DeviceConfig};
use farmhand_messages::directory::{BoardFacts, PluggedIn};
use farmhand_messages::fastboot::{Allow, Profile};
use farmhand_messages::scheduler::{Offer, Seen};
use farmhand_records::DeviceName;
use farmhand_records::v1::Identity;

use crate::devices::{
    DeviceEntry, FASTBOOT, Match, QEMU, QEMU_BOARD, STK500V1, UNO, VIRTUAL_UNO, machine_of,
};

/// A console's rate where nothing is known of the board: the commonest, and never 0, which hangs up a line.
const CONSOLE_BAUD: u32 = 115_200;

/// The directory's mind.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Configured, and claimed while the farm runs.
    pub(super) entries: Vec<DeviceEntry>,
    /// Those of them that were made for somebody, and may be none again.
    made: BTreeSet<DeviceName>,
    /// What is plugged in.
    pub(super) plugged: Vec<PluggedIn>,
    /// What is known of boards.
    facts: BTreeMap<String, BoardFacts>,
    /// What a predecessor knew of boards; not by which USB ids they are recognised, so that is learnt anew.
    remembered: BTreeMap<String, BoardFacts>,
    virtual_devices: bool,
    /// At which serial port each device was when it was given its actors.
    at: BTreeMap<DeviceName, PathBuf>,
    /// When those were seen that are reached over a network.
    pub(super) answered: BTreeMap<DeviceName, Seen>,
    /// What those call themselves that speak fastboot, as they did when they were reached last.
    pub(super) met: BTreeMap<DeviceName, Identity>,
    /// What is known of models that speak fastboot, without what a project says.
    pub(super) profiles: Vec<Profile>,
}

impl State {
    pub(crate) fn new(entries: Vec<DeviceEntry>, virtual_devices: bool) -> Self {
        Self { entries, virtual_devices, ..Self::default() }
    }

    /// Devices that had been claimed before a restart.
    pub(crate) fn remember(&mut self, known: &[DeviceConfig]) {
        self.ensured(known);
        for config in known {
            if !config.signature.is_empty() {
                let facts = BoardFacts {
                    upload_baud: config.upload_baud,
                    signature: config.signature.clone(),
                    page_bytes: config.page_bytes,
                    flash_bytes_max: config.flash_bytes_max,
                    usb_ids: Vec::new(),
                };
                self.remembered.insert(config.board.clone(), facts);
            }
            if !self.entries.iter().any(|entry| entry.name == config.name) {
                let (matching, allow) = match &config.attachment {
                    Attachment::Port(path) => {
                        (Match { port: Some(path.display().to_string()), ..Match::default() }, Vec::new())
                    }
                    Attachment::VirtualUno | Attachment::Machine(_) => (Match::default(), Vec::new()),
                    Attachment::Fastboot(way) => (super::bootloaders::matching(way), way.allow.clone()),
                };
                self.entries.push(DeviceEntry {
                    name: config.name.clone(),
                    board: config.board.clone(),
                    driver: config.driver.clone(),
                    matching,
                    count: None,
                    allow,
                    console: None,
                });
            }
        }
    }

    /// This is plugged in; whether anything changed.
    pub(crate) fn seen(&mut self, plugged: Vec<PluggedIn>) -> bool {
        let changed = self.plugged != plugged;
        self.plugged = plugged;
        changed
    }

    /// What is known of a board, from now on.
    pub(crate) fn learn(&mut self, board: &str, facts: BoardFacts) {
        self.facts.insert(board.to_owned(), facts);
    }

    pub(crate) fn facts(&self, board: &str) -> Option<&BoardFacts> {
        self.facts.get(board)
    }

    /// What a device of this board is configured with; none: nothing but a console can be had of it.
    pub(crate) fn facts_to_configure(&self, board: &str) -> Option<&BoardFacts> {
        self.facts.get(board).or_else(|| self.remembered.get(board))
    }

    pub(crate) fn entry(&self, device: &DeviceName) -> Option<&DeviceEntry> {
        self.entries.iter().find(|entry| entry.name == *device)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.name.to_string()).collect()
    }

    pub(crate) fn drivers(&self) -> Vec<(DeviceName, String)> {
        self.entries.iter().map(|entry| (entry.name.clone(), entry.driver.clone())).collect()
    }

    /// Where a device is plugged in.
    pub(crate) fn port_of(&self, entry: &DeviceEntry) -> Option<String> {
        if let Some(port) = &entry.matching.port
            && entry.matching == (Match { port: Some(port.clone()), ..Match::default() })
        {
            return Some(port.clone());
        }
        self.plugged.iter().find(|plugged| entry.is(plugged)).and_then(|plugged| plugged.path.clone())
    }

    /// These have actors now.
    pub(crate) fn ensured(&mut self, configs: &[DeviceConfig]) {
        for config in configs {
            if let Attachment::Port(path) = &config.attachment {
                self.at.insert(config.name.clone(), path.clone());
            }
        }
    }

    /// Those that are at another serial port now than their actors were told; they are told next.
    pub(crate) fn moved(&mut self) -> Vec<DeviceEntry> {
        let mut moved = Vec::new();
        for entry in &self.entries {
            let now = self.port_of(entry).map(PathBuf::from);
            if let (Some(at), Some(now)) = (self.at.get(&entry.name), now)
                && *at != now
            {
                moved.push((entry.clone(), now));
            }
        }
        for (entry, now) in &moved {
            self.at.insert(entry.name.clone(), now.clone());
        }
        moved.into_iter().map(|(entry, _)| entry).collect()
    }

    /// The serial number by which it is known, or that it shows.
    pub(super) fn serial_of(&self, entry: &DeviceEntry) -> Option<String> {
        let shown = || self.plugged.iter().find(|plugged| self.is(entry, plugged))?.serial.clone();
        entry.matching.serial.clone().or_else(shown)
    }

    /// What the scheduler is told. `exists` tells of a device file whether it is there.
    pub(crate) fn offers(&self, exists: impl Fn(&str) -> bool) -> Vec<Offer> {
        let offer = |entry: &DeviceEntry| {
            if entry.is_fastboot() {
                return self.offer_of_bootloader(entry);
            }
            let port = self.port_of(entry);
            Offer {
                device: entry.name.clone(),
                board: entry.board.clone(),
                present: entry.is_virtual() || port.as_deref().is_some_and(&exists),
                seen: Seen::Now,
                serial: self.serial_of(entry),
                also: Vec::new(),
                port,
                virtual_: entry.is_virtual(),
            }
        };
        self.entries.iter().map(offer).collect()
    }

    /// What is plugged in and nobody claims: boards have a serial port, or a bootloader that speaks fastboot.
    pub(crate) fn unclaimed(&self) -> Vec<PluggedIn> {
        let free = |plugged: &&PluggedIn| {
            (plugged.path.is_some() || plugged.bootloader)
                && !self.entries.iter().any(|entry| self.is(entry, plugged))
        };
        self.plugged.iter().filter(free).cloned().collect()
    }

    /// Whether a wish for a board (on a port) needs something to be claimed or made: whether no entry fits yet.
    pub(crate) fn lacks(&self, board: &str, port: Option<&str>) -> bool {
        let fits = |entry: &DeviceEntry| match port {
            Some(port) => self.port_of(entry).as_deref() == Some(port),
            None => entry.board == board && (!entry.is_virtual() || !self.virtual_only_by_default(entry)),
        };
        !self.entries.iter().any(fits)
    }

    /// One that was made for want of a real one, and gives way to one that is plugged in later.
    fn virtual_only_by_default(&self, entry: &DeviceEntry) -> bool {
        entry.is_virtual() && is_stand_in(&entry.name)
    }

    /// Claims what is plugged in, or makes a virtual device.
    pub(crate) fn provide(&mut self, board: &str, port: Option<&str>) -> Result<(), Problem> {
        if let Some(port) = port {
            let name = port.rsplit('/').next().unwrap_or(port);
            let matching = Match { port: Some(port.to_owned()), ..Match::default() };
            return self.claim(name, board, STK500V1, matching);
        }
        let ids = self.facts.get(board).map(|facts| facts.usb_ids.clone()).unwrap_or_default();
        let boards: Vec<_> = self
            .unclaimed()
            .into_iter()
            .filter(|plugged| plugged.usb_id.as_ref().is_some_and(|id| ids.contains(id)))
            .collect();
        match &boards[..] {
            [plugged] => {
                let name = plugged.path.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or(board);
                let matching = Match {
                    usb: plugged.usb_id.clone().into_iter().collect(),
                    serial: plugged.serial.clone(),
                    port_path: plugged.port_path.clone().filter(|_| plugged.serial.is_none()),
                    port: None,
                    ..Match::default()
                };
                self.claim(name, board, STK500V1, matching)
            }
            [] if self.virtual_devices && board == UNO => {
                self.add_simulated();
                Ok(())
            }
            [] if self.virtual_devices && machine_of(board).is_some() => {
                self.add_machine(board);
                Ok(())
            }
            // The scheduler says what there is, and what there is not.
            [] => Ok(()),
            several => Err(several_fit(board, several)),
        }
    }

    /// The virtual Uno that is made for want of a real one.
    pub(crate) fn add_simulated(&mut self) {
        if self.entry(&simulated()).is_none() {
            self.entries.push(DeviceEntry {
                name: simulated(),
                board: UNO.into(),
                driver: VIRTUAL_UNO.into(),
                matching: Match::default(),
                count: None,
                allow: Vec::new(),
                console: None,
            });
        }
    }

    /// The emulated machine that is made where none is configured.
    fn add_machine(&mut self, board: &str) {
        let name = format!("{}-sim", board.trim_start_matches(QEMU_BOARD));
        let name = DeviceName::new(name).expect("a kind's name is letters, digits and hyphens");
        if self.entry(&name).is_none() {
            self.entries.push(machine(name, board));
        }
    }

    /// New emulated machines, under names that no device has.
    pub(crate) fn add_machines(
        &mut self,
        board: &str,
        called: &str,
        count: u16,
    ) -> Result<Vec<DeviceName>, Problem> {
        let mut names = Vec::new();
        let mut numbers = 1_u32..;
        while names.len() < usize::from(count) {
            let number = numbers.next().unwrap_or(u32::MAX);
            let name = DeviceName::new(format!("{called}-{number}"));
            let name = name.map_err(|error| problem("F205", error.to_string(), Vec::new()))?;
            if self.entry(&name).is_none() {
                names.push(name);
            }
        }
        self.entries.extend(names.iter().map(|name| machine(name.clone(), board)));
        self.made.extend(names.iter().cloned());
        Ok(names)
    }

    /// A machine of this name, made where there is none; whether it was.
    pub(crate) fn has_machine(&mut self, board: &str, name: &DeviceName) -> Result<bool, Problem> {
        if machine_of(board).is_none() {
            return Err(problem("F205", format!("there is no machine {board}"), Vec::new()));
        }
        let is_new = self.entry(name).is_none();
        if is_new {
            self.entries.push(machine(name.clone(), board));
            self.made.insert(name.clone());
        }
        Ok(is_new)
    }

    /// Those of these that were made are none any more.
    pub(crate) fn unmake(&mut self, names: &[DeviceName]) {
        for name in names.iter().filter(|name| self.made.remove(*name)) {
            self.entries.retain(|entry| entry.name != *name);
        }
    }

    pub(super) fn claim(
        &mut self,
        name: &str,
        board: &str,
        driver: &str,
        matching: Match,
    ) -> Result<(), Problem> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        let name: String = name.chars().map(plain).collect();
        let taken = |name: &DeviceName| self.entries.iter().any(|entry| entry.name == *name);
        let mut names =
            std::iter::once(name.clone()).chain((2..100).map(|number| format!("{name}-{number}")));
        let name = names.find_map(|name| DeviceName::new(name).ok().filter(|name| !taken(name)));
        let Some(name) = name else {
            return Err(problem("F205", format!("a hundred devices are called {board}"), Vec::new()));
        };
        self.entries.push(DeviceEntry {
            name,
            board: board.to_owned(),
            driver: driver.into(),
            matching,
            count: None,
            // Nobody has allowed anything that writes; to boot from memory writes nothing.
            allow: if driver == FASTBOOT { vec![Allow::Boot] } else { Vec::new() },
            console: None,
        });
        Ok(())
    }

    /// How a device is reached; `None` where it is not plugged in. Where nothing is known of its board, its console is
    /// all that can be had: no driver takes a chip without a signature.
    pub(crate) fn config(&self, entry: &DeviceEntry) -> Option<DeviceConfig> {
        let unknown = || BoardFacts { upload_baud: CONSOLE_BAUD, ..BoardFacts::default() };
        let facts = self.facts_to_configure(&entry.board).cloned().unwrap_or_else(unknown);
        let attachment = if entry.is_machine() {
            Attachment::Machine(entry.board.trim_start_matches(QEMU_BOARD).to_owned())
        } else if entry.is_virtual() {
            Attachment::VirtualUno
        } else if entry.is_fastboot() {
            Attachment::Fastboot(Box::new(self.way(entry)))
        } else {
            Attachment::Port(self.port_of(entry)?.into())
        };
        Some(DeviceConfig {
            name: entry.name.clone(),
            board: entry.board.clone(),
            // A virtual Uno has the real one's loader: only how it is reached differs.
            driver: if entry.driver == VIRTUAL_UNO { STK500V1.into() } else { entry.driver.clone() },
            attachment,
            upload_baud: facts.upload_baud,
            signature: facts.signature,
            page_bytes: facts.page_bytes,
            flash_bytes_max: facts.flash_bytes_max,
        })
    }

    /// Devices of a board.
    pub(crate) fn of_board(&self, board: &str) -> Vec<DeviceEntry> {
        self.entries.iter().filter(|entry| entry.board == board).cloned().collect()
    }
}

/// Whether this is the virtual Uno that a farm made for want of a real one.
#[must_use]
pub fn is_stand_in(device: &DeviceName) -> bool {
    *device == simulated()
}

/// Its name.
pub(crate) fn simulated() -> DeviceName {
    DeviceName::new("uno-sim").expect("letters and a hyphen")
}

pub(super) fn several_fit(board: &str, several: &[PluggedIn]) -> Problem {
    let place = |plugged: &PluggedIn| plugged.path.clone().or(plugged.port_path.clone()).unwrap_or_default();
    let mut help: Vec<_> =
        several.iter().map(|plugged| format!("this one: --port {}", place(plugged))).collect();
    help.push("or name each for good: farmhand init --add PORT".into());
    problem(
        "F206",
        format!("{} boards that may be a {board} are plugged in; none is chosen for you", several.len()),
        help,
    )
}

pub(super) fn problem(code: &str, message: String, help: Vec<String>) -> Problem {
    Problem {
        class: ProblemClass::NoDevice,
        code: code.into(),
        message,
        detail: Vec::new(),
        help,
        place: None,
    }
}

/// An emulated machine that no file names.
fn machine(name: DeviceName, board: &str) -> DeviceEntry {
    DeviceEntry {
        name,
        board: board.to_owned(),
        driver: QEMU.into(),
        matching: Match::default(),
        count: None,
        allow: Vec::new(),
        console: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(path: &str, serial: Option<&str>) -> PluggedIn {
        PluggedIn {
            usb_id: Some("2341:0043".into()),
            serial: serial.map(str::to_owned),
            port_path: Some(format!("1-{}", path.len())),
            path: Some(path.into()),
            bootloader: false,
        }
    }

    fn farm() -> State {
        let mut state = State::new(Vec::new(), true);
        state.learn(UNO, BoardFacts { usb_ids: vec!["2341:0043".into()], ..BoardFacts::default() });
        state
    }

    #[test]
    fn no_board_plugged_in_makes_a_virtual_one() {
        let mut state = farm();
        assert!(state.lacks(UNO, None));
        state.provide(UNO, None).unwrap();
        state.provide(UNO, None).unwrap();
        let offers = state.offers(|_| true);
        assert_eq!(offers.len(), 1);
        assert!(offers[0].virtual_ && offers[0].present);
    }

    #[test]
    fn the_one_board_that_fits_is_claimed_by_what_it_is() {
        let mut state = farm();
        state.seen(vec![board("/dev/ttyACM0", Some("75"))]);
        state.provide(UNO, None).unwrap();
        assert!(state.unclaimed().is_empty());
        // It comes back under another name.
        state.seen(vec![board("/dev/ttyACM7", Some("75"))]);
        let offers = state.offers(|_| true);
        assert_eq!(offers[0].port.as_deref(), Some("/dev/ttyACM7"));
        assert!(state.moved().is_empty(), "it has no actors yet");
        state.seen(Vec::new());
        assert!(!state.offers(|_| true)[0].present);
    }

    #[test]
    fn one_that_comes_back_elsewhere_is_followed_once() {
        let mut state = farm();
        state.seen(vec![board("/dev/ttyACM0", Some("75"))]);
        state.provide(UNO, None).unwrap();
        let config = state.config(&state.entries[0]).unwrap();
        state.ensured(&[config]);
        assert!(state.moved().is_empty());
        state.seen(Vec::new());
        assert!(state.moved().is_empty(), "it is away");
        state.seen(vec![board("/dev/ttyACM1", Some("75"))]);
        assert_eq!(state.moved().len(), 1);
        assert!(state.moved().is_empty(), "they were told");
    }

    #[test]
    fn among_several_none_is_chosen() {
        let mut state = farm();
        state.seen(vec![board("/dev/ttyACM0", Some("1")), board("/dev/ttyACM10", Some("2"))]);
        let problem = state.provide(UNO, None).unwrap_err();
        assert_eq!(problem.code, "F206");
        assert!(problem.help.iter().any(|line| line.contains("/dev/ttyACM10")));
        state.provide(UNO, Some("/dev/ttyACM10")).unwrap();
        assert!(!state.lacks(UNO, Some("/dev/ttyACM10")));
    }

    #[test]
    fn a_real_board_that_comes_later_is_claimed_beside_the_virtual_one() {
        let mut state = farm();
        state.provide(UNO, None).unwrap();
        state.seen(vec![board("/dev/ttyACM0", Some("75"))]);
        assert!(state.lacks(UNO, None));
        state.provide(UNO, None).unwrap();
        assert_eq!(state.offers(|_| true).len(), 2);
    }

    #[test]
    fn a_device_of_an_unknown_board_has_a_console_and_a_restart_forgets_nothing() {
        let mut state = State::new(Vec::new(), false);
        state.provide(UNO, Some("/dev/ttyACM0")).unwrap();
        let entry = state.of_board(UNO)[0].clone();
        let console = state.config(&entry).unwrap();
        assert_eq!((console.upload_baud, console.signature.len()), (CONSOLE_BAUD, 0));
        let facts = BoardFacts { upload_baud: 57_600, signature: vec![1, 2, 3], ..BoardFacts::default() };
        state.learn(UNO, facts);
        let whole = state.config(&entry).unwrap();
        assert_eq!(whole.upload_baud, 57_600);

        let mut successor = State::new(Vec::new(), false);
        successor.remember(std::slice::from_ref(&whole));
        assert_eq!(successor.config(&entry), Some(whole));
        assert!(successor.facts(UNO).is_none(), "its USB ids are to be learnt");
    }
}
