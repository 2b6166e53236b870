//! Several processes at one folder, and processes that die in the middle.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farmhand_api::InstallStage;
use farmhand_installer::{Installed, PackageWish, Packages};
use support::{AVRDUDE, Archive, LIBC, LIBFTDI, names_in};

const HOME: &str = "FARMHAND_TEST_HOME";
/// For a condition that comes within a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

fn avrdude() -> PackageWish {
    PackageWish::Named("avrdude".into())
}

/// Another process that installs: this one, run again. It prints its stages and its end.
#[tokio::test]
async fn child() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let told = |event: farmhand_api::InstallEvent| println!("{:?}", event.stage);
    match Packages::new(home).install(&avrdude(), told).await {
        Ok(installed) => println!("already {}", installed.already),
        Err(error) => println!("error {error}"),
    }
}

fn process(archive: &Archive, home: &Path, failpoint: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(HOME, home)
        .env(farmhand_installer::APT_SOURCES, archive.sources())
        .env("FARMHAND_FAILPOINT", failpoint)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(child: Child) -> String {
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

async fn install(archive: &Archive, home: &Path) -> Installed {
    archive.packages(home).install(&avrdude(), |_| {}).await.unwrap()
}

#[tokio::test]
async fn two_processes_fetch_once() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    let all = [(); 3].map(|()| process(&archive, home.path(), "")).map(said);
    assert_eq!(all.iter().filter(|said| said.contains("already false")).count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|said| said.contains("already true")).count(), 2, "{all:?}");
    assert_eq!(archive.debs_asked(), 2);
}

#[tokio::test]
async fn a_holder_that_is_killed_releases() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    archive.hold(true);
    let mut first = process(&archive, home.path(), "");
    let until = Instant::now() + PATIENCE;
    while archive.debs_asked() == 0 {
        assert!(Instant::now() < until, "nothing is fetched");
        std::thread::yield_now();
    }
    let mut second = process(&archive, home.path(), "");
    let mut lines = BufReader::new(second.stdout.take().unwrap()).lines();
    lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.ends_with(&format!("{:?}", InstallStage::Wait)))
        .unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    archive.hold(false);
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("already false")), "{rest:?}");
    second.wait().unwrap();
    assert!(install(&archive, home.path()).await.already);
}

#[tokio::test]
async fn a_crash_before_or_after_the_rename() {
    for (failpoint, renamed) in [("install-before-rename", false), ("install-after-rename", true)] {
        let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
        let home = tempfile::tempdir().unwrap();
        let ended = process(&archive, home.path(), failpoint).wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && stderr.contains(failpoint), "{ended:?}");

        let folder = home.path().join("avrdude");
        let left = names_in(&folder);
        assert_eq!(left.iter().any(|name| !name.starts_with('.')), renamed, "{left:?}");
        assert_eq!(left.iter().any(|name| name.starts_with(".staging-")), !renamed, "{left:?}");
        // A folder without its record does not exist.
        let packages = archive.packages(home.path());
        assert_eq!((packages.installed("avrdude"), packages.list()), (None, Vec::new()));
        // Nor is what lies in it trusted.
        for name in left.iter().filter(|name| !name.starts_with('.')) {
            fs::write(folder.join(name).join("etc/avrdude.conf"), "damaged").unwrap();
        }

        let asked = archive.debs_asked();
        let installed = install(&archive, home.path()).await;
        assert!(!installed.already);
        assert_eq!(fs::read_to_string(installed.prefix.join("etc/avrdude.conf")).unwrap(), "one");
        assert_eq!(archive.debs_asked(), asked, "what was fetched is taken up");
        let name = installed.prefix.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names_in(&folder), [".lock".to_owned(), name.clone(), format!("{name}.complete")]);
    }
}
