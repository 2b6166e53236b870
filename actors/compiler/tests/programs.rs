//! Builds by compilers and linkers that whoever embeds a farm brings.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use farmhand_api::BuildEvent;
use farmhand_compiler::{
    BuildError, BuildOrchestrator, Compiler, Invocation, Linker, Outcome, Processes, Programs, Telling,
};
use farmhand_runtime::HelperError;
use support::{Bench, sketch_wish, write};

/// Counts, and has this machine do it.
#[derive(Default)]
struct Counting {
    compiled: AtomicUsize,
    linked: AtomicUsize,
}

#[async_trait]
impl Compiler for Counting {
    async fn compile(&self, invocation: Invocation) -> Result<Outcome, HelperError> {
        self.compiled.fetch_add(1, Ordering::SeqCst);
        Processes.compile(invocation).await
    }
}

#[async_trait]
impl Linker for Counting {
    async fn link(&self, invocation: Invocation) -> Result<Outcome, HelperError> {
        self.linked.fetch_add(1, Ordering::SeqCst);
        Processes.link(invocation).await
    }
}

/// Has no room.
struct Full;

#[async_trait]
impl Linker for Full {
    async fn link(&self, invocation: Invocation) -> Result<Outcome, HelperError> {
        Ok(Outcome { success: false, printed: format!("no room for {}\n", invocation.what), how: "1".into() })
    }
}

#[tokio::test]
async fn all_that_is_run_is_run_by_them() {
    let mut bench = Bench::new(2);
    let counting = Arc::new(Counting::default());
    bench.env.programs = Programs { compiler: counting.clone(), linker: counting.clone() };
    let wish = sketch_wish(&bench.sketch("p"));
    let orchestrator: Arc<dyn BuildOrchestrator> = Arc::new(bench.env.clone());
    let built = orchestrator.build(&wish, None).await.unwrap();
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    // Four sources and the core's archive; the program, and its hex file.
    assert_eq!((built.compiled, count(&counting.compiled), count(&counting.linked)), (4, 5, 2));
    orchestrator.build(&wish, None).await.unwrap();
    assert_eq!((count(&counting.compiled), count(&counting.linked)), (5, 2), "nothing to do");
}

#[tokio::test]
async fn what_one_of_them_refuses_is_told_in_its_words() {
    let mut bench = Bench::new(2);
    bench.env.programs.linker = Arc::new(Full);
    let folder = bench.sketch("p");
    let refused = bench.build(&sketch_wish(&folder)).await.unwrap_err();
    assert!(
        matches!(&refused, BuildError::Refused { printed, .. } if printed == "no room for blink.ino.elf\n"),
        "{refused:?}"
    );
    bench.env.programs = Programs::default();
    write(&folder.join("more.cpp"), "int more() { return 1; }\n");
    bench.build(&sketch_wish(&folder)).await.unwrap();
}

#[tokio::test]
async fn what_is_run_is_told_where_that_is_asked_for_and_can_be_typed() {
    let mut bench = Bench::new(2);
    let folder = bench.sketch("it's 100%");
    let wish = sketch_wish(&folder);
    let commands = async |bench: &Bench| {
        let (to, mut told) = tokio::sync::mpsc::channel(256);
        let orchestrator: &dyn BuildOrchestrator = &bench.env;
        let built = orchestrator.build(&wish, Some(to)).await.unwrap();
        let mut commands = Vec::new();
        while let Some(event) = told.recv().await {
            if let BuildEvent::Command(line) = event {
                commands.push(line);
            }
        }
        (built, commands)
    };
    assert_eq!(commands(&bench).await.1, Vec::<String>::new());
    fs::remove_dir_all(bench.env.paths.home()).unwrap();
    fs::remove_dir_all(&wish.build_dir).unwrap();
    bench.env.telling = Telling::Commands;
    let (built, lines) = commands(&bench).await;
    assert_eq!(lines.len(), 7, "{lines:#?}");
    let program = wish.build_dir.join("blink.ino.hex");
    let before = fs::read(&program).unwrap();
    assert_eq!(fs::read(&built.artifact).unwrap(), before);
    fs::remove_file(&program).unwrap();
    for line in lines {
        let status = Command::new("sh").args(["-c", &line]).current_dir(&folder).status().unwrap();
        assert!(status.success(), "{line}");
    }
    assert!(fs::read(&program).unwrap() == before, "another program");
}
