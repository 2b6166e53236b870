//! An archive that changes, lies, is slow or is not there; and a machine without apt.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::{Config, InstallError, Installed, PackageWish, Packages};
use support::{AVRDUDE, AVRDUDE_2, Archive, CORE, LIBC, LIBFTDI, names_in};

async fn install(packages: &Packages, name: &str) -> Result<Installed, InstallError> {
    packages.install(&PackageWish::Named(name.into()), |_| {}).await
}

#[tokio::test]
async fn takes_the_closure_and_leaves_out_what_it_says() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    let packages = archive.packages(home.path());
    let installed = install(&packages, "avrdude").await.unwrap();
    assert_eq!(installed.version, "7.1+x-3");
    let mut taken: Vec<_> =
        installed.archives.iter().map(|(name, version, _)| (&**name, &**version)).collect();
    taken.sort_unstable();
    assert_eq!(taken, [("avrdude", "1:7.1+x-3"), ("libftdi2", "0.4")]);
    assert_eq!(
        installed.environment["LD_LIBRARY_PATH"],
        installed.prefix.join("usr/lib/x-linux-gnu").to_str().unwrap()
    );
    assert_eq!(archive.debs_asked(), 2);

    let folder = names_in(&home.path().join("avrdude"));
    let name = installed.prefix.file_name().unwrap().to_str().unwrap();
    assert_eq!(folder, [".lock".to_owned(), name.to_owned(), format!("{name}.complete")]);

    // The same content elsewhere is the same hash.
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(install(&archive.packages(elsewhere.path()), "avrdude").await.unwrap().hash, installed.hash);
}

#[tokio::test]
async fn a_version_that_is_gone_is_looked_for_again() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC, CORE]);
    let home = tempfile::tempdir().unwrap();
    let packages = archive.packages(home.path());
    install(&packages, "arduino-avr").await.unwrap();
    // The index is less than a day old, and behind.
    archive.publish(&[AVRDUDE_2, LIBFTDI, LIBC]);
    assert_eq!(install(&packages, "avrdude").await.unwrap().version, "7.2");
}

#[tokio::test]
async fn a_package_that_came_since_is_found() {
    let archive = Archive::with(&[CORE]);
    let home = tempfile::tempdir().unwrap();
    let packages = archive.packages(home.path());
    install(&packages, "arduino-avr").await.unwrap();
    archive.publish(&[AVRDUDE_2, LIBFTDI, LIBC]);
    assert_eq!(install(&packages, "avrdude").await.unwrap().version, "7.2");
}

#[tokio::test]
async fn bytes_that_the_index_does_not_name_are_refused() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    archive.damage("libftdi2");
    let home = tempfile::tempdir().unwrap();
    let packages = archive.packages(home.path());
    let error = install(&packages, "avrdude").await.unwrap_err();
    let problem = Problem::from(&error);
    assert_eq!(problem.class, ProblemClass::Package);
    assert!(problem.detail.iter().any(|line| line.contains("Hash Sum mismatch")), "{problem:?}");
    assert!(packages.installed("avrdude").is_none());

    // Mended, the next run works.
    archive.publish(&[AVRDUDE, LIBFTDI, LIBC]);
    install(&packages, "avrdude").await.unwrap();
}

#[tokio::test]
async fn what_was_fetched_and_damaged_is_fetched_again() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    let packages = archive.packages(home.path());
    let whole = install(&packages, "avrdude").await.unwrap();
    let bytes = whole.archives.iter().find(|archive| archive.0 == "avrdude").unwrap().2;

    let elsewhere = tempfile::tempdir().unwrap();
    let fetched = elsewhere.path().join("avrdude/.fetched");
    fs::create_dir_all(&fetched).unwrap();
    let zeros = vec![0; usize::try_from(bytes).unwrap()];
    fs::write(fetched.join("avrdude_1%3a7.1+x-3_all.deb"), zeros).unwrap();
    let again = install(&archive.packages(elsewhere.path()), "avrdude").await.unwrap();
    assert_eq!(again.hash, whole.hash);
    assert_eq!(fs::read_to_string(again.prefix.join("usr/bin/avrdude")).unwrap(), "program 1");
}

#[tokio::test]
async fn a_package_without_what_it_is_for_is_refused() {
    let odd = support::Deb { files: &[("usr/bin/avrdude", "program 1")], depends: "", ..AVRDUDE };
    let archive = Archive::with(&[odd]);
    let home = tempfile::tempdir().unwrap();
    let error = install(&archive.packages(home.path()), "avrdude").await.unwrap_err();
    assert!(
        matches!(&error, InstallError::Incomplete { missing, .. } if missing == "etc/avrdude.conf"),
        "{error}"
    );
    let left = names_in(&home.path().join("avrdude"));
    assert!(left.iter().all(|name| name == ".lock" || name == ".fetched"), "{left:?}");
}

#[tokio::test]
async fn without_a_network() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC, CORE]);
    let home = tempfile::tempdir().unwrap();
    install(&archive.packages(home.path()), "arduino-avr").await.unwrap();

    // Nobody listens on this port of loopback any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sources = home.path().join("dead.list");
    fs::write(&sources, format!("deb [trusted=yes] http://127.0.0.1:{port}/ ./\n")).unwrap();
    let config = Config { apt_sources: Some(sources), ..Config::default() };
    let packages = Packages::with_config(home.path(), config);
    let error = install(&packages, "avrdude").await.unwrap_err();
    assert!(matches!(error, InstallError::Offline { .. }), "{error:?}");
    let problem = Problem::from(&error);
    assert_eq!((problem.class, &*problem.code), (ProblemClass::Package, "F503"));
    assert!(problem.detail.iter().any(|line| line.contains("onnect")), "{problem:?}");
    // What is there works.
    assert!(install(&packages, "arduino-avr").await.unwrap().already);
}

/// The index is known, and the archive went away between it and the package.
#[tokio::test]
async fn a_network_that_ends_in_the_middle() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC, CORE]);
    let home = tempfile::tempdir().unwrap();
    install(&archive.packages(home.path()), "arduino-avr").await.unwrap();
    let list = fs::read_to_string(archive.sources()).unwrap();
    let lists = home.path().join(".apt/lists");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let old_port = list.split(':').nth(2).unwrap().split('/').next().unwrap();
    for name in names_in(&lists) {
        let renamed = name.replace(&format!("127.0.0.1:{old_port}"), &format!("127.0.0.1:{port}"));
        fs::rename(lists.join(&name), lists.join(renamed)).unwrap();
    }
    let sources = home.path().join("dead.list");
    fs::write(&sources, list.replace(old_port, &port.to_string())).unwrap();
    let config = Config { apt_sources: Some(sources), ..Config::default() };
    let error = install(&Packages::with_config(home.path(), config), "avrdude").await.unwrap_err();
    assert!(matches!(error, InstallError::Offline { .. }), "{error:?}");
}

#[tokio::test]
async fn sources_that_do_not_have_it() {
    let home = tempfile::tempdir().unwrap();
    let config = Config { apt_sources: Some("/dev/null".into()), ..Config::default() };
    let error = install(&Packages::with_config(home.path(), config), "avr-gcc").await.unwrap_err();
    assert!(matches!(error, InstallError::NotInArchive { .. }), "{error:?}");
    let problem = Problem::from(&error);
    assert!(problem.detail.iter().any(|line| line.contains("gcc-avr")), "{problem:?}");
}

#[tokio::test]
async fn a_machine_without_apt() {
    let home = tempfile::tempdir().unwrap();
    let nothing = tempfile::tempdir().unwrap();
    let config = Config { path: Some(nothing.path().into()), ..Config::default() };
    let packages = Packages::with_config(home.path(), config);
    let error = install(&packages, "avr-gcc").await.unwrap_err();
    let problem = Problem::from(&error);
    assert_eq!((problem.class, &*problem.code), (ProblemClass::Package, "F502"));
    assert_eq!(problem.message, "install avr-gcc: `apt-get` is not on this machine's PATH");
    assert_eq!(
        problem.help,
        ["put avr-gcc, avr-g++, avr-ar, avr-objcopy, avr-size on the PATH, and set `toolchain = \"system\"`"]
    );

    // What another machine's apt installed is used as it is.
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let there = install(&archive.packages(home.path()), "avrdude").await.unwrap();
    assert_eq!(install(&packages, "avrdude").await.unwrap(), Installed { already: true, ..there });
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let home = tempfile::tempdir().unwrap();
    let packages = Packages::with_config(home.path(), Config::default());
    for name in ["avrgcc", "../x", ""] {
        let error = install(&packages, name).await.unwrap_err();
        assert!(matches!(error, InstallError::UnknownName { .. }), "{error:?}");
        assert_eq!(error.class(), ProblemClass::Usage);
    }
    let problem = Problem::from(&install(&packages, "avrgcc").await.unwrap_err());
    assert_eq!(
        problem.help,
        [
            "did you mean `avr-gcc`?",
            "there are: avr-gcc, arduino-avr, arduino-mighty-1284p, arduino-examples, arduino-builder, riscv-gcc, riscv-picolibc, arm-gcc, arm-picolibc, arm-newlib, lx106-gcc, simavr, avrdude, make, qemu-x86, qemu-arm, qemu-misc, fastboot, qemu-img, linux-guest, usb-bench, clang"
        ]
    );
    assert_eq!(names_in(home.path()), [""; 0]);
}

/// All at once in one process: one fetches, all get it, in this process as across them.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_fetch_once() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    // Each writes the list of sources: before anybody reads it.
    let all = [(); 8].map(|()| archive.packages(home.path()));
    for packages in all {
        tasks.spawn(async move { install(&packages, "avrdude").await.unwrap() });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|installed| !installed.already).count(), 1);
    assert_eq!(archive.debs_asked(), 2);
}

/// Whoever asks may go away: the next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn given_up_in_the_middle() {
    let archive = Archive::with(&[AVRDUDE, LIBFTDI, LIBC]);
    let home = tempfile::tempdir().unwrap();
    archive.hold(true);
    let packages = archive.packages(home.path());
    let first = tokio::spawn(async move { install(&packages, "avrdude").await });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while archive.debs_asked() == 0 {
        assert!(std::time::Instant::now() < until, "nothing is fetched");
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    archive.hold(false);
    assert!(!install(&archive.packages(home.path()), "avrdude").await.unwrap().already);
}
