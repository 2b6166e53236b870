//! What becomes of an answer that its reader does not take.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

fn farmhand(words: &[&str], stdout: Stdio) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_farmhand"));
    command.args(words).env("FARMHAND_HOME", home.path()).current_dir(home.path());
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
}

/// A disk that is full under a report is no report.
#[test]
fn one_that_does_not_fit_is_an_error() {
    for words in [&["--help"][..], &["completions", "bash"], &["packages", "list", "--json"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let said = farmhand(words, full.into());
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(8), "{words:?}: {text}");
        assert!(text.contains("stdout") && text.contains("No space left"), "{words:?}: {text}");
    }
}

/// Who hangs up (`| head`) has seen enough.
#[test]
fn one_that_nobody_reads_any_more_is_none() {
    for words in [&["completions", "bash"][..], &["packages", "list", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said = farmhand(words, writer.into());
        assert_eq!((said.status.code(), &*said.stderr), (Some(0), &b""[..]), "{words:?}");
    }
}
