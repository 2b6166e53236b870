//! Packages from servers, and all that servers do wrong.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::{
    Config, InstallError, Installed, LOCK_FILE, Limits, LockMode, PackageKind, PackageOrigin, PackageSpec,
    PackageWish, Packages,
};
use sha2::{Digest, Sha256};
use support::web::{Web, good_head, head, serve};
use support::{names_in, noise};

/// A server that says nothing for so long is asked again.
const STALL: Duration = Duration::from_secs(1);

/// A package of one file of that many bytes.
fn archive(bytes: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(bytes as u64);
    tar.append_data(&mut header, "tool-1.0/bin/tool", &*noise(bytes)).unwrap();
    tar.into_inner().unwrap()
}

fn wish(urls: Vec<String>, body: &[u8]) -> PackageWish {
    PackageWish::Declared(Box::new(PackageSpec {
        name: "tool".into(),
        version: Some("1.0".into()),
        kind: PackageKind::Tool,
        origin: PackageOrigin::Url { urls, sha256: Some(Sha256::digest(body).into()) },
        strip: true,
        offers: Default::default(),
        environment: [("TOOL".to_owned(), "{prefix}/bin/tool".to_owned())].into(),
        needed_as: None,
        locked: None,
    }))
}

async fn install(home: &Path, wish: &PackageWish) -> Result<Installed, InstallError> {
    let config = Config { stall: Some(STALL), ..Config::default() };
    Packages::with_config(home, config).install(wish, |_| {}).await
}

/// What it serves is installed, in the end, from the servers in this order.
async fn arrives(servers: &[&Web], body: &[u8]) -> Installed {
    let home = tempfile::tempdir().unwrap();
    let urls = servers.iter().map(|web| web.url()).collect();
    let installed = install(home.path(), &wish(urls, body)).await.unwrap();
    let tool = fs::read(installed.prefix.join("bin/tool")).unwrap();
    assert!(tool == noise(tool.len()) && !tool.is_empty());
    assert_eq!(installed.environment["TOOL"], installed.prefix.join("bin/tool").to_str().unwrap());
    let name = installed.prefix.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        names_in(&home.path().join("tool")),
        [".lock".to_owned(), name.clone(), format!("{name}.complete")]
    );
    installed
}

/// Nothing of it is installed, and why is told.
async fn fails(servers: &[&Web], body: &[u8]) -> InstallError {
    let home = tempfile::tempdir().unwrap();
    let urls = servers.iter().map(|web| web.url()).collect();
    let error = install(home.path(), &wish(urls, body)).await.unwrap_err();
    assert_eq!(error.class(), ProblemClass::Package, "{error:?}");
    let left = names_in(&home.path().join("tool"));
    assert!(left.iter().all(|name| name == ".lock" || name == ".fetched"), "{left:?}");
    error
}

const SIZE: usize = 1 << 20;

#[tokio::test]
async fn a_good_server_is_asked_once() {
    let body = archive(SIZE);
    let web = Web::serving(body.clone());
    arrives(&[&web], &body).await;
    assert_eq!(web.asked(), 1);
}

/// The same address with another hash is another package: it is locked anew, and where nothing may be, refused.
#[tokio::test]
async fn another_hash_is_another_package() {
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    fs::create_dir(&project).unwrap();
    let packages = Packages::with_config(home.path().join("packages"), Config::default());
    let (old, new) = (archive(100), archive(200));
    let server = Web::serving(new.clone());
    let before = Web::serving(old.clone());
    let spec = |body: &[u8], server: &Web| match wish(vec![server.url()], body) {
        PackageWish::Declared(spec) => *spec,
        other => panic!("{other:?}"),
    };
    let first = spec(&old, &before);
    packages
        .install_project(&project, std::slice::from_ref(&first), &[], LockMode::Follow, |_| {})
        .await
        .unwrap();
    let lock = fs::read_to_string(project.join(LOCK_FILE)).unwrap();
    // Its address stays: the lock is told of the new server's.
    let moved = lock.replace(&before.url(), &server.url());
    fs::write(project.join(LOCK_FILE), &moved).unwrap();
    let second = spec(&new, &server);
    let locked = packages
        .install_project(&project, std::slice::from_ref(&second), &[], LockMode::Locked, |_| {})
        .await;
    assert!(matches!(locked, Err(InstallError::LockChanges { .. })), "{locked:?}");
    packages.install_project(&project, &[second], &[], LockMode::Follow, |_| {}).await.unwrap();
    assert_ne!(fs::read_to_string(project.join(LOCK_FILE)).unwrap(), moved);
}

#[tokio::test]
async fn one_that_cuts_is_asked_for_the_rest() {
    let body = archive(SIZE);
    let whole = body.clone();
    let web = Web::that(move |asked, stream| {
        let from = good_head(asked, stream, whole.len(), "ETag: \"one\"\r\n")?;
        // As it says, what it sends is of the version that we have.
        assert!(asked.from.is_none() || asked.if_range.as_deref() == Some("\"one\""));
        stream.write_all(&whole[from..whole.len().min(from + 100_000)])
    });
    arrives(&[&web], &body).await;
    assert_eq!(web.asked(), body.len().div_ceil(100_000));
}

#[tokio::test]
async fn one_that_stalls_is_asked_for_the_rest() {
    let body = archive(SIZE);
    let whole = body.clone();
    let web = Web::that(move |asked, stream| {
        let from = good_head(asked, stream, whole.len(), "")?;
        stream.write_all(&whole[from..whole.len().min(from + 600_000)])?;
        std::thread::sleep(STALL * 4);
        Ok(())
    });
    arrives(&[&web], &body).await;
    assert_eq!(web.asked(), 2);

    // One that accepts, and says nothing at all.
    let mute = Web::that(|_, _| {
        std::thread::sleep(STALL * 4);
        Ok(())
    });
    let error = fails(&[&mute], &body).await;
    assert!(
        matches!(&error, InstallError::NotServed { detail, .. } if detail[0].contains("does not answer")),
        "{error:?}"
    );
    // The next mirror does.
    arrives(&[&mute, &Web::serving(body.clone())], &body).await;
}

#[tokio::test]
async fn one_that_ignores_ranges_begins_again() {
    let body = archive(SIZE);
    let whole = body.clone();
    let web = Web::that(move |asked, stream| {
        head(stream, "200 OK", &format!("Content-Length: {}\r\n", whole.len()))?;
        let end = if asked.number < 3 { whole.len() / 2 } else { whole.len() };
        stream.write_all(&whole[..end])
    });
    arrives(&[&web], &body).await;
    assert_eq!(web.asked(), 4);
}

/// Whatever a server that never brings all of it does, the next one's turn comes: after a few requests, and after a
/// few times the file at most. Alone, it is given up as soon.
#[tokio::test]
async fn ones_that_bring_nothing_new_make_way() {
    let body = archive(SIZE);
    let half = body.len() / 2;
    type Mode = fn(&support::web::Asked, &mut std::net::TcpStream, &[u8]) -> std::io::Result<()>;
    let modes: [(&str, Mode); 5] = [
        ("half, whatever it is asked for", |_, stream, body| {
            head(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()))?;
            stream.write_all(&body[..body.len() / 2])
        }),
        ("half, and then silence", |_, stream, body| {
            head(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()))?;
            stream.write_all(&body[..body.len() / 2])?;
            std::thread::sleep(STALL * 4);
            Ok(())
        }),
        ("a byte at a time", |asked, stream, body| {
            let from = good_head(asked, stream, body.len(), "")?;
            stream.write_all(&body[from..body.len().min(from + 1)])
        }),
        ("one byte more each time, from the first on", |asked, stream, body| {
            head(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()))?;
            stream.write_all(&body[..body.len() / 2 + asked.number])
        }),
        ("a head, and then silence", |asked, stream, body| {
            good_head(asked, stream, body.len(), "")?;
            std::thread::sleep(STALL * 4);
            Ok(())
        }),
    ];
    for (what, mode) in modes {
        let serving = |whole: Vec<u8>| Web::that(move |asked, stream| mode(asked, stream, &whole));
        let bad = serving(body.clone());
        let good = Web::serving(body.clone());
        arrives(&[&bad, &good], &body).await;
        assert!(bad.asked() <= 6, "{what}: asked {} times", bad.asked());
        assert_eq!(good.asked(), 1, "{what}");
        let alone = serving(body.clone());
        let error = fails(&[&alone], &body).await;
        assert!(matches!(error, InstallError::NotServed { .. }), "{what}: {error:?}");
        assert!(alone.asked() <= 6, "{what}: asked {} times", alone.asked());
        assert!(half * alone.asked() <= body.len() * 3);
    }
}

/// One that is mute for once is asked again where no other has it.
#[tokio::test]
async fn one_that_was_mute_has_its_turn_again() {
    let body = archive(SIZE);
    let whole = body.clone();
    let once = Web::that(move |asked, stream| match asked.number {
        0 => {
            std::thread::sleep(STALL * 4);
            Ok(())
        }
        _ => serve(asked, stream, &whole),
    });
    let none = Web::that(|_, stream| head(stream, "404 Not Found", "Content-Length: 0\r\n"));
    arrives(&[&once, &none], &body).await;
    assert_eq!((once.asked(), none.asked()), (2, 1));
}

#[tokio::test]
async fn one_that_sends_another_range() {
    let body = archive(SIZE);
    let whole = body.clone();
    let web = Web::that(move |asked, stream| match asked.from {
        None if asked.number == 0 => {
            good_head(asked, stream, whole.len(), "")?;
            stream.write_all(&whole[..1000])
        }
        None => serve(asked, stream, &whole),
        Some(_) => {
            let range = format!("Content-Range: bytes 7-{}/{}\r\n", whole.len() - 1, whole.len());
            head(stream, "206 Partial Content", &range)?;
            stream.write_all(&whole[7..])
        }
    });
    arrives(&[&web], &body).await;
}

#[tokio::test]
async fn ones_that_lie_about_the_length() {
    let body = archive(SIZE);
    // Longer than it is: it never comes to an end that it promised, and all of it is there.
    let whole = body.clone();
    let longer = Web::that(move |asked, stream| {
        let from = good_head(asked, stream, whole.len() + 5000, "")?;
        stream.write_all(&whole[from.min(whole.len())..])
    });
    arrives(&[&longer], &body).await;
    assert_eq!(longer.asked(), 1);
    // Shorter than it is: the rest is asked for.
    let whole = body.clone();
    let shorter = Web::that(move |asked, stream| match asked.from {
        None => {
            head(stream, "200 OK", &format!("Content-Length: {}\r\n", whole.len() - 5000))?;
            stream.write_all(&whole)
        }
        Some(_) => serve(asked, stream, &whole),
    });
    arrives(&[&shorter], &body).await;
    assert_eq!(shorter.asked(), 2);
    // And where it has no more, its bytes are wrong.
    let whole = body.clone();
    let short = Web::that(move |asked, stream| serve(asked, stream, &whole[..whole.len() - 5000]));
    let error = fails(&[&short], &body).await;
    assert!(matches!(error, InstallError::WrongHash { .. }), "{error:?}");
}

#[tokio::test]
async fn one_that_says_nothing_of_the_length() {
    let body = archive(SIZE);
    let whole = body.clone();
    let web = Web::that(move |_, stream| {
        head(stream, "200 OK", "")?;
        stream.write_all(&whole)
    });
    arrives(&[&web], &body).await;
}

#[tokio::test]
async fn a_wrong_byte_sends_to_the_next_mirror() {
    let body = archive(SIZE);
    let mut damaged = body.clone();
    damaged[SIZE / 2] ^= 1;
    let wrong = Web::serving(damaged.clone());
    let error = fails(&[&wrong], &body).await;
    let found = support::hex(&Sha256::digest(&damaged));
    let problem = Problem::from(&error);
    assert_eq!(problem.code, "F507");
    assert!(problem.detail.iter().any(|line| line.contains(&found)), "{problem:?}");
    arrives(&[&wrong, &Web::serving(body.clone())], &body).await;
}

/// What a mirror sends without end is that mirror's fault, and nothing of it stays; nor does what is known to be wrong.
#[tokio::test]
async fn what_is_of_no_use_makes_way_and_goes() {
    let body = archive(SIZE);
    let limits = Limits { bytes_max: 2 * SIZE as u64, ..Limits::default() };
    let config = Config { stall: Some(STALL), limits, ..Config::default() };
    let endless = Web::that(|_, stream| {
        head(stream, "200 OK", "")?;
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
        Ok(())
    });
    let says_so = Web::that(|_, stream| head(stream, "200 OK", "Content-Length: 99000000000\r\n"));
    let mut damaged = body.clone();
    damaged[SIZE / 2] ^= 1;
    let wrong = Web::serving(damaged);
    for (bad, code, asked) in [(&endless, "F533", 1), (&says_so, "F533", 1), (&wrong, "F507", 2)] {
        let home = tempfile::tempdir().unwrap();
        let packages = Packages::with_config(home.path(), config.clone());
        let error = packages.install(&wish(vec![bad.url()], &body), |_| {}).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, ProblemClass::Package), "{error}");
        assert!(error.to_string().starts_with(&bad.url()), "{error}");
        assert_eq!(names_in(&home.path().join("tool")), [".lock"], "{code}");
        assert_eq!(bad.asked(), asked);
        let good = Web::serving(body.clone());
        packages.install(&wish(vec![bad.url(), good.url()], &body), |_| {}).await.unwrap();
        assert_eq!((bad.asked(), good.asked()), (2 * asked, 1));
    }
}

#[tokio::test]
async fn one_that_is_another_by_now() {
    // The first half of one file, and then another file: what was taken up is given up.
    let body = archive(SIZE);
    let (whole, old) = (body.clone(), vec![7; SIZE]);
    let web = Web::that(move |asked, stream| match asked.number {
        0 => {
            good_head(asked, stream, whole.len(), "")?;
            stream.write_all(&old[..SIZE / 2])
        }
        _ => serve(asked, stream, &whole),
    });
    arrives(&[&web], &body).await;
    assert_eq!(web.asked(), 3);
}

#[tokio::test]
async fn one_that_is_busy_and_ones_that_have_it_not() {
    let body = archive(SIZE);
    let whole = body.clone();
    let busy = Web::that(move |asked, stream| match asked.number {
        0 | 1 => head(stream, "503 Service Unavailable", "Content-Length: 0\r\n"),
        _ => serve(asked, stream, &whole),
    });
    arrives(&[&busy], &body).await;
    let none = Web::that(|_, stream| head(stream, "404 Not Found", "Content-Length: 0\r\n"));
    arrives(&[&none, &busy], &body).await;
    assert_eq!(none.asked(), 1);
    let error = fails(&[&none], &body).await;
    let problem = Problem::from(&error);
    assert_eq!(problem.code, "F524");
    assert!(problem.detail[0].contains(&none.url()) && problem.detail[0].contains("404"), "{problem:?}");
}

#[tokio::test]
async fn without_a_network() {
    let body = archive(1000);
    // Nobody listens there; nobody answers there (TEST-NET-1, RFC 5737); no such name exists (RFC 6761).
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = format!("http://127.0.0.1:{port}/x");
    for urls in [
        vec![dead.clone()],
        vec![dead.clone(), "http://192.0.2.1/x".into(), "http://farmhand.invalid/x".into()],
        vec!["https://192.0.2.1/x".into()],
    ] {
        let home = tempfile::tempdir().unwrap();
        // A connection that nobody bounds is given up by the system after two minutes.
        let wish = wish(urls.clone(), &body);
        let told = tokio::time::timeout(Duration::from_secs(60), install(home.path(), &wish));
        let error = told.await.expect("who is offline is told").unwrap_err();
        let problem = Problem::from(&error);
        assert_eq!((problem.class, &*problem.code), (ProblemClass::Package, "F503"), "{error:?}");
        assert!(problem.message.contains("tool"));
        for url in &urls {
            assert!(problem.detail.iter().any(|line| line.contains(url)), "{problem:?}");
        }
    }
}

/// What a process that died had fetched is taken up, whatever became of it.
#[tokio::test]
async fn what_was_left_is_taken_up() {
    let body = archive(SIZE);
    let name = support::hex(&Sha256::digest(&body));
    let mut torn = body[..SIZE / 2].to_vec();
    torn[SIZE / 4..].fill(0);
    let cases: [(&str, Vec<u8>, usize, Option<usize>); 4] = [
        ("part", body[..SIZE / 2].to_vec(), 1, Some(SIZE / 2)),
        ("part", body.clone(), 0, None),
        ("part", torn, 2, Some(SIZE / 2)),
        ("part", [&body[..], &[0; 900]].concat(), 2, Some(body.len() + 900)),
    ];
    for (ending, left, asked, first) in cases {
        let home = tempfile::tempdir().unwrap();
        let fetched = home.path().join("tool/.fetched");
        fs::create_dir_all(&fetched).unwrap();
        fs::write(fetched.join(format!("{name}.{ending}")), left).unwrap();
        let whole = body.clone();
        let web = Web::that(move |asked, stream| {
            if asked.number == 0 {
                assert_eq!(asked.from, first);
            }
            serve(asked, stream, &whole)
        });
        let installed = install(home.path(), &wish(vec![web.url()], &body)).await.unwrap();
        assert_eq!(fs::read(installed.prefix.join("bin/tool")).unwrap(), noise(SIZE));
        assert_eq!(web.asked(), asked);
    }
}

const CHILD: &str = "FARMHAND_TEST_URL_CHILD";

/// Run in a process of its own by the tests below: installs from the URL that the environment names.
#[tokio::test]
async fn child() {
    let Ok(said) = std::env::var(CHILD) else { return };
    let said: Vec<_> = said.split(' ').collect();
    let [home, url, sha256] = said[..] else { panic!("{said:?}") };
    let bytes = support::unhex(sha256).unwrap();
    let PackageWish::Declared(mut spec) = wish(Vec::new(), b"") else { panic!("declared") };
    spec.origin = PackageOrigin::Url { urls: vec![url.to_owned()], sha256: Some(bytes) };
    match Packages::new(home).install(&PackageWish::Declared(spec), |_| {}).await {
        Ok(installed) => println!("already {}", installed.already),
        Err(error) => println!("error {:?}", Problem::from(&error)),
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
}

fn process(home: &Path, url: &str, body_sha256: &[u8]) -> Command {
    let hex = support::hex(body_sha256);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]);
    command.env(CHILD, format!("{} {url} {hex}", home.display()));
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn a_proxy_is_honoured() {
    let body = archive(SIZE);
    let whole = body.clone();
    let proxy = Web::that(move |asked, stream| {
        assert_eq!(asked.line, "GET http://packages.invalid/x.tar HTTP/1.1");
        serve(asked, stream, &whole)
    });
    let home = tempfile::tempdir().unwrap();
    let mut command = process(home.path(), "http://packages.invalid/x.tar", &Sha256::digest(&body));
    let ended = command.env("http_proxy", format!("http://127.0.0.1:{}", proxy.port)).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("already false"), "{ended:?}");
    assert_eq!(proxy.asked(), 1);
}

/// 100 MB, of which no more is in memory than what is on its way.
#[test]
fn a_large_one_is_never_whole_in_memory() {
    let body = archive(100 << 20);
    let sha256 = Sha256::digest(&body);
    let web = Web::serving(body);
    let home = tempfile::tempdir().unwrap();
    let ended = process(home.path(), &web.url(), &sha256).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("already false"), "{ended:?}");
    let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak: {peak_kib} KiB");
    assert!(peak_kib < 64 << 10, "{peak_kib} KiB");
}

#[test]
fn two_processes_fetch_once() {
    let body = archive(8 << 20);
    let web = Web::serving(body.clone());
    let home = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = process(home.path(), &web.url(), &Sha256::digest(&body));
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let said = [start(), start(), start()]
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap());
    assert_eq!(said.iter().filter(|said| said.contains("already false")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("already true")).count(), 2, "{said:?}");
    assert_eq!(web.asked(), 1);
}

/// One of two is killed at any moment of its work: the other finishes, and nothing half-done is ever seen.
#[test]
fn one_is_killed_and_the_other_finishes() {
    let body = archive(8 << 20);
    let (whole, sha256) = (body.clone(), Sha256::digest(&body));
    // Slow enough for a moment in the middle of it.
    let web = Web::that(move |asked, stream| {
        let from = good_head(asked, stream, whole.len(), "ETag: \"one\"\r\n")?;
        for piece in whole[from..].chunks(256 << 10) {
            stream.write_all(piece)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    let mut moment = 1_u64;
    for round in 0..20 {
        let home = tempfile::tempdir().unwrap();
        let start = || {
            let mut command = process(home.path(), &web.url(), &sha256);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let (mut first, second) = (start(), start());
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis((moment >> 33) % 250));
        first.kill().unwrap();
        first.wait().unwrap();
        let said = String::from_utf8(second.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.contains("already"), "round {round}: {said}");
        let packages = Packages::with_config(home.path(), Config::default());
        let [there] = &packages.list()[..] else { panic!("round {round}: {:?}", packages.list()) };
        assert!(fs::read(there.prefix.join("bin/tool")).unwrap() == noise(8 << 20), "round {round}");
        let left = names_in(&home.path().join("tool"));
        assert!(!left.iter().any(|name| name.starts_with(".staging")), "round {round}: {left:?}");
    }
}

/// What arrives is unpacked as it does, and is judged no less for that.
#[tokio::test]
async fn what_no_package_may_hold_is_refused_from_a_server_too() {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [("tool-1.0/bin/tool", SIZE), ("elsewhere/x", 1)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(bytes as u64);
        tar.append_data(&mut header, name, &*noise(bytes)).unwrap();
    }
    let body = tar.into_inner().unwrap();
    let error = fails(&[&Web::serving(body.clone())], &body).await;
    assert!(matches!(&error, InstallError::Refused { entry, .. } if entry == "elsewhere/x"), "{error:?}");
    let error = fails(&[&Web::serving(b"hello".to_vec())], b"hello").await;
    assert!(matches!(error, InstallError::NoArchive { .. }), "{error:?}");
}

#[tokio::test]
async fn a_zip_is_unpacked_once_it_is_there() {
    let body = support::zip::zip(&[support::zip::Entry::file("tool-1.0/bin/tool", &noise(SIZE))]);
    arrives(&[&Web::serving(body.clone())], &body).await;
}

/// Several at once, and no more than may; each is there in the end, and the lock names all.
#[tokio::test]
async fn several_at_once() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let body = archive(SIZE);
    let (whole, current, peak) = (body.clone(), now, most.clone());
    let web = Web::that(move |asked, stream| {
        peak.fetch_max(current.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        current.fetch_sub(1, Ordering::SeqCst);
        serve(asked, stream, &whole)
    });
    let PackageWish::Declared(spec) = wish(vec![web.url()], &body) else { panic!("declared") };
    let specs: Vec<_> =
        (0..9).map(|number| PackageSpec { name: format!("tool-{number}"), ..*spec.clone() }).collect();
    let home = tempfile::tempdir().unwrap();
    let packages = Packages::with_config(home.path().join("packages"), Config::default());
    let mode = LockMode::Follow;
    let installed = packages.install_project(home.path(), &specs, &[], mode, |_| {}).await.unwrap();
    assert_eq!((installed.len(), web.asked()), (9, 9));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
    let lock = fs::read_to_string(home.path().join(LOCK_FILE)).unwrap();
    assert_eq!(lock.matches("[[package]]").count(), 9);
}
