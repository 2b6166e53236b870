//! What QEMU is asked.

use serde::Serialize;

use super::answer::Expected;

/// How long a command may be, in bytes: a path or a list of disks is shorter, and QEMU takes more.
pub const COMMAND_LEN_MAX: usize = 64 << 10;

/// A command (QAPI, by its name). Text in it may be any: QEMU refuses what it does not take before it does anything
/// (QMP, "Compatibility Considerations").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "execute", content = "arguments", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Command {
    /// What the machine does.
    QueryStatus,
    /// Which QEMU it is.
    QueryVersion,
    /// The machine's name (`-name`).
    QueryName,
    /// The machine's UUID (`-uuid`).
    QueryUuid,
    /// Pauses the machine; nothing where it is paused.
    Stop,
    /// Lets it go on; nothing where it runs. The source of a migration goes on too. Accepted also while an incoming
    /// migration has not come, when it proves nothing.
    Cont,
    /// Resets the machine, as its button does.
    #[serde(rename = "system_reset")]
    SystemReset,
    /// What a reset of the guest's leads to, from now on (`-action`). A reset that is asked for here ([`Self::SystemReset`]) too.
    SetAction {
        /// That.
        reboot: RebootAction,
    },
    /// Asks the guest to power off. It may not listen.
    #[serde(rename = "system_powerdown")]
    SystemPowerdown,
    /// Ends QEMU, answered before it goes.
    Quit,
    /// Saves the machine's state. Answered when it begins; a second one meanwhile is refused. When it has completed the
    /// machine is paused (`postmigrate`); when it failed it may be paused or run, and [`Self::QueryStatus`] says.
    Migrate {
        /// Where to.
        uri: MigrationUri,
    },
    /// Loads a machine's state, in a QEMU that was started with `-incoming defer`. Once: a second one is refused. The machine
    /// then runs only where the saved one ran and there was no `-S`.
    MigrateIncoming {
        /// Where from.
        uri: MigrationUri,
    },
    /// How far a migration is.
    QueryMigrate,
    /// Cancels a migration; the machine goes on. Nothing where there is none.
    #[serde(rename = "migrate_cancel")]
    MigrateCancel,
    /// What migrations may do.
    MigrateSetCapabilities {
        /// Those to change.
        capabilities: Vec<SwitchCapability>,
    },
    /// What migrations keep to.
    MigrateSetParameters {
        /// Bytes a second; 128 MiB where it is not set.
        max_bandwidth: u64,
    },
    /// Begins a job that saves memory and disks into the disks' own files, the machine paused meanwhile. Accepted also where
    /// the tag is there: then the job fails.
    SnapshotSave(Snapshot),
    /// Begins a job that loads what was saved, in place.
    SnapshotLoad(Snapshot),
    /// Begins a job that deletes what was saved.
    SnapshotDelete {
        /// What to call the job.
        job_id: String,
        /// Which.
        tag: String,
        /// Nodes to delete it from.
        devices: Vec<String>,
    },
    /// Jobs that have not been dismissed.
    QueryJobs,
    /// Forgets a job that has concluded, and its error.
    JobDismiss {
        /// Which.
        id: String,
    },
    /// Consoles, monitors and ports.
    QueryChardev,
    /// Drives.
    QueryBlock,
}

/// What is done when the machine is reset (QAPI `RebootAction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootAction {
    /// It is reset, and goes on.
    Reset,
    /// It is shut down.
    Shutdown,
}

/// What a snapshot within the disks is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// What to call the job; it is taken until the job is dismissed.
    pub job_id: String,
    /// Its name.
    pub tag: String,
    /// The node that holds the memory.
    pub vmstate: String,
    /// Every node that is saved or loaded.
    pub devices: Vec<String>,
}

/// Turns a capability of migrations on or off (QAPI `MigrationCapabilityStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SwitchCapability {
    /// Which.
    pub capability: MigrationCapability,
    /// On.
    pub state: bool,
}

/// What a migration can do (QAPI `MigrationCapability`); of them, what is of use to snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MigrationCapability {
    /// An event for each change of its status.
    Events,
    /// Pages have a place of their own in the file; since 9.0.
    MappedRam,
    /// The destination is to have the source's UUID.
    ValidateUuid,
}

/// Where a machine's state goes to or comes from (QAPI `migrate`, `uri`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct MigrationUri(String);

impl MigrationUri {
    /// Any, as QEMU takes it.
    pub fn new(uri: &str) -> Self {
        Self(uri.to_owned())
    }

    /// What QEMU has open by this number.
    pub fn descriptor(number: u32) -> Self {
        Self(format!("fd:{number}"))
    }

    /// A command of the shell that takes it on its standard input, or gives it on its standard output. How it exits is nothing
    /// to QEMU (seen): where it fails behind the last byte it has read, the migration has completed.
    pub fn exec(command: &str) -> Self {
        Self(format!("exec:{command}"))
    }

    /// A file, written by `cat`: what there is before 8.2. That it is whole and on the disk is to be checked, for `cat` may
    /// fail at its end and QEMU not notice.
    pub fn to_file(path: &str) -> Self {
        Self::exec(&format!("cat > {}", quoted(path)))
    }

    /// A file, read by `cat`: what there is before 8.2.
    pub fn from_file(path: &str) -> Self {
        Self::exec(&format!("cat < {}", quoted(path)))
    }

    /// A file, by QEMU itself; since 8.2.
    pub fn file(path: &str) -> Self {
        Self(format!("file:{path}"))
    }

    /// A socket.
    pub fn unix(path: &str) -> Self {
        Self(format!("unix:{path}"))
    }

    /// As QEMU takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One word for a shell, whatever stands in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// As it is on the wire (QMP, "Issuing Commands").
#[derive(Serialize)]
struct Request<'a> {
    #[serde(flatten)]
    command: &'a Command,
    id: u64,
}

/// What comes before all others, without an optional capability (QMP, "Capabilities Negotiation").
#[derive(Serialize)]
struct Negotiate {
    execute: &'static str,
    id: u64,
}

impl Command {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::QueryStatus => "query-status",
            Self::QueryVersion => "query-version",
            Self::QueryName => "query-name",
            Self::QueryUuid => "query-uuid",
            Self::Stop => "stop",
            Self::Cont => "cont",
            Self::SystemReset => "system_reset",
            Self::SetAction { .. } => "set-action",
            Self::SystemPowerdown => "system_powerdown",
            Self::Quit => "quit",
            Self::Migrate { .. } => "migrate",
            Self::MigrateIncoming { .. } => "migrate-incoming",
            Self::QueryMigrate => "query-migrate",
            Self::MigrateCancel => "migrate_cancel",
            Self::MigrateSetCapabilities { .. } => "migrate-set-capabilities",
            Self::MigrateSetParameters { .. } => "migrate-set-parameters",
            Self::SnapshotSave(_) => "snapshot-save",
            Self::SnapshotLoad(_) => "snapshot-load",
            Self::SnapshotDelete { .. } => "snapshot-delete",
            Self::QueryJobs => "query-jobs",
            Self::JobDismiss { .. } => "job-dismiss",
            Self::QueryChardev => "query-chardev",
            Self::QueryBlock => "query-block",
        }
    }

    /// Whether issuing it once more, after it may or may not have been carried out, leaves things as one time does.
    /// (It may be refused the second time.)
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::SystemReset | Self::SystemPowerdown => false,
            // A second one begins anew, over what the first one wrote.
            Self::Migrate { .. } | Self::SnapshotSave(_) | Self::SnapshotLoad(_) => false,
            Self::SnapshotDelete { .. } => false,
            // The guest may have been let go meanwhile, or stopped: it is so again.
            Self::Stop | Self::Cont | Self::MigrateCancel | Self::Quit | Self::MigrateIncoming { .. } => true,
            Self::MigrateSetCapabilities { .. } | Self::MigrateSetParameters { .. } => true,
            Self::JobDismiss { .. } | Self::SetAction { .. } => true,
            Self::QueryStatus | Self::QueryVersion | Self::QueryName | Self::QueryUuid => true,
            Self::QueryMigrate | Self::QueryJobs | Self::QueryChardev | Self::QueryBlock => true,
        }
    }

    pub(super) fn expected(&self) -> Expected {
        match self {
            Self::QueryStatus => Expected::Status,
            Self::QueryVersion => Expected::Version,
            Self::QueryName => Expected::Name,
            Self::QueryUuid => Expected::Uuid,
            Self::QueryMigrate => Expected::Migration,
            Self::QueryJobs => Expected::Jobs,
            Self::QueryChardev => Expected::Chardevs,
            Self::QueryBlock => Expected::Blocks,
            _ => Expected::Nothing,
        }
    }

    /// One line. QEMU needs no line, but people and logs do.
    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        line(&Request { command: self, id })
    }
}

pub(super) fn negotiation(id: u64) -> Vec<u8> {
    line(&Negotiate { execute: "qmp_capabilities", id })
}

fn line(request: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("strings, numbers and lists are JSON");
    line.push(b'\n');
    line
}
