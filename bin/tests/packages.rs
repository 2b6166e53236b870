//! A project's packages, by the program itself: no farm is started for them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn farmhand(desk: &Path, home: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farmhand"));
    command.args(words).current_dir(desk.join("project"));
    command.env("FARMHAND_HOME", desk.join(home)).env("HOME", desk).env_remove("CI");
    command.output().unwrap()
}

fn said(ended: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
}

#[test]
fn installed_locked_bundled_verified_and_collected() {
    let desk = tempfile::tempdir().unwrap();
    let project = desk.path().join("project");
    fs::create_dir_all(project.join("lib")).unwrap();
    fs::write(project.join("lib/one.h"), "int one(void);").unwrap();
    let declared = "[package.one]\nsource = \"path\"\nkind = \"library\"\npath = \"lib\"\n";
    fs::write(project.join("farmhand.toml"), declared).unwrap();
    let run = |home: &str, words: &[&str], code: i32| {
        let ended = farmhand(desk.path(), home, words);
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {}", said(&ended));
        said(&ended)
    };
    assert!(run("home", &["install", "--locked"], 3).contains("F526"));
    assert!(run("home", &["install"], 0).contains("installed  one local"));
    let lock = fs::read_to_string(project.join("farmhand.lock")).unwrap();
    assert!(lock.contains("source = \"path+lib\""), "{lock}");
    assert!(run("home", &["install", "--locked"], 0).contains("there already"));
    assert!(run("home", &["packages", "list"], 0).contains("library"));
    assert!(run("home", &["packages", "why", "one"], 0).contains("declared by"));
    assert!(run("home", &["packages", "verify"], 0).starts_with("whole"));

    // To a machine that has neither a network nor what was packed.
    assert!(run("home", &["install", "--offline-bundle", "../kit.tar"], 0).contains("packed"));
    fs::rename(project.join("lib"), desk.path().join("gone")).unwrap();
    let there = run("elsewhere", &["install", "--locked", "--offline-bundle", "../kit.tar"], 0);
    assert!(there.contains("installed  one local"), "{there}");
    assert_eq!(fs::read_to_string(project.join("farmhand.lock")).unwrap(), lock);

    // What is not in it is not fetched, and told; so is what was declared otherwise since.
    let two = "[package.two]\nsource = \"path\"\nkind = \"library\"\npath = \"../gone\"\n";
    fs::write(project.join("farmhand.toml"), format!("{declared}{two}")).unwrap();
    let missing = run("elsewhere", &["install", "--offline-bundle", "../kit.tar"], 10);
    assert!(missing.contains("there already  one local") && missing.contains("F534"), "{missing}");
    assert!(missing.contains("kit.tar has no two, which the project declares"), "{missing}");
    fs::write(project.join("farmhand.toml"), declared.replace("\"lib\"", "\"../gone\"")).unwrap();
    assert!(run("elsewhere", &["install", "--offline-bundle", "../kit.tar"], 3).contains("F526"));
    fs::write(project.join("farmhand.toml"), declared).unwrap();
    assert_eq!(fs::read_to_string(project.join("farmhand.lock")).unwrap(), lock);

    // Damaged, it is named; discarded, it is gone.
    let shelf = desk.path().join("elsewhere/packages/one");
    let prefix = fs::read_dir(&shelf).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    fs::write(prefix.join("one.h"), "int two(void);").unwrap();
    assert!(run("elsewhere", &["packages", "verify"], 10).contains("F528"));
    assert!(run("elsewhere", &["packages", "verify", "--discard"], 0).starts_with("discarded"));
    assert!(!prefix.exists());
    // It was used a moment ago: it stays.
    let kept = run("home", &["packages", "gc", "--keep-bytes", "0"], 0);
    assert!(
        kept.contains("0 packages") && kept.contains("kept  one local: it was used a moment ago"),
        "{kept}"
    );
    for home in ["home", "elsewhere"] {
        assert!(!desk.path().join(home).join("store").exists(), "a farm was started");
    }
}
