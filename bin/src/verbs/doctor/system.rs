//! What a machine's files say: its processes, USB devices, serial nodes, groups and udev rules. Below a folder, so that
//! a made-up machine is as good as a real one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where udev's rules are (udev.7); `/lib` is `/usr/lib` where it is not a folder of its own.
const RULES: [&str; 4] = ["etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"];
/// Class, subclass and protocol of an interface that speaks fastboot (AOSP, fastboot/README.md).
const FASTBOOT: [&str; 3] = ["ff", "42", "03"];
/// What begins the names of serial ports on USB.
const SERIAL: [&str; 2] = ["ttyACM", "ttyUSB"];
/// The kernel cuts a process's name there (proc_pid_comm.5).
const NAME_BYTES_MAX: usize = 15;

/// A machine.
pub(super) struct System<'a> {
    root: PathBuf,
    /// Who asks.
    pub(super) user: u32,
    pub(super) groups: Vec<u32>,
    may_open: &'a dyn Fn(&Path) -> bool,
}

/// A node in `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// As programs open it: `/dev/bus/usb/001/004`.
    pub(super) path: String,
    /// What it is, for people.
    pub(super) what: String,
    /// Its owner's group.
    pub(super) group: u32,
    /// We may read and write it.
    pub(super) open: bool,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) id: u32,
}

impl<'a> System<'a> {
    pub(super) fn new(root: &Path, user: u32, groups: Vec<u32>, may_open: &'a dyn Fn(&Path) -> bool) -> Self {
        Self { root: root.to_owned(), user, groups, may_open }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether udev runs (udev.7: its control socket).
    pub(super) fn udev_runs(&self) -> bool {
        self.at("run/udev/control").exists()
    }

    /// All of them; none where /proc cannot be read.
    pub(super) fn processes(&self) -> Vec<Process> {
        let named = |path: &Path| {
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?;
            Some(Process { pid, name: name.trim_end().to_owned() })
        };
        let mut all: Vec<_> = entries(&self.at("proc")).iter().filter_map(|path| named(path)).collect();
        all.sort_by_key(|process| process.pid);
        all
    }

    /// A process by its name.
    pub(super) fn process(&self, name: &str) -> Option<Process> {
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        self.processes().into_iter().find(|process| process.name == name)
    }

    /// Who has a node open, of those whose files we may see.
    pub(super) fn holders(&self, node: &str) -> Vec<Process> {
        let holds = |process: &Process| {
            let files = self.at("proc").join(process.pid.to_string()).join("fd");
            entries(&files).iter().any(|file| fs::read_link(file).is_ok_and(|to| to == Path::new(node)))
        };
        let mut all = self.processes();
        all.retain(holds);
        all
    }

    /// The USB nodes of devices that speak fastboot.
    pub(super) fn bootloaders(&self) -> Vec<Node> {
        let devices = self.at("sys/bus/usb/devices");
        let mut nodes = Vec::new();
        for interface in entries(&devices) {
            let says = |name: &str| read(&interface.join(name)).unwrap_or_default();
            let class = ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"].map(says);
            let port = interface.file_name().and_then(|name| name.to_str()?.split_once(':'));
            if class != FASTBOOT {
                continue;
            }
            let Some((port, _)) = port else { continue };
            nodes.extend(self.usb_node(&devices.join(port), port));
        }
        nodes.sort_by(|one, other| one.path.cmp(&other.path));
        nodes
    }

    fn usb_node(&self, device: &Path, port: &str) -> Option<Node> {
        let number = |name: &str| read(&device.join(name))?.parse::<u32>().ok();
        let path = format!("/dev/bus/usb/{:03}/{:03}", number("busnum")?, number("devnum")?);
        let id = ["idVendor", "idProduct"].map(|name| read(&device.join(name)).unwrap_or_default());
        let serial = read(&device.join("serial")).map(|serial| format!(" {serial}")).unwrap_or_default();
        self.node(path, format!("{}:{}{serial} on {port}", id[0], id[1]))
    }

    /// Serial ports on USB.
    pub(super) fn serial_ports(&self) -> Vec<Node> {
        let mut nodes: Vec<_> = entries(&self.at("dev"))
            .iter()
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .filter(|name| SERIAL.iter().any(|begin| name.starts_with(begin)))
            .filter_map(|name| self.node(format!("/dev/{name}"), "a serial port".into()))
            .collect();
        nodes.sort_by(|one, other| one.path.cmp(&other.path));
        nodes
    }

    fn node(&self, path: String, what: String) -> Option<Node> {
        let file = self.at(&path);
        let about = fs::metadata(&file).ok()?;
        Some(Node { what, group: about.gid(), open: (self.may_open)(&file), path })
    }

    /// A group by its name (group.5).
    pub(super) fn group(&self, name: &str) -> Option<Group> {
        self.all_groups().into_iter().find(|group| group.name == name)
    }

    /// A group by its number.
    pub(super) fn group_of(&self, id: u32) -> Option<Group> {
        self.all_groups().into_iter().find(|group| group.id == id)
    }

    fn all_groups(&self) -> Vec<Group> {
        let text = fs::read_to_string(self.at("etc/group")).unwrap_or_default();
        let one = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let id = fields.nth(1)?.parse().ok()?;
            Some(Group { name, id })
        };
        text.lines().filter_map(one).collect()
    }

    /// The rules of udev whose file satisfies this: by name and text.
    pub(super) fn rules(&self, is_it: impl Fn(&str, &str) -> bool) -> Option<String> {
        for folder in RULES {
            for path in entries(&self.at(folder)) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
                let is_rules = path.extension().is_some_and(|end| end == "rules");
                if is_rules && is_it(name, &fs::read_to_string(&path).unwrap_or_default()) {
                    return Some(format!("/{folder}/{name}"));
                }
            }
        }
        None
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
