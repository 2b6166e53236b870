//! What a session is asked to do.

use serde::{Deserialize, Serialize};

use super::PackageSpec;
use crate::DeviceName;

/// A place in a file of configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
}

/// How far a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Build only.
    Build,
    /// Build and flash; passed when the handoff is acknowledged.
    Flash,
    /// Build, flash and observe.
    Run,
}

/// Where the program comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// An Arduino sketch in a folder (absolute).
    Sketch(String),
    /// A plain C or C++ tree in a folder (absolute).
    Tree(String),
    /// A file that is already built: ELF or Intel HEX (absolute).
    Artifact(String),
    /// A command, run in a folder, that leaves an artifact: folder, command line, artifact (both in the folder).
    Command(String, String, String),
    /// A command likewise, and what it reads: patterns of files and folders, below the folder where they are relative.
    /// It is run only where something of that has changed.
    CommandOf(String, String, String, Vec<String>),
    /// An image that is booted from memory.
    Boot(BootSource),
    /// Partitions that are written or erased through the bootloader, in order, and how it is left then.
    Partitions(Vec<PartitionStep>, Leave),
    /// A program that a Linux guest runs.
    Guest(GuestSource),
    /// An environment of a PlatformIO project.
    Environment(Box<EnvironmentSource>),
    /// An Arduino sketch, by a profile of its `sketch.yaml`.
    Profile(Box<ProfileSource>),
}

/// A profile of a sketch: all that it is built with (Arduino CLI documentation, "Sketch project file").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSource {
    /// The sketch's folder (absolute).
    pub folder: String,
    /// The profile's name.
    pub name: String,
    /// Its cores: `vendor:architecture`, and the version that each must be.
    pub cores: Vec<(String, Option<String>)>,
    /// Its libraries: no others of the person's are looked at.
    pub libraries: Vec<ProfileLibrary>,
}

/// A library of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileLibrary {
    /// By its name, and the version that it must be.
    Named(String, Option<String>),
    /// In a folder (absolute).
    Folder(String),
}

/// Among a board's properties of an environment: whether libraries are linked as archives (PlatformIO documentation, "lib_archive"),
/// `yes` or `no`. Nobody says so where it is not there.
pub const LIB_ARCHIVE: &str = "lib_archive";

/// Likewise: how libraries are told apart by what they say they are for (PlatformIO documentation, "lib_compat_mode"): `off`, `soft`
/// or `strict`, and behind a blank the platform that is built for, as PlatformIO calls it.
pub const LIB_COMPAT: &str = "lib_compat_mode";

/// An environment of a PlatformIO project, as its `platformio.ini` has it. Flags are as they are written there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSource {
    /// The project's folder (absolute).
    pub folder: String,
    /// Its name.
    pub name: String,
    /// The folder of its sources (absolute).
    pub sources: String,
    /// The folder of its headers (absolute); it need not be there.
    pub include: String,
    /// `build_src_filter`.
    pub filter: String,
    /// `framework = arduino`; without it, the program brings all that it is made of.
    pub arduino: bool,
    /// Its core does not know its board: all that is known of it is in `board`.
    pub unlisted: bool,
    /// What its board has otherwise than its core says: property, value; and [`LIB_ARCHIVE`] and [`LIB_COMPAT`].
    pub board: Vec<(String, String)>,
    /// `build_flags`, and those of its `build_type` behind them.
    pub flags: Vec<String>,
    /// `build_src_flags`: for its own sources alone.
    pub own_flags: Vec<String>,
    /// `build_unflags`.
    pub unflags: Vec<String>,
    /// Its libraries.
    pub libraries: LibraryWish,
}

/// How a project finds its libraries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryWish {
    /// How they are looked for.
    pub mode: LibraryMode,
    /// Folders of libraries (absolute), the first first; they need not be there.
    pub folders: Vec<String>,
    /// Names of those that are not to be used.
    pub ignore: Vec<String>,
    /// Those that are needed, as `lib_deps` has them.
    pub needed: Vec<String>,
}

/// How libraries are looked for (PlatformIO documentation, "Library Dependency Finder").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LibraryMode {
    /// Those that are needed, and nothing else.
    Off,
    /// By what the project's sources, and the headers that those lead to, include.
    Chain,
    /// Likewise, and what is not compiled does not count.
    ChainPlus,
    /// By what all files of the project and its libraries include.
    Deep,
    /// Likewise, and what is not compiled does not count.
    DeepPlus,
}

/// What is run on a Linux guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSource {
    /// A script that says what runs it (`#!`), or a program for the guest's processor (absolute).
    pub program: String,
    /// Where the guest begins.
    pub start: GuestStart,
}

/// Where a guest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestStart {
    /// At its kernel's first instruction.
    Boot,
    /// Where an earlier one of the same kernel, file system and QEMU was found healthy. Where there was none it boots, and is kept
    /// for those to come.
    Healthy,
}

/// What is booted from memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSource {
    /// A boot image, or the kernel of one that is made by the device's profile (absolute).
    pub image: String,
    /// The ramdisk of one that is made (absolute).
    pub ramdisk: Option<String>,
    /// Its device tree (absolute).
    pub dtb: Option<String>,
    /// Added to what the kernel is told.
    pub cmdline: Option<String>,
}

/// One step of writing partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionStep {
    /// A file (absolute) is written to a partition: partition, file.
    Flash(String, String),
    /// A partition is erased.
    Erase(String),
}

/// How a bootloader is left once its partitions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leave {
    /// It stays where it is.
    Stay,
    /// The device is started anew.
    Reboot,
    /// It goes on booting.
    Continue,
    /// Its bootloader is started anew.
    RebootBootloader,
}

/// Which tools build it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Toolchain {
    /// Those that farmhand installs.
    Managed,
    /// Those on the PATH.
    System,
    /// As a project says in particular.
    Chosen(Box<ChosenTools>),
}

/// Tools of a project's own choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenTools {
    /// What compiles, where no package of the project's offers to.
    pub compilers: Compilers,
    /// The C library of a board without a core.
    pub c_library: CLibrary,
    /// The packages that the project declares: what one offers is taken from it.
    pub packages: Vec<PackageSpec>,
}

/// Whose compilers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compilers {
    /// GCC, which farmhand installs.
    Managed,
    /// Those on the PATH.
    System,
    /// Clang, which farmhand installs.
    Clang,
}

/// A C library of boards without a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CLibrary {
    /// picolibc.
    Picolibc,
    /// newlib.
    Newlib,
}

impl Toolchain {
    /// What is chosen, in the simplest words for it.
    #[must_use]
    pub fn of(tools: ChosenTools) -> Self {
        match tools {
            ChosenTools { compilers, c_library: CLibrary::Picolibc, packages } if packages.is_empty() => {
                match compilers {
                    Compilers::Managed => Self::Managed,
                    Compilers::System => Self::System,
                    Compilers::Clang => Self::Chosen(Box::new(ChosenTools {
                        compilers,
                        c_library: CLibrary::Picolibc,
                        packages,
                    })),
                }
            }
            other => Self::Chosen(Box::new(other)),
        }
    }

    /// Whose compilers.
    #[must_use]
    pub fn compilers(&self) -> Compilers {
        match self {
            Self::Managed => Compilers::Managed,
            Self::System => Compilers::System,
            Self::Chosen(tools) => tools.compilers,
        }
    }

    /// The C library of a board without a core.
    #[must_use]
    pub fn c_library(&self) -> CLibrary {
        match self {
            Self::Chosen(tools) => tools.c_library,
            _ => CLibrary::Picolibc,
        }
    }

    /// The packages that the project declares.
    #[must_use]
    pub fn packages(&self) -> &[PackageSpec] {
        match self {
            Self::Chosen(tools) => &tools.packages,
            _ => &[],
        }
    }
}

/// How it is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// What is built.
    pub source: Source,
    /// Which tools.
    pub toolchain: Toolchain,
    /// Added for C and C++.
    pub flags: Vec<String>,
    /// Added for C++ only.
    pub cxx_flags: Vec<String>,
    /// Added at the link.
    pub link_flags: Vec<String>,
    /// Compilers at once; 0 is "as many as the pool has".
    pub jobs: u32,
}

/// Which device will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceSelect {
    /// Any of the job's board.
    Board,
    /// This one.
    Named(DeviceName),
    /// The one on this port.
    Port(String),
}

/// What a gap in the recording means for the verdict: we were dead while the device ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnGap {
    /// The verdict is unknown.
    Unknown,
    /// A new attempt in a new epoch. The default where the handoff may be repeated.
    Reset,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What people call it: the project folder's or the file's name.
    pub title: String,
    /// The project's folder (absolute), or that of the file.
    pub project: String,
    /// How far to go.
    pub goal: Goal,
    /// The board, such as `arduino:avr:uno`.
    pub board: String,
    /// How it is built.
    pub build: Build,
    /// On which device.
    pub device: DeviceSelect,
    /// The handoff must never be issued twice.
    pub once: bool,
    /// Regular expressions, in order, on the owned epoch's output.
    pub expect: Vec<String>,
    /// Where each of `expect` stands.
    pub expect_places: Vec<Place>,
    /// Regular expressions; the first that matches is a failure.
    pub fail_on: Vec<String>,
    /// How long to observe, in milliseconds.
    pub timeout_ms: u64,
    /// What a gap means; the default depends on `once`.
    pub on_gap: OnGap,
    /// The console's rate.
    pub baud: u32,
    /// How often an `infra` failure is tried again, as a new attempt.
    pub infra_retries: u32,
}

/// In front of the boards that are Linux guests.
const LINUX_BOARD: &str = "qemu:linux-";

impl Job {
    /// Whether its board is a Linux guest: what runs there is a program of that Linux, and not the machine's own.
    #[must_use]
    pub fn is_for_linux(&self) -> bool {
        is_linux(&self.board)
    }
}

/// Whether a board of this name is a Linux guest.
#[must_use]
pub fn is_linux(board: &str) -> bool {
    board.starts_with(LINUX_BOARD)
}
