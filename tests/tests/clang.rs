//! The examples by clang, and with newlib: built from the same sources, and run on the same machines.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use farmhand_tests::{Desk, copy_project};

fn example(desk: &Desk, name: &str) {
    copy_project(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name),
        &desk.work().join(name),
    )
    .unwrap();
}

/// Which compiler a program says it was made by, in its `.comment`.
fn made_by(program: &Path) -> String {
    let bytes = fs::read(program).unwrap();
    let has = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    let all: [(&str, &[u8]); 2] = [("clang", b"clang version 19"), ("gcc", b"GCC: (")];
    let named: Vec<_> = all.iter().filter(|(_, word)| has(word)).map(|(name, _)| *name).collect();
    named.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn cortex_m_by_clang_and_with_newlib() {
    let desk = Desk::ready();
    example(&desk, "cortex-m");
    for environment in ["clang", "clang-m4f", "newlib", "clang-newlib"] {
        let ran = desk.run(["run", "cortex-m", "-e", environment, "--timeout", "100s"]).await;
        ran.expect(0).mentions(&["| mean 2.500", "| deviation 1.118"]);
    }
    desk.run(["run", "cortex-m", "-e", "newlib", "--timeout", "100s"]).await.expect(0);
    // What was asked for is what was used: GCC's library, and GCC's compiler, leave their names in the program.
    for (environment, made) in [("clang", "clang"), ("newlib", "gcc")] {
        let built = desk.run(["build", "cortex-m", "-e", environment, "--json"]).await.expect(0).json();
        let by = made_by(Path::new(built["artifact"].as_str().unwrap()));
        assert!(by.contains(made), "{environment} was made by {by}");
        assert_eq!(by.contains("clang"), made == "clang", "{environment} was made by {by}");
    }
    desk.edit("cortex-m/farmhand.toml", "qemu:netduinoplus2", "bare:esp8266");
    desk.run(["build", "cortex-m", "-e", "clang-m4f"]).await.expect(10).mentions(&["F405", "bare:esp8266"]);
    desk.run(["build", "cortex-m", "-e", "m4f", "--toolchain", "sytem"]).await.expect(2).mentions(&["clang"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn riscv_by_clang_in_both_widths() {
    let desk = Desk::ready();
    example(&desk, "riscv-virt");
    for environment in ["clang", "clang-64"] {
        let ran = desk.run(["run", "riscv-virt", "-e", environment, "--timeout", "100s"]).await;
        ran.expect(0).mentions(&["tick 3"]);
    }
}

/// With the C library's headers that clang brings. Its library for C++ would be made first, which takes minutes.
#[tokio::test(flavor = "multi_thread")]
async fn this_machine_by_clang() {
    let desk = Desk::ready();
    desk.write("host/platformio.ini", "[env:native]\nplatform = native\n");
    desk.write(
        "host/src/main.c",
        "#include <stdio.h>\nint main(void) { printf(\"clang %d\\n\", __clang_major__); return 0; }\n",
    );
    desk.run(["build", "host", "--toolchain", "clang"]).await.expect(0);
    let ran = Command::new(desk.work().join("host/.farmhand/builds/native/program")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "clang 19\n");
    let sketch = desk.blink("lamp");
    assert!(sketch.is_dir());
    desk.run(["build", "lamp", "--toolchain", "clang"])
        .await
        .expect(10)
        .mentions(&["F405", "clang for arduino"]);
}
