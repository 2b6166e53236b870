//! Words of the schema, each a closed list that newer versions add to: one that is not known is kept.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::text::Text;

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$note])* $variant,)+
            /// A word that is not in the list.
            Other(Text),
        }

        impl $name {
            /// Each word of the list.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// As QEMU writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word.as_str(),
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Other(Text::new(word)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|word| Self::from(&word[..]))
            }
        }
    )+};
}

words! {
    /// What the machine does (QAPI `RunState`).
    RunState {
        /// A debugger holds it.
        Debug = "debug",
        /// Waits for an incoming migration; whether it starts then, this does not tell.
        Inmigrate = "inmigrate",
        /// QEMU cannot execute the guest any more.
        InternalError = "internal-error",
        /// A disk failed, and is set to pause the machine then.
        IoError = "io-error",
        /// Paused, by `stop` or by a snapshot of a paused machine.
        Paused = "paused",
        /// Paused behind a migration that completed; `cont` recovers it.
        Postmigrate = "postmigrate",
        /// Started with `-S`, and has not run.
        Prelaunch = "prelaunch",
        /// Paused for the end of a migration.
        FinishMigrate = "finish-migrate",
        /// Paused while its state is loaded.
        RestoreVm = "restore-vm",
        /// Runs.
        Running = "running",
        /// Paused while its state is saved.
        SaveVm = "save-vm",
        /// Off, and `-no-shutdown` keeps QEMU.
        Shutdown = "shutdown",
        /// Asleep (ACPI S3).
        Suspended = "suspended",
        /// A watchdog paused it.
        Watchdog = "watchdog",
        /// Its system panicked.
        GuestPanicked = "guest-panicked",
        /// Paused for a COLO checkpoint.
        Colo = "colo",
    }

    /// Why a machine was shut down or reset (QAPI `ShutdownCause`).
    ShutdownCause {
        /// Nothing asked for it.
        None = "none",
        /// An error on the host.
        HostError = "host-error",
        /// `quit`.
        HostQmpQuit = "host-qmp-quit",
        /// `system_reset`.
        HostQmpSystemReset = "host-qmp-system-reset",
        /// A signal to QEMU.
        HostSignal = "host-signal",
        /// A window was closed.
        HostUi = "host-ui",
        /// The guest powered off.
        GuestShutdown = "guest-shutdown",
        /// The guest reset itself.
        GuestReset = "guest-reset",
        /// The guest panicked, and that is set to shut down.
        GuestPanic = "guest-panic",
        /// A part was reset.
        SubsystemReset = "subsystem-reset",
        /// A snapshot was loaded.
        SnapshotLoad = "snapshot-load",
    }

    /// How far a migration is (QAPI `MigrationStatus`).
    MigrationStatus {
        /// There was none.
        None = "none",
        /// It begins.
        Setup = "setup",
        /// It is being cancelled.
        Cancelling = "cancelling",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Memory moves.
        Active = "active",
        /// Memory moves, and the destination runs.
        PostcopyActive = "postcopy-active",
        /// The same, interrupted.
        PostcopyPaused = "postcopy-paused",
        /// The same, about to go on.
        PostcopyRecoverSetup = "postcopy-recover-setup",
        /// The same, going on.
        PostcopyRecover = "postcopy-recover",
        /// All of it has moved.
        Completed = "completed",
        /// It failed; the machine runs or is paused, as it was.
        Failed = "failed",
        /// COLO has it.
        Colo = "colo",
        /// Paused before the devices are saved.
        PreSwitchover = "pre-switchover",
        /// Devices are being saved.
        Device = "device",
        /// Waits for the guest to let a device go.
        WaitUnplug = "wait-unplug",
    }

    /// What kind of work a job does (QAPI `JobType`).
    JobType {
        /// `block-commit`.
        Commit = "commit",
        /// `block-stream`.
        Stream = "stream",
        /// `drive-mirror`.
        Mirror = "mirror",
        /// `drive-backup`.
        Backup = "backup",
        /// `blockdev-create`.
        Create = "create",
        /// `x-blockdev-amend`.
        Amend = "amend",
        /// `snapshot-load`.
        SnapshotLoad = "snapshot-load",
        /// `snapshot-save`.
        SnapshotSave = "snapshot-save",
        /// `snapshot-delete`.
        SnapshotDelete = "snapshot-delete",
    }

    /// How far a job is (QAPI `JobStatus`).
    JobStatus {
        /// Never to be seen.
        Undefined = "undefined",
        /// Not started.
        Created = "created",
        /// At work.
        Running = "running",
        /// Held.
        Paused = "paused",
        /// Waits to be told to complete.
        Ready = "ready",
        /// The same, held.
        Standby = "standby",
        /// Waits for others of its transaction.
        Waiting = "waiting",
        /// Its work is done, and is to be made final.
        Pending = "pending",
        /// Failing, or cancelled.
        Aborting = "aborting",
        /// At its end, well or not: its error says (QAPI `query-jobs`), until it is dismissed.
        Concluded = "concluded",
        /// Gone.
        Null = "null",
    }

    /// The class of a refusal (QAPI `QapiErrorClass`).
    ErrorClass {
        /// All that has no class of its own.
        GenericError = "GenericError",
        /// No such command, or not in this mode.
        CommandNotFound = "CommandNotFound",
        /// A device did not become active.
        DeviceNotActive = "DeviceNotActive",
        /// No such device.
        DeviceNotFound = "DeviceNotFound",
        /// KVM here cannot.
        KvmMissingCap = "KVMMissingCap",
    }

    /// What QEMU did about a guest's panic (QAPI `GuestPanicAction`).
    PanicAction {
        /// Paused the machine.
        Pause = "pause",
        /// Powered it off.
        Poweroff = "poweroff",
        /// Nothing.
        Run = "run",
    }

    /// What QEMU did about a watchdog (QAPI `WatchdogAction`).
    WatchdogAction {
        /// Reset.
        Reset = "reset",
        /// Asked the guest to shut down.
        Shutdown = "shutdown",
        /// Powered off.
        Poweroff = "poweroff",
        /// Paused.
        Pause = "pause",
        /// Stopped as for a debugger.
        Debug = "debug",
        /// Nothing.
        None = "none",
        /// Sent a non-maskable interrupt.
        InjectNmi = "inject-nmi",
    }

    /// What a disk failed at (QAPI `IoOperationType`).
    IoOperation {
        /// Reading.
        Read = "read",
        /// Writing.
        Write = "write",
    }

    /// What QEMU did about a disk's error (QAPI `BlockErrorAction`).
    IoErrorAction {
        /// Nothing.
        Ignore = "ignore",
        /// Told the guest.
        Report = "report",
        /// Paused the machine.
        Stop = "stop",
    }
}
