//! Zips and compressed tars, as others write them and as nobody should.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use farmhand_installer::{Config, InstallError, PackageWish, Packages};
use support::archives::{LIMITS, install, refused};
use support::names_in;
use support::zip::{Entry, zip};

/// Through a program of the machine.
fn squeeze(program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(out.status.success(), "{program:?}");
    out.stdout
}

/// Neither all alike nor all different, and longer than a block of any of them at its lowest level.
fn content() -> Vec<u8> {
    let mut state = 7_u32;
    let mut content = Vec::new();
    while content.len() < 400_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let run = if state >> 28 == 0 { (state >> 8 & 0x3ff) as usize } else { 1 };
        content.resize(content.len() + run, (state >> 24) as u8 & 0x1f);
    }
    content
}

fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

const SQUEEZERS: &[&[&str]] = &[
    &["gzip", "-c"],
    &["xz", "-c"],
    &["xz", "-c", "--check=sha256", "--block-size=65536"],
    &["zstd", "-c", "-q"],
    &["zstd", "-c", "-q", "-19", "--no-check"],
    &["bzip2", "-c", "-1"],
    &["bzip2", "-c", "-9"],
];

#[tokio::test]
async fn whatever_it_is_compressed_with() {
    let content = content();
    let long = format!("{}/{}", "folder".repeat(30), "name".repeat(50));
    let tar = tar_of(&[("bin/tool", &content), (&long, b"long")]);
    for squeezer in SQUEEZERS {
        let home = tempfile::tempdir().unwrap();
        let packed = squeeze(squeezer, &tar);
        let installed = install(&home, &packed).await.unwrap_or_else(|error| panic!("{squeezer:?}: {error}"));
        assert_eq!(fs::read(installed.prefix.join("bin/tool")).unwrap(), content, "{squeezer:?}");
        assert_eq!(fs::read(installed.prefix.join(&long)).unwrap(), b"long", "{squeezer:?}");

        // Two after another are one, as parallel compressors write them.
        let (head, tail) = tar.split_at(tar.len() / 3);
        let two = [squeeze(squeezer, head), squeeze(squeezer, tail)].concat();
        let two = install(&home, &two).await.unwrap_or_else(|error| panic!("{squeezer:?}: {error}"));
        assert_eq!(fs::read(two.prefix.join("bin/tool")).unwrap(), content, "{squeezer:?}");
    }
}

#[tokio::test]
async fn cut_or_damaged_anywhere() {
    let tar = tar_of(&[("bin/tool", &content())]);
    for squeezer in SQUEEZERS {
        let packed = squeeze(squeezer, &tar);
        for cut in [1, 9, packed.len() / 3, packed.len() - 1] {
            let cut = packed.len() - cut;
            let error = refused(&packed[..cut], &format!("{squeezer:?} cut at {cut}")).await;
            assert!(
                matches!(error, InstallError::BadArchive { .. } | InstallError::NoArchive { .. }),
                "{squeezer:?} cut at {cut}: {error:?}"
            );
        }
        if squeezer.contains(&"--no-check") {
            continue;
        }
        for part in 1..6 {
            let mut damaged = packed.clone();
            let at = packed.len() * part / 6;
            damaged[at] ^= 0x10;
            let error = refused(&damaged, &format!("{squeezer:?} damaged at {at}")).await;
            assert!(
                matches!(error, InstallError::BadArchive { .. } | InstallError::Refused { .. }),
                "{squeezer:?} damaged at {at}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn bombs_of_every_kind() {
    let zeros = tar_of(&[("zeros", &vec![0; 5 << 20])]);
    for squeezer in SQUEEZERS {
        let error = refused(&squeeze(squeezer, &zeros), &format!("{squeezer:?}")).await;
        assert!(matches!(error, InstallError::TooBig { .. }), "{squeezer:?}: {error:?}");
        // After the end of a tar, where no entry counts it: padding is fine, though not without end. Once: it is the same
        // whatever it comes from, and takes long.
        if squeezer != &SQUEEZERS[0] {
            continue;
        }
        let tail = |byte: u8, bytes: usize| [tar_of(&[("x", b"x")]), vec![byte; bytes]].concat();
        for (byte, bytes) in [(0, 65 << 20), (7, 3 << 20)] {
            let error = refused(&squeeze(squeezer, &tail(byte, bytes)), &format!("{squeezer:?}")).await;
            assert!(error.to_string().contains("follows its end"), "{squeezer:?}: {error:?}");
        }
        let home = tempfile::tempdir().unwrap();
        install(&home, &squeeze(squeezer, &tail(0, 17 << 20))).await.unwrap();
    }
    let error = refused(&zip(&[Entry::file("zeros", &vec![0; 5 << 20])]), "a zip").await;
    assert!(matches!(error, InstallError::TooBig { .. }), "{error:?}");
    let many: Vec<_> = (0..=LIMITS.entries_max).map(|number| format!("{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| Entry::file(name, b"")).collect();
    let error = refused(&zip(&many), "many entries").await;
    assert!(matches!(&error, InstallError::TooBig { what, .. } if what == "200 entries"), "{error:?}");
    // Many entries that share one content: each counts.
    let content = vec![7; 100_000];
    let shared: Vec<_> = (0..100).map(|number| format!("{number:03}")).collect();
    let shared: Vec<_> =
        shared.iter().map(|name| Entry { at: Some(0), ..Entry::file(name, &content) }).collect();
    let error = refused(&zip(&shared), "entries over each other").await;
    assert!(matches!(error, InstallError::TooBig { .. } | InstallError::Refused { .. }), "{error:?}");
}

/// A tar of files with one byte each, whatever they are called.
fn tar_named(names: impl Iterator<Item = String>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(1);
        if name.len() > 100 {
            let mut long = tar::Header::new_gnu();
            long.set_entry_type(tar::EntryType::GNULongName);
            long.set_size(name.len() as u64);
            long.set_cksum();
            tar.append(&long, name.as_bytes()).unwrap();
        } else {
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        }
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Folders that only the names of others speak of are made, and count; deep ones are refused before they are.
#[tokio::test]
async fn folders_that_no_entry_is_for() {
    let deep = |name: &str, folders: usize| format!("{name}/{}f", "a/".repeat(folders - 1));
    let home = tempfile::tempdir().unwrap();
    let installed = install(&home, &tar_named([deep("x", 128)].into_iter())).await.unwrap();
    assert_eq!(fs::read(installed.prefix.join(deep("x", 128))).unwrap(), b"x");

    let error = refused(&tar_named([deep("x", 128), deep("y", 128)].into_iter()), "many folders").await;
    assert!(matches!(&error, InstallError::TooBig { what, .. } if what == "200 entries"), "{error:?}");
    let error = refused(&tar_named([deep("x", 129)].into_iter()), "a deep one").await;
    assert!(error.to_string().ends_with("it lies below more than 128 folders"), "{error}");
    let (folder, link) = (deep("x", 129), deep("y", 129));
    let below = Entry { mode: 0o040_755, ..Entry::file(folder.trim_end_matches('f'), b"") };
    let error = refused(&zip(&[below]), "a deep folder in a zip").await;
    assert!(error.to_string().ends_with("it lies below more than 128 folders"), "{error}");
    let error = refused(&zip(&[Entry { mode: 0o120_777, ..Entry::file(&link, b"x") }]), "a link").await;
    assert!(error.to_string().ends_with("it lies below more than 128 folders"), "{error}");
}

/// What is kept of names is bounded, too.
#[tokio::test]
async fn names_of_many_megabytes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x");
    let long = format!("{}/", "n".repeat(250)).repeat(14);
    fs::write(&path, tar_named((0..700).map(|number| format!("{number}/{long}f")))).unwrap();
    let packages = Packages::with_config(home.path().join("packages"), Config::default());
    let error = packages.install(&PackageWish::Local { path, sha256: None }, |_| {}).await.unwrap_err();
    assert!(matches!(&error, InstallError::TooBig { what, .. } if what.contains("names")), "{error:?}");
    assert_eq!(names_in(&home.path().join("packages/local-x")), [".lock"]);
}

#[tokio::test]
async fn a_package_of_one_empty_file() {
    for bytes in [tar_of(&[("empty", b"")]), zip(&[Entry::file("empty", b"")])] {
        let home = tempfile::tempdir().unwrap();
        let installed = install(&home, &bytes).await.unwrap();
        assert_eq!(names_in(&installed.prefix), ["empty"]);
    }
    let folder = Entry { mode: 0o040_755, ..Entry::file("./", b"") };
    for bytes in [tar_of(&[]), zip(&[folder])] {
        let error = refused(&bytes, "nothing").await.to_string();
        assert!(error.ends_with("/x: not a readable archive: there is nothing in it"), "{error}");
    }
}

/// Names reach a terminal: what controls it does not.
#[tokio::test]
async fn names_that_are_told() {
    let hostile = "\x1b]0;owned\x07/\u{9b}2J\r\n/../ü";
    let told = r"\u{1b}]0;owned\u{7}/\u{9b}2J\r\n/../ü";
    for bytes in [tar_named([hostile.to_owned()].into_iter()), zip(&[Entry::file(hostile, b"x")])] {
        let error = refused(&bytes, "up").await.to_string();
        assert!(error.contains(&format!("refused `{told}`")), "{error:?}");
    }
    let mut tar = tar_named(["..".to_owned()].into_iter());
    tar[2] = 0xff;
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.as_mut_bytes()[2] = b'/';
    header.as_mut_bytes()[3] = 0xff;
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    let error = refused(&tar, "no UTF-8").await.to_string();
    assert!(error.contains(r"refused `../\xff`"), "{error:?}");
    // A name that the system does not take, and a header that the reader of tars complains of with its name.
    let long = format!("\x07{}", "n".repeat(300));
    for bytes in [tar_named([format!("a/{long}")].into_iter()), zip(&[Entry::file(&long, b"x")])] {
        let error = refused(&bytes, "a long name").await;
        assert!(matches!(error, InstallError::Refused { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains("\\u{7}nnnn") && error.contains("longer than"), "{error:?}");
    }
    let mut tar = tar_named(["\x1b[2J".to_owned()].into_iter());
    tar[124..136].copy_from_slice(b"zzzzzzzzzzz\0");
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    let error = refused(&tar, "no size").await.to_string();
    assert!(!error.contains('\x1b') && error.contains("size"), "{error:?}");
}

/// Nobody but its owner may write to what is installed, whatever an archive says.
#[tokio::test]
async fn modes_are_the_owners() {
    for (said, mode) in [(0o666, 0o644), (0o777, 0o755), (0o6777, 0o755), (0o002, 0o600), (0o444, 0o644)] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(said);
        header.set_size(1);
        tar.append_data(&mut header, "folder/x", &b"x"[..]).unwrap();
        let of_zip = Entry { mode: 0o100_000 | said, ..Entry::file("folder/x", b"x") };
        for bytes in [tar.into_inner().unwrap(), zip(&[of_zip])] {
            let home = tempfile::tempdir().unwrap();
            let installed = install(&home, &bytes).await.unwrap();
            let of =
                |path: &str| fs::metadata(installed.prefix.join(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(of("folder/x"), mode, "{said:o}");
            assert_eq!(of("folder") & 0o022, 0);
        }
    }
}

#[tokio::test]
async fn a_zip_is_unpacked_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let content = content();
    let entries = [
        Entry { mode: 0o040_755, ..Entry::file("bin/", b"") },
        Entry { mode: 0o104_755, ..Entry::file("bin/tool", &content) },
        Entry { stored: true, ..Entry::file("bin/data", &content) },
        Entry { mode: 0o120_777, ..Entry::file("bin/near", b"tool") },
        Entry { mode: 0o120_777, ..Entry::file("bin/far", b"/bin/data") },
        Entry { unix: false, ..Entry::file("plain", b"p") },
    ];
    // Behind a program that unpacks itself, too.
    let bytes = zip(&entries);
    for before in [&b""[..], b"#!/bin/sh\n"] {
        if !before.is_empty() {
            // Our own copy of it is judged by its content.
            let error = refused(&[before, &bytes].concat(), "a program").await;
            assert!(matches!(error, InstallError::NoArchive { .. }), "{error:?}");
            continue;
        }
        let installed = install(&home, &[before, &bytes].concat()).await.unwrap();
        let bin = installed.prefix.join("bin");
        for name in ["tool", "data", "near", "far"] {
            assert_eq!(fs::read(bin.join(name)).unwrap(), content, "{name}");
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&bin.join("tool")), 0o755);
        assert_eq!(mode(&installed.prefix.join("plain")), 0o644);
    }
}

/// What the programs of the machine write.
#[tokio::test]
async fn a_zip_of_the_zip_program() {
    let home = tempfile::tempdir().unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("bin")).unwrap();
    fs::write(tree.path().join("bin/tool"), content()).unwrap();
    std::os::unix::fs::symlink("tool", tree.path().join("bin/link")).unwrap();
    let status = Command::new("zip").args(["-qry", "x.zip", "bin"]).current_dir(tree.path()).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no zip on this machine");
        return;
    }
    let bytes = fs::read(tree.path().join("x.zip")).unwrap();
    let installed = install(&home, &bytes).await.unwrap();
    assert_eq!(fs::read(installed.prefix.join("bin/link")).unwrap(), content());
    for cut in [1, 30, bytes.len() / 2] {
        let error = refused(&bytes[..bytes.len() - cut], "a cut zip").await;
        assert!(matches!(error, InstallError::BadArchive { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn zips_that_nobody_should_unpack() {
    let link = |name, target: &'static [u8]| Entry { mode: 0o120_777, ..Entry::file(name, target) };
    let cases: &[(&str, Vec<Entry<'_>>)] = &[
        ("up", vec![Entry::file("../escaped", b"x")]),
        ("up later", vec![Entry::file("a/../../escaped", b"x")]),
        ("absolute", vec![Entry::file("/tmp/escaped", b"x")]),
        ("a NUL", vec![Entry::file("a\0b", b"x")]),
        ("a link up", vec![link("link", b"../escaped")]),
        ("through a link", vec![link("link", b"/tmp"), Entry::file("link/escaped", b"x")]),
        (
            "a folder over a link",
            vec![link("link", b"."), Entry { mode: 0o040_755, ..Entry::file("link/", b"") }],
        ),
        ("a link to nothing", vec![link("link", b"")]),
        ("a device", vec![Entry { mode: 0o020_666, ..Entry::file("null", b"") }]),
        ("a block device", vec![Entry { mode: 0o060_666, ..Entry::file("sda", b"") }]),
        ("a pipe", vec![Entry { mode: 0o010_666, ..Entry::file("pipe", b"") }]),
        ("a socket", vec![Entry { mode: 0o140_666, ..Entry::file("socket", b"") }]),
        ("another name", vec![Entry { local_name: Some("../escaped"), ..Entry::file("x", b"x") }]),
        ("encrypted", vec![Entry { flags: 1, ..Entry::file("x", b"x") }]),
        ("another compression", vec![Entry { method: Some(14), ..Entry::file("x", b"x") }]),
        ("the folder itself", vec![Entry::file("./", b"x"), link(".", b"/tmp")]),
    ];
    for (what, entries) in cases {
        let error = refused(&zip(entries), what).await;
        assert!(matches!(error, InstallError::Refused { .. }), "{what}: {error:?}");
        assert!(!Path::new("/tmp/escaped").exists(), "{what}");
    }
    let cases: &[(&str, Entry<'_>)] = &[
        ("longer than it says", Entry { size: Some(3), ..Entry::file("x", b"hello") }),
        ("shorter than it says", Entry { size: Some(300), ..Entry::file("x", b"hello") }),
        ("a wrong checksum", Entry { crc: Some(7), ..Entry::file("x", b"hello") }),
        ("outside the file", Entry { at: Some(1 << 30), ..Entry::file("x", b"hello") }),
    ];
    for (what, entry) in cases {
        let error = refused(&zip(std::slice::from_ref(entry)), what).await;
        assert!(matches!(error, InstallError::BadArchive { .. }), "{what}: {error:?}");
    }
}
