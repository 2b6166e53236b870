//! Packages that a project declares are what it is built with: its toolchain, its libraries, what its build command needs.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use farmhand_tests::Desk;

const BOARD: &str = "arduino:avr:uno";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn script(path: &Path, text: &str) {
    write(path, &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "n").env(format!("GIT_{who}_EMAIL"), "e@x.invalid");
    }
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&ended.stdout).trim().to_owned()
}

/// An archive of compilers that note what they are asked to do, in the file that `NOTED` names, and then have it done by the
/// installed ones.
fn toolchain(desk: &Desk, name: &str, remark: &str) -> PathBuf {
    let real = farmhand_installer::installed(&desk.home().path().join("packages"), "avr-gcc").unwrap();
    let libraries = real.environment.get("LD_LIBRARY_PATH").cloned().unwrap_or_default();
    let folder = desk.work().join(format!("{name}-folder/{name}"));
    for program in ["gcc", "g++", "gcc-ar", "ar", "objcopy"] {
        let real = real.prefix.join(format!("usr/bin/avr-{program}"));
        let note = format!("case \"$1\" in -print*) ;; *) echo \"{program} $*\" >> \"$NOTED\" ;; esac");
        let then = format!("LD_LIBRARY_PATH={libraries} exec {} \"$@\"", real.display());
        script(&folder.join(format!("bin/avr-{program}")), &format!("# {remark}\n{note}\n{then}"));
    }
    let archive = desk.work().join(format!("{name}.tar.gz"));
    let above = folder.parent().unwrap();
    let fixed = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0"];
    let mut words = vec!["tar"];
    words.extend(fixed);
    words.extend(["-czf", archive.to_str().unwrap(), name]);
    run(above, &words);
    archive
}

fn declared(name: &str, archive: &Path, noted: &Path) -> String {
    format!(
        "[package.{name}]\nsource = \"path\"\nkind = \"toolchain\"\npath = \"{}\"\nstrip = true\n\
         offers = [\"cc:avr\", \"c++:avr\"]\nenvironment = {{ NOTED = \"{}\" }}\n",
        archive.display(),
        noted.display()
    )
}

/// By the command alone, and by a farm.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_toolchain_is_what_a_project_is_built_with() {
    let desk = Desk::ready();
    let project = desk.blink("lamp");
    let noted = desk.work().join("noted");
    let archive = toolchain(&desk, "declared-avr", "one");
    let settings = fs::read_to_string(project.join("farmhand.toml")).unwrap();
    let with = |more: &str| fs::write(project.join("farmhand.toml"), format!("{settings}\n{more}")).unwrap();
    let own = declared("declared-avr", &archive, &noted);
    with(&own);

    desk.run(["build", "lamp", "--locked"]).await.expect(3).mentions(&["F526", "declared-avr"]);
    assert!(!project.join("farmhand.lock").exists());
    desk.run(["build", "lamp"]).await.expect(0);
    let text = fs::read_to_string(&noted).unwrap();
    assert!(text.contains("g++ ") && text.lines().any(|line| line.starts_with("objcopy ")), "{text}");
    let lock = fs::read_to_string(project.join("farmhand.lock")).unwrap();
    assert!(lock.contains("name = \"declared-avr\""), "{lock}");
    desk.run(["build", "lamp", "--locked"]).await.expect(0).mentions(&["unchanged"]);

    // A farm is told of it in the job.
    desk.edit("lamp/lamp.ino", "delay(PERIOD_MS)", "delay(PERIOD_MS / 4)");
    fs::remove_file(&noted).unwrap();
    desk.run(["run", "lamp"]).await.expect(0);
    assert!(fs::read_to_string(&noted).unwrap().contains("lamp.ino"), "the farm built with another");

    // What is locked is what is built with, whatever lies now where it came from.
    toolchain(&desk, "declared-avr", "two");
    desk.edit("lamp/lamp.ino", "PERIOD_MS / 4", "PERIOD_MS / 5");
    desk.run(["build", "lamp"]).await.expect(0);
    assert_eq!(fs::read_to_string(project.join("farmhand.lock")).unwrap(), lock);
    // And where the store does not have that any more, it is an error, and not another one.
    let elsewhere = desk.work().join("elsewhere");
    let mut command = desk.farmhand(["build", "lamp", "--locked"]);
    command.env("FARMHAND_HOME", &elsewhere);
    farmhand_tests::said(command).await.expect(10).mentions(&["F527", "declared-avr"]);

    let other = declared("declared-two", &archive, &noted);
    with(&format!("{own}\n{other}"));
    desk.run(["build", "lamp"]).await.expect(3).mentions(&["F453", "cc:avr", "declared-avr", "declared-two"]);
    with(&own.replace("\"cc:avr\", \"c++:avr\"", "\"cc:avr\", \"core:arduino:avr\""));
    desk.run(["build", "lamp"]).await.expect(3).mentions(&["F454", "boards.txt"]);
    with("");
    desk.run(["build", "lamp"]).await.expect(0);
}

/// A bare repository with one library in it, and its only commit.
fn repository(desk: &Desk, name: &str, answer: u32) -> (PathBuf, String) {
    let (from, bare) = (desk.work().join(format!("{name}-work")), desk.work().join(format!("{name}.git")));
    write(&from.join(format!("src/{name}.h")), "int far_answer();\n");
    write(
        &from.join(format!("src/{name}.cpp")),
        &format!("#include \"{name}.h\"\nint far_answer() {{ return {answer}; }}\n"),
    );
    write(&from.join("library.properties"), &format!("name={name}\nversion=1.2.0\n"));
    if !from.join(".git").exists() {
        run(&from, &["git", "init", "--quiet", "-b", "main"]);
        run(desk.work(), &["git", "init", "--quiet", "--bare", "-b", "main", bare.to_str().unwrap()]);
    }
    run(&from, &["git", "add", "."]);
    run(&from, &["git", "commit", "--quiet", "-m", "it"]);
    run(&from, &["git", "push", "--quiet", bare.to_str().unwrap(), "HEAD:main"]);
    (bare, run(&from, &["git", "rev-parse", "HEAD"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_library_is_found_by_a_sketch() {
    let desk = Desk::ready();
    let (bare, commit) = repository(&desk, "FarAway", 41);
    desk.write(
        "lamp/lamp.ino",
        "#include <FarAway.h>\nvoid setup() { PORTB = far_answer(); }\nvoid loop() {}\n",
    );
    let settings = format!(
        "board = \"{BOARD}\"\n[package.far]\nsource = \"git\"\nkind = \"library\"\nurl = \"file://{}\"\n\
         commit = \"{commit}\"\n",
        bare.display()
    );
    desk.write("lamp/farmhand.toml", &settings);
    desk.run(["build", "lamp"]).await.expect(0);
    let why = desk.run(["build", "lamp", "--explain-libs", "--json"]).await.expect(0).json();
    assert_eq!(why["libraries"][0]["name"], "far", "{why}");
    assert!(why["libraries"][0]["because"].as_str().unwrap().contains("FarAway.h"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_command_has_what_its_packages_say() {
    let desk = Desk::ready();
    let tools = desk.work().join("tools");
    script(&tools.join("bin/make-it"), "cp \"$IMAGE\" \"$1\"");
    write(&tools.join("share/image.hex"), ":0400000001020304F2\n:00000001FF\n");
    let settings = format!(
        "board = \"{BOARD}\"\n[build]\ncommand = \"make-it out.hex\"\nartifact = \"out.hex\"\ninputs = [\"in\"]\n\
         [package.declared-tools]\nsource = \"path\"\nkind = \"tool\"\npath = \"{}\"\n\
         environment = {{ PATH = \"{{prefix}}/bin\", IMAGE = \"{{prefix}}/share/image.hex\" }}\n",
        tools.display()
    );
    desk.write("lamp/farmhand.toml", &settings);
    desk.write("lamp/in", "");
    desk.run(["build", "lamp"]).await.expect(0);
    desk.run(["build", "lamp"]).await.expect(0).mentions(&["unchanged"]);
    // The folder is worked in: what is built with stays what is pinned, and that is said.
    script(&tools.join("bin/make-it"), "cp \"$IMAGE\" \"$1\"; exit 1");
    let changed = "note: declared-tools has changed since farmhand.lock pinned it";
    desk.run(["build", "lamp"]).await.expect(0).mentions(&["unchanged", changed]);
    desk.run(["-d", "lamp", "install"]).await.expect(0);
    let taken = desk.run(["build", "lamp"]).await;
    assert!(!taken.expect(7).stderr.contains("note: "), "{}", taken.stderr);
    // What is locked and not declared any more is a lock that would change.
    let (own, package) = settings.split_once("[package.").unwrap();
    desk.write("lamp/farmhand.toml", own);
    desk.run(["build", "lamp", "--locked"]).await.expect(3).mentions(&["F526", "does not declare it"]);
    let twice = package.replace("declared-tools", "declared-twins");
    desk.write("lamp/farmhand.toml", &format!("{settings}[package.{twice}"));
    desk.run(["build", "lamp"]).await.expect(3).mentions(&["F453", "IMAGE", "declared-twins"]);
}

/// A loopback server of one file: its address. It ends with the test.
fn serve(name: &str, body: Vec<u8>) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&chunk[..read]),
                }
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    format!("http://{address}/{name}")
}

/// A tag, a commit, an archive of a server and a folder: each is fetched where it has to be, and pinned.
#[tokio::test(flavor = "multi_thread")]
async fn what_lib_deps_names_is_fetched_and_pinned() {
    let desk = Desk::ready();
    let (tagged, first) = repository(&desk, "FarTag", 1);
    run(&tagged, &["git", "tag", "-a", "v1", "-m", "one", &first]);
    let (moving, _) = repository(&desk, "FarHead", 2);
    // As archives of code hosts are: all of it in one folder.
    let packed = desk.work().join("pack/FarZip-1.2");
    write(&packed.join("FarZip.h"), "#define FAR_ZIP 3\n");
    run(&desk.work().join("pack"), &["tar", "-czf", "../FarZip.tar.gz", "FarZip-1.2"]);
    let url = serve("FarZip.tar.gz", fs::read(desk.work().join("FarZip.tar.gz")).unwrap());
    desk.write("near/Near.h", "#define NEAR 4\n");
    let git = |bare: &Path| format!("git+file://{}", bare.display());
    let ini = format!(
        "[env:uno]\nplatform = atmelavr\nboard = uno\nframework = arduino\nlib_deps =\n  {}#v1\n  {}\n  {url}\n  \
         symlink://../near\n",
        git(&tagged),
        git(&moving)
    );
    desk.write("lamp/platformio.ini", &ini);
    let main = "#include <Arduino.h>\n#include <FarTag.h>\n#include <FarHead.h>\n#include <FarZip.h>\n\
                #include <Near.h>\nvoid setup() { PORTB = FAR_ZIP + NEAR; }\nvoid loop() {}\n";
    desk.write("lamp/src/main.cpp", main);
    // Two libraries define the same function: only one of them is linked.
    for name in ["FarTag", "FarHead"] {
        let (from, bare) =
            (desk.work().join(format!("{name}-work")), desk.work().join(format!("{name}.git")));
        write(&from.join(format!("src/{name}.cpp")), "");
        run(&from, &["git", "commit", "--quiet", "-am", "empty"]);
        run(&from, &["git", "push", "--quiet", bare.to_str().unwrap(), "HEAD:main"]);
    }
    desk.run(["build", "lamp", "--locked"]).await.expect(3).mentions(&["F526", "it is not locked"]);
    desk.run(["build", "lamp"]).await.expect(0);
    let lock = fs::read_to_string(desk.work().join("lamp/farmhand.lock")).unwrap();
    let head = run(&moving, &["git", "rev-parse", "main"]);
    for pinned in [format!("commit = \"{first}\""), format!("commit = \"{head}\"")] {
        assert!(lock.contains(&pinned), "no {pinned} in {lock}");
    }
    assert!(lock.contains(&format!("source = \"url+{url}\"")) && lock.contains("sha256 = \""), "{lock}");
    assert_eq!(lock.matches("[[package]]").count(), 3, "{lock}");
    let found = desk.run(["build", "lamp", "--explain-libs", "--json"]).await.expect(0).json();
    let mut names: Vec<_> =
        found["libraries"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["FarHead", "FarTag", "FarZip-1.2", "near"]);

    // The branch moves on: the project does not, until it is asked to; and not where the lock is.
    repository(&desk, "FarHead", 5);
    desk.edit("lamp/src/main.cpp", "FAR_ZIP + NEAR", "FAR_ZIP - NEAR");
    desk.run(["build", "lamp", "--locked"]).await.expect(0);
    assert_eq!(fs::read_to_string(desk.work().join("lamp/farmhand.lock")).unwrap(), lock);
    // A tag that is not there, and what the registry has.
    desk.edit("lamp/platformio.ini", "#v1", "#v9");
    desk.run(["build", "lamp"]).await.expect(10).mentions(&["F531", "v9"]);
    desk.edit("lamp/platformio.ini", "#v9", "#v1");
    desk.edit("lamp/platformio.ini", "  symlink://../near", "  symlink://../near\n  who/NeverHeardOf@^1.2");
    desk.run(["build", "lamp"]).await.expect(10).mentions(&["F451", "NeverHeardOf"]);
}

/// Nobody answers there: it is said, with its name, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_reaches_is_named() {
    let desk = Desk::ready();
    // Bound, and given up: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    desk.write("lamp/src/main.cpp", "#include <Arduino.h>\nvoid setup() {}\nvoid loop() {}\n");
    let (repository, archive) =
        (format!("http://{gone}/a/FarAway.git#main"), format!("http://{gone}/FarAway.zip"));
    let both = format!("\n  {}\n  http://{gone}/Farther.zip", archive);
    for (needed, missing) in
        [(repository, "FarAway"), (archive, "FarAway"), (both.clone(), "Farther"), (both, "FarAway")]
    {
        let ini = format!(
            "[env:uno]\nplatform = atmelavr\nboard = uno\nframework = arduino\nlib_deps = {needed}\n"
        );
        desk.write("lamp/platformio.ini", &ini);
        desk.run(["build", "lamp"]).await.expect(10).mentions(&["F503", missing]);
        assert!(!desk.work().join("lamp/farmhand.lock").exists());
    }
}

/// What a project calls a version is what its lock says.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_another_declaration() {
    let desk = Desk::ready();
    let packed = desk.work().join("pack");
    write(&packed.join("far/in"), "1");
    run(&packed, &["tar", "-czf", "../far.tar.gz", "far"]);
    let hash = run(desk.work(), &["sha256sum", "far.tar.gz"]);
    let hash = hash.split(' ').next().unwrap();
    let url = serve("far.tar.gz", fs::read(desk.work().join("far.tar.gz")).unwrap());
    let settings = format!(
        "[package.far]\nsource = \"url\"\nkind = \"tool\"\nurl = \"{url}\"\nsha256 = \"{hash}\"\nversion = \"1\"\n"
    );
    desk.write("lamp/farmhand.toml", &settings);
    let says = |version: &str| {
        let lock = fs::read_to_string(desk.work().join("lamp/farmhand.lock")).unwrap();
        assert!(lock.contains(&format!("version = \"{version}\"")), "{lock}");
    };
    desk.run(["-d", "lamp", "install"]).await.expect(0);
    says("1");
    desk.edit("lamp/farmhand.toml", "version = \"1\"", "version = \"2\"");
    desk.run(["-d", "lamp", "install", "--locked"]).await.expect(3).mentions(&["F526", "far", "otherwise"]);
    says("1");
    desk.run(["-d", "lamp", "install"]).await.expect(0);
    says("2");
    desk.run(["-d", "lamp", "install", "--locked"]).await.expect(0);
}
