//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use farmhand::protocol::{DeviceName, SessionId};

use crate::exit;

mod bootloader;
mod flags;
mod packages;
mod snapshot;
mod vm;

use bootloader::FASTBOOT;
pub(crate) use bootloader::{BootFlags, FastbootFlags, ProfileVerb, SimVerb};
pub(crate) use flags::{BuildFlags, RunFlags, WatchFlags};
pub(crate) use packages::PackagesVerb;
pub(crate) use snapshot::SnapshotVerb;
pub(crate) use vm::VmVerb;

const EXAMPLES: &str = "\
Examples:
  farmhand run examples/blink        build, flash, watch: passed or failed
  farmhand run target/app.elf        the same with a file that is built already
  farmhand monitor                   watch the board's console; type into it
  farmhand devices                   what is plugged in, and who has it
  farmhand resume                    take up all that was left unfinished";

/// All verbs, by what they are for: clap knows no groups of them.
const VERBS: &str = "\
Work:
  run          Build, flash, watch, and give a verdict
  build        Only compile; nothing to do takes no time
  compile-many Build many sketches at once, what they share once
  clean        Remove what builds left in a project
  flash        Build, and put it on the board
  boot         Boot an image from memory, once
  monitor      Watch a board's console, and type into it
Sessions:
  sessions     What runs, what was left; --all: what ran
  attach       Follow a session that runs
  resume       Take up what was left unfinished or unknown
  cancel       Cancel a session
  logs         What a board said, as it was recorded
Devices and the farm:
  devices      What is plugged in, and who has it; --watch: as it comes and goes
  fastboot     A word to a bootloader: getvar, flash, erase, reboot, oem ...
  profile      Models of devices that speak fastboot: list, check, probe
  snapshot     Emulated machines, kept as they were: create, restore, clone, list
  vm           Linux guests: run, list, exec, copy, console, stop
  quarantine   Give back a device that was set aside
  status       The farm itself
  stop         Stop it; what is unfinished is resumed by the next start
  store        Its memory: export, import, check, restore
Set-up:
  doctor       Why a device is not seen or not opened, and what to do
  sim          A simulated device, to try everything on
  init         Write a project's settings, or claim a board
  install      Install packages: what a project needs, by name, or from a file
  packages     What is installed: list, why, verify, gc
  config       Settings, and where each was said
  completions  Words for your shell to complete
  help         This, or the help of a verb";

const SHORT: &str = "\
farmhand VERB -h says more of a verb; farmhand --help has all flags and the exit codes.";

/// Owns the boards on your desk: builds, flashes, watches, and never does a destructive step twice.
#[derive(Debug, Parser)]
#[command(
    name = "farmhand",
    version,
    max_term_width = 100,
    help_template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{VERBS}\n\nOptions:\n{{options}}{{after-help}}"
    ),
    after_help = format!("{EXAMPLES}\n\n{SHORT}"),
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::TABLE)
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Lay [env.ENV] of the settings over the rest
    #[arg(short, long, global = true, hide_short_help = true, value_name = "ENV")]
    pub(crate) environment: Option<String>,
    /// Only the device on this port, such as /dev/ttyACM0 or 1-4.2
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(crate) port: Option<String>,
    /// Only this device, by its name; or, in its bootloader, its serial number, tcp:HOST or udp:HOST
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// The project's folder
    #[arg(short = 'd', long, global = true, hide_short_help = true, value_name = "DIR")]
    pub(crate) project_dir: Option<PathBuf>,
    /// Compilers at once
    #[arg(short, long, global = true, hide_short_help = true, value_name = "N")]
    pub(crate) jobs: Option<u32>,
    /// Answer a query as one JSON document
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) json: bool,
    /// Events as JSON on stdout, one a line, the result last
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT")]
    pub(crate) message_format: Option<MessageFormat>,
    /// Say what would be done, and do nothing
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) dry_run: bool,
    /// The farm's folder (FARMHAND_HOME)
    #[arg(long, global = true, hide_short_help = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Run the farm inside this command (the default where CI is set)
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) in_process: bool,
    /// No progress, only the answer
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(crate) quiet: bool,
    /// Say more: `build` shows the commands it runs
    #[arg(short, long, global = true, hide_short_help = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colours
    #[arg(
        long = "color",
        global = true,
        hide_short_help = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people
    Human,
    /// For machines
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR or CI says otherwise
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build, flash, watch, and give a verdict
    #[command(after_help = "\
Examples:
  farmhand run                          the project here
  farmhand run blink.hex --board arduino:avr:uno --expect 'blink 3'
  farmhand run -e release -t upload -t monitor

Ctrl-C before the handoff cancels; after it the session goes on, and `farmhand attach` comes back to it.")]
    Run {
        /// A project's folder, or a file that is built already
        path: Option<PathBuf>,
        /// As in other tools: upload, monitor
        #[arg(short, long, value_name = "TARGET")]
        target: Vec<Target>,
        #[command(flatten)]
        flags: Box<RunFlags>,
    },
    /// Compile; nothing to do takes no time, and no farm
    #[command(alias = "compile")]
    Build {
        /// A project's folder
        path: Option<PathBuf>,
        /// All environments of the project ([env.NAME])
        #[arg(long, conflicts_with_all = ["environment", "size", "timings", "explain_libs"])]
        all: bool,
        /// What takes the room: sections and the largest symbols
        #[arg(long)]
        size: bool,
        /// Write a page that shows when each action ran, and what the build waited for
        #[arg(long)]
        timings: bool,
        #[command(flatten)]
        flags: BuildFlags,
        /// Say which libraries are used, and why; compile nothing
        #[arg(long, conflicts_with_all = ["size", "timings"])]
        explain_libs: bool,
    },
    /// Build many sketches at once, what they share once
    #[command(after_help = "\
Examples:
  farmhand compile-many examples/ --board arduino:avr:uno
  farmhand compile-many 'libraries/*/examples' -j 4 --json
  farmhand compile-many --list sketches.txt

A folder is a project or a sketch, or all sketches below it are meant. The exit code is
that of the worst; 0 where all were built.")]
    CompileMany {
        /// Projects, sketches, folders of them, or patterns such as 'examples/*'
        #[arg(required_unless_present = "list", value_name = "FOLDER")]
        folders: Vec<PathBuf>,
        /// A file with more of them, one a line; - is stdin
        #[arg(long, value_name = "FILE")]
        list: Option<PathBuf>,
        #[command(flatten)]
        flags: BuildFlags,
    },
    /// Remove what builds left in a project
    #[command(after_help = "\
Examples:
  farmhand clean                        the project here
  farmhand clean examples/blink --dry-run
  farmhand clean -e release             one environment of it
  farmhand clean --cache --dry-run             how large the cache is
  farmhand clean --cache --keep-bytes 1GB      make room: what was used last stays

Objects are kept in the farm's cache too, and stay there: the next build takes them. The cache is collected by itself,
behind builds, when it is larger than cache.bytes (FARMHAND_CACHE_BYTES, or your config.toml; 5GB where nobody says).")]
    Clean {
        /// A project's folder
        path: Option<PathBuf>,
        /// The cache of objects, which all projects share: say how large it is, and collect what is too much
        #[arg(long, conflicts_with = "path")]
        cache: bool,
        /// Leave at most so much of the cache, such as 1GB
        #[arg(long, value_name = "SIZE", value_parser = farmhand::config::size, requires = "cache")]
        keep_bytes: Option<u64>,
        /// Behind a build: only where it is time to, and where nobody else is at it
        #[arg(long, hide = true, requires = "cache")]
        behind: bool,
    },
    /// Build, and put it on the board
    #[command(aliases = ["upload", "deploy", "load"])]
    Flash {
        /// A project's folder, or a file that is built already
        path: Option<PathBuf>,
        #[command(flatten)]
        flags: Box<RunFlags>,
    },
    /// Boot an image from memory, once; writes nothing
    #[command(after_help = "\
Examples:
  farmhand boot boot.img --device tcp:127.0.0.1:5554
  farmhand boot Image.gz --profile oneplus-fajita --ramdisk initrd --dtb a.dtb
  farmhand boot boot.img --expect login: --timeout 3m
  farmhand boot                         what [boot] of farmhand.toml says

It is never repeated: where a crash leaves open whether the image was booted,
the device is asked, and where it cannot say, you are. Without --expect it is
done when the bootloader says that it boots.")]
    Boot {
        /// A boot image, or a kernel; or a project's folder
        image: Option<PathBuf>,
        #[command(flatten)]
        flags: Box<BootFlags>,
    },
    /// A word to a bootloader, as in the tool of that name
    #[command(after_help = FASTBOOT)]
    Fastboot(Box<FastbootFlags>),
    /// Models of devices that speak fastboot
    Profile {
        #[command(subcommand)]
        what: ProfileVerb,
    },
    /// Why a device is not seen or not opened, and what to do
    #[command(after_help = "\
Examples:
  farmhand doctor                       ok, warn or fail, a line each
  sudo farmhand doctor --write-rules    who sits here may open phones")]
    Doctor {
        /// Write udev rules: to /etc/udev/rules.d where that may be, else here
        #[arg(long)]
        write_rules: bool,
        /// Look below this folder, in place of /
        #[arg(long, hide = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
    },
    /// A simulated device, to try everything on
    Sim {
        #[command(subcommand)]
        what: SimVerb,
    },
    /// Watch a board's console, and type into it; Ctrl-C or Ctrl-] leaves
    #[command(
        alias = "listen",
        after_help = "\
Examples:
  farmhand monitor                      the project's board, or the only one
  farmhand monitor uno-1 --from start   all that was recorded, and on as it comes
  echo status | farmhand monitor uno-1  ask, and watch the answer"
    )]
    Monitor {
        /// The device
        name: Option<DeviceName>,
        /// From where: now, epoch (since the last reset), start, or an offset in bytes
        #[arg(long, default_value = "now")]
        from: From,
        /// A time before each line
        #[arg(short, long)]
        timestamp: bool,
        /// Only watch
        #[arg(long)]
        no_input: bool,
        /// What the Enter key sends
        #[arg(long, default_value = "lf")]
        eol: Eol,
        /// Take over from another writer
        #[arg(long)]
        take: bool,
    },
    /// What is plugged in, and who has it
    #[command(after_help = "\
Examples:
  farmhand devices                      once
  farmhand devices --watch              as they come, change and go; Ctrl-C ends it
  farmhand devices --watch --json       the same for a program, a line each")]
    Devices {
        /// Go on, as they come, change and go
        #[arg(short, long)]
        watch: bool,
    },
    /// Sessions that are not finished, or that left a device set aside
    Sessions {
        /// The finished ones too
        #[arg(long)]
        all: bool,
    },
    /// Follow a session that runs
    Attach {
        /// Which; the newest that is not finished
        session: Option<SessionId>,
    },
    /// Take up what was left unfinished or unknown; alone, all of it
    Resume {
        /// Which
        session: Option<SessionId>,
        /// I have looked: it was handed off
        #[arg(long, requires = "session", conflicts_with = "not_booted")]
        booted: bool,
        /// I have looked: it was not
        #[arg(long, requires = "session")]
        not_booted: bool,
        /// Do not follow it
        #[arg(long)]
        detach: bool,
    },
    /// Cancel a session; what was handed off is still resolved
    Cancel {
        /// Which
        #[arg(required = true)]
        sessions: Vec<SessionId>,
    },
    /// What a board said, as it was recorded
    #[command(after_help = "\
Examples:
  farmhand logs s-3            what its board said
  farmhand logs uno-1 -f       all of a device's, and on as it comes")]
    Logs {
        /// A session or a device; the newest session
        of: Option<String>,
        /// Go on as it comes
        #[arg(short, long)]
        follow: bool,
        /// A time before each line
        #[arg(short, long)]
        timestamp: bool,
    },
    /// The farm itself
    Status,
    /// Install packages: what a project needs, by name, or from a file
    #[command(after_help = "\
Examples:
  farmhand install                      what the board needs, and [package.*] of farmhand.toml
  farmhand install --locked             the same, exactly as farmhand.lock says
  farmhand install avr-gcc ./tools.tar.xz
  farmhand install --offline-bundle kit.tar    packs all of it; from it, where it is there
  farmhand install --all --offline-bundle kit.tar    of all environments, for a machine with no network")]
    Install {
        /// Names, or paths of files; none: what the board needs, and what the project declares
        packages: Vec<String>,
        /// Pack all that the project needs into a new file; or install it from one that is there, with no network
        #[arg(long, value_name = "FILE", conflicts_with = "packages")]
        offline_bundle: Option<PathBuf>,
        /// For each environment of the project ([env.NAME])
        #[arg(long, conflicts_with_all = ["environment", "packages"])]
        all: bool,
        #[command(flatten)]
        flags: BuildFlags,
    },
    /// Installed packages: what there is, why, whether it is whole, and what may go
    Packages {
        #[command(subcommand)]
        what: PackagesVerb,
    },
    /// Write a project's settings, or claim a board
    #[command(after_help = "\
Examples:
  farmhand init                      settings for the project here
  farmhand init --add 1-4.3          own the board on this port (`farmhand devices` lists them)")]
    Init {
        /// The project's folder
        path: Option<PathBuf>,
        /// The board
        #[arg(long)]
        board: Option<String>,
        /// Write over settings that are there
        #[arg(long)]
        force: bool,
        /// Add the device on this port to the farm's own (farm.toml)
        #[arg(long, value_name = "PORT")]
        add: Option<String>,
        /// What to call it
        #[arg(long, requires = "add")]
        name: Option<DeviceName>,
    },
    /// Settings
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Emulated machines, kept as they were
    #[command(after_help = "\
Examples:
  farmhand run examples/riscv-virt   runs on an emulated machine, which stays
  farmhand snapshot create ready     saves it as it is
  farmhand snapshot restore ready    makes it what it was")]
    Snapshot {
        #[command(subcommand)]
        what: SnapshotVerb,
    },
    /// Linux guests: booted, told what to do, ended
    #[command(after_help = "\
Examples:
  farmhand vm run                    boots a Linux guest
  farmhand vm exec vm -- uname -a    runs a command in it
  farmhand vm copy test.sh vm:/tmp/  copies a file into it
  farmhand snapshot create ready --device vm
  farmhand vm stop vm")]
    Vm {
        #[command(subcommand)]
        what: VmVerb,
    },
    /// Give back a device that was set aside
    Quarantine {
        /// The device
        name: DeviceName,
        /// I have looked: it is well
        #[arg(long, required = true)]
        lift: bool,
    },
    /// Words for your shell to complete
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The farm's memory, while no farm runs
    Store {
        #[command(subcommand)]
        what: StoreVerb,
    },
    /// Stop the farm; what is unfinished is resumed by the next start
    Stop {
        /// Wait this long for sessions to end
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
        drain: Duration,
    },
    /// Speak frames on stdin and stdout, for a front end on another machine
    #[command(hide = true)]
    Stdio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    Upload,
    Monitor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eol {
    Lf,
    Cr,
    Crlf,
}

/// From where a console is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Now,
    Epoch,
    Start,
    Offset(u64),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "epoch" => Ok(Self::Epoch),
            "start" => Ok(Self::Start),
            _ => {
                text.parse().map(Self::Offset).map_err(|_| "now, epoch, start, or an offset in bytes".into())
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// What is set
    Show {
        /// And where: file, line and column, variable, flag
        #[arg(long)]
        origin: bool,
        /// What could be set, too
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Write all records to a file
    Export {
        /// The file; it must not be there
        file: PathBuf,
    },
    /// Make an empty store of an exported file
    Import {
        /// The file
        file: PathBuf,
    },
    /// Read everything, and say what is wrong
    Check,
    /// Keep a store that does not open aside, and build one of what can still be read
    Restore,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_first_page_names_each_verb_and_no_other() {
        let named: Vec<_> = VERBS
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
            .filter(|verb| *verb != "help")
            .collect();
        let command = Cli::command();
        let mut there: Vec<_> = command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .map(|verb| verb.get_name())
            .collect();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        there.sort_unstable();
        assert_eq!(sorted, there);
    }
}
