//! Packages by git, pip and npm: their real clients, at registries of our own on loopback.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::{
    Config, InstallError, PackageKind, PackageOrigin, PackageSpec, PackageWish, Packages,
};
use sha2::{Digest, Sha256};
use support::hex;
use support::web::{Web, head};
use support::zip::{Entry, zip};

fn wish(origin: PackageOrigin) -> PackageWish {
    PackageWish::Declared(Box::new(PackageSpec {
        name: "tool".into(),
        version: None,
        kind: PackageKind::Tool,
        origin,
        strip: false,
        offers: Default::default(),
        environment: Default::default(),
        needed_as: None,
        locked: None,
    }))
}

const CHILD: &str = "FARMHAND_TEST_CLIENT";

/// Run in a process of its own, whose environment says which registry is asked.
#[tokio::test]
async fn child() {
    let Ok(said) = std::env::var(CHILD) else { return };
    let said: Vec<_> = said.split(' ').collect();
    let [home, word, project, version, hash] = said[..] else { panic!("{said:?}") };
    let (project, version) = (project.to_owned(), version.to_owned());
    let sha256 = support::unhex(hash);
    let origin = match word {
        "pip" => PackageOrigin::Pip { project, version, sha256 },
        "npm" => PackageOrigin::Npm { project, version, sha256 },
        _ => panic!("{word}"),
    };
    match Packages::new(home).install(&wish(origin), |_| {}).await {
        Ok(installed) => {
            println!("{} {} {}", installed.already, installed.version, installed.prefix.display())
        }
        Err(error) => println!("{:?}", Problem::from(&error)),
    }
}

fn process(home: &Path, word: &str, project: &str, hash: &str, registry: (&str, String)) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]);
    command.env(CHILD, format!("{} {word} {project} 1.2.3 {hash}", home.join("packages").display()));
    // The user's own settings and caches are not asked.
    command.env("HOME", home).env("PIP_CONFIG_FILE", "/dev/null").env("PIP_NO_CACHE_DIR", "1");
    command.env(registry.0, registry.1);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

/// Whether this machine has a client; where a test may not be passed over, it must.
fn has(client: &str) -> bool {
    let there = Command::new(client).arg("--version").output().is_ok_and(|ended| ended.status.success());
    assert!(there || std::env::var_os("FARMHAND_TEST_MUST_NOT_SKIP").is_none(), "there is no {client}");
    if !there {
        eprintln!("skipped: there is no {client}");
    }
    there
}

fn reply(stream: &mut std::net::TcpStream, kind: &str, body: &[u8]) -> std::io::Result<()> {
    head(stream, "200 OK", &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()))?;
    stream.write_all(body)
}

#[test]
fn a_wheel_by_pip() {
    if !has("pip") {
        return;
    }
    let metadata = b"Metadata-Version: 2.1\nName: some-tool\nVersion: 1.2.3\n";
    let wheel = b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let file = zip(&[
        Entry { mode: 0o100_755, ..Entry::file("some_tool/bin/tool", b"a tool") },
        Entry::file("some_tool-1.2.3.dist-info/METADATA", metadata),
        Entry::file("some_tool-1.2.3.dist-info/WHEEL", wheel),
        Entry::file("some_tool-1.2.3.dist-info/RECORD", b""),
    ]);
    let hash = hex(&Sha256::digest(&file));
    let name = "some_tool-1.2.3-py3-none-any.whl";
    let web = Web::that(move |asked, stream| {
        if asked.line.contains(name) {
            return reply(stream, "application/octet-stream", &file);
        }
        reply(
            stream,
            "text/html",
            format!("<html><body><a href=\"/{name}\">{name}</a></body></html>").as_bytes(),
        )
    });
    let registry = || ("PIP_INDEX_URL", format!("http://127.0.0.1:{}/simple", web.port));
    let home = tempfile::tempdir().unwrap();
    let said = process(home.path(), "pip", "some-tool", &hash, registry());
    assert!(said.contains("false 1.2.3"), "{said}");
    let line = said.lines().find(|line| line.contains("false 1.2.3")).unwrap();
    let prefix = Path::new(line.rsplit(' ').next().unwrap());
    assert_eq!(fs::read(prefix.join("some_tool/bin/tool")).unwrap(), b"a tool");
    // Again, pinned or not, nothing is asked.
    let asked = web.asked();
    for hash in [&*hash, "-"] {
        assert!(process(home.path(), "pip", "some-tool", hash, registry()).contains("true 1.2.3"));
    }
    assert_eq!(web.asked(), asked);
    // Another hash is refused by pip itself, and told as what it is.
    let said = process(home.path(), "pip", "some-tool", &"ab".repeat(32), registry());
    assert!(said.contains("F507") && said.contains(&"ab".repeat(32)), "{said}");
    // Nobody answers.
    let dead = ("PIP_INDEX_URL", "http://127.0.0.1:1/simple".to_owned());
    let elsewhere = tempfile::tempdir().unwrap();
    let said = process(elsewhere.path(), "pip", "some-tool", "-", dead);
    assert!(said.contains("F503"), "{said}");
}

#[test]
fn a_tarball_by_npm() {
    if !has("npm") {
        return;
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("package/package.json", &br#"{"name":"some-tool","version":"1.2.3"}"#[..]),
        ("package/bin/tool.js", b"a tool"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar.into_inner().unwrap()).unwrap();
    let file = gz.finish().unwrap();
    let hash = hex(&Sha256::digest(&file));
    let web = Web::that(move |asked, stream| {
        if asked.line.contains(".tgz") {
            return reply(stream, "application/octet-stream", &file);
        }
        assert!(asked.line.contains("/some-tool"), "nothing else is asked for: {}", asked.line);
        let host = asked.host.as_deref().unwrap_or_default();
        let document = format!(
            r#"{{"name":"some-tool","dist-tags":{{"latest":"1.2.3"}},"versions":{{"1.2.3":{{"name":"some-tool","version":"1.2.3","dist":{{"tarball":"http://{host}/some-tool-1.2.3.tgz"}}}}}}}}"#
        );
        reply(stream, "application/json", document.as_bytes())
    });
    let registry = || ("npm_config_registry", format!("http://127.0.0.1:{}/", web.port));
    let home = tempfile::tempdir().unwrap();
    let said = process(home.path(), "npm", "some-tool", "-", registry());
    let line = said.lines().find(|line| line.contains("false 1.2.3")).unwrap_or_else(|| panic!("{said}"));
    let prefix = Path::new(line.rsplit(' ').next().unwrap());
    assert_eq!(fs::read(prefix.join("bin/tool.js")).unwrap(), b"a tool");
    assert!(process(home.path(), "npm", "some-tool", &hash, registry()).contains("true 1.2.3"));
    let elsewhere = tempfile::tempdir().unwrap();
    let said = process(elsewhere.path(), "npm", "some-tool", &"ab".repeat(32), registry());
    assert!(said.contains("F507") && said.contains(&hash), "{said}");
    let said = process(
        elsewhere.path(),
        "npm",
        "some-tool",
        "-",
        ("npm_config_registry", "http://127.0.0.1:1/".into()),
    );
    assert!(said.contains("F503"), "{said}");
}

fn git(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=x", "-c", "user.email=x@y.z", "-C"]).arg(folder).args(args);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{args:?}: {ended:?}");
    ended
}

#[tokio::test]
async fn a_commit_by_git() {
    if !has("git") {
        return;
    }
    let desk = tempfile::tempdir().unwrap();
    let tree = desk.path().join("tree");
    fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "-q"]);
    let mut commits = Vec::new();
    for content in ["one", "two"] {
        fs::create_dir_all(tree.join("src")).unwrap();
        fs::write(tree.join("src/lib.h"), content).unwrap();
        git(&tree, &["add", "."]);
        git(&tree, &["commit", "-q", "-m", content]);
        commits.push(String::from_utf8(git(&tree, &["rev-parse", "HEAD"]).stdout).unwrap().trim().to_owned());
    }
    let packages = Packages::with_config(desk.path().join("packages"), Config::default());
    let url = format!("file://{}", tree.display());
    let at = |commit: &str, url: &str| wish(PackageOrigin::Git { url: url.into(), commit: commit.into() });
    for (commit, content) in commits.iter().zip(["one", "two"]) {
        let installed = packages.install(&at(commit, &url), |_| {}).await.unwrap();
        assert_eq!(fs::read_to_string(installed.prefix.join("src/lib.h")).unwrap(), content);
        assert!(!installed.prefix.join(".git").exists());
        // Wherever it would come from: a commit is its content.
        assert!(packages.install(&at(commit, "file:///nowhere"), |_| {}).await.unwrap().already);
    }
    let error = packages.install(&at(&"ab".repeat(20), &url), |_| {}).await.unwrap_err();
    assert!(matches!(error, InstallError::Client { .. }), "{error:?}");

    // What a checkout has and an archive of it need not: submodules, and files that are left out of archives.
    let other = desk.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("of-other.h"), "submodule").unwrap();
    git(&other, &["init", "-q"]);
    git(&other, &["add", "."]);
    git(&other, &["commit", "-q", "-m", "other"]);
    fs::write(tree.join(".gitattributes"), "src/lib.h export-ignore\n").unwrap();
    fs::write(tree.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    git(
        &tree,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "deps/other"],
    );
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-q", "-m", "modules"]);
    let commit = String::from_utf8(git(&tree, &["rev-parse", "HEAD"]).stdout).unwrap();
    let installed = packages.install(&at(commit.trim(), &url), |_| {}).await.unwrap();
    let read = |file: &str| fs::read_to_string(installed.prefix.join(file)).unwrap();
    assert_eq!((&*read("src/lib.h"), &*read("deps/other/of-other.h")), ("two", "submodule"));
    assert!(!installed.prefix.join("deps/other/.git").exists());
    // Whoever fetches it has the same: a lock holds it to that.
    let elsewhere = Packages::with_config(desk.path().join("elsewhere"), Config::default());
    let again = elsewhere.install(&at(commit.trim(), &url), |_| {}).await.unwrap();
    assert!(!again.already && again.hash == installed.hash);
    let mode = fs::metadata(installed.prefix.join("run.sh")).unwrap().permissions().mode();
    assert_ne!(mode & 0o111, 0, "a program stays one");

    // A link that leaves is refused here as everywhere.
    std::os::unix::fs::symlink("/etc/../../etc/passwd", tree.join("leaves")).unwrap();
    std::os::unix::fs::symlink("../../passwd", tree.join("src/leaves")).unwrap();
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-q", "-m", "hostile"]);
    let commit = String::from_utf8(git(&tree, &["rev-parse", "HEAD"]).stdout).unwrap();
    let error = packages.install(&at(commit.trim(), &url), |_| {}).await.unwrap_err();
    assert!(matches!(error, InstallError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_machine_without_clients() {
    let home = tempfile::tempdir().unwrap();
    let nothing = tempfile::tempdir().unwrap();
    let config = Config { path: Some(nothing.path().into()), ..Config::default() };
    let packages = Packages::with_config(home.path(), config);
    let (project, version) = (String::from("x"), String::from("1"));
    for (origin, client) in [
        (PackageOrigin::Git { url: "file:///x".into(), commit: "ab".repeat(20) }, "git"),
        (PackageOrigin::Pip { project: project.clone(), version: version.clone(), sha256: None }, "pip"),
        (PackageOrigin::Npm { project, version, sha256: None }, "npm"),
    ] {
        let error = packages.install(&wish(origin), |_| {}).await.unwrap_err();
        let problem = Problem::from(&error);
        assert_eq!((problem.class, &*problem.code), (ProblemClass::Package, "F523"), "{problem:?}");
        assert!(problem.message.contains(&format!("`{client}`")), "{problem:?}");
        assert!(problem.help[0].contains("install"), "{problem:?}");
    }
    assert_eq!(support::names_in(home.path()), [""; 0]);
}
