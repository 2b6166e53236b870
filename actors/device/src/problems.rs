//! What can be wrong with a device, as it is told to people: class, stable code, what to do next.

use std::path::Path;

use farmhand_api::{Problem, ProblemClass};
use farmhand_image::sparse::SparseError;
use farmhand_machine::{Kind, MachineError, SnapshotError, SnapshotName};
use farmhand_messages::device::{DeviceConfig, FastbootWay};
use farmhand_messages::fastboot::{Address, Allow};
use farmhand_messages::serial::OpenPortError;
use farmhand_records::DeviceName;
use farmhand_wire::fastboot::{CommandError, Partition};

use crate::driver::DriverError;
use crate::fastboot::{ClientError, ImageError, OpenError, PipeError};

fn problem(class: ProblemClass, code: &str, message: String, help: &[String]) -> Problem {
    Problem { class, code: code.into(), message, detail: Vec::new(), help: help.to_vec(), place: None }
}

/// The port could not be opened.
pub(crate) fn not_opened(device: &DeviceName, error: &OpenPortError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        OpenPortError::Held { holder, .. } => {
            let help = format!("end {holder}, or wait until it is done");
            problem(ProblemClass::Busy, "F221", message, &[help])
        }
        OpenPortError::Permission { path } => problem(
            ProblemClass::Permission,
            "F222",
            message,
            &[
                "join the port's group, then log in again: sudo usermod -aG dialout $USER".into(),
                format!(
                    "or give yourself access for now: sudo setfacl -m u:$USER:rw {}; for good: a udev rule with \
                     TAG+=\"uaccess\"",
                    path.display()
                ),
            ],
        ),
        OpenPortError::Missing { .. } => problem(
            ProblemClass::NoDevice,
            "F223",
            message,
            &["is it plugged in? `farmhand devices` lists what is there".into()],
        ),
        _ => problem(ProblemClass::Infra, "F224", message, &[]),
    }
}

/// A driver did not do it.
pub(crate) fn not_done(device: &DeviceName, error: &DriverError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        DriverError::NoLoader { .. } => problem(
            ProblemClass::Infra,
            "F231",
            format!("{device} does not answer in its loader: {error}"),
            &[
                "press its reset button, and try again".into(),
                "is it the right board? its loader may speak at another rate, or be missing".into(),
            ],
        ),
        DriverError::WrongSignature { .. } => problem(
            ProblemClass::NoDevice,
            "F232",
            format!("{device} {error}"),
            &["nothing was written; another board is plugged in, or `board` is wrong".into()],
        ),
        DriverError::Verify { .. } => problem(
            ProblemClass::Infra,
            "F233",
            message,
            &["its flash may be worn out, or its line disturbed".into()],
        ),
        DriverError::Image(_) => problem(
            ProblemClass::Build,
            "F235",
            message,
            &["the program is not for this board, or too large for it".into()],
        ),
        DriverError::Talk(_) | DriverError::Reset(_) => problem(
            ProblemClass::Infra,
            "F234",
            message,
            &["is its cable firm? it can be tried again".into()],
        ),
    }
}

/// No driver of that name, or not with that configuration.
pub(crate) fn no_driver(device: &DeviceName, why: &str) -> Problem {
    problem(ProblemClass::Configuration, "F236", format!("{device}: {why}"), &[])
}

/// The virtual board is not to be had.
pub(crate) fn no_board(device: &DeviceName, folder: &Path, why: &str) -> Problem {
    let help = format!("its own words are in {}", folder.join("log").display());
    problem(ProblemClass::Infra, "F241", format!("{device}, a virtual board: {why}"), &[help])
}

/// The package that a board is made of has not what it should have.
pub(crate) fn no_loader(device: &DeviceName, path: &Path) -> Problem {
    let message = format!("{device}: package arduino-avr has no {}", path.display());
    problem(ProblemClass::Package, "F245", message, &["install it anew".into()])
}

/// The device's state could not be written.
pub(crate) fn not_recorded(device: &DeviceName, why: &str) -> Problem {
    let help = "is the disk full? nothing was done that would have had to be recorded first".to_owned();
    problem(ProblemClass::Infra, "F242", format!("{device}: its state could not be recorded: {why}"), &[help])
}

/// Another actor that is needed does not answer.
pub(crate) fn no_answer(device: &DeviceName, who: &str, why: &str) -> Problem {
    problem(ProblemClass::Infra, "F243", format!("{device}: {who} {why}"), &[])
}

/// Too many ask at once.
pub(crate) fn busy(device: &DeviceName, waiting: usize) -> Problem {
    problem(ProblemClass::Busy, "F244", format!("{device}: {waiting} commands wait already"), &[])
}

/// A session has it.
pub(crate) fn leased(device: &DeviceName) -> Problem {
    let help = ["wait until it ends; `farmhand devices` says which it is".to_owned()];
    problem(ProblemClass::Busy, "F246", format!("{device}: a session has it"), &help)
}

/// Something else is being done with it.
pub(crate) fn is_busy(device: &DeviceName, what: &str) -> String {
    format!("{device} is busy with {what}; waiting")
}

/// What was being put on it is not wanted any more.
pub(crate) fn stopped(device: &DeviceName) -> Problem {
    problem(
        ProblemClass::Cancelled,
        "F249",
        format!("{device}: ended, for nobody waits for it any more"),
        &[],
    )
}

/// It shows itself as something else than its bootloader.
pub(crate) fn not_in_bootloader(device: &DeviceName) -> Problem {
    let message = format!("{device} is not in its bootloader");
    let help = [
        "from its system: adb reboot bootloader; by hand: most phones want volume down while they start"
            .into(),
        "farmhand devices --watch shows when it is there".to_owned(),
    ];
    problem(ProblemClass::NoDevice, "F251", message, &help)
}

/// The way to its bootloader does not open.
pub(crate) fn not_reached(device: &DeviceName, error: &OpenError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        OpenError::NoDevice(_) | OpenError::NotFastboot { .. } => {
            Problem { message, ..not_in_bootloader(device) }
        }
        OpenError::OtherDevice { .. } => {
            problem(ProblemClass::NoDevice, "F252", message, &["farmhand devices lists what is there".into()])
        }
        OpenError::Permission { rule, .. } => problem(
            ProblemClass::Permission,
            "F253",
            message,
            &["farmhand doctor --write-rules writes this rule, and says where:".into(), rule.clone()],
        ),
        OpenError::Held { holder, .. } => {
            problem(ProblemClass::Busy, "F254", message, &[format!("end {holder}, or wait until it is done")])
        }
        OpenError::Connect { .. } | OpenError::Silent { .. } => problem(
            ProblemClass::NoDevice,
            "F255",
            message,
            &["is it on, in its bootloader, and in this network?".into()],
        ),
        _ => problem(ProblemClass::Infra, "F256", message, &["farmhand doctor looks what is wrong".into()]),
    }
}

/// Another device answers there.
pub(crate) fn another_device(device: &DeviceName, found: &str, wanted: &str) -> Problem {
    let message = format!(
        "{device}: the bootloader there says that it is {found}, not {wanted}; nothing was sent to it"
    );
    problem(ProblemClass::NoDevice, "F252", message, &["farmhand devices lists what is there".into()])
}

/// It is another model.
pub(crate) fn wrong_model(device: &DeviceName, profile: &str, why: &str) -> Problem {
    let message = format!("{device} is no {profile}: {why}");
    let help = ["nothing was written; farmhand profile probe says what it is".to_owned()];
    problem(ProblemClass::NoDevice, "F257", message, &help)
}

/// It is there, and says nothing.
pub(crate) fn bootloader_silent(device: &DeviceName) -> Problem {
    let help = ["start it anew into its bootloader, and try again".to_owned()];
    problem(ProblemClass::Infra, "F258", format!("{device}: its bootloader does not answer"), &help)
}

/// A command to its bootloader was not done.
pub(crate) fn bootloader_failed(device: &DeviceName, error: &ClientError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        ClientError::Stopped { .. } => stopped(device),
        ClientError::Refused { .. } | ClientError::Cut { error: PipeError::Spoke(_), .. } => problem(
            ProblemClass::Infra,
            "F259",
            message,
            &["these are the bootloader's own words; is it unlocked?".into()],
        ),
        ClientError::TooLarge { .. } | ClientError::Command { .. } => {
            problem(ProblemClass::Usage, "F260", message, &[])
        }
        ClientError::Nonsense { .. } | ClientError::Short { .. } => problem(
            ProblemClass::Infra,
            "F261",
            message,
            &["does it speak fastboot? a newer specification may know what it said".into()],
        ),
        ClientError::Sink { .. } => {
            problem(ProblemClass::Infra, "F262", message, &["is the disk full?".into()])
        }
        _ => problem(
            ProblemClass::Infra,
            "F263",
            message,
            &["is it still there, and its cable or network firm? it can be tried again".into()],
        ),
    }
}

/// What writes must be allowed. `farm`: the farm's folder.
pub(crate) fn not_allowed(
    config: &DeviceConfig,
    way: &FastbootWay,
    farm: &Path,
    what: Allow,
    touches: &str,
) -> Problem {
    let (device, board) = (&config.name, &config.board);
    let message = format!("{device} is not allowed to {what}: it would {touches}");
    let mut matching = match &way.address {
        Some(Address::Tcp(to)) => vec![format!("tcp = {to:?}")],
        Some(Address::Udp(to)) => vec![format!("udp = {to:?}")],
        _ => Vec::new(),
    };
    matching.extend(way.identity.serial.iter().map(|serial| format!("serial = {serial:?}")));
    if matching.is_empty() {
        let port_path = way.identity.port_path.as_deref().unwrap_or_default();
        matching.push(format!("port-path = {port_path:?}"));
    }
    let mut allow: Vec<_> = way.allow.iter().map(|what| format!("\"{what}\"")).collect();
    allow.push(format!("\"{what}\""));
    // Lines that can be pasted as they stand.
    let help = [
        format!(
            "let {} say so, in place of its entry where it has one; then `farmhand stop`, and try again:",
            farm.join("farm.toml").display()
        ),
        "[[device]]".to_owned(),
        format!("name = \"{device}\""),
        format!("board = {board:?}"),
        "driver = \"fastboot\"".to_owned(),
        format!("match = {{ {} }}", matching.join(", ")),
        format!("allow = [{}]", allow.join(", ")),
    ];
    problem(ProblemClass::Permission, "F264", message, &help)
}

/// Its bootloader does not know it.
pub(crate) fn no_such_variable(device: &DeviceName, variable: &str, words: &str) -> Problem {
    let help = ["farmhand fastboot getvar all lists those that it knows".to_owned()];
    let message = format!("{device} knows no variable {variable:?}");
    let detail = (!words.is_empty()).then(|| format!("its own words: {}", words.escape_debug()));
    Problem { detail: detail.into_iter().collect(), ..problem(ProblemClass::Usage, "F266", message, &help) }
}

/// It says how many slots it has, and this is none of them.
pub(crate) fn no_such_slot(device: &DeviceName, slot: &str) -> Problem {
    let help = ["farmhand fastboot getvar slot-count says how many it has, from a on".to_owned()];
    problem(ProblemClass::Usage, "F268", format!("{device} has no slot {slot:?}"), &help)
}

/// The emulated machine is not to be had, or did not do it.
pub(crate) fn no_machine(device: &DeviceName, folder: &Path, error: &MachineError) -> Problem {
    let help = format!("QEMU's own words are in {}", folder.join("log").display());
    problem(ProblemClass::Infra, "F271", format!("{device}, an emulated machine: {error}"), &[help])
}

/// Only emulated machines are saved.
pub(crate) fn no_machine_to_save(device: &DeviceName) -> Problem {
    let help = ["farmhand devices lists them; one is made by --board qemu:riscv32-virt".to_owned()];
    problem(
        ProblemClass::Usage,
        "F280",
        format!("{device} is no emulated machine: it has no snapshots"),
        &help,
    )
}

/// No machine runs there.
pub(crate) fn nothing_to_save(device: &DeviceName) -> Problem {
    let help = ["run something on it first: farmhand run, with --device".to_owned()];
    problem(ProblemClass::Usage, "F281", format!("{device} does not run: there is nothing to save"), &help)
}

/// A snapshot of another kind of machine.
pub(crate) fn another_machine(device: &DeviceName, kind: &Kind, name: &SnapshotName, of: &str) -> Problem {
    let message =
        format!("{device} is a {}, and snapshot {name} is of a {of}; it was left as it is", kind.name);
    problem(ProblemClass::Usage, "F282", message, &["farmhand snapshot list".into()])
}

/// What is wrong with a snapshot, or was on the way to one.
#[must_use]
pub fn of_snapshot(error: &SnapshotError) -> Problem {
    let (class, code, help): (_, _, &[&str]) = match error {
        SnapshotError::Name(_) => (ProblemClass::Usage, "F283", &[]),
        SnapshotError::Exists(_) => (
            ProblemClass::Usage,
            "F284",
            &["another name; or --replace, which keeps the old one until there is the new one"],
        ),
        SnapshotError::NoSuch(_) => (ProblemClass::Usage, "F285", &["farmhand snapshot list"]),
        SnapshotError::InUse(_) => (
            ProblemClass::Busy,
            "F286",
            &["a machine that was made of it runs yet: farmhand snapshot end --device NAME ends it"],
        ),
        SnapshotError::Damaged { .. } => {
            (ProblemClass::Infra, "F287", &["nothing was started from it; make it anew, and delete this one"])
        }
        SnapshotError::Other { .. } => (
            ProblemClass::Configuration,
            "F288",
            &["only the QEMU that made a snapshot restores it; make it anew"],
        ),
        SnapshotError::NoRoom { .. } => (
            ProblemClass::Infra,
            "F289",
            &["nothing was paused; farmhand snapshot prune, or delete, makes room"],
        ),
        SnapshotError::InFlight { .. } => (ProblemClass::Busy, "F290", &["try again"]),
        SnapshotError::NotRunning(_) => {
            (ProblemClass::Usage, "F291", &["run something on it first: farmhand run, with --device"])
        }
        _ => (ProblemClass::Infra, "F292", &["what ran goes on, or was ended; farmhand devices says which"]),
    };
    let help: Vec<_> = help.iter().map(|&line| line.to_owned()).collect();
    problem(class, code, error.to_string(), &help)
}

/// A program for another processor.
pub(crate) fn another_processor(device: &DeviceName, kind: &Kind, found: &str) -> Problem {
    let message = format!("{device} is a {}, and the program is {found}", kind.name);
    problem(ProblemClass::Build, "F272", message, &["is `board` the right one?".into()])
}

/// What begins with a program boots only with one.
pub(crate) fn nothing_to_boot(device: &DeviceName, kind: &Kind) -> Problem {
    let message =
        format!("{device} is a {}: it runs a program of its own, and boots nothing else", kind.name);
    let help = ["farmhand run app.elf --board qemu:KIND runs one".to_owned()];
    problem(ProblemClass::Usage, "F295", message, &help)
}

/// Only Linux guests have an agent.
pub(crate) fn no_linux(device: &DeviceName) -> Problem {
    let help = ["farmhand vm run makes one; farmhand devices lists what there is".to_owned()];
    problem(ProblemClass::Usage, "F296", format!("{device} is no Linux guest"), &help)
}

/// No guest runs there.
pub(crate) fn no_guest_runs(device: &DeviceName) -> Problem {
    let help = [format!("farmhand vm run {device} boots it")];
    problem(ProblemClass::NoDevice, "F297", format!("{device} does not run"), &help)
}

/// A guest has not come up, or not well.
pub(crate) fn guest_not_up(device: &DeviceName, why: &str) -> Problem {
    let help = [format!("farmhand log --device {device} shows what it said")];
    problem(ProblemClass::Infra, "F298", format!("{device} has not come up: {why}"), &help)
}

/// The agent was lost, or did not do it.
pub(crate) fn guest_lost(device: &DeviceName, why: &str) -> Problem {
    problem(ProblemClass::Infra, "F299", format!("{device}, a Linux guest: {why}"), &[])
}

/// The system's virtualisation runs no guest.
pub(crate) fn not_accelerated(device: &DeviceName, why: &str) -> Problem {
    let help = [
        "board = \"qemu:linux-x86_64\" emulates the processor, and needs nothing of the system".to_owned(),
        "where a guest said nothing it is looked at anew an hour later".to_owned(),
    ];
    problem(ProblemClass::Infra, "F274", format!("{device}: KVM runs no guest here: {why}"), &help)
}

/// There is no guest to run.
pub(crate) fn no_guest(device: &DeviceName, why: &str) -> Problem {
    let help = ["farmhand install linux-guest qemu-img".to_owned()];
    problem(ProblemClass::Package, "F293", format!("{device}, a Linux guest, cannot be made: {why}"), &help)
}

/// A file of a guest's in its folder.
pub(crate) fn no_guest_folder(device: &DeviceName, folder: &Path, error: &std::io::Error) -> Problem {
    let help = ["is the disk full?".to_owned()];
    problem(ProblemClass::Infra, "F294", format!("{device}: {}: {error}", folder.display()), &help)
}

/// A file that a person named.
pub(crate) fn file_of_a_persons(device: &DeviceName, path: &Path, error: &std::io::Error) -> Problem {
    problem(ProblemClass::Usage, "F267", format!("{device}: {}: {error}", path.display()), &[])
}

/// An image that is larger than the device takes at once, and that cannot be split.
pub(crate) fn does_not_fit(device: &DeviceName, why: &str) -> Problem {
    let help = ["nothing was sent; what is booted or staged goes over as one".to_owned()];
    problem(ProblemClass::Build, "F265", format!("{device}: {why}"), &help)
}

/// An image that is larger than the partition that it is for. `said`: the file as its user calls it.
pub(crate) fn larger_than(
    device: &DeviceName,
    partition: &Partition,
    size: u64,
    said: &str,
    writes: u64,
) -> Problem {
    let message = format!(
        "{device}: {said} is {writes} bytes once it is written, and the partition {partition} has {size}"
    );
    let help = ["nothing was written; is it the right partition, and an image for this model?".to_owned()];
    problem(ProblemClass::Build, "F269", message, &help)
}

/// A name that no partition has.
pub(crate) fn no_partition(device: &DeviceName, name: &str, error: &CommandError) -> Problem {
    let message = format!("{device}: {name:?} is no partition: {error}");
    problem(ProblemClass::Usage, "F260", message, &["nothing was written".into()])
}

/// A file of a job's that is not there any more, or cannot be read, under the hash that it is kept by.
pub(crate) fn not_kept(device: &DeviceName, said: &str, error: &std::io::Error) -> Problem {
    let message = format!("{device}: {said} is not kept any more: {error}");
    problem(ProblemClass::Infra, "F309", message, &["run it again: it is kept anew".into()])
}

/// A file in which there is nothing. The code is the session's, too.
pub(crate) fn empty_file(said: &str) -> Problem {
    let help = ["nothing was sent; was it made, or copied, to its end?".to_owned()];
    problem(ProblemClass::Build, "F133", format!("{said}: it is empty"), &help)
}

/// A file that is no image to write. Nothing was written.
pub(crate) fn not_to_write(device: &DeviceName, said: &str, error: &ImageError) -> Problem {
    match error {
        ImageError::Unreadable { error, .. } | ImageError::Sparse { error: SparseError::Io(error), .. } => {
            not_kept(device, said, error)
        }
        ImageError::Empty(_) => empty_file(said),
        ImageError::Sparse { error: error @ SparseError::Truncated { .. }, .. } => problem(
            ProblemClass::Build,
            "F134",
            format!("{said}: {error}"),
            &["nothing was written; make it anew, or copy it again".into()],
        ),
        ImageError::Sparse { error: error @ SparseError::PieceTooSmall { .. }, .. } => {
            problem(ProblemClass::Build, "F265", format!("{device}: {said}: {error}"), &[])
        }
        ImageError::Sparse { error, .. } => problem(
            ProblemClass::Build,
            "F270",
            format!("{said}: {error}"),
            &["nothing was written; it is damaged, or no image that can be split: make it anew".into()],
        ),
    }
}

/// A command that may not be given now.
pub(crate) fn out_of_order(device: &DeviceName, why: String) -> Problem {
    problem(ProblemClass::Infra, "F246", format!("{device}: {why}"), &[])
}
