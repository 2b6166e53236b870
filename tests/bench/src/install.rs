//! A package of 100 MB from a server on loopback: fetched, checked, unpacked, made durable; against `curl | tar`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_installer::{Config, PackageKind, PackageOrigin, PackageSpec, PackageWish, Packages};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::stats::{Series, ratios};

/// Of each, in turn.
const ROUNDS: usize = 5;
/// Files of the package, and how long each is: as many bytes as a toolchain's archive.
const FILES: usize = 400;
const FILE_BYTES: usize = 256 << 10;

pub(crate) async fn run(folder: &Path) -> Result<Report, Failure> {
    let folder = tempfile::tempdir_in(folder)?;
    let plain = archive()?;
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&plain)?;
    let mut rows = Vec::new();
    for (what, body, flag) in [("tar", plain, "x"), ("tar.gz", gz.finish()?, "xz")] {
        let title = format!("{what} of {} MB", body.len() / 1_000_000);
        let body = Arc::new(body);
        let url = serve(Arc::clone(&body))?;
        let sha256 = Sha256::digest(&**body).into();
        let (mut ours, mut peers, mut durable) = (Vec::new(), Vec::new(), Vec::new());
        // One round more than counts: the first finds everything cold.
        for round in 0..=ROUNDS {
            let here = tempfile::tempdir_in(folder.path())?;
            let mine = install(here.path(), &url, sha256).await?;
            let (peer, synced) = curl_tar(&here.path().join("peer"), &url, flag)?;
            if round > 0 {
                ours.push(mine.as_secs_f64());
                peers.push(peer.as_secs_f64());
                durable.push(synced.as_secs_f64());
            }
        }
        rows.push(Row::time(format!("peer: curl | tar, {title}"), Series::of(peers.iter().copied())));
        let by_durable = ratios(&durable, &peers);
        rows.push(
            Row::time(format!("peer: the same, and sync, {title}"), Series::of(durable.iter().copied()))
                .against(by_durable),
        );
        rows.push(
            Row::time(format!("farmhand, {title}"), Series::of(ours.iter().copied()))
                .against(ratios(&ours, &peers))
                .goal(Goal::TimesAtMost(1.1)),
        );
        rows.push(
            Row::time(format!("farmhand by the peer that syncs, {title}"), Series::of(ours.iter().copied()))
                .against(ratios(&ours, &durable)),
        );
    }
    let title = format!("install: a package of {FILES} files from loopback; {ROUNDS} of each, in turn");
    let notes = vec!["farmhand checks the hash, hashes each file, and makes all of it durable".to_owned()];
    Ok(Report { title, rows, notes })
}

/// A tar of files that compress to about half, as programs do.
fn archive() -> Result<Vec<u8>, Failure> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut state = 1_u32;
    for number in 0..FILES {
        let mut content = vec![0; FILE_BYTES];
        for byte in content.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8 & 0x0f;
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(FILE_BYTES as u64);
        tar.append_data(&mut header, format!("tool/bin/file-{number}"), &*content)?;
    }
    Ok(tar.into_inner()?)
}

async fn install(folder: &Path, url: &str, sha256: [u8; 32]) -> Result<Duration, Failure> {
    let packages = Packages::with_config(folder.join("ours"), Config::default());
    let spec = PackageSpec {
        name: "tool".into(),
        version: None,
        kind: PackageKind::Toolchain,
        origin: PackageOrigin::Url { urls: vec![url.to_owned()], sha256: Some(sha256) },
        strip: true,
        offers: Default::default(),
        environment: Default::default(),
        needed_as: None,
        locked: None,
    };
    let started = Instant::now();
    packages.install(&PackageWish::Declared(Box::new(spec)), |_| {}).await?;
    Ok(started.elapsed())
}

/// How long it takes, and with what it wrote made durable, as ours is.
fn curl_tar(into: &Path, url: &str, flag: &str) -> Result<(Duration, Duration), Failure> {
    fs::create_dir(into)?;
    let started = Instant::now();
    let mut curl = Command::new("curl").args(["-sf", url]).stdout(Stdio::piped()).spawn()?;
    let from = curl.stdout.take().ok_or("curl has no output")?;
    let tar = Command::new("tar").arg(flag).arg("-C").arg(into).stdin(from).status()?;
    if !curl.wait()?.success() || !tar.success() {
        return Err("curl | tar failed".into());
    }
    let done = started.elapsed();
    rustix::fs::syncfs(fs::File::open(into)?)?;
    Ok((done, started.elapsed()))
}

/// A server of one file, which ends with this process.
fn serve(body: Arc<Vec<u8>>) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            std::thread::spawn(move || {
                let _client_ended = answer(stream, &body);
            });
        }
    });
    Ok(format!("http://127.0.0.1:{port}/tool"))
}

fn answer(mut stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}
