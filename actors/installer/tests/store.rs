//! The store of packages: a project's lock, leases, collection, and what is damaged or half there.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::{
    Config, InstallError, Installed, Keep, LOCK_FILE, Lease, LockMode, PackageKind, PackageOrigin,
    PackageSpec, PackageWish, Packages, Verdict,
};
use sha2::{Digest, Sha256};
use support::names_in;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

struct Desk {
    home: TempDir,
    packages: Packages,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("project")).unwrap();
        let packages = Packages::with_config(home.path().join("packages"), Config::default());
        Self { home, packages }
    }

    fn project(&self) -> PathBuf {
        self.home.path().join("project")
    }

    /// A folder with a file of that content, as a package.
    fn spec(&self, name: &str, content: &str) -> PackageSpec {
        let path = self.home.path().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), content).unwrap();
        PackageSpec {
            name: name.into(),
            version: None,
            kind: PackageKind::Toolchain,
            origin: PackageOrigin::Path { path: path.display().to_string(), sha256: None },
            strip: false,
            offers: [format!("cc:{name}")].into(),
            environment: Default::default(),
            needed_as: None,
            locked: None,
        }
    }

    async fn install(&self, specs: &[PackageSpec], mode: LockMode) -> Result<Vec<Installed>, InstallError> {
        self.packages.install_project(&self.project(), specs, &[], mode, |_| {}).await
    }

    async fn one(&self, name: &str, content: &str) -> Installed {
        let wish = PackageWish::Declared(Box::new(self.spec(name, content)));
        self.packages.install(&wish, |_| {}).await.unwrap()
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.project().join(LOCK_FILE)).unwrap()
    }

    fn there(&self) -> Vec<String> {
        self.packages.stored().into_iter().map(|stored| stored.installed.name).collect()
    }
}

/// As if it had been used that long ago.
fn age(installed: &Installed, ago: Duration) {
    let name = installed.prefix.file_name().unwrap().to_str().unwrap();
    let folder = installed.prefix.parent().unwrap();
    let then = SystemTime::now() - ago;
    fs::File::options()
        .append(true)
        .open(folder.parent().unwrap().join(format!(".leases/{}@{name}", installed.name)))
        .unwrap()
        .set_modified(then)
        .unwrap();
    let record = folder.join(format!("{name}.complete"));
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let ms = then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    json["installed_unix_ms"] = u64::try_from(ms).unwrap().into();
    fs::write(&record, json.to_string()).unwrap();
}

#[tokio::test]
async fn a_lock_pins_what_was_resolved() {
    let desk = Desk::new();
    let (one, two) = (desk.spec("one", "1"), desk.spec("two", "2"));
    let error = desk.install(std::slice::from_ref(&one), LockMode::Locked).await.unwrap_err();
    let problem = Problem::from(&error);
    assert_eq!((problem.class, &*problem.code), (ProblemClass::Configuration, "F526"), "{error}");
    assert!(!desk.project().join(LOCK_FILE).exists() && desk.there().is_empty());

    let installed = desk.install(&[two.clone(), one.clone()], LockMode::Follow).await.unwrap();
    assert_eq!(installed.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["one", "two"]);
    let lock = desk.lock();
    assert!(lock.contains("name = \"one\"") && lock.find("one") < lock.find("two"), "{lock}");
    // The same again changes nothing, locked or not.
    for mode in [LockMode::Locked, LockMode::Follow] {
        let again = desk.install(&[one.clone(), two.clone()], mode).await.unwrap();
        assert!(again.iter().all(|one| one.already));
        assert_eq!(desk.lock(), lock);
    }
    // What is there now is not what was locked: nobody takes it for that, and the lock stays.
    desk.spec("one", "another");
    let error = desk.install(&[one.clone(), two.clone()], LockMode::Locked).await.unwrap_err();
    assert!(matches!(&error, InstallError::NotAsLocked { name, .. } if name == "one"), "{error:?}");
    assert_eq!((error.class(), desk.lock() == lock), (ProblemClass::Package, true));
    // It is a folder that is worked in: without that, the lock follows it.
    desk.install(&[one.clone(), two.clone()], LockMode::Follow).await.unwrap();
    assert_ne!(desk.lock(), lock);
    desk.spec("one", "1");
    desk.install(&[one.clone(), two.clone()], LockMode::Follow).await.unwrap();
    assert_eq!(desk.lock(), lock);
    // Declared otherwise, or not at all: that is a change.
    let moved = PackageSpec { strip: true, ..one.clone() };
    for specs in [&[moved.clone(), two.clone()][..], std::slice::from_ref(&two)] {
        let error = desk.install(specs, LockMode::Locked).await.unwrap_err();
        assert!(matches!(&error, InstallError::LockChanges { name, .. } if name == "one"), "{error:?}");
        assert_eq!(desk.lock(), lock);
    }
    desk.install(std::slice::from_ref(&two), LockMode::Follow).await.unwrap();
    assert!(!desk.lock().contains("\"one\""));
    desk.install(&[one, two], LockMode::Follow).await.unwrap();
    assert!(desk.lock().contains("\"one\""));
}

#[tokio::test]
async fn a_lock_that_is_none() {
    let desk = Desk::new();
    let one = desk.spec("one", "1");
    let path = desk.project().join(LOCK_FILE);
    let merged = "version = 1\n<<<<<<< ours\n=======\n>>>>>>> theirs\n";
    for (text, line, says) in [
        ("version = 1\n[[package]]\nname = 7\n", Some(3), "string"),
        ("version = 2\n", None, "version 2"),
        ("x", Some(1), ""),
        (merged, Some(2), "merge"),
    ] {
        fs::write(&path, text).unwrap();
        let problem =
            Problem::from(&desk.install(std::slice::from_ref(&one), LockMode::Follow).await.unwrap_err());
        assert_eq!((problem.class, &*problem.code), (ProblemClass::Configuration, "F525"), "{problem:?}");
        assert!(problem.message.contains(says), "{problem:?}");
        assert_eq!(problem.place.map(|place| place.line), line, "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn the_store_knows_what_is_in_it() {
    let desk = Desk::new();
    let one = desk.spec("one", "12345");
    let installed = desk.install(std::slice::from_ref(&one), LockMode::Follow).await.unwrap().remove(0);
    let [stored] = &desk.packages.stored()[..] else { panic!("one package") };
    assert_eq!(
        (stored.bytes, stored.kind.as_deref(), &stored.offers[..]),
        (5, Some("toolchain"), &["cc:one".to_owned()][..])
    );
    assert_eq!(stored.projects, [desk.project()]);
    assert!(stored.users.is_empty());
    let lease = Lease::take(&installed).unwrap().unwrap();
    assert_eq!(desk.packages.stored()[0].users, [std::process::id()]);
    drop(lease);
    fs::remove_dir_all(desk.project()).unwrap();
    assert!(desk.packages.stored()[0].projects.is_empty());
}

#[tokio::test]
async fn what_was_damaged_is_found_and_installed_again() {
    let desk = Desk::new();
    let installed = desk.one("one", "12345").await;
    let verdict = || desk.packages.verify(&desk.packages.stored()[0]).unwrap();
    assert_eq!(verdict(), Verdict::Whole);
    let file = installed.prefix.join("file");
    for damage in ["12346", "1234", ""] {
        fs::write(&file, damage).unwrap();
        assert_eq!(verdict(), Verdict::Damaged, "{damage}");
    }
    fs::write(&file, "12345").unwrap();
    fs::write(installed.prefix.join("more"), "").unwrap();
    assert_eq!(verdict(), Verdict::Damaged);
    // Not while it is used.
    let lease = Lease::take(&installed).unwrap();
    assert!(!desk.packages.discard(&desk.packages.stored()[0]).unwrap());
    drop(lease);
    assert!(desk.packages.discard(&desk.packages.stored()[0]).unwrap());
    assert!(!installed.prefix.exists() && desk.there().is_empty());
    assert!(!desk.one("one", "12345").await.already);
    assert_eq!(verdict(), Verdict::Whole);
}

/// What an installed file's mode never is, and what no package holds; the rest of a mode is the machine's.
#[tokio::test]
async fn modes_and_kinds_that_nothing_installed_has() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::new();
    let installed = desk.one("one", "12345").await;
    let verdict = || desk.packages.verify(&desk.packages.stored()[0]).unwrap();
    let file = installed.prefix.join("file");
    let said = fs::metadata(&file).unwrap().permissions();
    for mode in [0o666, 0o664, 0o646, 0o4644, 0o2644] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(verdict(), Verdict::Damaged, "{mode:o}");
        assert!(
            desk.packages.pack(std::slice::from_ref(&installed), &desk.home.path().join("bundle")).is_err()
        );
    }
    for mode in [0o600, 0o640, 0o444] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(verdict(), Verdict::Whole, "{mode:o}");
    }
    fs::set_permissions(&file, said).unwrap();
    // One that nobody writes to would be read for ever.
    let pipe = installed.prefix.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(verdict(), Verdict::Damaged);
    fs::remove_file(&pipe).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&pipe).unwrap();
    assert_eq!(verdict(), Verdict::Damaged);
    fs::remove_file(&pipe).unwrap();
    assert_eq!(verdict(), Verdict::Whole);
    // In the place of a file of the package.
    fs::rename(&file, desk.home.path().join("aside")).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert_eq!(verdict(), Verdict::Damaged);
}

#[tokio::test]
async fn what_was_not_used_is_collected() {
    let desk = Desk::new();
    for (name, hours) in [("a", 3), ("b", 2), ("c", 1)] {
        age(&desk.one(name, "12345").await, HOUR * hours);
    }
    desk.one("d", "12345").await;
    let names = |gone: Vec<farmhand_installer::Stored>| -> Vec<_> {
        gone.into_iter().map(|stored| stored.installed.name).collect()
    };
    let collect = |keep, dry_run| names(desk.packages.collect(keep, dry_run).unwrap());
    assert!(collect(Keep::default(), false).is_empty());
    let old = Keep { older_than: Some(HOUR * 5 / 2), bytes: None };
    assert_eq!(collect(old, true), ["a"]);
    assert_eq!(desk.there(), ["a", "b", "c", "d"]);
    assert_eq!(collect(old, false), ["a"]);
    assert_eq!(desk.there(), ["b", "c", "d"]);
    assert_eq!(collect(Keep { older_than: None, bytes: Some(10) }, false), ["b"]);
    // What was used just now stays, whatever the bound.
    assert_eq!(collect(Keep { older_than: Some(Duration::ZERO), bytes: Some(0) }, false), ["c"]);
    assert_eq!(desk.there(), ["d"]);
    // Asking for it uses it.
    let again = desk.one("a", "12345").await;
    age(&again, HOUR);
    assert!(desk.one("a", "12345").await.already);
    assert!(collect(Keep { older_than: Some(HOUR / 2), bytes: None }, false).is_empty());
}

/// What a download that ended in the middle left is collected like a package: by its age, for its bytes, and not while
/// somebody installs that package.
#[tokio::test]
async fn what_was_fetched_in_vain_is_collected() {
    let desk = Desk::new();
    age(&desk.one("a", "12345").await, HOUR * 2);
    let shelf = desk.home.path().join("packages/tool");
    let left = |ago: Duration| {
        fs::create_dir_all(shelf.join(".fetched/more")).unwrap();
        for name in [".fetched/one.part", ".fetched/more/two"] {
            fs::write(shelf.join(name), "12345").unwrap();
            let file = fs::File::options().append(true).open(shelf.join(name)).unwrap();
            file.set_modified(SystemTime::now() - ago).unwrap();
        }
    };
    let collect = |keep, dry_run| -> Vec<_> {
        let gone = desk.packages.collect(keep, dry_run).unwrap();
        gone.into_iter().map(|one| (one.installed.name, one.bytes)).collect()
    };
    let old = Keep { older_than: Some(HOUR * 5 / 2), bytes: None };
    let few = |bytes| Keep { older_than: None, bytes: Some(bytes) };
    let tool = || [("tool".to_owned(), 10)];
    left(HOUR * 3);
    assert_eq!(desk.there(), ["a"]);
    assert_eq!(collect(Keep::default(), false), []);
    assert_eq!(collect(few(15), false), []);
    for keep in [old, few(14), few(5)] {
        assert_eq!(collect(keep, true), tool());
        assert!(shelf.join(".fetched/one.part").exists());
    }
    let held = fs::File::create(shelf.join(".lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for dry_run in [true, false] {
        assert_eq!(collect(old, dry_run), []);
    }
    drop(held);
    assert_eq!(collect(old, false), tool());
    assert_eq!(names_in(&shelf), [".lock"]);
    assert_eq!(collect(old, false), []);
    // The one used last stays.
    left(HOUR);
    assert_eq!(collect(few(10), false), [("a".to_owned(), 5)]);
    assert_eq!(collect(few(9), false), tool());
    // One that ended just now is about to be taken up again.
    left(Duration::ZERO);
    assert_eq!(collect(few(0), false), []);
}

const CHILD: &str = "FARMHAND_TEST_LEASE";

/// Run in a process of its own: uses a package until it is killed.
#[test]
fn child() {
    let Some(home) = std::env::var_os(CHILD) else { return };
    let packages = Packages::with_config(Path::new(&home), Config::default());
    let _lease = Lease::take(&packages.list()[0]).unwrap().unwrap();
    println!("uses it");
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn what_another_process_uses_stays_until_it_ends() {
    let desk = Desk::new();
    let installed = desk.one("one", "12345").await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, desk.home.path().join("packages"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("uses it")).unwrap();
    age(&installed, HOUR);
    let all = Keep { older_than: Some(Duration::ZERO), bytes: Some(0) };
    assert_eq!(desk.packages.stored()[0].users, [child.id()]);
    assert!(desk.packages.collect(all, false).unwrap().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(desk.packages.collect(all, false).unwrap().len(), 1);
    assert!(!installed.prefix.exists());
}

#[tokio::test]
async fn what_is_half_there_is_reconciled() {
    let desk = Desk::new();
    let one = desk.one("one", "1").await;
    let two = desk.one("two", "2").await;
    let shelf = |installed: &Installed| installed.prefix.parent().unwrap().to_owned();
    // A record without its folder, a folder without its record, staging, and a half-written record.
    fs::remove_dir_all(&one.prefix).unwrap();
    fs::create_dir(shelf(&two).join("9-999999999999")).unwrap();
    fs::create_dir(shelf(&two).join(".staging-dead")).unwrap();
    fs::write(shelf(&two).join("9-888888888888.complete.7.new"), "{").unwrap();
    desk.packages.reconcile().unwrap();
    let plain = |folder: &Path| {
        names_in(folder).into_iter().filter(|name| !name.starts_with(".lock")).collect::<Vec<_>>()
    };
    assert_eq!(plain(&shelf(&one)), [""; 0]);
    let name = two.prefix.file_name().unwrap().to_str().unwrap();
    assert_eq!(plain(&shelf(&two)), [name.to_owned(), format!("{name}.complete")]);
    assert_eq!(desk.there(), ["two"]);
}

const FEW: &str = "FARMHAND_TEST_FEW_FILES";

/// Run by [`what_is_deep_is_removed`] in a process that may hold few files open.
#[test]
fn child_with_few_files() {
    let Some(home) = std::env::var_os(FEW) else { return };
    let packages = Packages::with_config(Path::new(&home), Config::default());
    println!("swept {:?}", packages.reconcile());
    println!("discarded {:?}", packages.discard(&packages.stored()[0]));
}

/// Folders in folders beyond what a process may hold open, and beyond what a path may name.
#[tokio::test]
async fn what_is_deep_is_removed() {
    let desk = Desk::new();
    let one = desk.one("one", "1").await;
    let shelf = one.prefix.parent().unwrap();
    let deep = |folder: &Path| {
        let deep = folder.join("a/".repeat(1500));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f"), "").unwrap();
        deep
    };
    let bottom = deep(&shelf.join(".staging-dead"));
    deep(&shelf.join("moved"));
    std::os::unix::fs::symlink(desk.home.path(), shelf.join("moved/leads-out")).unwrap();
    fs::create_dir(shelf.join("moved/.going-0")).unwrap();
    fs::rename(shelf.join("moved"), bottom.join("moved")).unwrap();
    deep(&one.prefix);
    let ended = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact child_with_few_files --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FEW, desk.home.path().join("packages"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("swept Ok(())") && said.contains("discarded Ok(true)"), "{said}");
    assert_eq!(names_in(shelf).iter().filter(|name| *name != ".lock").count(), 0, "{:?}", names_in(shelf));
    assert!(desk.project().is_dir());
}

#[tokio::test]
async fn what_calls_itself_locked_and_holds_something_else_is_refused() {
    let desk = Desk::new();
    let specs = [desk.spec("one", "1")];
    let right = desk.install(&specs, LockMode::Follow).await.unwrap().remove(0);
    let project = desk.project();
    // Another package's content under this one's hash: whoever packed it may write what he likes.
    let forger = Desk::new();
    let mut forged = forger.one("one", "forged").await;
    let name = forged.prefix.file_name().unwrap().to_str().unwrap().to_owned();
    let record = forged.prefix.with_file_name(format!("{name}.complete"));
    let text = fs::read_to_string(&record).unwrap();
    let hex = |hash: [u8; 32]| support::hex(&hash);
    fs::write(&record, text.replace(&hex(forged.hash), &hex(right.hash))).unwrap();
    forged.hash = right.hash;
    let bundle = forger.home.path().join("bundle");
    forger.packages.pack(&[forged], &bundle).unwrap();

    fs::remove_dir_all(desk.home.path().join("one")).unwrap();
    let there = tempfile::tempdir().unwrap();
    let packages = Packages::with_config(there.path().join("packages"), Config::default());
    let error = packages.install_bundle(&bundle, &project, |_| {}).await.unwrap_err();
    let InstallError::NotAsLocked { expected, found, .. } = &error else { panic!("{error:?}") };
    assert!(expected != found && packages.stored().is_empty(), "{error:?}");
    // Where no lock says otherwise it is taken; it is not what the project's lock pins for that.
    packages.install_bundle(&bundle, there.path(), |_| {}).await.unwrap();
    let pinned = farmhand_installer::locked(&project, &specs).unwrap();
    assert!(desk.packages.has_all_locked(&project, &pinned) && !packages.has_all_locked(&project, &pinned));
    for mode in [LockMode::Locked, LockMode::Follow] {
        let error = packages.install_project(&project, &specs, &[], mode, |_| {}).await.unwrap_err();
        assert!(matches!(error, InstallError::NotAsLocked { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_archive_of_this_machine_that_is_declared_anew() {
    let desk = Desk::new();
    let path = desk.home.path().join("archive.tar");
    let spec = |content: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", content.as_bytes()).unwrap();
        let bytes = tar.into_inner().unwrap();
        fs::write(&path, &bytes).unwrap();
        let sha256 = Some(Sha256::digest(&bytes).into());
        let origin = PackageOrigin::Path { path: path.display().to_string(), sha256 };
        PackageSpec { origin, ..desk.spec("one", "") }
    };
    desk.install(&[spec("1")], LockMode::Follow).await.unwrap();
    let other = [spec("2")];
    let error = desk.install(&other, LockMode::Locked).await.unwrap_err();
    assert!(matches!(error, InstallError::LockChanges { .. }), "{error:?}");
    let installed = desk.install(&other, LockMode::Follow).await.unwrap().remove(0);
    assert_eq!(fs::read_to_string(installed.prefix.join("file")).unwrap(), "2");
    desk.install(&other, LockMode::Locked).await.unwrap();
    desk.packages.check_whole(std::slice::from_ref(&installed)).unwrap();
    fs::write(installed.prefix.join("file"), "3").unwrap();
    let error = desk.packages.check_whole(std::slice::from_ref(&installed)).unwrap_err();
    assert!(matches!(error, InstallError::Damaged { .. }), "{error:?}");
    // As two branches that were merged leave it.
    let lock = desk.lock();
    let (_, entry) = lock.split_once("[[package]]").unwrap();
    fs::write(desk.project().join(LOCK_FILE), format!("{lock}\n[[package]]{entry}")).unwrap();
    let error = desk.install(&other, LockMode::Follow).await.unwrap_err();
    assert!(matches!(&error, InstallError::BadLock { why, .. } if why.contains("twice")), "{error:?}");
}

#[tokio::test]
async fn a_bundle_brings_all_to_a_machine_without_a_network() {
    let desk = Desk::new();
    let specs = [desk.spec("one", "1"), desk.spec("two", "2")];
    fs::create_dir(desk.home.path().join("one/bin")).unwrap();
    fs::write(desk.home.path().join("one/bin/tool"), "tool").unwrap();
    std::os::unix::fs::symlink("../file", desk.home.path().join("one/bin/link")).unwrap();
    let installed = desk.install(&specs, LockMode::Follow).await.unwrap();
    let file = desk.home.path().join("bundle");
    desk.packages.pack(&installed, &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    desk.packages.pack(&installed, &file).unwrap();
    assert!(fs::read(&file).unwrap() == bytes, "the same content is the same bundle");

    // Another machine: it has the project, its lock and the bundle, and nothing that was packed.
    let there = tempfile::tempdir().unwrap();
    let packages = Packages::with_config(there.path().join("packages"), Config::default());
    for name in ["one", "two"] {
        fs::rename(desk.home.path().join(name), desk.home.path().join(format!("gone-{name}"))).unwrap();
    }
    let brought = packages.install_bundle(&file, &desk.project(), |_| {}).await.unwrap();
    assert_eq!(
        brought.iter().map(|one| (&*one.name, one.already)).collect::<Vec<_>>(),
        [("one", false), ("two", false)]
    );
    assert_eq!(fs::read_to_string(brought[0].prefix.join("bin/link")).unwrap(), "1");
    let locked =
        packages.install_project(&desk.project(), &specs, &[], LockMode::Locked, |_| {}).await.unwrap();
    assert_eq!(
        locked.iter().map(|one| &one.prefix).collect::<Vec<_>>(),
        brought.iter().map(|one| &one.prefix).collect::<Vec<_>>()
    );
    assert!(
        packages.install_bundle(&file, &desk.project(), |_| {}).await.unwrap().iter().all(|one| one.already)
    );

    // Damaged or cut anywhere, nothing half of it is installed.
    for at in [3, 700, bytes.len() / 2, bytes.len() - 2000] {
        for damaged in [bytes[..at].to_vec(), [&bytes[..at], &[bytes[at] ^ 0x20], &bytes[at + 1..]].concat()]
        {
            let home = tempfile::tempdir().unwrap();
            let packages = Packages::with_config(home.path(), Config::default());
            fs::write(&file, &damaged).unwrap();
            let outcome = packages.install_bundle(&file, &desk.project(), |_| {}).await;
            for one in packages.stored() {
                assert_eq!(packages.verify(&one).unwrap(), Verdict::Whole, "at {at}");
            }
            // That it is cut is seen before anything is unpacked.
            assert!(
                damaged.len() == bytes.len() || outcome.is_ok() || packages.stored().is_empty(),
                "at {at}"
            );
            if let Err(error) = &outcome {
                let is_told = matches!(error, InstallError::BadBundle { .. } | InstallError::Refused { .. });
                assert!(is_told, "at {at}: {error:?}");
            }
            // Padding is nobody's.
            assert!(outcome.is_err() || packages.stored().len() == 2, "at {at}");
        }
    }
    // What is damaged here is not packed.
    fs::write(installed[0].prefix.join("file"), "x").unwrap();
    let error = desk.packages.pack(&installed, &file).unwrap_err();
    assert!(matches!(&error, InstallError::Damaged { name, .. } if name == "one"), "{error:?}");
}
