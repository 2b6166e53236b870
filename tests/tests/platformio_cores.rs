//! Arduino cores that PlatformIO installed, with its platforms' boards and its tools: built as the same core is that Arduino's boards
//! manager installed.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;

use farmhand_tests::{Person, copy_tree};

const MAIN: &str = r#"#include <Arduino.h>
#include <Forced.h>
void setup() {
    print("board " BOARD_NAME " product " USB_PRODUCT " variant ");
    print(variant_name);
    print(forced() == 7 ? " forced" : "");
#ifdef WITH_FLAG
    print(" flag");
#endif
#ifdef ON_BOARD
    print(" on board");
#endif
    print("\nready\n");
}
void loop() { finish(); }
"#;
const INI: &str = "[env]\nplatform = acmearm\nframework = arduino\nboard = acme_an385\n";
/// With the same program as PlatformIO's project, and as a sketch.
async fn person() -> Person {
    let person = Person::new().await.with_arduinos().with_platformios();
    person.desk.write("p/src/main.cpp", MAIN);
    person.desk.write("p/platformio.ini", &format!("{INI}[env:one]\n"));
    person.desk.write("greet/greet.ino", MAIN);
    person
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_same_core_of_arduinos() {
    let person = person().await;
    person.farmhand(&["build", "p"]).await.expect(0).mentions(&["firmware.acme"]);
    person.farmhand(&["build", "p"]).await.expect(0).mentions(&["unchanged"]);
    let commands = String::from_utf8(person.built("p/.farmhand/builds/one/compile_commands.json")).unwrap();
    assert!(commands.contains("/packages/toolchain-gccarmnoneeabi/bin/arm-none-eabi-g++"), "{commands}");
    person.farmhand(&["build", "greet", "--board", Person::BOARD]).await.expect(0);
    // The compilers of both are the same.
    let (ours, theirs) = (
        person.built("p/.farmhand/builds/one/firmware.bin"),
        person.built("greet/.farmhand/build/greet.ino.bin"),
    );
    assert_eq!(farmhand_tests::sha256(&ours), farmhand_tests::sha256(&theirs));
    let text = String::from_utf8_lossy(&ours).into_owned();
    assert!(text.contains("ACME_AN385") && !text.contains(" flag"));
    // By the core's own name it is the same board.
    let board = "framework-arduino-acme:arm:an385:opt=fast";
    person.farmhand(&["build", "greet", "--board", board]).await.expect(0);
    assert_ne!(person.built("greet/.farmhand/build/greet.ino.bin"), theirs, "it is made to be fast");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_built_anew() {
    let person = person().await;
    person.farmhand(&["build", "p"]).await.expect(0);
    let firmware =
        || String::from_utf8_lossy(&person.built("p/.farmhand/builds/one/firmware.elf")).into_owned();
    let acme = |path: &str| format!("home/.platformio/packages/framework-arduino-acme/{path}");
    person.desk.edit(&acme("variants/an385/variant.cpp"), "\"an385\"", "\"another\"");
    person.farmhand(&["build", "p"]).await.expect(0);
    assert!(firmware().contains("another"));
    person.desk.write("p/platformio.ini", &format!("{INI}[env:one]\nbuild_flags = -DWITH_FLAG\n"));
    person.farmhand(&["build", "p"]).await.expect(0);
    assert!(firmware().contains(" flag"));
    // A newer one beside it is the one that is meant where the platform asks for it.
    copy_tree(&person.pio("framework-arduino-acme"), &person.pio("framework-arduino-acme@1.10.0")).unwrap();
    let newer = "home/.platformio/packages/framework-arduino-acme@1.10.0";
    let manifest = r#"{"name": "framework-arduino-acme", "version": "1.10.0"}"#;
    person.desk.write(&format!("{newer}/package.json"), manifest);
    person.desk.edit(&format!("{newer}/variants/an385/variant.cpp"), "\"another\"", "\"newer\"");
    person.farmhand(&["build", "p"]).await.expect(0);
    assert!(firmware().contains("another"));
    person.desk.edit("home/.platformio/platforms/acmearm/platform.json", "~1.2.0", "^1.2.0");
    person.farmhand(&["build", "p"]).await.expect(0);
    assert!(firmware().contains("newer"));
    // A board of the project's own: the core's, wired otherwise.
    copy_tree(
        &person.pio("framework-arduino-acme@1.10.0/variants/an385"),
        &person.pio("framework-arduino-acme@1.10.0/variants/mine"),
    )
    .unwrap();
    person.desk.edit(&format!("{newer}/variants/mine/variant.cpp"), "\"newer\"", "\"mine\"");
    person.desk.write("p/boards/mine.json", &Person::JSON.replace("\"an385\"", "\"mine\""));
    person.desk.write("p/platformio.ini", &INI.replace("acme_an385", "mine").replace("[env]", "[env:one]"));
    person.farmhand(&["build", "p"]).await.expect(0);
    assert!(firmware().contains("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_installed_is_told() {
    let person = person().await;
    let ini = |from: &str, to: &str| {
        person.desk.write("p/platformio.ini", &format!("{}[env:one]\n", INI.replace(from, to)));
    };
    ini("acmearm", "acmearn");
    person.farmhand(&["build", "p"]).await.expect(3).mentions(&[
        "platformio.ini:2",
        "acmearn",
        "did you mean acmearm?",
    ]);
    ini("acme_an385", "acme_an386");
    person
        .farmhand(&["build", "p"])
        .await
        .expect(3)
        .mentions(&["platformio.ini:4", "did you mean acme_an385?"]);
    ini("acmearm", "acmearm@^4");
    person
        .farmhand(&["build", "p"])
        .await
        .expect(3)
        .mentions(&["\"acmearm\" ^4", "pio pkg install -g -p acmearm"]);
    person.desk.write("p/platformio.ini", &format!("[platformio]\ncore_dir = elsewhere\n{INI}[env:one]\n"));
    person.farmhand(&["build", "p"]).await.expect(3).mentions(&["there is no core for \"acmearm\""]);
    person
        .desk
        .write("p/platformio.ini", &format!("[platformio]\npackages_dir = elsewhere\n{INI}[env:one]\n"));
    person.farmhand(&["build", "p"]).await.expect(3).mentions(&["packages_dir", "PLATFORMIO_PACKAGES_DIR"]);
    ini("acme_an385", "other");
    person
        .farmhand(&["build", "p"])
        .await
        .expect(3)
        .mentions(&["platformio.ini:4", "\"other\" is no board of"]);
    person.desk.write("p/boards/other.json", "{\n");
    person.farmhand(&["build", "p"]).await.expect(3).mentions(&["other.json"]);
    ini("", "");
    fs::remove_file(person.pio("toolchain-gccarmnoneeabi")).unwrap();
    // Its own compiler does as well, where farmhand has it.
    person.farmhand(&["build", "p"]).await.expect(0);
    fs::remove_dir_all(person.pio("framework-arduino-acme")).unwrap();
    person
        .farmhand(&["build", "p"])
        .await
        .expect(3)
        .mentions(&["pio pkg install -g -t framework-arduino-acme"]);
}

/// A library's objects are an archive: what nobody asks for is left out, where nobody says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_is_linked_as_an_archive() {
    let person = person().await;
    // Two that need each other, and in one of them a file that would be too much.
    person.desk.write("p/lib/One/one.h", "int one(int);\nint base();\n");
    person.desk.write(
        "p/lib/One/one.cpp",
        "#include <two.h>\nint one(int n) { return n ? two(n - 1) : 7; }\nint twice() { return 2; }\n",
    );
    person.desk.write("p/lib/One/base.cpp", "int base() { return 1; }\n");
    person.desk.write("p/lib/One/unasked.cpp", "int twice() { return 3; }\n");
    person.desk.write("p/lib/Two/two.h", "int two(int);\n");
    person
        .desk
        .write("p/lib/Two/two.cpp", "#include <one.h>\nint two(int n) { return n ? one(n - 1) : base(); }\n");
    let main = MAIN.replace("#include <Forced.h>", "#include <Forced.h>\n#include <two.h>");
    person.desk.write("p/src/main.cpp", &main.replace("forced() == 7", "two(3) == 7"));
    let ini = |more: &str| person.desk.write("p/platformio.ini", &format!("{INI}{more}\n[env:one]\n"));
    person.farmhand(&["build", "p"]).await.expect(0);
    ini("lib_archive = no");
    person.farmhand(&["build", "p"]).await.expect(7).mentions(&["multiple definition of `twice()'"]);
    ini("");
    person.desk.write("p/lib/One/library.json", r#"{"name": "One", "build": {"libArchive": false}}"#);
    person.farmhand(&["build", "p"]).await.expect(7).mentions(&["multiple definition"]);
    // The project's word is the stronger one.
    ini("lib_archive = yes");
    person.farmhand(&["build", "p"]).await.expect(0);
    // A core that needs a library, and has its archive in a group in which no objects are.
    let core = "home/.platformio/packages/framework-arduino-acme";
    let link = "-Wl,--start-group {object_files}";
    person.desk.edit(&format!("{core}/platform.txt"), link, "{object_files} -Wl,--start-group");
    let main = String::from_utf8(person.built(&format!("{core}/cores/acme/main.cpp"))).unwrap();
    let main = main.replacen("    setup();", "    last();\n    setup();", 1);
    person.desk.write(&format!("{core}/cores/acme/main.cpp"), &format!("int last();\n{main}"));
    person.desk.write("p/lib/Two/last.cpp", "int last() { return 5; }\n");
    person.farmhand(&["build", "p"]).await.expect(0);
    ini("lib_archive = maybe");
    person.farmhand(&["build", "p"]).await.expect(3).mentions(&["platformio.ini:5", "neither yes nor no"]);
}

/// Recipes name tools as Arduino's programs do, or lead to where they would be below the core; packages have other names.
#[tokio::test(flavor = "multi_thread")]
async fn tools_are_found_by_what_is_wanted_of_them() {
    let person = Person::new().await.with_platformios();
    person.desk.write("p/src/main.cpp", MAIN);
    person.desk.write("p/platformio.ini", &format!("{INI}[env:one]\n"));
    let platform = "home/.platformio/packages/framework-arduino-acme/platform.txt";
    let build = async || person.farmhand(&["build", "p"]).await;
    // The board's other flags, where the core has a place for them.
    person.desk.edit(platform, "-DARDUINO_{build.board} ", "-DARDUINO_{build.board} {build.extra_flags} ");
    person.desk.edit(platform, "compiler.warning_flags=-w", "compiler.warning_flags=-w\nbuild.extra_flags=");
    person.desk.edit(
        platform,
        "{runtime.platform.path}/tools/pack.sh",
        "{runtime.tools.packer.path}/pack.sh",
    );
    fs::create_dir(person.pio("tool-packer")).unwrap();
    let newer = |file: &str, text: &str| {
        person.desk.write(&format!("home/.platformio/packages/tool-packer@2.0.0/{file}"), text)
    };
    newer("package.json", r#"{"name": "tool-packer", "version": "2.0.0"}"#);
    let script =
        String::from_utf8(person.built("home/.platformio/packages/framework-arduino-acme/tools/pack.sh"))
            .unwrap();
    // Nothing is in it yet; who has it is not the platform's.
    person.desk.write("home/.platformio/packages/a-tool/pack.sh", &script);
    build().await.expect(7).mentions(&["pack.sh"]);
    fs::write(person.pio("tool-packer/pack.sh"), &script).unwrap();
    build().await.expect(0);
    build().await.expect(0).mentions(&["unchanged"]);
    let firmware = String::from_utf8_lossy(&person.built("p/.farmhand/builds/one/firmware.bin")).into_owned();
    assert!(firmware.contains(" on board"));
    // Of a newer one that was there and had nothing of it.
    newer("pack.sh", &script.replace("ACME", "PACKED"));
    build().await.expect(0);
    assert!(person.built("p/.farmhand/builds/one/firmware.acme").starts_with(b"PACKED"));
    let text = String::from_utf8(person.built(platform)).unwrap();
    let below = "compiler.path={runtime.platform.path}/system/arm-none-eabi/bin/";
    person
        .desk
        .write(platform, &text.replace("compiler.path={runtime.tools.arm-none-eabi-gcc.path}/bin/", below));
    build().await.expect(0);
    let commands = String::from_utf8(person.built("p/.farmhand/builds/one/compile_commands.json")).unwrap();
    assert!(commands.contains("/packages/toolchain-gccarmnoneeabi/bin/arm-none-eabi-g++"), "{commands}");
}
