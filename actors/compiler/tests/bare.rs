//! Trees for boards without a core: QEMU's machines.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_api::{Problem, ProblemClass};
use farmhand_compiler::{BuildError, BuildWish, unchanged};
use farmhand_records::v1::Source;
use support::{Bench, let_a_tick_pass, sketch_wish, wish, write};

fn tree_wish(folder: &Path) -> BuildWish {
    let source = Source::Tree(folder.to_str().unwrap().into());
    BuildWish { board: "qemu:riscv32-virt".into(), ..wish(source, folder.join(".farmhand/build")) }
}

/// A program of two files, a header and a script.
fn tree(bench: &Bench) -> (PathBuf, BuildWish) {
    let folder = bench.root().join("tree");
    write(&folder.join("main.c"), "#include \"a.h\"\nint main(void) { return A; }\n");
    write(&folder.join("a.h"), "#include <stdint.h>\n#define A 1\n");
    write(&folder.join("start.S"), ".globl _start\n_start: .long main\n");
    write(&folder.join("board.ld"), "/* 1 */\n");
    let wish = tree_wish(&folder);
    (folder, wish)
}

/// The one link that was asked for.
fn link(log: &[String]) -> &str {
    let links: Vec<_> = log.iter().filter(|line| !line.contains(" -c ")).collect();
    assert_eq!(links.len(), 1, "{log:#?}");
    links[0]
}

#[tokio::test]
async fn a_tree_is_linked_by_its_own_script() {
    let bench = Bench::bare(2);
    let (folder, wish) = tree(&bench);
    let_a_tick_pass(&bench.root()).await;
    let built = bench.build(&wish).await.unwrap();
    assert_eq!((built.compiled, built.cached, built.sizes.image_bytes_max), (2, 0, 0));
    assert!(fs::read(&built.artifact).unwrap().starts_with(b"\x7fELF"));
    assert!(wish.build_dir.join("firmware.elf").is_file());
    let log = bench.log();
    for compile in log.iter().filter(|line| line.contains(" -c ")) {
        assert!(compile.contains("-march=rv32imac_zicsr_zifencei -mabi=ilp32"), "{compile}");
        assert!(compile.contains("-ffreestanding"), "{compile}");
    }
    let linked = link(&log);
    // The compiler finds its libraries by the instructions without the extensions that have no library of their own.
    for flag in ["-march=rv32imac -mabi=ilp32", "-nostartfiles", "-Tboard.ld", "-nostdlib -lgcc"] {
        assert!(linked.contains(flag), "{flag}: {linked}");
    }
    assert!(bench.build(&wish).await.unwrap().unchanged);
    assert_eq!(bench.log(), Vec::<String>::new());

    write(&folder.join("a.h"), "#include <stdint.h>\n#define A 2\n");
    let again = bench.build(&wish).await.unwrap();
    assert_eq!((again.compiled, again.cached), (1, 1), "start.S does not include it");
    assert_ne!(again.hash, built.hash);
}

#[tokio::test]
async fn the_script_changes() {
    let bench = Bench::bare(2);
    let (folder, wish) = tree(&bench);
    write(&folder.join("memory.x"), "/* 1 */\n");
    let_a_tick_pass(&bench.root()).await;
    bench.build(&wish).await.unwrap();
    for file in ["board.ld", "memory.x"] {
        bench.log();
        write(&folder.join(file), "/* 2 */\n");
        assert_eq!(unchanged(&bench.env.paths, &wish), None, "{file}");
        assert_eq!(bench.build(&wish).await.unwrap().compiled, 0);
        link(&bench.log());
    }
}

#[tokio::test]
async fn which_script() {
    let bench = Bench::bare(2);
    let (folder, mut wish) = tree(&bench);
    write(&folder.join("other.ld"), "/* 1 */\n");
    let problem = Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Configuration);
    assert_eq!(problem.message, "there are 2 linker scripts: board.ld, other.ld");
    assert_eq!(problem.help, ["say which: `link-flags = [\"-Tboard.ld\"]`"]);
    wish.build.link_flags = vec!["-Tother.ld".into()];
    bench.build(&wish).await.unwrap();
    assert!(!link(&bench.log()).contains("-Tboard.ld"));

    wish.build.link_flags.clear();
    for file in ["board.ld", "other.ld"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    let none = bench.build(&wish).await.unwrap_err();
    assert!(matches!(none, BuildError::NoSource { what: "linker script (.ld)", .. }), "{none}");
}

#[tokio::test]
async fn a_file_that_a_flag_of_the_link_names_changes() {
    let bench = Bench::bare(2);
    let (folder, mut wish) = tree(&bench);
    fs::remove_file(folder.join("board.ld")).unwrap();
    for (file, flag) in [("../beside", "-T../beside"), ("../beside2", "-Wl,-T,../beside2")] {
        write(&folder.join(file), "/* 1 */\n");
        wish.build.link_flags = vec![flag.into()];
        let_a_tick_pass(&bench.root()).await;
        bench.build(&wish).await.unwrap();
        bench.log();
        write(&folder.join(file), "/* 2 */\n");
        assert_eq!(unchanged(&bench.env.paths, &wish), None, "{flag}");
        bench.build(&wish).await.unwrap();
        link(&bench.log());
    }
}

#[tokio::test]
async fn a_script_that_is_changed_while_it_is_read() {
    let bench = Bench::bare(1);
    let (folder, wish) = tree(&bench);
    let_a_tick_pass(&bench.root()).await;
    let script = folder.join("board.ld");
    let change =
        format!("case \"$*\" in *-c*|*-print*) ;; *) echo '/* later */' > {} ;; esac", script.display());
    bench.bare_tool("gcc", &format!("{change}\nexec gcc \"$@\""));
    bench.build(&wish).await.unwrap();
    assert_eq!(unchanged(&bench.env.paths, &wish), None, "nobody knows which of the two was read");
    bench.log();
    write(&script, "/* 1 */\n");
    bench.build(&wish).await.unwrap();
    link(&bench.log());
}

#[tokio::test]
async fn a_c_library_where_one_is_asked_for() {
    let bench = Bench::bare(2);
    let (folder, wish) = tree(&bench);
    write(&folder.join("string.h"), "#define B 1\n");
    write(&folder.join("b.c"), "#include \"string.h\"\nint b = B;\n");
    bench.build(&wish).await.unwrap();
    assert!(!link(&bench.log()).contains("--specs"), "that one is the project's own");

    write(&bench.package("riscv-picolibc").join(".version"), "1.0");
    fs::remove_file(folder.join("string.h")).unwrap();
    write(&folder.join("b.c"), "int b = 1;\n");
    write(&folder.join("a.h"), "#include <string.h>\n#define A 1\n");
    let_a_tick_pass(&bench.root()).await;
    bench.build(&wish).await.unwrap();
    let (log, library) = (bench.log(), bench.package("riscv-picolibc").join("1.0/usr"));
    let specs = library.join("lib/picolibc/riscv64-unknown-elf/picolibc.specs");
    let flags = format!("--specs={} --picolibc-prefix={}", specs.display(), library.display());
    assert!(!log.is_empty() && log.iter().all(|line| line.contains(&flags)), "{log:#?}");
    assert!(
        !log.iter().any(|line| line.contains("-ffreestanding") || line.contains("-nostdlib")),
        "{log:#?}"
    );
    assert!(unchanged(&bench.env.paths, &wish).is_some());

    let none = BuildWish { board: "bare:esp8266".into(), ..wish };
    let problem = Problem::from(bench.build(&none).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Package);
    assert_eq!(problem.message, "a C library for bare:esp8266 is not there");
}

#[tokio::test]
async fn a_sketch_needs_a_core() {
    let bench = Bench::new(1);
    let wish = BuildWish { board: "qemu:riscv32-virt".into(), ..sketch_wish(&bench.sketch("p")) };
    let problem = Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Configuration);
    assert!(problem.message.contains("no Arduino core"), "{problem:?}");
}

#[tokio::test]
async fn what_the_script_has_no_room_for() {
    let bench = Bench::bare(1);
    let (_, wish) = tree(&bench);
    let says = "ld: region `ram' overflowed by 3 bytes";
    let then = format!(
        "case \"$*\" in *-c*) exec gcc \"$@\" ;; esac\necho \"{}\" >&2\nexit 1",
        says.replace('`', "\\`")
    );
    bench.bare_tool("gcc", &then);
    let problem = Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.message, "firmware.elf does not link", "how much room there is, the script knows");
    assert_eq!(problem.detail, [says]);
}
