//! What is looked at, and what each finding means.

use farmhand::protocol::ProblemClass;

use super::NO_CLASS;
use super::rules::FILE;
use super::system::{Node, System};

/// Groups that distributions give boards to: Debian's `dialout` for serial ports and `plugdev` for USB, Arch's `uucp`.
const GROUPS: [&str; 2] = ["dialout", "plugdev"];
/// Programs of our own hold ports for those who ask us.
const OURS: [&str; 2] = ["farmhand", "farmhandd"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) what: String,
    /// What to do.
    pub(super) help: Vec<String>,
    /// What a failure is: it has an exit code.
    pub(super) class: ProblemClass,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), help: Vec::new(), class: NO_CLASS }
    }

    fn warn(what: impl Into<String>, help: &[&str]) -> Self {
        let help = help.iter().map(|&line| line.to_owned()).collect();
        Self { level: Level::Warn, what: what.into(), help, class: NO_CLASS }
    }

    fn not_permitted(what: String, help: Vec<String>) -> Self {
        Self { level: Level::Fail, what, help, class: ProblemClass::Permission }
    }
}

/// All that is looked at, in order.
pub(super) fn all(system: &System<'_>) -> Vec<Finding> {
    let mut findings = vec![udev(system), rules(system)];
    let bootloaders = system.bootloaders();
    let ports = system.serial_ports();
    if bootloaders.is_empty() {
        findings.push(Finding::ok("no device is in a bootloader that speaks fastboot"));
    }
    findings.extend(bootloaders.iter().map(|node| usb(system, node)));
    if ports.is_empty() {
        findings.push(Finding::ok("no serial port on USB is plugged in"));
    }
    findings.extend(ports.iter().map(|node| serial(system, node)));
    findings.extend(bootloaders.iter().chain(&ports).filter_map(|node| held(system, node)));
    findings.extend(GROUPS.iter().filter_map(|name| member(system, name)));
    findings.push(modem_manager(system));
    findings.push(brltty(system));
    findings
}

fn udev(system: &System<'_>) -> Finding {
    if system.udev_runs() {
        return Finding::ok("udev runs: what is plugged in is seen at once");
    }
    Finding::warn(
        "udev does not run: what is plugged in is looked for once a second, and rules have no effect",
        &["start it: sudo systemctl start systemd-udevd (in a container, share /run/udev)"],
    )
}

fn rules(system: &System<'_>) -> Finding {
    match system.rules(|name, _| name == FILE) {
        Some(path) => Finding::ok(format!("udev rules for bootloaders: {path}")),
        None => Finding::warn(
            "no udev rules of farmhand: a phone in its bootloader may be root's alone",
            &["sudo farmhand doctor --write-rules"],
        ),
    }
}

fn usb(system: &System<'_>, node: &Node) -> Finding {
    if node.open {
        return Finding::ok(format!("{} may be opened: {}", node.path, node.what));
    }
    let written = system.rules(|name, _| name == FILE).is_some();
    let help = match written {
        true => "plug it out and in again; over ssh, uaccess gives no rights: join the group of the node",
        false => "sudo farmhand doctor --write-rules",
    };
    Finding::not_permitted(format!("{} may not be opened: {}", node.path, node.what), vec![help.into()])
}

fn serial(system: &System<'_>, node: &Node) -> Finding {
    if node.open {
        return Finding::ok(format!("{} may be opened: {}", node.path, node.what));
    }
    let help = match system.group_of(node.group) {
        // Root's own group is nobody's to join.
        Some(group) if group.id != 0 => format!("sudo usermod -aG {} $USER, then log in again", group.name),
        _ => format!("its owner is root alone: a udev rule gives it to a group (see {})", node.path),
    };
    Finding::not_permitted(format!("{} may not be opened: {}", node.path, node.what), vec![help])
}

fn held(system: &System<'_>, node: &Node) -> Option<Finding> {
    let holders = system.holders(&node.path);
    let other = holders.iter().find(|process| !OURS.contains(&process.name.as_str()))?;
    let what = format!("{} is held by {} (pid {})", node.path, other.name, other.pid);
    Some(Finding::warn(what, &["end it, or what it does and we do will mix"]))
}

fn member(system: &System<'_>, name: &str) -> Option<Finding> {
    // Where a distribution has no such group, another one owns the nodes: that is seen at each node.
    let group = system.group(name)?;
    if system.user == 0 {
        return Some(Finding::ok(format!("you are root: {name} makes no difference")));
    }
    if system.groups.contains(&group.id) {
        return Some(Finding::ok(format!("you are in the group {name}")));
    }
    let help = format!("sudo usermod -aG {name} $USER, then log in again");
    Some(Finding::warn(format!("you are not in the group {name}"), &[&help]))
}

fn modem_manager(system: &System<'_>) -> Finding {
    let Some(process) = system.process("ModemManager") else {
        return Finding::ok("ModemManager does not run");
    };
    let told = |_: &str, text: &str| text.contains("ID_MM_DEVICE_IGNORE") && text.contains("ff4203");
    if let Some(path) = system.rules(told) {
        return Finding::ok(format!("ModemManager runs, and leaves bootloaders alone: {path}"));
    }
    Finding::warn(
        format!(
            "ModemManager runs (pid {}): it talks to whatever is plugged in, and disturbs it",
            process.pid
        ),
        &[
            "sudo farmhand doctor --write-rules",
            "or without a modem: sudo systemctl disable --now ModemManager",
        ],
    )
}

fn brltty(system: &System<'_>) -> Finding {
    let running = system.process("brltty");
    // Its rules claim the USB ids of common serial adapters (brltty, Autostart/Udev/rules: 10c4:ea60, 1a86:7523).
    let adapter = |line: &str| {
        !line.trim_start().starts_with('#') && (line.contains("1a86/7523") || line.contains("10c4/ea60"))
    };
    let claims = system.rules(|name, text| name.contains("brltty") && text.lines().any(adapter));
    match (running, claims) {
        (None, None) => Finding::ok("brltty does not run"),
        (Some(process), _) => Finding::warn(
            format!("brltty runs (pid {}): it takes serial adapters (CH340, CP210x) away", process.pid),
            &["without a braille display: sudo systemctl disable --now brltty"],
        ),
        (None, Some(path)) => Finding::warn(
            format!("brltty takes serial adapters (CH340, CP210x) as they are plugged in: {path}"),
            &["without a braille display: sudo apt remove brltty"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;

    /// A made-up machine.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn process(&self, pid: u32, name: &str, open: &[&str]) {
            self.write(&format!("proc/{pid}/comm"), &format!("{name}\n"));
            let files = self.0.path().join(format!("proc/{pid}/fd"));
            fs::create_dir_all(&files).unwrap();
            for (at, file) in open.iter().enumerate() {
                symlink(file, files.join(at.to_string())).unwrap();
            }
        }

        /// A phone in its bootloader, whose node has these rights.
        fn phone(&self, mode: u32) {
            let device = "sys/bus/usb/devices/1-4";
            for (name, value) in [
                ("busnum", "1"),
                ("devnum", "7"),
                ("idVendor", "18d1"),
                ("idProduct", "d00d"),
                ("serial", "c0ffee"),
            ] {
                self.write(&format!("{device}/{name}"), &format!("{value}\n"));
            }
            for (name, value) in
                [("bInterfaceClass", "ff"), ("bInterfaceSubClass", "42"), ("bInterfaceProtocol", "03")]
            {
                self.write(&format!("{device}:1.0/{name}"), &format!("{value}\n"));
            }
            self.node("dev/bus/usb/001/007", mode);
        }

        fn node(&self, path: &str, mode: u32) {
            self.write(path, "");
            fs::set_permissions(self.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn findings(&self, user: u32, groups: &[u32]) -> Vec<Finding> {
            // Root may open anything: the rights of others say what a person may.
            let may = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o006 == 0o006;
            all(&System::new(self.0.path(), user, groups.to_vec(), &may))
        }

        fn lines(&self) -> Vec<String> {
            let line = |finding: &Finding| format!("{} {}", finding.level.word(), finding.what);
            self.findings(1000, &[1000]).iter().map(line).collect()
        }
    }

    #[test]
    fn a_machine_without_anything() {
        let lines = Machine::new().lines();
        assert_eq!(
            lines,
            [
                "warn udev does not run: what is plugged in is looked for once a second, and rules have no effect",
                "warn no udev rules of farmhand: a phone in its bootloader may be root's alone",
                "ok no device is in a bootloader that speaks fastboot",
                "ok no serial port on USB is plugged in",
                "ok ModemManager does not run",
                "ok brltty does not run",
            ]
        );
    }

    #[test]
    fn a_phone_that_may_not_be_opened_fails_and_one_that_may_does_not() {
        let machine = Machine::new();
        machine.phone(0o660);
        let findings = machine.findings(1000, &[1000]);
        let worst = findings.iter().max_by_key(|finding| finding.level).unwrap();
        assert_eq!((worst.level, worst.class), (Level::Fail, ProblemClass::Permission));
        assert_eq!(worst.what, "/dev/bus/usb/001/007 may not be opened: 18d1:d00d c0ffee on 1-4");
        assert_eq!(worst.help, ["sudo farmhand doctor --write-rules"]);
        machine.phone(0o666);
        assert!(machine.findings(1000, &[1000]).iter().all(|finding| finding.level < Level::Fail));
    }

    #[test]
    fn an_interface_that_speaks_something_else_is_no_bootloader() {
        let machine = Machine::new();
        machine.phone(0o660);
        machine.write("sys/bus/usb/devices/1-4:1.0/bInterfaceProtocol", "01\n");
        assert!(machine.lines().contains(&"ok no device is in a bootloader that speaks fastboot".to_owned()));
    }

    #[test]
    fn a_serial_port_says_which_group_has_it_and_who_holds_it() {
        use std::os::unix::fs::MetadataExt as _;
        let machine = Machine::new();
        machine.node("dev/ttyUSB0", 0o660);
        machine.node("dev/ttyACM3", 0o666);
        machine.node("dev/ttyS0", 0o600);
        let group = fs::metadata(machine.0.path().join("dev/ttyUSB0")).unwrap().gid();
        machine.write("etc/group", &format!("root:x:0:\nboards:x:{}:\ndialout:x:20:\n", group.max(1)));
        machine.process(41, "picocom", &["/dev/null", "/dev/ttyUSB0"]);
        machine.process(42, "farmhandd", &["/dev/ttyACM3"]);
        let findings = machine.findings(1000, &[1000]);
        let whats: Vec<_> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert!(whats.contains(&"/dev/ttyUSB0 may not be opened: a serial port"), "{whats:?}");
        assert!(whats.contains(&"/dev/ttyACM3 may be opened: a serial port"), "{whats:?}");
        assert!(whats.contains(&"/dev/ttyUSB0 is held by picocom (pid 41)"), "{whats:?}");
        assert!(!whats.iter().any(|what| what.contains("farmhandd") || what.contains("ttyS0")), "{whats:?}");
        assert!(whats.contains(&"you are not in the group dialout"), "{whats:?}");
        let member = machine.findings(1000, &[20]);
        assert!(member.iter().any(|finding| finding.what == "you are in the group dialout"));
        let root = machine.findings(0, &[0]);
        assert!(root.iter().any(|finding| finding.what == "you are root: dialout makes no difference"));
    }

    #[test]
    fn who_disturbs_is_named_until_rules_keep_him_away() {
        let machine = Machine::new();
        machine.write("run/udev/control", "");
        machine.process(7, "ModemManager", &[]);
        machine.process(8, "brltty", &[]);
        let lines = machine.lines();
        assert_eq!(lines[0], "ok udev runs: what is plugged in is seen at once");
        assert!(lines.iter().any(|line| line.starts_with("warn ModemManager runs (pid 7)")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("warn brltty runs (pid 8)")), "{lines:?}");
        machine.write("etc/udev/rules.d/70-farmhand.rules", &super::super::rules::of(&[].into()));
        let lines = machine.lines();
        assert_eq!(lines[1], "ok udev rules for bootloaders: /etc/udev/rules.d/70-farmhand.rules");
        assert!(lines.iter().any(|line| line.starts_with("ok ModemManager runs, and leaves")), "{lines:?}");
    }

    #[test]
    fn brltty_takes_adapters_by_its_rules_alone() {
        let machine = Machine::new();
        let rules = "usr/lib/udev/rules.d/85-brltty.rules";
        machine.write(rules, "# ENV{PRODUCT}==\"1a86/7523/*\", GOTO=\"brltty_usb_run\"\n");
        assert!(machine.lines().contains(&"ok brltty does not run".to_owned()));
        machine.write(rules, "ENV{PRODUCT}==\"1a86/7523/*\", GOTO=\"brltty_usb_run\"\n");
        assert!(machine.lines().iter().any(|line| line.starts_with("warn brltty takes serial adapters")));
    }
}
