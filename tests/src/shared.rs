//! What all tests share, made once: the toolchain, the images, the board program.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use farmhand::FarmConfig;
use farmhand_api::Verdict;
use farmhand_installer::{Installed, PackageWish};
use rustix::fs::{FlockOperation, flock};

use crate::binaries::profile_folder;
use crate::client::{follow, submit};
use crate::home::Home;
use crate::in_process::InProcess;
use crate::jobs::repeatable;
use crate::trees::copy_tree;

/// The pages that an image fills besides its code: enough that to write it takes several commands.
const PAGES: u32 = 3;

/// A program for the Uno that says its word and counts.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it says.
    pub word: &'static str,
    /// An ELF.
    pub path: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) packages: PathBuf,
    pub(crate) objects: PathBuf,
    alpha: Image,
    beta: Image,
}

/// An image.
#[must_use]
pub fn alpha() -> &'static Image {
    &made().0.alpha
}

/// Another.
#[must_use]
pub fn beta() -> &'static Image {
    &made().0.beta
}

/// Packages and images; the board program too, which takes a farm.
pub(crate) fn shared() -> &'static Shared {
    let (shared, folder) = made();
    static WARM: OnceLock<()> = OnceLock::new();
    WARM.get_or_init(|| aside(|| warm(shared, folder)));
    shared
}

fn made() -> &'static (Shared, PathBuf) {
    static MADE: OnceLock<(Shared, PathBuf)> = OnceLock::new();
    MADE.get_or_init(|| aside(make))
}

/// Runs in a thread of its own, which may block on a runtime of its own.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// One at a time, also across processes.
fn hold(folder: &Path, how: FlockOperation) -> File {
    let lock = File::options().create(true).append(true).open(folder.join("lock")).unwrap();
    flock(&lock, how).unwrap();
    lock
}

impl Shared {
    /// Puts all of it into a fresh folder.
    pub(crate) fn put_into(&self, home: &Path) {
        std::os::unix::fs::symlink(&self.packages, home.join("packages")).unwrap();
        if self.objects.exists() {
            copy_tree(&self.objects, &home.join("objects")).unwrap();
        }
    }

    /// Nobody replaces it while this lives.
    pub(crate) fn hold(&self) -> File {
        hold(&made().1, FlockOperation::LockShared)
    }
}

fn make() -> (Shared, PathBuf) {
    let folder = profile_folder().join("farmhand-tests");
    fs::create_dir_all(&folder).unwrap();
    let _one_at_a_time = hold(&folder, FlockOperation::LockExclusive);
    let packages = folder.join("packages");
    let install = |name: &str| {
        let wish = PackageWish::Named(name.into());
        let installed = block_on(farmhand_installer::install(&packages, &wish, |_| ()));
        installed.unwrap_or_else(|error| panic!("install {name}: {error}"))
    };
    let gcc = install("avr-gcc");
    install("arduino-avr");
    install("simavr");
    let image = |word| Image { word, path: compile(&gcc, &folder, word) };
    let (alpha, beta) = (image("alpha"), image("beta"));
    (Shared { packages, objects: folder.join("objects"), alpha, beta }, folder)
}

/// Compiles the fixture with the installed compiler, as it is: what is under test here is not the compiler pool.
fn compile(gcc: &Installed, folder: &Path, word: &'static str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tick.c");
    let made = folder.join(format!("{word}.{}.elf", std::process::id()));
    let mut command = Command::new(gcc.prefix.join("usr/bin/avr-gcc"));
    command.args(["-mmcu=atmega328p", "-DF_CPU=16000000UL", "-Os", "-Wall", "-Werror"]);
    command.arg(format!("-DWORD=\"{word}\"")).arg(format!("-DPAGES={PAGES}"));
    command.arg(&source).arg("-o").arg(&made).envs(&gcc.environment);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let path = folder.join(format!("{word}.elf"));
    fs::rename(&made, &path).unwrap();
    path
}

/// A first session has the board program built; its objects are then everybody's. Where they are there already, this
/// shows that they are still the right ones, and changes nothing.
fn warm(shared: &Shared, folder: &Path) {
    let _one_at_a_time = hold(folder, FlockOperation::LockExclusive);
    let home = Home::with(shared);
    let before = names(&home.paths().objects());
    block_on(async {
        let farm = InProcess::start(FarmConfig::new(home.path())).await;
        let client = farm.client().await;
        let id = submit(&client, "warm", &repeatable(&shared.alpha, None)).await.unwrap();
        let ended = follow(&client, id).await.unwrap();
        assert_eq!(ended.view.verdict, Some(Verdict::Passed), "the first session: {:?}", ended.view.problem);
        farm.stop().await;
    });
    if names(&home.paths().objects()) == before {
        return;
    }
    let fresh = folder.join("objects.new");
    let _there_was_none = fs::remove_dir_all(&fresh);
    copy_tree(&home.paths().objects(), &fresh).unwrap();
    let _there_was_none = fs::remove_dir_all(&shared.objects);
    fs::rename(&fresh, &shared.objects).unwrap();
}

/// All files below a folder.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { names(&path) } else { BTreeSet::from([path]) }).collect()
}
