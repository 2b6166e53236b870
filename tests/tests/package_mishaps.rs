//! Packages where something is in the way: no room, no permission, no client, another file than was meant. Each has its own code and
//! exit code, nothing is half there afterwards, and the next try succeeds.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farmhand_tests::{Desk, Home, Said, SmallDisk, copy_of_binary, said};

/// A user that owns nothing here.
const NOBODY: u32 = 65_534;

fn declare(desk: &Desk, source: &str, more: &str) {
    let text = format!("[package.it]\nsource = \"{source}\"\nkind = \"tool\"\n{more}\n");
    desk.write("farmhand.toml", &text);
}

async fn install(desk: &Desk, home: &Path) -> Said {
    let mut command = desk.farmhand(["install"]);
    command.env("FARMHAND_HOME", home);
    said(command).await
}

/// What lies in a package's own folder.
fn left(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(home.join("packages/it")).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// So many MiB that do not compress.
fn noise(mib: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    (0..mib << 20).map(|_| next()).collect()
}

fn pack(desk: &Desk, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = desk.work().join(name);
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.finish().unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_a_copy_for_what_it_unpacks_to_and_for_its_record() {
    let disk = match SmallDisk::mount(8) {
        Ok(disk) => disk,
        Err(missing) => return eprintln!("skipped: it needs {missing}"),
    };
    let desk = Desk::new(Home::empty());
    let home = disk.path().join("home");
    let full = |told: &Said| {
        told.expect(8).mentions(&["F512", "no space left", "make room"]);
        assert!(left(&home).iter().all(|name| name == ".lock" || name == ".fetched"), "{:?}", left(&home));
        assert!(!desk.work().join("farmhand.lock").exists());
    };
    // Its archive, copied or fetched, is more than there is room for.
    let large = pack(&desk, "large.tar", &[("file", &noise(12))]);
    declare(&desk, "path", &format!("path = \"{}\"", large.display()));
    full(&install(&desk, &home).await);
    // The archive has room, and what it unpacks to has not: a folder, as it lies.
    let folder = desk.work().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), noise(12)).unwrap();
    declare(&desk, "path", &format!("path = \"{}\"", folder.display()));
    full(&install(&desk, &home).await);
    // Its file has room, and its record has not: a page is left.
    fs::write(folder.join("file"), "1").unwrap();
    fs::create_dir_all(&home).unwrap();
    disk.fill();
    let filler = fs::File::options().write(true).open(disk.path().join("filler")).unwrap();
    filler.set_len(filler.metadata().unwrap().len() - 4096).unwrap();
    drop(filler);
    full(&install(&desk, &home).await);
    disk.make_room();
    install(&desk, &home).await.expect(0);
    assert!(desk.work().join("farmhand.lock").exists());
}

/// As somebody who may not write there; root becomes one for it.
#[tokio::test(flavor = "multi_thread")]
async fn no_permission() {
    let desk = Desk::new(Home::empty());
    let small = pack(&desk, "small.tar", &[("file", b"1")]);
    declare(&desk, "path", &format!("path = \"{}\"", small.display()));
    let home = desk.work().join("home");
    for folder in ["packages/it", "packages", ""] {
        let closed = home.join(folder);
        fs::create_dir_all(&closed).unwrap();
        fs::set_permissions(desk.work(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        let mut command = tokio::process::Command::new(copy_of_binary("farmhand", desk.work()));
        command.args(["install"]).current_dir(desk.work()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("FARMHAND_HOME", &home).env("HOME", desk.work());
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        said(command).await.expect(5).mentions(&["F513", "denied", home.to_str().unwrap()]);
        assert_eq!(left(&home), [""; 0], "something is left in {}", closed.display());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(&home).unwrap();
    }
    install(&desk, &home).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_and_no_client() {
    let desk = Desk::new(Home::empty());
    let home = desk.work().join("home");
    let small = pack(&desk, "small.tar", &[("file", b"1")]);
    declare(&desk, "path", &format!("path = \"{}\"\nsha256 = \"{}\"", small.display(), "ab".repeat(32)));
    install(&desk, &home).await.expect(10).mentions(&["F507", "expected abab", "found "]);
    assert_eq!(left(&home), [".lock"]);

    let commit = "ab".repeat(20);
    for (source, more, client) in [
        ("git", format!("url = \"file:///nowhere\"\ncommit = \"{commit}\""), "git"),
        ("pip", "version = \"1.0\"".to_owned(), "pip"),
        ("npm", "version = \"1.0\"".to_owned(), "npm"),
    ] {
        declare(&desk, source, &more);
        let empty = desk.work().join("empty");
        fs::create_dir_all(&empty).unwrap();
        let mut command = desk.farmhand(["install"]);
        command.env("FARMHAND_HOME", desk.work().join(client)).env("PATH", &empty);
        let program = format!("`{client}` is not on this machine's PATH");
        said(command).await.expect(10).mentions(&["F523", &program, "install"]);
        assert_eq!(left(&desk.work().join(client)), [""; 0]);
        assert!(!desk.work().join("farmhand.lock").exists());
    }
}
