//! Real packages from this machine's real sources, as the README's first command takes them.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use farmhand_api::{InstallEvent, InstallStage};
use farmhand_installer::{Config, Installed, PackageWish, Packages};
use tokio::sync::mpsc;

async fn install(packages: &Packages, name: &str) -> (Installed, Vec<InstallEvent>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let wish = PackageWish::Named(name.into());
    let installed = packages.install(&wish, move |event| drop(tell.send(event))).await.unwrap();
    let mut events = Vec::new();
    while let Ok(event) = told.try_recv() {
        events.push(event);
    }
    (installed, events)
}

fn run(prefix: &Installed, program: &str, args: &[&str], folder: &Path) {
    let program = prefix.prefix.join(program);
    let ended =
        Command::new(&program).args(args).envs(&prefix.environment).current_dir(folder).output().unwrap();
    assert!(
        ended.status.success(),
        "{} {args:?}: {}",
        program.display(),
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// The toolchain, the Arduino core and the simulator, at once, in one fresh folder: they compile and link.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_of_a_new_user() {
    let home = tempfile::tempdir().unwrap();
    let packages = Arc::new(Packages::with_config(home.path().join("packages"), Config::default()));
    let ((gcc, events), (arduino, _), (simavr, _)) = tokio::join!(
        install(&packages, "avr-gcc"),
        install(&packages, "arduino-avr"),
        install(&packages, "simavr"),
    );

    let stages: Vec<_> = events.iter().map(|event| event.stage).collect();
    let mut order = stages.clone();
    order.dedup();
    let expect = [InstallStage::Resolve, InstallStage::Fetch, InstallStage::Unpack, InstallStage::Done];
    assert_eq!(order, expect);
    let fetched = events.iter().rfind(|event| event.stage == InstallStage::Fetch).unwrap();
    assert_eq!(fetched.done_bytes, fetched.total_bytes);
    assert_eq!(fetched.total_bytes, gcc.archives.iter().map(|archive| archive.2).sum::<u64>());
    assert_eq!(fetched.archives as usize, gcc.archives.len());
    assert_eq!(fetched.version, gcc.version);
    assert!(!gcc.already);

    let left_out = ["libc6", "libsimavrparts1", "gcc-avr"];
    let names = |of: &Installed| of.archives.iter().map(|archive| archive.0.clone()).collect::<Vec<_>>();
    assert!(!names(&gcc).iter().any(|name| name == "libc6"), "{:?}", names(&gcc));
    assert!(names(&simavr).iter().all(|name| !left_out.contains(&&**name)), "{:?}", names(&simavr));
    assert_eq!(names(&arduino), ["arduino-core-avr"]);
    let kinds = packages.stored().into_iter().map(|stored| stored.kind);
    let mut kinds: Vec<_> = kinds.collect::<Option<_>>().unwrap();
    kinds.sort();
    assert_eq!(kinds, ["emulator", "framework", "toolchain"]);

    // cc1 and its libraries, the assembler, the linker, libc and libgcc: all from the prefix.
    let folder = home.path();
    std::fs::write(folder.join("a.cpp"), "#include <avr/io.h>\nint main() { PORTB = 1; for (;;) {} }\n")
        .unwrap();
    run(&gcc, "usr/bin/avr-g++", &["-mmcu=atmega328p", "-Os", "-flto", "a.cpp", "-o", "a.elf"], folder);
    run(&gcc, "usr/bin/avr-objcopy", &["-O", "ihex", "a.elf", "a.hex"], folder);
    assert!(std::fs::read_to_string(folder.join("a.hex")).unwrap().starts_with(':'));
    let header = simavr.prefix.join("usr/include/simavr/sim_avr.h");
    assert!(header.is_file());
    assert!(simavr.environment["LD_LIBRARY_PATH"].starts_with(simavr.prefix.to_str().unwrap()));

    // Again: from the record, and nothing is told.
    let (again, events) = install(&packages, "avr-gcc").await;
    assert_eq!(again, Installed { already: true, ..gcc.clone() });
    assert_eq!(events, []);
    assert_eq!(packages.installed("avr-gcc"), Some(again));
    let listed: Vec<_> = packages.list().into_iter().map(|package| package.name).collect();
    assert_eq!(listed, ["arduino-avr", "avr-gcc", "simavr"]);
}

/// A program with a closure of libraries.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_its_libraries() {
    let home = tempfile::tempdir().unwrap();
    let packages = Packages::with_config(home.path().join("packages"), Config::default());
    let (avrdude, _) = install(&packages, "avrdude").await;
    let ended = Command::new(avrdude.prefix.join("usr/bin/avrdude"))
        .arg("-C")
        .arg(avrdude.prefix.join("etc/avrdude.conf"))
        .args(["-c", "?"])
        .envs(&avrdude.environment)
        .output()
        .unwrap();
    // It lists what its configuration names, and exits with 1.
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("arduino "), "{said}");
}
