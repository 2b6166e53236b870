//! Tars as GNU tar writes them: files with holes, links of links and links that go up again; and lies about these.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use farmhand_installer::InstallError;
use support::archives::{install, refused};
use support::names_in;

/// What GNU tar makes of a folder.
fn gnu_tar(folder: &Path, options: &[&str]) -> Vec<u8> {
    let ended = Command::new("tar").args(options).args(["-c", "."]).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

/// Files with holes, in each way that GNU tar writes them.
#[tokio::test]
async fn files_with_holes() {
    use std::os::unix::fs::FileExt;

    let tree = tempfile::tempdir().unwrap();
    for (name, pieces, length) in [
        ("ends-in-a-hole", &[(0, 5000), (1 << 20, 70_000)][..], 2 << 20),
        ("begins-with-one", &[(1 << 18, 10)], (1 << 18) + 10),
        ("is-one", &[], 300_000),
        ("has-none", &[(0, 10_000)], 10_000),
        ("has-many", &[(4096, 1), (40_960, 1), (81_920, 1), (122_880, 1), (163_840, 1)], 200_000),
    ] {
        let file = fs::File::create(tree.path().join(name)).unwrap();
        for (number, &(at, bytes)) in pieces.iter().enumerate() {
            file.write_all_at(&vec![number as u8 + 1; bytes], at).unwrap();
        }
        file.set_len(length).unwrap();
    }
    let old: &[&str] = &["-S", "--format=gnu"];
    let pax = ["0.0", "0.1", "1.0"].map(|version| format!("--sparse-version={version}"));
    let pax = pax.each_ref().map(|version| ["-S", "--format=posix", version]);
    for options in [old, &pax[0], &pax[1], &pax[2]] {
        let home = tempfile::tempdir().unwrap();
        let bytes = gnu_tar(tree.path(), options);
        assert!(bytes.len() < 1 << 20, "{options:?}: there are no holes");
        let installed = install(&home, &bytes).await.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert_eq!(names_in(&installed.prefix), names_in(tree.path()), "{options:?}");
        for name in names_in(tree.path()) {
            let same =
                fs::read(tree.path().join(&name)).unwrap() == fs::read(installed.prefix.join(&name)).unwrap();
            assert!(same, "{options:?}: {name}");
        }
    }
    fs::File::create(tree.path().join("large")).unwrap().set_len(5 << 20).unwrap();
    for options in [old, &pax[0], &pax[1], &pax[2]] {
        let error = refused(&gnu_tar(tree.path(), options), "a large hole").await;
        assert!(matches!(error, InstallError::TooBig { .. }), "{options:?}: {error:?}");
    }
}

/// A tar of one pax entry: what is said of it, and its content.
fn pax(said: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_pax_extensions(said.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, "GNUSparseFile.1/x", content).unwrap();
    tar.into_inner().unwrap()
}

/// Maps of holes that are none.
#[tokio::test]
async fn holes_that_lie() {
    let block = |map: &str| {
        let mut block = map.as_bytes().to_vec();
        block.resize(block.len().next_multiple_of(512), 0);
        block.extend(b"hello");
        block
    };
    let one = |size: &'static str| {
        [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "x"),
            ("GNU.sparse.realsize", size),
        ]
    };
    let home = tempfile::tempdir().unwrap();
    let installed = install(&home, &pax(&one("9"), &block("1\n2\n5\n"))).await.unwrap();
    assert_eq!(fs::read(installed.prefix.join("x")).unwrap(), b"\0\0hello\0\0");
    let huge = format!("{}\n", u64::MAX);
    let endless = format!("300000\n{}", "0\n0\n".repeat(300_000));
    for (what, size, map) in [
        ("beyond its end", "6", "1\n2\n5\n"),
        ("beyond all ends", "9", &format!("1\n{huge}5\n")),
        ("more than is there", "90", "1\n2\n6\n"),
        ("less than is there", "90", "1\n2\n4\n"),
        ("over each other", "90", "2\n2\n3\n4\n2\n"),
        ("backwards", "90", "2\n9\n3\n4\n2\n"),
        ("no number", "90", "1\nx\n5\n"),
        ("too few", "90", "9\n2\n5\n"),
        ("many", "90", &huge),
        ("a long map", "90", &endless),
        ("no size", "x", "1\n2\n5\n"),
    ] {
        let error = refused(&pax(&one(size.to_owned().leak()), &block(map)), what).await;
        assert!(matches!(error, InstallError::Refused { .. }), "{what}: {error:?}");
    }
    let mut other = one("9");
    other[0].1 = "2";
    let error = refused(&pax(&other, &block("1\n2\n5\n")), "another version").await;
    assert!(matches!(error, InstallError::Refused { .. }), "{error:?}");
    // It is judged by the name that it says, and not by the one that it has for who does not know it.
    let mut up = one("9");
    up[2].1 = "../escaped";
    let error = refused(&pax(&up, &block("1\n2\n5\n")), "up").await;
    assert!(matches!(&error, InstallError::Refused { entry, .. } if entry == "../escaped"), "{error:?}");
}

/// What GNU tar writes of links and of folders, in its own formats and in old ones.
#[tokio::test]
async fn as_gnu_tar_writes_it() {
    use std::os::unix::fs::symlink;

    let tree = tempfile::tempdir().unwrap();
    let at = |path: &str| tree.path().join(path);
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::create_dir_all(at("z/y")).unwrap();
    fs::write(at("a/b/file"), "hello").unwrap();
    fs::write(at("empty"), "").unwrap();
    symlink("b/file", at("a/link")).unwrap();
    symlink("b/c/../file", at("a/down-and-up")).unwrap();
    symlink("../a/b/c/../../b/file", at("z/around")).unwrap();
    // A second name of a link, beside it and as deep elsewhere.
    for (first, second) in [("a/link", "a/same"), ("a/link", "z/same")] {
        rustix::fs::linkat(
            rustix::fs::CWD,
            at(first),
            rustix::fs::CWD,
            at(second),
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    for format in ["--format=gnu", "--format=posix", "--format=ustar", "--format=v7", "--format=oldgnu"] {
        let home = tempfile::tempdir().unwrap();
        let installed = install(&home, &gnu_tar(tree.path(), &["--sort=name", format]))
            .await
            .unwrap_or_else(|error| panic!("{format}: {error}"));
        let there = |path: &str| installed.prefix.join(path);
        for folder in ["a/b/c", "z/y"] {
            assert!(there(folder).is_dir(), "{format}: {folder}");
        }
        for link in ["a/link", "a/same", "a/down-and-up", "z/around"] {
            assert_eq!(fs::read_to_string(there(link)).unwrap(), "hello", "{format}: {link}");
        }
        assert_eq!(fs::read_link(there("z/same")).unwrap(), fs::read_link(at("z/same")).unwrap());
    }
}

/// Its kind, name and target.
type Entry = (tar::EntryType, &'static str, &'static str);

/// Links that go up again are judged by where they lie and by what they go through.
#[tokio::test]
async fn links_that_go_up_again() {
    let tar = |entries: &[Entry]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (kind, name, target) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_size(0);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            tar.append(&header, &b""[..]).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let (file, folder, link, hard) =
        (tar::EntryType::Regular, tar::EntryType::Directory, tar::EntryType::Symlink, tar::EntryType::Link);
    let home = tempfile::tempdir().unwrap();
    let good = [
        (folder, "x/y", ""),
        (file, "x/f", ""),
        (file, "f", ""),
        (link, "to-x-f", "x/y/../f"),
        (link, "x/y/to-f", "../y/../../f"),
        (link, "rooted", "/x/y/../f"),
        // Where it goes through nothing, and where a link on the way leads to where its name says.
        (link, "dangling", "none/../f"),
        (link, "here", "."),
        (link, "through", "here/x/y/../f"),
        (link, "far/rooted", "/x/f"),
        (hard, "second", "far/rooted"),
    ];
    let installed = install(&home, &tar(&good)).await.unwrap();
    for name in ["to-x-f", "x/y/to-f", "rooted", "through", "far/rooted", "second"] {
        assert!(installed.prefix.join(name).is_file(), "{name}");
    }
    let cases: &[(&str, &[Entry])] = &[
        ("out", &[(link, "a", "b/../../c")]),
        ("through a link, before it", &[(link, "a", "b/../c"), (folder, "x/y", ""), (link, "b", "x/y")]),
        ("through a link, after it", &[(folder, "x/y", ""), (link, "b", "x/y"), (link, "a", "b/../c")]),
        ("through two", &[(folder, "x/y", ""), (link, "b", "d/y"), (link, "d", "x"), (link, "a", "b/../c")]),
        (
            "through one that goes up",
            &[(folder, "x/y", ""), (link, "x/y/b", ".."), (link, "a", "x/y/b/../c")],
        ),
        ("a second name out", &[(file, "f", ""), (link, "d/e/a", "../../f"), (hard, "b", "d/e/a")]),
    ];
    for (what, entries) in cases {
        let error = refused(&tar(entries), what).await;
        assert!(matches!(error, InstallError::Refused { .. }), "{what}: {error:?}");
    }
}
