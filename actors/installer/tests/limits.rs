//! Archives at the edges of their formats: long zips as Python writes them, and windows that nobody should need.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use farmhand_api::ProblemClass;
use farmhand_installer::{InstallError, Installed, PackageWish, Packages};
use support::names_in;
use tempfile::TempDir;

/// Has Python make an archive, `out`, in a folder.
fn python(folder: &Path, script: &str) {
    let ended = Command::new("python3").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

async fn install(home: &TempDir) -> Result<Installed, InstallError> {
    let wish = PackageWish::Local { path: home.path().join("out"), sha256: None };
    let packages = Packages::new(home.path().join("packages"));
    let outcome = packages.install(&wish, |_| {}).await;
    if outcome.is_err() {
        assert_eq!(names_in(&home.path().join("packages/local-out")), [".lock"], "something is half there");
        assert_eq!(packages.list(), []);
    }
    outcome
}

/// Long sizes in an entry's own header; and all that a long zip has, where every limit is said to be passed.
#[tokio::test]
async fn long_zips() {
    let forced = "import zipfile\n\
                  with zipfile.ZipFile('out', 'w', zipfile.ZIP_DEFLATED) as archive:\n  \
                  with archive.open('a/one', 'w', force_zip64=True) as one: one.write(b'1' * 70000)\n  \
                  archive.writestr('a/two', b'22')\n";
    let all = format!("import zipfile\nzipfile.ZIP64_LIMIT = 10\nzipfile.ZIP_FILECOUNT_LIMIT = 1\n{forced}");
    for (script, has_long_end) in [(forced, false), (&all, true)] {
        let home = tempfile::tempdir().unwrap();
        python(home.path(), script);
        let bytes = fs::read(home.path().join("out")).unwrap();
        let is_there = |magic: &[u8]| bytes.windows(4).any(|four| four == magic);
        assert_eq!(is_there(b"PK\x06\x06"), has_long_end);
        let installed = install(&home).await.unwrap();
        assert_eq!(fs::read(installed.prefix.join("a/one")).unwrap(), vec![b'1'; 70_000]);
        assert_eq!(fs::read(installed.prefix.join("a/two")).unwrap(), b"22");
    }
}

/// An xz whose header asks for a dictionary of that code (xz file format, 5.3.1), and a zstd for a window of that exponent
/// (RFC 8878, 3.1.1.1.2): what they hold is a small tar.
fn windows(folder: &Path, dictionary: u8, exponent: u8) -> [Vec<u8>; 2] {
    let script = format!(
        "import io, lzma, struct, tarfile, zlib\n\
         tar = io.BytesIO()\n\
         with tarfile.open(fileobj=tar, mode='w') as made:\n  \
         info = tarfile.TarInfo('file'); info.size = 3; made.addfile(info, io.BytesIO(b'abc'))\n\
         tar = tar.getvalue()\n\
         xz = bytearray(lzma.compress(tar))\n\
         length = (xz[12] + 1) * 4\n\
         at = bytes(xz[12:12 + length]).index(b'\\x21\\x01') + 12 + 2\n\
         xz[at] = {dictionary}\n\
         xz[12 + length - 4:12 + length] = struct.pack('<I', zlib.crc32(bytes(xz[12:12 + length - 4])))\n\
         open('xz', 'wb').write(xz)\n\
         head = struct.pack('<I', len(tar) << 3 | 1)[:3]\n\
         open('zstd', 'wb').write(bytes.fromhex('28b52ffd00') + bytes([{exponent} << 3]) + head + tar)\n"
    );
    python(folder, &script);
    ["xz", "zstd"].map(|name| fs::read(folder.join(name)).unwrap())
}

#[tokio::test]
async fn a_window_is_bounded() {
    for (dictionary, exponent, is_too_large) in [
        // 64 MiB, what `xz -9` takes; 128 MiB, what `zstd -d` takes.
        (28, 17, false),
        // 128 MiB; 256 MiB.
        (30, 18, true),
        // 4 GiB; 2 TiB.
        (40, 31, true),
    ] {
        let made = tempfile::tempdir().unwrap();
        for bytes in windows(made.path(), dictionary, exponent) {
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join("out"), &bytes).unwrap();
            match install(&home).await {
                Ok(installed) => {
                    assert!(!is_too_large, "{dictionary} {exponent}");
                    assert_eq!(fs::read(installed.prefix.join("file")).unwrap(), b"abc");
                }
                Err(error) => {
                    assert!(is_too_large, "{dictionary} {exponent}: {error:?}");
                    assert_eq!((error.code(), error.class()), ("F532", ProblemClass::Package));
                }
            }
        }
    }
}
