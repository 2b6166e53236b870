//! Debian's archive as an ordinary user: apt with a state of our own, and the machine's own sources.
//!
//! apt checks what it fetches against the signed index; we check again, against the same index, as we read the file.

mod closure;
mod parse;
mod words;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_runtime::{Ended, Helper, replace_file};
use tokio::process::Command;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) use parse::{Indexed, Sha256};
use words::{Cause, cause, complaints};

use crate::InstallError;
use crate::catalogue::Description;
use crate::config::Config;
use crate::lock::{Hold, Lock};

/// An index older than this is fetched again before it is asked. Archives publish a few times a day.
const INDEX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// For one question to apt's index: it takes half a second.
const ASK_DEADLINE: Duration = Duration::from_secs(120);
/// For one run of apt that fetches; within it, [`QUIET_MAX`] rules.
const FETCH_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Nothing arrives for so long: the line is dead, whatever apt still hopes for.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// Between two looks at how much arrived.
const LOOK: Duration = Duration::from_millis(100);
/// How long apt waits for a server, in seconds; it tries a mute one twice by itself.
const SERVER_TIMEOUT_S: u32 = 10;

/// What the machine would have apt do after an update concerns the machine's own state, not ours.
const NO_HOOKS: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
";

/// One archive to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    /// What the signed index says of it.
    pub(crate) indexed: Indexed,
    /// Its file's name, as apt calls it.
    pub(crate) file: String,
}

/// What a fetch came to.
pub(crate) enum Fetched {
    /// All of it is there.
    All,
    /// The archive has other versions by now: the index is to be fetched again.
    Gone(InstallError),
}

/// What asking for a closure came to.
pub(crate) enum Resolved {
    /// The archives, in apt's order.
    All(Vec<Archive>),
    /// The index does not name one of the roots.
    NotThere(Vec<String>),
}

/// apt, for one package.
pub(crate) struct Apt<'a> {
    package: &'a str,
    folder: PathBuf,
    get: PathBuf,
    cache: PathBuf,
    sources: Option<&'a Path>,
}

impl<'a> Apt<'a> {
    /// With its state below `packages`.
    pub(crate) fn new(
        packages: &Path,
        description: &'a Description,
        config: &'a Config,
    ) -> Result<Self, InstallError> {
        let package = description.name;
        let programs = || description.programs.iter().map(|&program| program.to_owned()).collect();
        let find = |client| config.find(client, package, programs);
        let get = find("apt-get")?;
        let cache = find("apt-cache")?;
        find("dpkg-deb")?;
        let apt = Self {
            package,
            folder: packages.join(".apt"),
            get,
            cache,
            sources: config.apt_sources.as_deref(),
        };
        for folder in ["lists/partial", "archives/partial", "log"] {
            let folder = apt.folder.join(folder);
            fs::create_dir_all(&folder).map_err(|error| InstallError::io("make", &folder, error))?;
        }
        Ok(apt)
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("updated")
    }

    /// Whether the index was fetched since `than`, or within a day.
    pub(crate) fn is_fresh(&self, than: Option<SystemTime>) -> bool {
        let updated = fs::metadata(self.stamp()).and_then(|there| there.modified()).ok();
        updated.is_some_and(|updated| match than {
            Some(than) => updated >= than,
            None => SystemTime::now().duration_since(updated).is_ok_and(|age| age < INDEX_AGE_MAX),
        })
    }

    /// Fetches the index, if it is older than a day, or than `than`. Gives apt's complaints where that failed: an
    /// older index may still do.
    pub(crate) async fn refresh(&self, than: Option<SystemTime>) -> Result<Vec<String>, InstallError> {
        if self.is_fresh(than) {
            return Ok(Vec::new());
        }
        let _lock = self.lock(Hold::Alone).await?;
        if self.is_fresh(than) {
            return Ok(Vec::new());
        }
        let lists = self.folder.join("lists");
        let mut command = self.command(&self.get, &self.folder.join("archives"))?;
        // A mute server is met on each of an index's files: one try of each is long enough.
        command.args(["-o", "Acquire::Retries=0", "update"]);
        let ended = self.watched(command, &lists, |_| {}).await?;
        let words = words_of(&ended);
        let failed = !ended.status.success() || words.contains("Failed to fetch");
        if !failed {
            let stamp = self.stamp();
            let write = replace_file(&stamp, b"");
            write.map_err(|error| InstallError::io("write", &stamp, error))?;
            return Ok(Vec::new());
        }
        match cause(&words) {
            Cause::Full => Err(InstallError::DiskFull { path: lists }),
            _ => Ok(complaints(&words)),
        }
    }

    /// What is to be fetched.
    pub(crate) async fn resolve(&self, description: &Description) -> Result<Resolved, InstallError> {
        let _lock = self.lock(Hold::Shared).await?;
        // apt leaves out what lies in its archives already: there is nothing in this folder, ever.
        let archives = self.folder.join("archives");
        let mut command = self.command(&self.get, &archives)?;
        command.args(["install", "--print-uris", "--no-install-recommends", "--yes"]).args(description.roots);
        let ended = self.ask(command).await?;
        if !ended.status.success() {
            let words = words_of(&ended);
            return match cause(&words) {
                Cause::NotThere => Ok(Resolved::NotThere(complaints(&words))),
                Cause::Full => Err(InstallError::DiskFull { path: self.folder.clone() }),
                _ => Err(self.failed(&words)),
            };
        }
        let printed = parse::printed_uris(&String::from_utf8_lossy(&ended.stdout))
            .map_err(|line| self.gibberish("apt-get", line))?;

        let mut command = self.command(&self.cache, &archives)?;
        command.args(["show", "--no-all-versions"]);
        command.args(printed.iter().map(|archive| format!("{}={}", archive.name, archive.version)));
        let ended = self.ask(command).await?;
        if !ended.status.success() {
            return Err(self.failed(&words_of(&ended)));
        }
        let indexed = parse::indexed(&String::from_utf8_lossy(&ended.stdout))
            .map_err(|line| self.gibberish("apt-cache", line))?;

        let mut taken = Vec::new();
        for package in closure::taken(&indexed, description.roots, description.without) {
            let same = |archive: &&parse::Printed| {
                (&archive.name, &archive.version, &archive.architecture)
                    == (&package.name, &package.version, &package.architecture)
            };
            let Some(archive) = printed.iter().find(same) else { continue };
            if archive.bytes != package.bytes {
                return Err(self.gibberish("apt-cache", format!("{} has two sizes", archive.file)));
            }
            taken.push(Archive { file: archive.file.clone(), indexed: package });
        }
        for root in description.roots {
            if !taken.iter().any(|archive| archive.indexed.name == *root) {
                return Err(self.gibberish("apt-get", format!("{root} is not in its own closure")));
            }
        }
        Ok(Resolved::All(taken))
    }

    /// Fetches archives into `into`, going on from what lies there.
    pub(crate) async fn fetch(
        &self,
        archives: &[Archive],
        into: &Path,
        progress: impl FnMut(u64),
    ) -> Result<Fetched, InstallError> {
        let partial = into.join("partial");
        fs::create_dir_all(&partial).map_err(|error| InstallError::io("make", &partial, error))?;
        let mut command = self.command(&self.get, into)?;
        command.arg("download").current_dir(into);
        command.args(
            archives.iter().map(|archive| format!("{}={}", archive.indexed.name, archive.indexed.version)),
        );
        let ended = self.watched(command, into, progress).await?;
        if ended.status.success() {
            return Ok(Fetched::All);
        }
        let words = words_of(&ended);
        match cause(&words) {
            Cause::Full => Err(InstallError::DiskFull { path: into.to_owned() }),
            Cause::Gone | Cause::NotThere => Ok(Fetched::Gone(self.failed(&words))),
            Cause::Offline => {
                Err(InstallError::Offline { package: self.package.into(), detail: complaints(&words) })
            }
            Cause::Other => Err(self.failed(&words)),
        }
    }

    fn gibberish(&self, client: &str, line: String) -> InstallError {
        InstallError::Gibberish { package: self.package.into(), client: client.into(), line }
    }

    fn failed(&self, words: &str) -> InstallError {
        InstallError::Client {
            package: self.package.into(),
            client: "apt-get".into(),
            detail: complaints(words),
        }
    }

    async fn lock(&self, hold: Hold) -> Result<Lock, InstallError> {
        let path = self.folder.join("lock");
        Lock::take(path.clone(), hold, || {}).await.map_err(|error| InstallError::io("lock", &path, error))
    }

    /// A program of apt's, with a state of our own. `archives` is its cache of what it fetched.
    fn command(&self, program: &Path, archives: &Path) -> Result<Command, InstallError> {
        let hooks = self.folder.join("apt.conf");
        if fs::read(&hooks).ok().as_deref() != Some(NO_HOOKS.as_bytes()) {
            replace_file(&hooks, NO_HOOKS.as_bytes())
                .map_err(|error| InstallError::io("write", &hooks, error))?;
        }
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").arg("-c").arg(&hooks);
        let mut folder = |name: &str, path: &Path| {
            let mut option = OsString::from(format!("{name}="));
            option.push(path);
            command.arg("-o").arg(option);
        };
        folder("Dir::State", &self.folder);
        folder("Dir::State::Lists", &self.folder.join("lists"));
        folder("Dir::Cache", &self.folder);
        folder("Dir::Cache::archives", archives);
        folder("Dir::Log", &self.folder.join("log"));
        if let Some(sources) = self.sources {
            folder("Dir::Etc::sourcelist", sources);
            folder("Dir::Etc::sourceparts", Path::new("/dev/null"));
        }
        for option in [
            // Nothing is installed: the closure is whole, whatever this machine has.
            "Dir::State::status=/dev/null".to_owned(),
            "Dir::Cache::pkgcache=pkgcache.bin".to_owned(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".to_owned(),
            // Where we are root, apt would fetch as a user who cannot write to our folders, and warn.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Retries=1".to_owned(),
            format!("Acquire::http::Timeout={SERVER_TIMEOUT_S}"),
            format!("Acquire::https::Timeout={SERVER_TIMEOUT_S}"),
            // The index of packages is all that is asked: it is a third of what an update fetches.
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false".to_owned(),
            // Our own lock is held across processes; apt's would fail at once where another asks too.
            "Debug::NoLocking=true".to_owned(),
            "quiet=1".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        Ok(command)
    }

    async fn ask(&self, command: Command) -> Result<Ended, InstallError> {
        Helper::run(command, ASK_DEADLINE).await.map_err(|source| self.helper(source))
    }

    fn helper(&self, source: farmhand_runtime::HelperError) -> InstallError {
        InstallError::Helper { package: self.package.into(), source }
    }

    /// Runs apt to its end, and gives up where nothing more arrives in `folder`.
    async fn watched(
        &self,
        command: Command,
        folder: &Path,
        mut arrived: impl FnMut(u64),
    ) -> Result<Ended, InstallError> {
        let run = Helper::run(command, FETCH_DEADLINE);
        tokio::pin!(run);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut bytes, mut since) = (0, Instant::now());
        loop {
            tokio::select! {
                ended = &mut run => return ended.map_err(|source| self.helper(source)),
                _ = look.tick() => {
                    let now = bytes_in(folder) + bytes_in(&folder.join("partial"));
                    if now != bytes {
                        (bytes, since) = (now, Instant::now());
                        arrived(bytes);
                    } else if since.elapsed() >= QUIET_MAX {
                        return Err(InstallError::Stalled { package: self.package.into(), quiet: QUIET_MAX });
                    }
                }
            }
        }
    }
}

fn words_of(ended: &Ended) -> String {
    let mut words = String::from_utf8_lossy(&ended.stderr).into_owned();
    // `Err:` lines are on standard output.
    for line in String::from_utf8_lossy(&ended.stdout).lines().filter(|line| line.starts_with("Err:")) {
        words.push_str(line);
        words.push('\n');
    }
    words
}

/// Bytes of the files right in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// The complaints of a client, for an error.
pub(crate) fn complaints_of(stderr: &[u8]) -> Vec<String> {
    complaints(&String::from_utf8_lossy(stderr))
}
