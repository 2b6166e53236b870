//! A build command that has farmhand do something: what can be done is done, and what would wait for itself is refused.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_tests::{Desk, Home, binary};

/// A project whose command leaves a program.
fn project(desk: &Desk, name: &str, line: &str, inputs: &str) {
    let hex = ":0400000001020304F2\\\\n:00000001FF\\\\n";
    let line = format!("{line} && printf '{hex}' > out.hex");
    let own = format!(
        "board = \"arduino:avr:uno\"\n[build]\ncommand = \"{line}\"\nartifact = \"out.hex\"\n{inputs}"
    );
    desk.write(&format!("{name}/farmhand.toml"), &own);
    desk.write(&format!("{name}/input"), "1");
}

const INPUTS: &str = "inputs = [\"input\"]\n";

#[tokio::test]
async fn a_build_command_builds_another_project_on_one_worker() {
    let desk = Desk::new(Home::empty());
    let farmhand = binary("farmhand");
    project(&desk, "other", "echo other > made", INPUTS);
    project(&desk, "outer", &format!("{} build ../other --jobs 1", farmhand.display()), INPUTS);
    desk.run(["build", "outer", "--jobs", "1"]).await.expect(0);
    assert!(desk.work().join("other/made").exists(), "the other was built");
}

#[tokio::test]
async fn a_build_command_that_builds_itself_is_refused() {
    let desk = Desk::new(Home::empty());
    let farmhand = binary("farmhand");
    for (name, inputs) in [("held", INPUTS), ("free", "")] {
        project(&desk, name, &format!("{} build . --json", farmhand.display()), inputs);
        let said = desk.run(["build", name]).await;
        said.expect(7);
        assert!(said.stderr.contains("F422"), "{name}: {}", said.stderr);
    }
    // By way of another.
    project(&desk, "one", &format!("{} build ../two", farmhand.display()), "");
    project(&desk, "two", &format!("{} build ../one", farmhand.display()), "");
    let said = desk.run(["build", "one"]).await;
    assert!(said.expect(7).stderr.contains("F422"), "{}", said.stderr);
}

#[tokio::test]
async fn a_build_command_of_the_farm_that_waits_for_the_farm_is_refused() {
    let desk = Desk::ready();
    let farmhand = binary("farmhand");
    desk.blink("blink");
    project(&desk, "outer", &format!("{} run ../blink", farmhand.display()), INPUTS);
    let said = desk.run(["run", "outer"]).await;
    said.expect(7);
    assert!(said.stderr.contains("F423"), "{}", said.stderr);
    // And the farm is none the worse.
    desk.run(["build", "blink"]).await.expect(0);
    desk.run(["status"]).await.expect(0);
    desk.stop().await;
}
