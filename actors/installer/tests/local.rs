//! Packages from this machine, and those among them that nobody should unpack.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::{Config, InstallError, Installed, Limits, PackageWish, Packages};
use sha2::{Digest, Sha256};
use support::names_in;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const SMALL: Limits = Limits { bytes_max: 100_000, entries_max: 50 };

struct Desk {
    home: TempDir,
    packages: Packages,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = Config { limits: SMALL, ..Config::default() };
        let packages = Packages::with_config(home.path().join("packages"), config);
        Self { home, packages }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    async fn install(&self, path: &Path, sha256: Option<[u8; 32]>) -> Result<Installed, InstallError> {
        self.packages.install(&PackageWish::Local { path: path.into(), sha256 }, |_| {}).await
    }

    /// Nothing of it is installed, and nothing is left but the lock.
    fn holds_nothing(&self, name: &str) {
        assert_eq!(self.packages.list(), []);
        assert_eq!(names_in(&self.home.path().join("packages").join(name)), [".lock"]);
    }
}

/// An entry whose name and target are what they are, however wrong.
fn entry(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, target: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(content.len() as u64);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

/// Its kind, name and target.
type Entry = (EntryType, &'static str, &'static str);

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, target) in entries {
        let content: &[u8] = if *kind == EntryType::Regular { b"hello" } else { b"" };
        entry(&mut tar, *kind, name, target, content);
    }
    tar.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const HARD_LINK: EntryType = EntryType::Link;

#[tokio::test]
async fn a_tar_is_unpacked_as_it_is() {
    let desk = Desk::new();
    let bytes = tar(&[
        (FOLDER, "./", ""),
        (FILE, "./bin/tool", ""),
        (HARD_LINK, "./bin/same", "./bin/tool"),
        (SYMLINK, "./bin/near", "tool"),
        (SYMLINK, "./bin/up", "../bin/tool"),
        // From the root of the package, for there is no other root for it.
        (SYMLINK, "./bin/far", "/bin/tool"),
        (SYMLINK, "./bin/dangling", "/etc/passwd"),
    ]);
    for (name, bytes) in [("tools.tar", bytes.clone()), ("gz-tools.tar.gz", gz(&bytes))] {
        let path = desk.file(name, &bytes);
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let installed = desk.install(&path, Some(hash)).await.unwrap();
        assert_eq!((installed.hash, installed.already), (hash, false));
        let bin = installed.prefix.join("bin");
        for name in ["tool", "same", "near", "up", "far"] {
            assert_eq!(fs::read(bin.join(name)).unwrap(), b"hello", "{name}");
        }
        assert_eq!(fs::read_link(bin.join("dangling")).unwrap(), Path::new("../etc/passwd"));
        // Executable, and not set-user-id.
        assert_eq!(fs::metadata(bin.join("tool")).unwrap().permissions().mode() & 0o7777, 0o755);

        let again = Installed { already: true, ..installed };
        assert_eq!(desk.install(&path, None).await.unwrap(), again);
        fs::write(&path, "something else").unwrap();
        // What has that hash is there, whatever the file is by now.
        assert_eq!(desk.install(&path, Some(hash)).await.unwrap(), again);
    }
}

#[tokio::test]
async fn another_content_is_another_package() {
    let desk = Desk::new();
    let path = desk.file("x.tar", &tar(&[(FILE, "one", "")]));
    let one = desk.install(&path, None).await.unwrap();
    desk.file("x.tar", &tar(&[(FILE, "two", "")]));
    let two = desk.install(&path, None).await.unwrap();
    assert_ne!(one.prefix, two.prefix);
    assert!(one.prefix.join("one").is_file() && two.prefix.join("two").is_file());
}

#[tokio::test]
async fn the_wrong_hash_names_both() {
    let desk = Desk::new();
    let bytes = tar(&[(FILE, "one", "")]);
    let path = desk.file("x.tar", &bytes);
    let error = desk.install(&path, Some([0xab; 32])).await.unwrap_err();
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let InstallError::WrongHash { file, expected, found: told } = &error else { panic!("{error:?}") };
    assert_eq!((file, &**expected, told), (&path, &*"ab".repeat(32), &found));
    assert_eq!(Problem::from(&error).class, ProblemClass::Package);
    desk.holds_nothing("local-x");
}

#[tokio::test]
async fn a_folder_is_copied() {
    let desk = Desk::new();
    let tree = desk.home.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/file"), "hello").unwrap();
    symlink("b/file", tree.join("a/link")).unwrap();
    let installed = desk.install(&tree, None).await.unwrap();
    assert_eq!(fs::read(installed.prefix.join("a/link")).unwrap(), b"hello");
    assert!(desk.install(&tree, None).await.unwrap().already);
    fs::set_permissions(tree.join("a/b/file"), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = desk.install(&tree, None).await.unwrap();
    assert_ne!(executable.hash, installed.hash);

    symlink("/etc/passwd", tree.join("leaves")).unwrap();
    let error = desk.install(&tree, None).await.unwrap_err();
    assert!(matches!(&error, InstallError::Refused { entry, .. } if entry == "leaves"), "{error:?}");
    let error = desk.install(&tree, Some([0; 32])).await.unwrap_err();
    assert!(matches!(error, InstallError::HashOfFolder { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_package() {
    let desk = Desk::new();
    let error = desk.install(&desk.home.path().join("none.tar"), None).await.unwrap_err();
    assert!(matches!(error, InstallError::NoSuchFile { .. }), "{error:?}");
    assert_eq!(error.class(), ProblemClass::Usage);
    let error = desk.install(Path::new("/dev/null"), None).await.unwrap_err();
    assert!(matches!(error, InstallError::UnknownKind { .. }), "{error:?}");
    for (name, bytes) in [("x.zip", &b"PK"[..]), ("x.tar", &[7; 3000]), ("x.tar.gz", &[7; 3000]), ("x", b"")]
    {
        let error = desk.install(&desk.file(name, bytes), None).await.unwrap_err();
        assert!(matches!(error, InstallError::NoArchive { .. }), "{error:?}");
        desk.holds_nothing("local-x");
    }
    for bytes in [
        &b"\x1f\x8b 3000 of them"[..],
        b"PK\x03\x04 and",
        b"BZh9 and",
        b"\xfd7zXZ\0 and",
        b"\x28\xb5\x2f\xfd",
    ] {
        let error = desk.install(&desk.file("x", bytes), None).await.unwrap_err();
        assert!(matches!(error, InstallError::BadArchive { .. }), "{error:?}");
        desk.holds_nothing("local-x");
    }
    let error = desk.install(&desk.file("x.deb", b"!<arch>\n and"), None).await.unwrap_err();
    assert!(matches!(error, InstallError::Client { .. }), "{error:?}");
    desk.holds_nothing("local-x");
    let error = desk.install(&desk.file("x.tar", &[0; 1024]), None).await.unwrap_err();
    assert!(matches!(error, InstallError::BadArchive { .. }), "{error:?}");
    // A tar that ends in the middle of a file.
    let whole = tar(&[(FILE, "one", "")]);
    let error = desk.install(&desk.file("x.tar", &whole[..514]), None).await.unwrap_err();
    assert!(matches!(error, InstallError::BadArchive { .. }), "{error:?}");
    desk.holds_nothing("local-x");
}

#[tokio::test]
async fn entries_that_no_package_may_hold() {
    let cases: &[(&str, &[Entry])] = &[
        ("up", &[(FILE, "../escaped", "")]),
        ("up later", &[(FILE, "a/../../escaped", "")]),
        ("absolute", &[(FILE, "/tmp/escaped", "")]),
        ("a link up", &[(SYMLINK, "link", "../escaped")]),
        ("a link down and up", &[(SYMLINK, "link", "a/../../escaped")]),
        ("through a link", &[(SYMLINK, "link", "/tmp"), (FILE, "link/escaped", "")]),
        ("through a link inside", &[(FOLDER, "a", ""), (SYMLINK, "b", "a"), (SYMLINK, "b/c", "../..")]),
        ("a folder through a link", &[(SYMLINK, "link", "."), (FOLDER, "link/x", "")]),
        ("a folder over a link", &[(SYMLINK, "link", "."), (FOLDER, "link", "")]),
        ("a link over a folder", &[(FOLDER, "a", ""), (SYMLINK, "a", "b")]),
        ("a file over a folder", &[(FOLDER, "a", ""), (FILE, "a", "")]),
        ("a hard link up", &[(HARD_LINK, "passwd", "../../../../../../etc/passwd")]),
        ("an absolute hard link", &[(HARD_LINK, "passwd", "/etc/passwd")]),
        ("a hard link through a link", &[(SYMLINK, "etc", "/"), (HARD_LINK, "passwd", "etc/passwd")]),
        ("a hard link to nothing", &[(HARD_LINK, "passwd", "nothing")]),
        ("a hard link to itself", &[(FILE, "a", ""), (HARD_LINK, "a", "a")]),
        ("a link to nothing", &[(SYMLINK, "link", "")]),
        ("a character device", &[(EntryType::Char, "null", "")]),
        ("a block device", &[(EntryType::Block, "sda", "")]),
        ("a pipe", &[(EntryType::Fifo, "pipe", "")]),
        ("something new", &[(EntryType::new(b'Z'), "new", "")]),
        ("the folder itself", &[(SYMLINK, "./", "/tmp")]),
    ];
    for (what, entries) in cases {
        let desk = Desk::new();
        let error = desk.install(&desk.file("x.tar", &tar(entries)), None).await.unwrap_err();
        assert!(matches!(error, InstallError::Refused { .. }), "{what}: {error:?}");
        assert_eq!(error.class(), ProblemClass::Package);
        desk.holds_nothing("local-x");
        assert_eq!(names_in(desk.home.path()), ["packages", "x.tar"], "{what}");
        assert!(!Path::new("/tmp/escaped").exists(), "{what}");
    }
}

/// A link that another package's entry replaces is replaced, not followed.
#[tokio::test]
async fn a_file_over_a_link_replaces_the_link() {
    let desk = Desk::new();
    let bytes = tar(&[(FILE, "victim", ""), (SYMLINK, "a", "victim"), (FILE, "a", "")]);
    let installed = desk.install(&desk.file("x.tar", &bytes), None).await.unwrap();
    assert!(fs::symlink_metadata(installed.prefix.join("a")).unwrap().is_file());
}

#[tokio::test]
async fn archives_that_grow_without_end() {
    let desk = Desk::new();
    let mut many = Builder::new(Vec::new());
    for number in 0..=SMALL.entries_max {
        entry(&mut many, FOLDER, &format!("folder-{number}"), "", b"");
    }
    let mut long = Builder::new(Vec::new());
    entry(&mut long, FILE, "zeros", "", &vec![0; 100_001]);
    for (bytes, bound) in [(many, "50 entries"), (long, "100000 bytes")] {
        let bytes = gz(&bytes.into_inner().unwrap());
        let error = desk.install(&desk.file("x.tgz", &bytes), None).await.unwrap_err();
        assert!(matches!(&error, InstallError::TooBig { what, .. } if what == bound), "{error:?}");
        desk.holds_nothing("local-x");
    }
    // A name of two megabytes is not read into memory to be judged.
    let mut name = Builder::new(Vec::new());
    entry(&mut name, EntryType::GNULongName, "././@LongLink", "", &vec![b'a'; 2 << 20]);
    entry(&mut name, FILE, "x", "", b"x");
    let bytes = gz(&name.into_inner().unwrap());
    let error = desk.install(&desk.file("x.tgz", &bytes), None).await.unwrap_err();
    assert!(matches!(error, InstallError::Refused { .. }), "{error:?}");
    desk.holds_nothing("local-x");
}

/// A Debian archive is judged by the same rules; its own unpacker is not asked to write anything.
#[tokio::test]
async fn a_hostile_deb() {
    let desk = Desk::new();
    let control = {
        let text = b"Package: x\nVersion: 1:2-3\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n";
        let mut tar = Builder::new(Vec::new());
        entry(&mut tar, FILE, "./control", "", text);
        gz(&tar.into_inner().unwrap())
    };
    let deb = |data: Vec<u8>| {
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", control.clone()),
            ("data.tar.gz", gz(&data)),
        ] {
            let size = bytes.len();
            deb.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes(),
            );
            deb.extend(&bytes);
            deb.resize(deb.len().next_multiple_of(2), b'\n');
        }
        deb
    };
    let path = desk.file("x_1_all.deb", &deb(tar(&[(FILE, "./ok", ""), (FILE, "./../escaped", "")])));
    let error = desk.install(&path, None).await.unwrap_err();
    assert!(matches!(&error, InstallError::Refused { entry, .. } if entry == "./../escaped"), "{error:?}");
    desk.holds_nothing("local-x");

    let path = desk.file("x_1_all.deb", &deb(tar(&[(FILE, "./ok", "")])));
    let installed = desk.install(&path, None).await.unwrap();
    assert_eq!(installed.version, "1:2-3");
    assert!(installed.prefix.join("ok").is_file());
}

const FULL: &str = "FARMHAND_TEST_FULL";

/// Run by [`a_full_disk`] in a process that can write no file beyond 64 KiB.
#[tokio::test]
async fn child_on_a_full_disk() {
    let Some(home) = std::env::var_os(FULL) else { return };
    let home = Path::new(&home);
    let packages = Packages::with_config(home.join("packages"), Config::default());
    for name in ["fits-not.tar", "grows.tar.gz"] {
        let wish = PackageWish::Local { path: home.join(name), sha256: None };
        let error = packages.install(&wish, |_| {}).await.unwrap_err();
        println!("{}", Problem::from(&error).code);
    }
}

/// A limit on the size of files is the full disk that needs no privilege: the same error, at the same calls.
#[tokio::test]
async fn a_full_disk() {
    let desk = Desk::new();
    let mut long = Builder::new(Vec::new());
    entry(&mut long, FILE, "zeros", "", &vec![0; 1 << 20]);
    let long = long.into_inner().unwrap();
    desk.file("fits-not.tar", &long);
    desk.file("grows.tar.gz", &gz(&long));
    let ended = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact child_on_a_full_disk --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FULL, desk.home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(said.lines().filter(|line| line.contains("F512")).count(), 2, "{ended:?}");
    desk.holds_nothing("local-fits-not");
    assert_eq!(names_in(&desk.home.path().join("packages/local-grows")), [".lock"]);
    // With room, the next run works.
    let packages = Packages::with_config(desk.home.path().join("packages"), Config::default());
    for name in ["fits-not.tar", "grows.tar.gz"] {
        let wish = PackageWish::Local { path: desk.home.path().join(name), sha256: None };
        packages.install(&wish, |_| {}).await.unwrap();
    }
}
