//! Arduino cores that a person has: built as Arduino's own program builds them, and never from what is stale.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use farmhand_tests::shared_packages::Installer;
use farmhand_tests::{Person, copy_project, copy_tree, said};
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
const BOARD: &str = Person::BOARD;

/// With a sketch for the core that Arduino's boards manager put there.
async fn person() -> Person {
    let person = Person::new().await.with_arduinos();
    person.desk.write("greet/greet.ino", GREET);
    person
}

/// What a build of a project left, less what is not the core's: by name.
fn left_in(person: &Person, project: &str) -> BTreeMap<String, String> {
    left(&person.desk.work().join(project).join(".farmhand/build"))
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

#[tokio::test(flavor = "multi_thread")]
async fn as_arduinos_own_builder_builds_it() {
    let person = person().await;
    let builder = Installer.named("arduino-builder").await.unwrap().prefix;
    let work = person.desk.work();
    // Linked as an archive, of which what nobody asks for is left out: all of it would be too much.
    let packed = "home/Arduino/libraries/Packed";
    person
        .desk
        .write(&format!("{packed}/library.properties"), "name=Packed\nversion=1.0.0\nauthor=A\nmaintainer=A\nsentence=S\nparagraph=P\ncategory=Other\nurl=u\narchitectures=*\ndot_a_linkage=true\n");
    person.desk.write(&format!("{packed}/src/packed.h"), "int packed();\n");
    person.desk.write(
        &format!("{packed}/src/packed.cpp"),
        "int twice() { return 2; }\nint packed() { return 1; }\n",
    );
    person.desk.write(&format!("{packed}/src/unasked.cpp"), "int twice() { return 3; }\n");
    let sketch = GREET.replace("#include <Forced.h>", "#include <Forced.h>\n#include <packed.h>");
    person.desk.write("greet/greet.ino", &sketch.replace("say();\n}", "say();\n    packed();\n}"));
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
        command.arg("-libraries").arg(person.home.join("Arduino/libraries"));
        command.args(["-core-api-version", "10819", "-warnings", "default", "-prefs"]);
        command.arg(format!("tools.ctags.path={}", builder.join("usr/bin").display()));
        command.arg("-build-path").arg(&theirs).arg(work.join("greet/greet.ino"));
        command.env("HOME", &person.home).envs(&person.environment);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        said(command).await.expect(0);
        let (ours, theirs) = (left_in(&person, "greet"), left(&theirs));
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
    let person = person().await;
    let core = person.core();
    // A file that was changed just now is looked at whoever asks for it: then nothing would be missed.
    farmhand_tests::until("the core is of a while ago", async || {
        let changed = fs::metadata(core.join("variants/an385/sections.ld")).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        (changed.ctime() + 3 < now.cast_signed()).then_some(())
    })
    .await;
    let build = || person.farmhand(&["build", "greet", "--board", BOARD]);
    build().await.expect(0).mentions(&["greet.ino.acme"]);
    build().await.expect(0).mentions(&["unchanged"]);
    let edit = |file: &str, from: &str, to: &str| {
        let path = core.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let mut before = left_in(&person, "greet");
    for what in 0..9 {
        match what {
            0 => edit("variants/an385/sections.ld", "ENTRY(", "_extra = 1;\nENTRY("),
            1 => edit("tools/vectors.S", ".word Reset_Handler", ".word Reset_Handler\n    .word 7"),
            2 => edit("boards.txt", "0x00400000", "0x00300000"),
            3 => edit("tools/pack.sh", "'ACME'", "'ACM2'"),
            4 => edit("variants/an385/variant.cpp", "\"an385\"", "\"an386\""),
            5 => edit("libraries/Forced/src/Forced.cpp", "return 7", "return 8"),
            6 => drop(person.desk.write("greet/build_opt.h", "-DFROM_OPT")),
            // What a hook made of it goes too.
            8 => fs::remove_file(person.desk.work().join("greet/build_opt.h")).unwrap(),
            _ => fs::write(core.join("platform.local.txt"), "build.flags.optimize=-O1\n").unwrap(),
        }
        if what == 7 {
            edit("boards.txt", "an385.menu.opt.small.build.flags.optimize=-Os\n", "");
        }
        build().await.expect(0);
        let after = left_in(&person, "greet");
        assert_ne!(before, after, "change {what} changed nothing");
        // As if for the first time: another project, and no cache.
        let clean = format!("clean{what}/greet");
        copy_project(&person.desk.work().join("greet"), &person.desk.work().join(&clean)).unwrap();
        fs::remove_dir_all(person.desk.home().paths().objects()).unwrap();
        person.farmhand(&["build", &clean, "--board", BOARD]).await.expect(0);
        assert_eq!(left_in(&person, &clean), after, "change {what}");
        build().await.expect(0).mentions(&["unchanged"]);
        before = after;
    }
    // Nothing that was read changed, and another tool is meant all the same.
    let tools = person.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc");
    std::os::unix::fs::symlink(fs::read_link(tools.join("12.2")).unwrap(), tools.join("12.9")).unwrap();
    let again = build().await;
    assert!(!again.expect(0).stderr.contains("unchanged"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_runs() {
    let person = person().await;
    person.farmhand(&["build", "greet", "--board", BOARD]).await.expect(0);
    let program = "greet/.farmhand/build/greet.ino.elf";
    let ran = person.farmhand(&["run", program, "--board", "qemu:mps2-an385", "--expect=^ready"]).await;
    ran.expect(0).mentions(&[SAYS]);
}

/// A brand's own board on the core that farmhand knows: `boards.txt` is all that there is of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_put_there_by_hand_on_a_core_that_farmhand_knows() {
    let person = person().await;
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
    let (ours, unos) = (left_in(&person, "a/same"), left_in(&person, "b/same"));
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
    // A profile pins the core that its board refers to as well.
    let version = fs::read_to_string(
        Installer
            .named("arduino-avr")
            .await
            .unwrap()
            .prefix
            .join("usr/share/arduino/hardware/arduino/avr/platform.txt"),
    );
    let version =
        version.unwrap().lines().find_map(|line| Some(line.strip_prefix("version=")?.to_owned())).unwrap();
    for (version, code) in [(version.as_str(), 0), ("9.9.9", 10)] {
        let yaml = format!(
            "profiles:\n  p:\n    fqbn: brand:avr:one\n    platforms:\n      - platform: brand:avr\n      - platform: arduino:avr ({version})\n    libraries:\n      - Lamp\n"
        );
        person.desk.write("a/same/sketch.yaml", &yaml);
        let built = person.farmhand(&["build", "a/same"]).await;
        built.expect(code);
        assert_eq!(code == 10, built.stderr.contains("F457"), "{}", built.stderr);
    }
    fs::remove_file(person.desk.work().join("a/same/sketch.yaml")).unwrap();
    fs::write(brand.join("boards.txt"), boards.replace("arduino:arduino", "other:core")).unwrap();
    person
        .farmhand(&["build", "a/same", "--board", "brand:avr:one"])
        .await
        .expect(10)
        .mentions(&["other:avr", "boards manager"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_and_a_tool_that_is_not_there() {
    let person = person().await;
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

/// A library that is there as an archive, for this processor: what it was made of is not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_comes_compiled() {
    let person = person().await;
    let library = person.home.join("Arduino/libraries/Blob");
    let archives = library.join("src/cortex-m3");
    fs::create_dir_all(&archives).unwrap();
    fs::write(library.join("library.properties"), "name=Blob\nversion=1.0\nprecompiled=full\n").unwrap();
    fs::write(library.join("src/Blob.h"), "extern \"C\" const char *blob();\n").unwrap();
    fs::write(library.join("src/blob.c"), "#error this is what it was made of\n").unwrap();
    let make = async |says: &str| {
        person.desk.write("blob.c", &format!("const char *blob(void) {{ return \"{says}\"; }}\n"));
        let bin = person.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc/12.2/bin");
        let archive = archives.join("libblob.a");
        let _not_there = fs::remove_file(&archive);
        for (program, words) in [
            ("arm-none-eabi-gcc", vec!["-mcpu=cortex-m3", "-mthumb", "-Os", "-c", "blob.c", "-o", "blob.o"]),
            ("arm-none-eabi-ar", vec!["rcsD", archive.to_str().unwrap(), "blob.o"]),
        ] {
            let mut command = Command::new(bin.join(program));
            command.args(words).current_dir(person.desk.work()).envs(&person.environment);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            said(command).await.expect(0);
        }
    };
    make("as it was made").await;
    let sketch = "#include <Blob.h>\nvoid setup() { print(blob()); }\nvoid loop() { finish(); }\n";
    person.desk.write("lit/lit.ino", sketch);
    let program = || {
        let elf = fs::read(person.desk.work().join("lit/.farmhand/build/lit.ino.elf")).unwrap();
        String::from_utf8_lossy(&elf).into_owned()
    };
    person.farmhand(&["build", "lit", "--board", BOARD]).await.expect(0);
    assert!(program().contains("as it was made"));
    person.farmhand(&["build", "lit", "--board", BOARD]).await.expect(0).mentions(&["unchanged"]);
    make("made another way").await;
    person.farmhand(&["build", "lit", "--board", BOARD]).await.expect(0);
    assert!(program().contains("made another way"));
}

/// `sketch.yaml`: boards, versions of cores, and libraries, each as its profile has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sketch_by_its_profiles() {
    let person = person().await;
    let newer = person.core().with_file_name("1.10.0");
    copy_tree(&person.core(), &newer).unwrap();
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

/// What hooks do to headers, objects, the program and what lies beside it is done in each build, and told of.
#[tokio::test(flavor = "multi_thread")]
async fn hooks_may_change_what_was_made() {
    let person = person().await;
    let core = person.core();
    let platform = core.join("platform.txt");
    let text = fs::read_to_string(&platform).unwrap();
    let script = |name: &str, says: &str| fs::write(core.join("tools").join(name), says).unwrap();
    script("gen.sh", "echo \"#define GEN \\\"$2 \\\"\" > \"$1/gen.h\"\n");
    script("core.sh", "sed -i s/first/second/ \"$1/gen.h\"\n");
    script("stamp.sh", "printf one > \"$1/stamp\"\n");
    let hooks = [
        r#"recipe.hooks.prebuild.7.pattern=/bin/sh "{runtime.platform.path}/tools/gen.sh" "{build.path}" first"#,
        r#"recipe.hooks.core.prebuild.7.pattern=/bin/sh "{runtime.platform.path}/tools/core.sh" "{build.path}""#,
        r#"recipe.hooks.sketch.prebuild.7.pattern=/bin/grep -q blob "{build.path}/sketch/lit.ino.cpp""#,
        r#"recipe.hooks.linking.postlink.1.pattern=/bin/sh "{runtime.platform.path}/tools/stamp.sh" "{build.path}""#,
        r#"recipe.hooks.linking.postlink.2.pattern="{compiler.path}{compiler.objcopy.cmd}" --add-section ".stamp={build.path}/stamp" "{build.path}/{build.project_name}.elf""#,
        r#"recipe.hooks.postbuild.7.pattern=/bin/grep -q Reset_Handler "{build.path}/{build.project_name}.map""#,
    ];
    // An object of the core by its name, as Arduino's layout of a build has it.
    let text = text
        .replace("\"{build.path}/vectors.o\"", "\"{build.path}/vectors.o\" \"{build.path}/core/uart.c.o\"");
    fs::write(&platform, format!("{text}\n{}\n", hooks.join("\n"))).unwrap();
    let variant = "#include \"Arduino.h\"\n#include \"../gen.h\"\nextern const char variant_name[] = GEN;\n";
    let variant = variant.replace("../gen.h", "gen.h");
    fs::write(core.join("variants/an385/variant.cpp"), variant).unwrap();
    let flags = fs::read_to_string(&platform).unwrap();
    fs::write(
        &platform,
        flags.replace("\"-I{build.source.path}\"", "\"-I{build.source.path}\" \"-I{build.path}\""),
    )
    .unwrap();
    person.desk.write(
        "lit/lit.ino",
        "void setup() { print(\"blob \"); print(variant_name); }\nvoid loop() { finish(); }\n",
    );
    let build = async || {
        let said = person.farmhand(&["build", "lit", "--board", BOARD]).await;
        said.expect(0);
        let artifact =
            said.stdout.split_whitespace().find(|word| word.contains("/artifacts/")).unwrap().to_owned();
        let built = fs::read(person.desk.work().join("lit/.farmhand/build/lit.ino.elf")).unwrap();
        assert_eq!(fs::read(artifact).unwrap(), built, "the program is not what the last hook left");
        (String::from_utf8_lossy(&built).into_owned(), said.stderr.contains("unchanged"))
    };
    let (program, _) = build().await;
    assert!(program.contains("second ") && program.contains("one") && program.contains(".stamp"));
    assert!(build().await.1);
    script("core.sh", "sed -i s/first/third/ \"$1/gen.h\"\n");
    let (program, _) = build().await;
    assert!(program.contains("third ") && !program.contains("second "));
    script("stamp.sh", "printf two-of-them > \"$1/stamp\"\n");
    assert!(build().await.0.contains("two-of-them"));
    fs::remove_file(person.desk.work().join("lit/.farmhand/build/lit.ino.acme")).unwrap();
    build().await;
    assert!(person.desk.work().join("lit/.farmhand/build/lit.ino.acme").is_file());
}

/// A build folder is emptied before hooks are run: never one that holds what no build put there.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_build_put_there_stays() {
    let person = person().await;
    let work = person.desk.work();
    let precious = person.desk.write("precious/data.txt", "precious");
    let ours = work.join("greet/.farmhand");
    fs::create_dir_all(&ours).unwrap();
    std::os::unix::fs::symlink(work.join("precious"), ours.join("build")).unwrap();
    let build = || person.farmhand(&["build", "greet", "--board", BOARD]);
    build().await.expect(3).mentions(&["F420", "or is a link"]);
    fs::remove_file(ours.join("build")).unwrap();
    let own = person.desk.write("greet/.farmhand/build/own.txt", "mine");
    build().await.expect(3).mentions(&["F420"]);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(fs::read_to_string(&own).unwrap(), "mine");
    let profile = |name: &str| {
        let yaml = format!(
            "default_profile: \"{name}\"\nprofiles:\n  \"{name}\":\n    fqbn: {BOARD}\n    platforms:\n      - platform: acme:arm\n"
        );
        person.desk.write("deep/greet/sketch.yaml", &yaml);
    };
    person.desk.write("deep/greet/greet.ino", GREET);
    let absolute = work.join("precious");
    for name in ["../../..", "a/b", absolute.to_str().unwrap(), ".", ""] {
        profile(name);
        person
            .farmhand(&["build", "deep/greet"])
            .await
            .expect(3)
            .mentions(&["sketch.yaml:", "a profile's name"]);
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    profile("good-one_1.0");
    person.farmhand(&["build", "deep/greet"]).await.expect(0);
}

/// Which tool is meant stands in what was noted when the core was installed, and which core in the board.
#[tokio::test(flavor = "multi_thread")]
async fn another_tool_and_another_core_are_seen() {
    let person = person().await;
    let tools = person.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc");
    std::os::unix::fs::symlink(fs::read_link(tools.join("12.2")).unwrap(), tools.join("9.9")).unwrap();
    let note = |version: &str| {
        let tool = format!(r#"{{"packager": "acme", "name": "arm-none-eabi-gcc", "version": "{version}"}}"#);
        let text = format!(
            r#"{{"packages": [{{"name": "acme", "platforms": [{{"architecture": "arm", "version": "1.2.0", "toolsDependencies": [{tool}]}}]}}]}}"#
        );
        fs::write(person.core().join("installed.json"), text).unwrap();
    };
    let brand = person.home.join("Arduino/hardware/brand/arm");
    fs::create_dir_all(&brand).unwrap();
    let boards = fs::read_to_string(person.core().join("boards.txt")).unwrap();
    let boards = boards
        .replace("build.core=acme", "build.core=acme:acme")
        .replace("variant=an385", "variant=acme:an385");
    fs::write(brand.join("boards.txt"), boards).unwrap();
    // `runtime.platform.path` is the board's own, whosever the recipes are.
    copy_tree(&person.core().join("tools"), &brand.join("tools")).unwrap();
    for board in [BOARD, "brand:arm:an385"] {
        note("12.2");
        let words = ["build", "greet", "--board", board];
        let build = || person.farmhand(&words);
        let commands = || {
            let path = person.desk.work().join("greet/.farmhand/build/compile_commands.json");
            fs::read_to_string(path).unwrap()
        };
        build().await.expect(0);
        assert!(commands().contains("/12.2/bin/"), "{board}");
        note("9.9 ");
        note("9.9");
        build().await.expect(0);
        assert!(commands().contains("/9.9/bin/"), "{board}");
    }
    let newer = person.core().with_file_name("1.10.0");
    copy_tree(&person.core(), &newer).unwrap();
    let variant = newer.join("variants/an385/variant.cpp");
    let text = fs::read_to_string(&variant).unwrap();
    fs::write(&variant, text.replace("\"an385\"", "\"newer\"")).unwrap();
    person.farmhand(&["build", "greet", "--board", "brand:arm:an385"]).await.expect(0);
    let program = || {
        let elf = fs::read(person.desk.work().join("greet/.farmhand/build/greet.ino.elf")).unwrap();
        String::from_utf8_lossy(&elf).into_owned()
    };
    assert!(program().contains("newer"));
}

/// A core that a project declares as a package: nobody need have installed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_a_project_declares() {
    let person = person().await;
    let work = person.desk.work();
    fs::rename(person.core(), work.join("core")).unwrap();
    person.farmhand(&["build", "greet", "--board", BOARD]).await.expect(3).mentions(&["acme:arm"]);
    let declared = format!(
        "board = \"{BOARD}\"\n[package.acme]\nsource = \"path\"\nkind = \"framework\"\npath = \"../core\"\n\
         version = \"1.2.0\"\noffers = [\"core:acme:arm\"]\n"
    );
    person.desk.write("greet/farmhand.toml", &declared);
    person.farmhand(&["build", "greet"]).await.expect(0).mentions(&["greet.ino.acme"]);
    person.farmhand(&["build", "greet"]).await.expect(0).mentions(&["unchanged"]);
    // So does a sketch that says more of itself; another version is not what it is.
    let profile = |version: &str| {
        let yaml = format!(
            "profiles:\n  p:\n    fqbn: {BOARD}\n    platforms:\n      - platform: acme:arm ({version})\n"
        );
        person.desk.write("greet/sketch.yaml", &yaml);
    };
    profile("1.2.0");
    person.farmhand(&["build", "greet"]).await.expect(0);
    profile("1.3.0");
    person.farmhand(&["build", "greet"]).await.expect(10).mentions(&["F457", "acme:arm 1.3.0"]);
}
