//! Where a person's cores and libraries are, wherever Arduino's programs were told to keep them; and what is found there first.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use farmhand_tests::{Person, copy_tree, until};

const LIT: &str = "#include <Lamp.h>\nvoid setup() { print(LAMP); }\nvoid loop() { finish(); }\n";

fn lamp(person: &Person, folder: &str, says: &str) {
    person.desk.write(&format!("{folder}/Lamp/Lamp.h"), &format!("#define LAMP \"lamp of {says}\"\n"));
    person.desk.write(&format!("{folder}/Lamp/library.properties"), "name=Lamp\nversion=1.0.0\n");
}

fn program(person: &Person, project: &str) -> String {
    String::from_utf8_lossy(&person.built(&format!("{project}/.farmhand/build/{project}.ino.elf")))
        .into_owned()
}

/// What was changed just now is looked at whoever asks for it: then nothing would be missed.
async fn a_while_passes(path: &Path) {
    until("it is of a while ago", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        (fs::metadata(path).unwrap().ctime() + 3 < now.cast_signed()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sketchbook_elsewhere() {
    let person = Person::new().await.with_arduinos();
    person.desk.write("lit/lit.ino", LIT);
    lamp(&person, "home/Arduino/libraries", "home");
    lamp(&person, "books/libraries", "the settings");
    lamp(&person, "other/libraries", "the environment");
    let build = &["build", "lit", "--board", Person::BOARD];
    person.farmhand(build).await.expect(0);
    assert!(program(&person, "lit").contains("lamp of home"));
    let books = person.desk.work().join("books");
    let yaml = format!("directories:\n  user: {}\n", books.display());
    person.desk.write("home/.arduino15/arduino-cli.yaml", &yaml);
    person.farmhand(build).await.expect(0);
    assert!(program(&person, "lit").contains("lamp of the settings"));
    person.farmhand(build).await.expect(0).mentions(&["unchanged"]);
    let other = person.desk.work().join("other");
    let more = [("ARDUINO_DIRECTORIES_USER", other.as_path())];
    person.farmhand_with(build, &more).await.expect(0);
    assert!(program(&person, "lit").contains("lamp of the environment"));
    // A core in it is the one that is meant.
    copy_tree(&person.core(), &other.join("hardware/acme/arm")).unwrap();
    person.desk.edit("other/hardware/acme/arm/variants/an385/variant.cpp", "\"an385\"", "\"by hand\"");
    person.desk.edit("lit/lit.ino", "print(LAMP);", "print(LAMP); print(variant_name);");
    person.farmhand_with(build, &more).await.expect(0);
    assert!(program(&person, "lit").contains("by hand"));
    person.farmhand(build).await.expect(0);
    let program = program(&person, "lit");
    assert!(program.contains("lamp of the settings") && !program.contains("by hand"));
}

/// A core's own folders of headers and archives, in order: what is new in an earlier one is found first.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_an_earlier_folder() {
    let person = Person::new().await.with_arduinos();
    let core = person.core();
    for folder in ["early", "late"] {
        fs::create_dir(core.join(folder)).unwrap();
    }
    fs::write(core.join("late/lamp.h"), "#define LAMP \"late header\"\n").unwrap();
    let platform = core.join("platform.txt");
    let text = fs::read_to_string(&platform).unwrap();
    let folders = "\"-I{runtime.platform.path}/early\" \"-I{runtime.platform.path}/late\" -DARDUINO=";
    let text = text.replacen("-DARDUINO=", folders, 1);
    let places =
        "\"-L{runtime.platform.path}/early\" \"-L{runtime.platform.path}/late\" -llamp \"-L{build.path}\"";
    let text = text.replacen("\"-L{build.path}\"", places, 1);
    // Behind what asks for it.
    let text = text.replacen(
        "{object_files} \"{archive_file_path}\"",
        "{object_files} \"{archive_file_path}\" -llamp",
        1,
    );
    fs::write(&platform, text).unwrap();
    let make = async |folder: &str, says: &str| {
        person.desk.write("lamp.c", &format!("const char *lamp(void) {{ return \"{says}\"; }}\n"));
        let bin = person.home.join(".arduino15/packages/acme/tools/arm-none-eabi-gcc/12.2/bin");
        let archive = core.join(folder).join("liblamp.a");
        for (program, words) in [
            ("arm-none-eabi-gcc", vec!["-mcpu=cortex-m3", "-mthumb", "-c", "lamp.c", "-o", "lamp.o"]),
            ("arm-none-eabi-ar", vec!["rcs", archive.to_str().unwrap(), "lamp.o"]),
        ] {
            let mut command = tokio::process::Command::new(bin.join(program));
            command.args(words).current_dir(person.desk.work()).envs(&person.environment);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            farmhand_tests::said(command).await.expect(0);
        }
    };
    make("late", "late archive").await;
    let sketch = "#include <lamp.h>\nextern \"C\" const char *lamp(void);\nvoid setup() { print(LAMP); print(lamp()); }\nvoid loop() { finish(); }\n";
    person.desk.write("lit/lit.ino", sketch);
    a_while_passes(&core.join("late/liblamp.a")).await;
    let build = &["build", "lit", "--board", Person::BOARD];
    person.farmhand(build).await.expect(0);
    person.farmhand(build).await.expect(0).mentions(&["unchanged"]);
    let built = program(&person, "lit");
    assert!(built.contains("late header") && built.contains("late archive"));
    fs::write(core.join("early/lamp.h"), "#define LAMP \"early header\"\n").unwrap();
    person.farmhand(build).await.expect(0);
    assert!(program(&person, "lit").contains("early header"));
    make("early", "early archive").await;
    person.farmhand(build).await.expect(0);
    assert!(program(&person, "lit").contains("early archive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_profiles_of_a_sketch() {
    let person = Person::new().await.with_arduinos();
    let profile = |name: &str, option: &str| {
        format!(
            "  {name}:\n    fqbn: {}:opt={option}\n    platforms:\n      - platform: acme:arm\n",
            Person::BOARD
        )
    };
    let yaml = ["profiles:\n".to_owned(), profile("small", "small"), profile("fast", "fast")].concat();
    person.desk.write("lit/sketch.yaml", &yaml);
    person.desk.write("lit/lit.ino", "void setup() { print(variant_name); }\nvoid loop() { finish(); }\n");
    let said = person.farmhand(&["build", "lit"]).await;
    said.expect(2).mentions(&["small", "fast", "-e"]);
    person.farmhand(&["build", "--all", "lit"]).await.expect(0).mentions(&["small", "fast"]);
    let of = |profile: &str| person.built(&format!("lit/.farmhand/builds/{profile}/lit.ino.bin"));
    assert_ne!(of("small"), of("fast"), "each by its own option");
    let again = person.farmhand(&["build", "--all", "lit"]).await;
    assert_eq!(again.expect(0).stdout.matches("unchanged").count(), 2, "{}", again.stdout);
}
