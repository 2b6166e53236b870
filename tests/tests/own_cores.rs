//! Arduino cores that a person has: built as Arduino's own program builds them, and never from what is stale.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use farmhand_tests::shared_packages::{Installer, packages};
use farmhand_tests::{Desk, Home, Said, said};
use tokio::process::Command;

const GREET: &str = r#"
#include <Forced.h>
void setup() {
    print("board " BOARD_NAME " product " USB_PRODUCT " variant ");
    print(variant_name);
    print(core_build ? " core" : " no core");
    print(forced() == 7 ? " forced" : "");
#ifdef FROM_OPT
    print(" opt");
#endif
    say();
}
void loop() { finish(); }
void say() { print("\nready\n"); }
"#;
/// What the board says of it.
const SAYS: &str = "board ACME_AN385 product Acme, the board variant an385 core forced";
const BOARD: &str = "acme:arm:an385";

/// A desk with a home in which Arduino's boards manager put `tests/fixtures/acme`.
struct Person {
    desk: Desk,
    home: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Person {
    async fn new() -> Self {
        let compiler = Installer.named("arm-gcc").await.unwrap();
        let home = Home::empty();
        std::os::unix::fs::symlink(packages(), home.path().join("packages")).unwrap();
        let desk = Desk::new(home);
        let home = desk.work().join("home");
        let acme = home.join(".arduino15/packages/acme");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/acme"), &acme.join("hardware/arm/1.2.0"));
        fs::create_dir_all(acme.join("tools/arm-none-eabi-gcc")).unwrap();
        let tool = acme.join("tools/arm-none-eabi-gcc/12.2");
        std::os::unix::fs::symlink(compiler.prefix.join("usr"), tool).unwrap();
        desk.write("greet/greet.ino", GREET);
        Self { desk, home, environment: compiler.environment }
    }

    fn core(&self) -> PathBuf {
        self.home.join(".arduino15/packages/acme/hardware/arm/1.2.0")
    }

    async fn farmhand(&self, words: &[&str]) -> Said {
        let mut command = self.desk.farmhand(words);
        command.env("HOME", &self.home).envs(&self.environment);
        said(command).await
    }

    /// What a build of `greet` left, less what is not the core's: by name.
    fn left(&self, project: &str) -> BTreeMap<String, String> {
        left(&self.desk.work().join(project).join(".farmhand/build"))
    }
}

fn left(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ends = ["elf", "bin", "acme", "sum", "ld", "hex"];
    let kept = entries.filter(|path| path.extension().is_some_and(|end| ends.iter().any(|one| end == *one)));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    kept.map(|path| (name(&path), hash(&fs::read(&path).unwrap()))).collect()
}

fn hash(bytes: &[u8]) -> String {
    farmhand_tests::sha256(bytes)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_arduinos_own_builder_builds_it() {
    let person = Person::new().await;
    let builder = Installer.named("arduino-builder").await.unwrap().prefix;
    let work = person.desk.work();
    for (board, options) in [(BOARD, None), ("acme:arm:an385:opt=fast", Some("-DFROM_OPT"))] {
        if let Some(options) = options {
            person.desk.write("greet/build_opt.h", options);
        }
        person.farmhand(&["build", "greet", "--board", board]).await.expect(0);
        let theirs = work.join("theirs");
        let _not_there = fs::remove_dir_all(&theirs);
        fs::create_dir(&theirs).unwrap();
        let mut command = Command::new(builder.join("usr/bin/arduino-builder"));
        let ours = person.home.join(".arduino15/packages");
        command.arg("-compile").arg("-hardware").arg(builder.join("usr/share/arduino-builder"));
        command.arg("-hardware").arg(&ours).arg("-tools").arg(&ours).args(["-fqbn", board]);
        command.args(["-core-api-version", "10819", "-warnings", "default", "-prefs"]);
        command.arg(format!("tools.ctags.path={}", builder.join("usr/bin").display()));
        command.arg("-build-path").arg(&theirs).arg(work.join("greet/greet.ino"));
        command.env("HOME", &person.home).envs(&person.environment);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        said(command).await.expect(0);
        let (ours, theirs) = (person.left("greet"), left(&theirs));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, bytes) in &ours {
            // Of where it was made, debug information and the linker's own names tell.
            assert!(name.ends_with("elf") || theirs[name] == *bytes, "{board}: {name} is another");
        }
        let packed = fs::read(work.join("greet/.farmhand/build/greet.ino.acme")).unwrap();
        assert!(packed.starts_with(b"ACME"));
    }
}

/// Each change is one that no depfile tells of, or that comes before all is planned.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_in_a_core_is_built_as_if_it_were_the_first_time() {
    let person = Person::new().await;
    let core = person.core();
    let build = || person.farmhand(&["build", "greet", "--board", BOARD]);
    build().await.expect(0).mentions(&["greet.ino.acme"]);
    build().await.expect(0).mentions(&["unchanged"]);
    let edit = |file: &str, from: &str, to: &str| {
        let path = core.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let mut before = person.left("greet");
    for what in 0..8 {
        match what {
            0 => edit("variants/an385/sections.ld", "ENTRY(", "_extra = 1;\nENTRY("),
            1 => edit("tools/vectors.S", ".word Reset_Handler", ".word Reset_Handler\n    .word 7"),
            2 => edit("boards.txt", "0x00400000", "0x00300000"),
            3 => edit("tools/pack.sh", "'ACME'", "'ACM2'"),
            4 => edit("variants/an385/variant.cpp", "\"an385\"", "\"an386\""),
            5 => edit("libraries/Forced/src/Forced.cpp", "return 7", "return 8"),
            6 => drop(person.desk.write("greet/build_opt.h", "-DFROM_OPT")),
            _ => fs::write(core.join("platform.local.txt"), "build.flags.optimize=-O1\n").unwrap(),
        }
        if what == 7 {
            edit("boards.txt", "an385.menu.opt.small.build.flags.optimize=-Os\n", "");
        }
        build().await.expect(0);
        let after = person.left("greet");
        assert_ne!(before, after, "change {what} changed nothing");
        // As if for the first time: another project, and no cache.
        let clean = format!("clean{what}/greet");
        copy(&person.desk.work().join("greet"), &person.desk.work().join(&clean));
        fs::remove_dir_all(person.desk.work().join(&clean).join(".farmhand")).unwrap();
        fs::remove_dir_all(person.desk.home().paths().objects()).unwrap();
        person.farmhand(&["build", &clean, "--board", BOARD]).await.expect(0);
        assert_eq!(person.left(&clean), after, "change {what}");
        build().await.expect(0).mentions(&["unchanged"]);
        before = after;
    }
    // Nothing of it says so, and another tool is meant all the same.
    let tools = person.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc");
    fs::rename(tools.join("12.2"), tools.join("12.3")).unwrap();
    let again = build().await;
    assert!(!again.expect(0).stderr.contains("unchanged"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_runs() {
    let person = Person::new().await;
    person.farmhand(&["build", "greet", "--board", BOARD]).await.expect(0);
    let program = "greet/.farmhand/build/greet.ino.elf";
    let ran = person.farmhand(&["run", program, "--board", "qemu:mps2-an385", "--expect=^ready"]).await;
    ran.expect(0).mentions(&[SAYS]);
}

/// A brand's own board on the core that farmhand knows: `boards.txt` is all that there is of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_put_there_by_hand_on_a_core_that_farmhand_knows() {
    let person = Person::new().await;
    let brand = person.home.join("Arduino/hardware/brand/avr");
    fs::create_dir_all(&brand).unwrap();
    let boards = "one.name=Brand One\none.build.mcu=atmega328p\none.build.f_cpu=16000000L\n\
                  one.build.core=arduino:arduino\none.build.variant=arduino:standard\n\
                  one.build.board=AVR_UNO\none.upload.maximum_size=32256\n";
    fs::write(brand.join("boards.txt"), boards).unwrap();
    let library = person.home.join("Arduino/libraries/Lamp");
    fs::create_dir_all(&library).unwrap();
    fs::write(library.join("Lamp.h"), "void lamp();\n").unwrap();
    fs::write(library.join("Lamp.cpp"), "#include <Arduino.h>\nvoid lamp() { digitalWrite(13, HIGH); }\n")
        .unwrap();
    let sketch = "#include <Lamp.h>\nvoid setup() { Serial.begin(9600); }\nvoid loop() { lamp(); }\n";
    for (name, board) in [("a", "brand:avr:one"), ("b", "arduino:avr:uno")] {
        person.desk.write(&format!("{name}/same/same.ino"), sketch);
        person.farmhand(&["build", &format!("{name}/same"), "--board", board]).await.expect(0);
    }
    let (ours, unos) = (person.left("a/same"), person.left("b/same"));
    assert_eq!(ours["same.ino.hex"], unos["same.ino.hex"]);
    person
        .farmhand(&["build", "a/same", "--board", "brand:avr:two"])
        .await
        .expect(3)
        .mentions(&["brand:avr:two", "brand:avr:one"]);
    person.farmhand(&["build", "a/same", "--board", "nobody:avr:one"]).await.expect(3).mentions(&[
        "nobody:avr",
        "acme:arm",
        "brand:avr",
        ".arduino15/packages",
    ]);
    fs::write(brand.join("boards.txt"), boards.replace("arduino:arduino", "other:core")).unwrap();
    person
        .farmhand(&["build", "a/same", "--board", "brand:avr:one"])
        .await
        .expect(10)
        .mentions(&["other:avr", "boards manager"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_and_a_tool_that_is_not_there() {
    let person = Person::new().await;
    let platform = person.core().join("platform.txt");
    let text = fs::read_to_string(&platform).unwrap();
    let with = |more: &str| fs::write(&platform, format!("{text}\n{more}\n")).unwrap();
    with("recipe.hooks.prebuild.9.pattern=/usr/bin/env bash -c \"echo no such luck >&2 ; exit 3\"");
    person
        .farmhand(&["build", "greet", "--board", BOARD])
        .await
        .expect(7)
        .mentions(&["no such luck", "recipe.hooks.prebuild.9.pattern does not run"]);
    with("recipe.hooks.linking.prelink.9.pattern=/usr/bin/env bash -c \"echo not linked >&2 ; exit 3\"");
    person
        .farmhand(&["build", "greet", "--board", BOARD])
        .await
        .expect(7)
        .mentions(&["not linked", "recipe.hooks.linking.prelink.9.pattern does not run"]);
    with("compiler.path={runtime.tools.nowhere-gcc.path}/bin/");
    person
        .farmhand(&["build", "greet", "--board", BOARD])
        .await
        .expect(10)
        .mentions(&["the tool nowhere-gcc", "boards manager"]);
}

/// `sketch.yaml`: boards, versions of cores, and libraries, each as its profile has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sketch_by_its_profiles() {
    let person = Person::new().await;
    let newer = person.core().with_file_name("1.10.0");
    copy(&person.core(), &newer);
    let variant = newer.join("variants/an385/variant.cpp");
    let text = fs::read_to_string(&variant).unwrap();
    fs::write(&variant, text.replace("\"an385\"", "\"newer\"")).unwrap();
    let library = |folder: &str, version: &str| {
        let lamp = person.desk.work().join(folder);
        fs::create_dir_all(&lamp).unwrap();
        fs::write(lamp.join("Lamp.h"), format!("#define LAMP \"lamp {version} \"\n")).unwrap();
        fs::write(lamp.join("library.properties"), format!("name=Lamp\nversion={version}\n")).unwrap();
    };
    library("home/Arduino/libraries/Lamp", "1.0.0");
    library("home/Arduino/libraries/Lamp-2", "2.0.0");
    library("mine/Lamp", "3.0.0");
    person.desk.write("home/Arduino/libraries/Broken/library.json", "no JSON");
    person.desk.write("home/Arduino/libraries/Broken/Broken.h", "");
    let sketch =
        "#include <Lamp.h>\nvoid setup() { print(LAMP); print(variant_name); }\nvoid loop() { finish(); }\n";
    person.desk.write("lit/lit.ino", sketch);
    let profile = |name: &str, core: &str, libraries: &[&str]| {
        let libraries: String = libraries.iter().map(|library| format!("      - {library}\n")).collect();
        format!(
            "  {name}:\n    fqbn: {BOARD}\n    platforms:\n      - platform: {core}\n    libraries:\n{libraries}"
        )
    };
    let yaml = [
        "default_profile: old\nprofiles:\n".to_owned(),
        profile("old", "acme:arm (1.2.0)", &["Lamp (1.0.0)"]),
        profile("new", "acme:arm (1.10.0)", &["Lamp (2.0.0)"]),
        profile("own", "acme:arm", &["dir: ../mine/Lamp"]),
        profile("none", "acme:arm (7.0.0)", &["Lamp (1.0.0)"]),
        profile("unlit", "acme:arm", &["Lamp (9.0.0)"]),
        profile("dark", "acme:arm", &["dir: ../nowhere"]),
    ]
    .concat();
    person.desk.write("lit/sketch.yaml", &yaml);
    let program = async |words: &[&str]| {
        let words: Vec<_> = ["build", "lit"].iter().chain(words).copied().collect();
        let said = person.farmhand(&words).await;
        said.expect(0);
        let path =
            said.stdout.split_whitespace().find(|word| word.contains("/artifacts/")).unwrap().to_owned();
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    };
    for (words, says) in [
        (&[][..], ["lamp 1.0.0 ", "an385"]),
        (&["-e", "new"], ["lamp 2.0.0 ", "newer"]),
        (&["-e", "own"], ["lamp 3.0.0 ", "newer"]),
    ] {
        let program = program(words).await;
        assert!(says.iter().all(|said| program.contains(said)), "{words:?} has not {says:?}");
    }
    person.farmhand(&["build", "lit"]).await.expect(0).mentions(&["unchanged"]);
    let not = async |profile: &str, code: i32, words: &[&str]| {
        person.farmhand(&["build", "lit", "-e", profile]).await.expect(code).mentions(words);
    };
    not("none", 10, &["F457", "acme:arm 7.0.0", "arduino-cli core install acme:arm@7.0.0"]).await;
    not("unlit", 10, &["F458", "Lamp (9.0.0)", "library manager"]).await;
    not("dark", 10, &["F458", "nowhere", "sketch.yaml"]).await;
    not("olf", 2, &["olf", "old"]).await;
    person.desk.write("lit/sketch.yaml", "profiles:\n  a: [\n");
    person.farmhand(&["build", "lit"]).await.expect(3).mentions(&["sketch.yaml:"]);
    // One that says nothing of itself that can be read is in nobody's way, until it is used.
    fs::remove_file(person.desk.work().join("lit/sketch.yaml")).unwrap();
    person.farmhand(&["build", "lit", "--board", BOARD]).await.expect(0);
    person.desk.edit("lit/lit.ino", "#include <Lamp.h>", "#include <Lamp.h>\n#include <Broken.h>");
    person.farmhand(&["build", "lit", "--board", BOARD]).await.expect(3).mentions(&["Broken/library.json"]);
}
