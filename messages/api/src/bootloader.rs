//! What a person says to a bootloader that speaks fastboot, and what is known of models.

use serde::{Deserialize, Serialize};

/// Where a reboot leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebootTo {
    /// Whatever the device starts by itself.
    System,
    /// Its bootloader again.
    Bootloader,
    /// Fastboot in userspace.
    Fastboot,
    /// The recovery.
    Recovery,
}

/// A command that is not a session's: nothing of it is durable, and nothing repeats it. Files are absolute paths on the
/// farm's machine. What writes must be allowed in the device's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootloaderCommand {
    /// A variable. Writes nothing.
    GetVar(String),
    /// All variables, each a line. Writes nothing.
    GetVarAll,
    /// A file into its memory. Writes nothing.
    Stage(String),
    /// What it has staged, into a file. Writes nothing to the device.
    GetStaged(String),
    /// A partition, into a file: partition, file. Writes nothing to the device.
    Fetch(String, String),
    /// Goes on booting.
    Continue,
    /// Starts anew.
    Reboot(RebootTo),
    /// Chooses the slot that is started.
    SetActive(String),
    /// Whatever the maker means by it.
    Oem(String),
    /// Lock, unlock, and what is about that.
    Flashing(String),
}

impl BootloaderCommand {
    /// Whether it may change what the device keeps: then it must be of the model that is meant.
    #[must_use]
    pub fn writes(&self) -> bool {
        match self {
            Self::SetActive(_) | Self::Oem(_) => true,
            Self::Flashing(_) => !self.only_reads(),
            _ => false,
        }
    }

    /// Whether it leaves the device as it is, where it is.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::GetVar(_) | Self::GetVarAll | Self::Fetch(..) => true,
            Self::Flashing(words) => words == "get_unlock_ability",
            // What was staged is not there a second time.
            Self::Stage(_)
            | Self::GetStaged(_)
            | Self::Continue
            | Self::Reboot(_)
            | Self::SetActive(_)
            | Self::Oem(_) => false,
        }
    }
}

impl std::fmt::Display for BootloaderCommand {
    /// As a person types it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GetVar(name) => write!(f, "getvar {name}"),
            Self::GetVarAll => f.write_str("getvar all"),
            Self::Stage(file) => write!(f, "stage {file}"),
            Self::GetStaged(file) => write!(f, "get_staged {file}"),
            Self::Fetch(partition, file) => write!(f, "fetch {partition} {file}"),
            Self::Continue => f.write_str("continue"),
            Self::Reboot(to) => f.write_str(&format!("reboot to {to:?}").to_lowercase()),
            Self::SetActive(slot) => write!(f, "set_active {slot}"),
            Self::Oem(words) => write!(f, "oem {words}"),
            Self::Flashing(words) => write!(f, "flashing {words}"),
        }
    }
}

/// A device profile, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileView {
    /// Its name: the board of its devices.
    pub id: String,
    /// For people.
    pub title: String,
    /// `built in`, or the file that it is from.
    pub origin: String,
    /// `vendor:product` that it shows itself as.
    pub usb: Vec<String>,
    /// What is asked of it, a line each.
    pub probes: Vec<String>,
    /// How it is booted, a line.
    pub boot: String,
}

/// What a bootloader was asked to learn its model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeView {
    /// Variables, and what they are; none where the bootloader does not know one.
    pub asked: Vec<(String, Option<String>)>,
    /// Profiles that fit, the best first.
    pub fits: Vec<String>,
}
