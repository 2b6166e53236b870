//! The compiler pool with the real toolchain: avr-gcc and the Arduino core, as the installer puts them there.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use farmhand_api::{BuildEvent, Problem, ProblemClass};
use farmhand_compiler::properties::{Core, board_facts, chip_facts};
use farmhand_compiler::{BuildEnv, BuildError, BuildWish, Built, Pool, Programs, Telling, build, unchanged};
use farmhand_installer::Installed;
use farmhand_records::v1::{Build, Source, Toolchain};
use farmhand_runtime::Paths;
use farmhand_tests::shared_packages::Installer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A toolchain over a slow line, once; after that a build takes a second.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

struct Bench {
    folder: TempDir,
    env: BuildEnv,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = BuildEnv {
            paths: Paths::new(folder.path().join("home")),
            pool: Pool::start(0),
            packages: Arc::new(Installer),
            programs: Programs::default(),
            is_farm: false,
            telling: Telling::Steps,
        };
        Self { folder, env }
    }

    fn sketch(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.folder.path().join(name);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    async fn build(&self, wish: &BuildWish) -> Result<Built, BuildError> {
        tokio::time::timeout(DEADLINE, build(&self.env, wish, None)).await.expect("a build ends")
    }
}

fn wish(board: &str, source: Source, folder: &Path) -> BuildWish {
    let build = Build {
        source,
        toolchain: Toolchain::Managed,
        flags: vec![],
        cxx_flags: vec![],
        link_flags: vec![],
        jobs: 0,
    };
    BuildWish { board: board.into(), build, build_dir: folder.join(".farmhand/build") }
}

fn sketch(board: &str, folder: &Path) -> BuildWish {
    wish(board, Source::Sketch(folder.to_str().unwrap().into()), folder)
}

async fn core() -> PathBuf {
    Installer.named("arduino-avr").await.unwrap().prefix.join("usr/share/arduino/hardware/arduino/avr")
}

#[tokio::test]
async fn the_example_builds_as_it_stands_and_is_shared() {
    let bench = Bench::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/blink/blink.ino");
    let text = fs::read_to_string(example).unwrap();
    let one = bench.sketch("one/blink", &[("blink.ino", &text)]);
    let two = bench.sketch("two/blink", &[("blink.ino", &text)]);
    let first = bench.build(&sketch("arduino:avr:uno", &one)).await.unwrap();
    assert!(first.compiled > 20 && first.cached == 0, "{first:?}");
    assert_eq!(first.sizes.image_bytes_max, 32256);
    assert!((1000..4000).contains(&first.sizes.image_bytes), "{first:?}");
    assert_eq!(unchanged(&bench.env.paths, &sketch("arduino:avr:uno", &one)).unwrap().hash, first.hash);
    let second = bench.build(&sketch("arduino:avr:uno", &two)).await.unwrap();
    // The sketch itself may be compiled again: it was written just before the first build.
    assert!(second.compiled <= 1 && second.cached >= first.compiled - 1, "{second:?}");
    assert_eq!(second.hash, first.hash);
}

#[tokio::test]
async fn what_the_core_brings_builds_on_boards_of_each_kind() {
    let bench = Bench::new();
    let libraries = core().await.join("libraries");
    for (board, example) in [
        ("arduino:avr:uno", "Wire/examples/i2c_scanner"),
        ("arduino:avr:leonardo", "SPI/examples/DigitalPotControl"),
        ("arduino:avr:mega", "EEPROM/examples/eeprom_get"),
        ("arduino:avr:nano:cpu=atmega168", "SoftwareSerial/examples/SoftwareSerialExample"),
    ] {
        let from = libraries.join(example);
        let name = from.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(from.join(format!("{name}.ino"))).unwrap();
        let folder = bench.sketch(&name, &[(&format!("{name}.ino"), &text)]);
        let built = bench.build(&sketch(board, &folder)).await;
        assert!(built.is_ok_and(|built| built.sizes.image_bytes > 500), "{example} for {board}");
    }
}

#[tokio::test]
async fn a_sketch_of_all_that_sketches_do() {
    let bench = Bench::new();
    let main = r#"
#include "config.h"
#include <EEPROM.h>
struct Point { int x; int y; };
int early = later(2);
template <typename T> T largest(T a, T b) { return a > b ? a : b; }
class Counter {
public:
  Counter() : count{0} {}
  int next() { return bump(count); }
  int count;
};
Counter counter;
const char RAW[] = R"({ "a": "}" )";
ISR(TIMER2_COMPA_vect) { tick(); }
void setup() {
  Serial.begin(115200);
  attach(handler);
  Point p = shifted({1, 2}, 3);
  Serial.println(p.x + total(p) + counter.next() + EEPROM.read(0) + from_other() + STEP);
#ifdef NOT_THERE
  only_then();
#endif
}
void loop() { delay(1); report("x"); report("y", 2); }
void report(const char *what) { report(what, 1); }
void report(const char *what, int times = 3) { while (times--) Serial.print(what); }
Point shifted(Point p, int by) { p.x += by; return p; }
int total(const Point &p) { return largest(p.x, p.y); }
static int bump(int &n) { return ++n; }
void attach(void (*then)(int)) { then('}'); }
void handler(int) {}
void tick() {}
#ifdef NOT_THERE
Missing only_then() {}
#endif
int later(int x) { return x; }
"#;
    let folder = bench.sketch(
        "all",
        &[
            ("all.ino", main),
            ("other.ino", "int from_other() { return helper(); }\nint helper() { return in_c(); }\n"),
            (
                "config.h",
                "#pragma once\n#define STEP 2\n#ifdef __cplusplus\nextern \"C\"\n#endif\nint in_c(void);\n",
            ),
            ("src/deep/c.c", "#include \"../../config.h\"\nint in_c(void) { return STEP; }\n"),
        ],
    );
    let built = bench.build(&sketch("arduino:avr:uno", &folder)).await;
    built.unwrap_or_else(|error| panic!("{:#?}", Problem::from(error)));
}

/// Runs a program on QEMU's `virt` machine until it has said `tick 3`, and gives it an `x` after the first tick.
async fn run_on_virt(qemu: &Installed, bits: u32, elf: &Path) -> String {
    let mut command =
        tokio::process::Command::new(qemu.prefix.join(format!("usr/bin/qemu-system-riscv{bits}")));
    command.args(["-M", "virt", "-bios", "none", "-display", "none", "-serial", "stdio", "-monitor", "none"]);
    command.arg("-L").arg(qemu.prefix.join("usr/share/qemu")).arg("-kernel").arg(elf);
    command.envs(&qemu.environment).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut read_until = async |what: &str| {
        while !String::from_utf8_lossy(&said).contains(what) {
            assert!(output.read_buf(&mut said).await.unwrap() > 0, "it ended: {said:?}");
        }
    };
    read_until("tick 1").await;
    input.write_all(b"x").await.unwrap();
    read_until("tick 3").await;
    child.kill().await.unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_program_of_its_own_start_up_code_runs() {
    let bench = Bench::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/riscv-virt");
    let files: Vec<_> = fs::read_dir(example).unwrap().map(|entry| entry.unwrap().path()).collect();
    let texts: Vec<_> = files
        .iter()
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(path).unwrap()))
        .collect();
    let mut texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    // Kept by the script, behind what a hart begins with; it needs the compiler's own library on either width.
    let library = "__attribute__((section(\".text.start\"), used))\n\
                   long long z(long long a, long long b) { return a / b + __builtin_clzll(a); }\n";
    texts.push(("z.c", library));
    let folder = bench.sketch("riscv-virt", &texts);
    let qemu = Installer.named("qemu-misc").await.unwrap();
    for bits in [32, 64] {
        let board = format!("qemu:riscv{bits}-virt");
        let wish = wish(&board, Source::Tree(folder.to_str().unwrap().into()), &folder);
        let built = bench.build(&wish).await.unwrap();
        assert_eq!(built.compiled, 5, "{built:?}");
        let said = tokio::time::timeout(DEADLINE, run_on_virt(&qemu, bits, &built.artifact)).await;
        let said = said.expect("it counts");
        assert!(said.starts_with("tick 1\r\n") && said.contains("x"), "{said}");
    }
}

#[tokio::test]
async fn an_error_points_at_the_sketch() {
    let bench = Bench::new();
    let folder = bench.sketch(
        "bad",
        &[("bad.ino", "void setup() { f(1); }\nvoid loop() {}\nint f(int x) {\n  return y;\n}\n")],
    );
    let (events, mut seen) = tokio::sync::mpsc::channel(4);
    let print = tokio::spawn(async move {
        let mut printed = String::new();
        while let Some(event) = seen.recv().await {
            if let BuildEvent::Diagnostic { text } = event {
                printed.push_str(&text);
            }
        }
        printed
    });
    let failed = build(&bench.env, &sketch("arduino:avr:uno", &folder), Some(events)).await.unwrap_err();
    let problem = Problem::from(failed);
    assert_eq!(problem.class, ProblemClass::Build);
    assert_eq!(problem.detail, ["bad.ino:4:10: error: 'y' was not declared in this scope"]);
    let printed = farmhand_api::plain(&print.await.unwrap());
    assert!(printed.contains("bad.ino: In function 'int f(int)':"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let bench = Bench::new();
    let flash = "#include <avr/pgmspace.h>\nconst char big[32400] PROGMEM = {1};\nvolatile int i;\nvoid setup() { i = pgm_read_byte(&big[i]); }\nvoid loop() {}\n";
    let folder = bench.sketch("flash", &[("flash.ino", flash)]);
    let built = bench.build(&sketch("arduino:avr:mega", &folder)).await;
    built.unwrap_or_else(|error| panic!("a mega has room: {error}"));
    let failed = bench.build(&sketch("arduino:avr:uno", &folder)).await.unwrap_err();
    assert!(
        matches!(failed, BuildError::TooLarge { bytes_max: 32256, bytes: 32769..34000, .. }),
        "the linker refuses it: {failed}"
    );
    // It fits the chip, and leaves no room for the loader.
    let tight = bench.sketch("tight", &[("tight.ino", &flash.replace("32400", "32000"))]);
    let failed = bench.build(&sketch("arduino:avr:uno", &tight)).await.unwrap_err();
    assert!(matches!(failed, BuildError::TooLarge { bytes_max: 32256, bytes: 32257..32768, .. }), "{failed}");
    let ram = "volatile char big[3000];\nvoid setup() { big[1] = 1; }\nvoid loop() { big[2] = big[1]; }\n";
    let folder = bench.sketch("ram", &[("ram.ino", ram)]);
    let failed = bench.build(&sketch("arduino:avr:uno", &folder)).await.unwrap_err();
    assert!(matches!(failed, BuildError::TooMuchData { bytes_max: 2048, bytes: 3000.., .. }), "{failed}");
}

#[tokio::test]
async fn a_plain_tree_for_a_chip() {
    let bench = Bench::new();
    let folder = bench.sketch(
        "tree",
        &[
            ("src/main.c", "#include <avr/io.h>\n#include \"led.h\"\nint main(void) { led(); for (;;) {} }\n"),
            ("src/led.h", "void led(void);\n"),
            ("src/led.cpp", "#include <avr/io.h>\nextern \"C\" {\n#include \"led.h\"\n}\nvoid led(void) { PORTB |= 1 << 5; }\n"),
        ],
    );
    let wish = wish("arduino:avr:uno", Source::Tree(folder.to_str().unwrap().into()), &folder);
    let built = bench.build(&wish).await.unwrap();
    assert_eq!(built.compiled, 2);
    assert!(built.sizes.image_bytes < 500, "no core: {built:?}");
    assert!(fs::read(&built.artifact).unwrap().starts_with(b"\x7fELF"));
}

#[tokio::test]
async fn every_board_of_the_core_is_known_with_its_chip() {
    let core = core().await;
    let include = Installer.named("avr-gcc").await.unwrap().prefix.join("usr/lib/avr/include");
    let boards = Core::read(&core).unwrap();
    let boards = boards.boards();
    assert!(boards.len() > 20);
    for board in boards {
        let facts = board_facts(&core, &format!("arduino:avr:{board}")).unwrap();
        let chip = chip_facts(&include, &facts.mcu).unwrap_or_else(|error| panic!("{board}: {error}"));
        assert!(u64::from(chip.flash_bytes) >= facts.upload_maximum_size, "{board}: {chip:?}");
        assert_eq!(chip.signature[0], 0x1e, "{board}: Atmel made it");
    }
    // As the data sheets have them.
    for (board, signature, page_bytes, flash_bytes) in [
        ("uno", [0x1e, 0x95, 0x0f], 128, 32 << 10),
        ("mega", [0x1e, 0x98, 0x01], 256, 256 << 10),
        ("leonardo", [0x1e, 0x95, 0x87], 128, 32 << 10),
        ("nano:cpu=atmega168", [0x1e, 0x94, 0x06], 128, 16 << 10),
    ] {
        let facts = board_facts(&core, &format!("arduino:avr:{board}")).unwrap();
        let chip = chip_facts(&include, &facts.mcu).unwrap();
        assert_eq!(
            (chip.signature, chip.page_bytes, chip.flash_bytes),
            (signature, page_bytes, flash_bytes),
            "{board}"
        );
    }
    let uno = board_facts(&core, "arduino:avr:uno").unwrap();
    assert_eq!((uno.upload_speed, uno.upload_protocol.as_str()), (115_200, "arduino"));
    assert!(uno.bootloader.unwrap().ends_with("optiboot/optiboot_atmega328.hex"));
    assert!(uno.usb.iter().any(|usb| (usb.vendor, usb.product) == (0x2341, 0x0043)));
}

/// Says which part of a test this process is: what is on the PATH is a process's own.
const PART: &str = "FARMHAND_TEST_PART";

fn part(name: &str, path: &Path, home: &Path, libraries: &str) {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(PART, "1")
        .env("PATH", path)
        .env("HOME", home)
        .env("LD_LIBRARY_PATH", libraries)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn system_blink(bench: &Bench) -> BuildWish {
    let folder = bench.sketch("blink", &[("blink.ino", "void setup() {}\nvoid loop() {}\n")]);
    let mut wish = sketch("arduino:avr:uno", &folder);
    wish.build.toolchain = Toolchain::System;
    wish
}

#[tokio::test]
async fn the_systems_own_tools() {
    if std::env::var_os(PART).is_some() {
        let bench = Bench::new();
        let wish = system_blink(&bench);
        let built = bench.build(&wish).await.unwrap();
        assert!(built.sizes.image_bytes > 300);
        assert!(unchanged(&bench.env.paths, &wish).is_some());
        // Another program is found first now.
        let first = std::env::split_paths(&std::env::var_os("PATH").unwrap()).next().unwrap();
        let (tool, aside) = (first.join("avr-gcc"), first.join("aside"));
        fs::rename(&tool, &aside).unwrap();
        assert_eq!(unchanged(&bench.env.paths, &wish), None);
        return;
    }
    let gcc = Installer.named("avr-gcc").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (bin, home) = (folder.path().join("bin"), folder.path().join("home"));
    fs::create_dir_all(&bin).unwrap();
    let libraries = &gcc.environment["LD_LIBRARY_PATH"];
    for tool in ["gcc", "g++", "ar", "gcc-ar", "objcopy"] {
        let real = gcc.prefix.join("usr/bin").join(format!("avr-{tool}"));
        std::os::unix::fs::symlink(real, bin.join(format!("avr-{tool}"))).unwrap();
    }
    let version = home.join(".arduino15/packages/arduino/hardware/avr");
    fs::create_dir_all(&version).unwrap();
    std::os::unix::fs::symlink(core().await, version.join("1.8.7")).unwrap();
    part("the_systems_own_tools", &bin, &home, libraries);
}

#[tokio::test]
async fn a_tool_that_the_system_does_not_have() {
    if std::env::var_os(PART).is_some() {
        let bench = Bench::new();
        let problem = Problem::from(bench.build(&system_blink(&bench)).await.unwrap_err());
        assert_eq!(problem.class, ProblemClass::Package);
        assert_eq!(problem.message, "avr-gcc on the PATH is not there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    part("a_tool_that_the_system_does_not_have", folder.path(), folder.path(), "");
}
