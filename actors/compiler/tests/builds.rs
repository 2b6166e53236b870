//! Builds with this machine's own compiler.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use farmhand_api::{Problem, ProblemClass};
use farmhand_compiler::{
    BuildError, BuildWish, HostProgram, anatomy, build, build_host_program, last_report, unchanged,
};
use farmhand_records::v1::Source;
use farmhand_runtime::process_start;
use support::{Bench, let_a_tick_pass, sketch_wish, until, wish, write};

fn compiles(log: &[String]) -> Vec<&str> {
    log.iter().map(String::as_str).filter(|line| line.contains(" -c ")).collect()
}

#[tokio::test]
async fn a_sketch_becomes_a_hex() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let wish = sketch_wish(&folder);
    let built = bench.build(&wish).await.unwrap();
    assert!(!built.unchanged);
    assert_eq!((built.compiled, built.cached), (4, 0));
    assert_eq!(built.sizes.image_bytes_max, 4000);
    assert!((20..4000).contains(&built.sizes.image_bytes), "{}", built.sizes.image_bytes);
    assert!(fs::read(&built.artifact).unwrap().starts_with(b":"));
    let commands = fs::read_to_string(wish.build_dir.join("compile_commands.json")).unwrap();
    let commands: serde_json::Value = serde_json::from_str(&commands).unwrap();
    assert_eq!(commands.as_array().unwrap().len(), 4);
    assert_eq!(commands[0]["directory"], folder.to_str().unwrap());
}

#[tokio::test]
async fn another_project_takes_what_is_the_same_from_the_cache() {
    let bench = Bench::new(2);
    let (one, two) = (bench.sketch("p"), bench.sketch("q/deeper"));
    let_a_tick_pass(&bench.root()).await;
    let first = bench.build(&sketch_wish(&one)).await.unwrap();
    bench.log();
    let second = bench.build(&sketch_wish(&two)).await.unwrap();
    assert_eq!((second.compiled, second.cached), (0, 4));
    assert_eq!(second.hash, first.hash);
    assert_eq!(bench.log(), Vec::<String>::new(), "neither compiled, archived, linked nor converted");

    write(&two.join("other.cpp"), "int other() { return 3; }\n");
    let third = bench.build(&sketch_wish(&two)).await.unwrap();
    assert_eq!((third.compiled, third.cached), (1, 3));
    write(&two.join("config.h"), "#define PERIOD 5\n");
    let fourth = bench.build(&sketch_wish(&two)).await.unwrap();
    assert_eq!((fourth.compiled, fourth.cached), (1, 3), "other.cpp does not include it any more");
    assert!(unchanged(&bench.env.paths, &sketch_wish(&one)).is_some(), "the first is as it was");
}

#[tokio::test]
async fn a_damaged_object_is_made_again() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let_a_tick_pass(&bench.root()).await;
    let first = bench.build(&sketch_wish(&folder)).await.unwrap();
    let mut damaged = 0;
    for shelf in fs::read_dir(bench.env.paths.objects().join("o")).unwrap() {
        for object in fs::read_dir(shelf.unwrap().path()).unwrap() {
            let path = object.unwrap().path();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(&path, "damage").unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 7, "four objects, an archive, a program, a hex");
    let again = bench.build(&sketch_wish(&bench.sketch("q"))).await.unwrap();
    assert_eq!((again.compiled, again.cached), (4, 0));
    assert_eq!(again.hash, first.hash);
}

#[tokio::test]
async fn an_error_is_passed_on_and_points_at_the_sketch() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    write(&folder.join("blink.ino"), "void setup() {}\nvoid loop() {\n  nonsense();\n}\n");
    let (built, printed) = bench.build_printed(&sketch_wish(&folder)).await;
    let problem = Problem::from(built.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Build);
    assert_eq!(problem.message, "blink.ino does not compile");
    assert!(problem.detail[0].starts_with("blink.ino:3:3: error:"), "{problem:?}");
    assert!(printed.contains("blink.ino:3:3: error:"), "{printed}");
    assert!(printed.contains("In function"), "all of it, as written: {printed}");
    write(&folder.join("blink.ino"), "void setup() {}\nvoid loop() {\n}\n");
    bench.build(&sketch_wish(&folder)).await.unwrap();
}

#[tokio::test]
async fn a_warning_is_shown_from_the_cache_too() {
    let bench = Bench::new(2);
    let (one, two) = (bench.sketch("p"), bench.sketch("q"));
    for folder in [&one, &two] {
        write(&folder.join("blink.ino"), "void setup() { int unused; }\nvoid loop() {}\n");
    }
    let_a_tick_pass(&bench.root()).await;
    let (built, first) = bench.build_printed(&sketch_wish(&one)).await;
    built.unwrap();
    assert!(first.contains("blink.ino:1:20: warning: unused variable"), "{first}");
    let (built, second) = bench.build_printed(&sketch_wish(&two)).await;
    assert_eq!(built.unwrap().compiled, 0);
    assert_eq!(first, second);
}

#[tokio::test]
async fn colours_are_the_compilers_and_change_nothing_of_what_is_made() {
    let bench = Bench::new(2);
    let (one, two) = (bench.sketch("p"), bench.sketch("q"));
    for folder in [&one, &two] {
        write(&folder.join("blink.ino"), "void setup() { int unused; }\nvoid loop() {}\n");
    }
    let_a_tick_pass(&bench.root()).await;
    let (built, first) = bench.build_coloured(&sketch_wish(&one)).await;
    let built = built.unwrap();
    assert!(first.contains("\x1b[01;35m"), "{first:?}");
    // The same compile as it stands in `compile_commands.json`, by hand: it says nothing of colours.
    let commands = fs::read_to_string(one.join(".farmhand/build/compile_commands.json")).unwrap();
    assert!(!commands.contains("color"), "{commands}");
    for command in serde_json::from_str::<Vec<serde_json::Value>>(&commands).unwrap() {
        let args: Vec<_> =
            command["arguments"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let object = one.join(command["output"].as_str().unwrap());
        let ours = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let mut by_hand = std::process::Command::new(args[0]);
        // What a build gives to every compiler, so that no path is in the object.
        by_hand.args(&args[1..]).current_dir(&one).env("PWD", "/proc/self/cwd").env("LC_ALL", "C");
        assert!(by_hand.output().unwrap().status.success());
        assert_eq!(fs::read(&object).unwrap(), ours, "{}", object.display());
    }
    let (again, second) = bench.build_coloured(&sketch_wish(&two)).await;
    let again = again.unwrap();
    assert_eq!((again.compiled, again.hash), (0, built.hash), "the cache is found with them as without");
    assert_eq!(second, first, "and what was printed is kept with them");
    let said = farmhand_api::diagnostics(&second);
    let farmhand_api::Said::Diagnostic(said) = &said[0] else { panic!("{said:?}") };
    assert_eq!((said.spot.file.as_deref(), said.spot.line), (Some("blink.ino"), Some(1)));
    assert_eq!(said.option.as_deref(), Some("-Wunused-variable"));
}

#[tokio::test]
async fn what_is_printed_is_in_the_order_of_the_plan() {
    let bench = Bench::new(4);
    let folder = bench.sketch("p");
    for name in ["a", "b", "c", "d"] {
        write(&folder.join(format!("{name}.c")), &format!("void {name}(void) {{ int {name}_unused; }}\n"));
    }
    // The first in the plan is the last to end.
    bench.tool("gcc", "case \"$*\" in *-c*a.c*) while ! grep -q d.c.done LOG; do sleep 0.01; done ;; esac\ngcc \"$@\"\nstatus=$?\ncase \"$*\" in *-c*d.c*) echo d.c.done >> LOG ;; esac\nexit $status".replace("LOG", &bench.log_path().display().to_string()).as_str());
    let (built, printed) = bench.build_printed(&sketch_wish(&folder)).await;
    built.unwrap();
    let order: Vec<_> = printed.lines().filter_map(|line| line.split("variable ").nth(1)).collect();
    let names: Vec<_> =
        order.iter().map(|line| line.chars().find(|c| c.is_ascii_lowercase()).unwrap()).collect();
    assert_eq!(names, ['a', 'b', 'c', 'd'], "{printed}");
}

#[tokio::test]
async fn the_same_action_asked_for_twice_at_once_runs_once() {
    let bench = Bench::new(4);
    let (one, two) = (bench.sketch("p"), bench.sketch("q"));
    let_a_tick_pass(&bench.root()).await;
    let (wish_one, wish_two) = (sketch_wish(&one), sketch_wish(&two));
    let (first, second) = tokio::join!(bench.build(&wish_one), bench.build(&wish_two));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.hash, second.hash);
    assert_eq!(first.compiled + second.compiled, 4);
    assert_eq!(compiles(&bench.log()).len(), 4);
}

#[tokio::test]
async fn two_builds_of_one_folder_take_turns() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let_a_tick_pass(&bench.root()).await;
    let wish = sketch_wish(&folder);
    let (first, second) = tokio::join!(bench.build(&wish), bench.build(&wish));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.unchanged as u8 + second.unchanged as u8, 1, "one built, the other found it built");
    assert_eq!(compiles(&bench.log()).len(), 4);
}

#[tokio::test]
async fn so_many_jobs_and_no_more() {
    let bench = Bench::new(4);
    let folder = bench.sketch("p");
    for n in 0..4 {
        write(&folder.join(format!("f{n}.c")), &format!("int f{n};\n"));
    }
    for tool in ["gcc", "g++"] {
        let log = bench.log_path();
        bench.tool(tool, &format!("{tool} \"$@\"\nstatus=$?\necho end >> {}\nexit $status", log.display()));
    }
    let mut wish = sketch_wish(&folder);
    wish.build.jobs = 1;
    bench.build(&wish).await.unwrap();
    let log = bench.log();
    let tools: Vec<_> = log.iter().filter(|line| line.starts_with('g') || *line == "end").collect();
    // gcc-ar notes no end.
    let tools: Vec<_> = tools.into_iter().filter(|line| !line.starts_with("gcc-ar")).collect();
    assert_eq!(tools.len(), 2 * (4 + 4 + 1) + 1, "the driver is asked about itself once: {log:#?}");
    for pair in tools[1..].chunks(2) {
        assert!(pair[0] != "end" && pair[1] == "end", "one at a time: {log:#?}");
    }
}

#[tokio::test]
async fn after_a_failure_nothing_more_is_started() {
    let bench = Bench::new(1);
    let folder = bench.sketch("p");
    // The largest goes first.
    write(&folder.join("bad.cpp"), &format!("nonsense\n// {}\n", "x".repeat(100_000)));
    let failed = bench.build(&sketch_wish(&folder)).await.unwrap_err();
    assert!(matches!(&failed, BuildError::Refused { what, .. } if what == "bad.cpp"), "{failed}");
    assert_eq!(compiles(&bench.log()).len(), 1);
}

#[tokio::test]
async fn a_build_that_is_dropped_ends_its_compilers() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    write(&folder.join("slow.c"), "int slow;\n");
    let pid_file = bench.root().join("pid");
    bench.tool(
        "gcc",
        &format!(
            "case \"$*\" in *slow.c*) sleep 600 & echo $! > {}; wait ;; esac\nexec gcc \"$@\"",
            pid_file.display()
        ),
    );
    let wish = sketch_wish(&folder);
    let build = tokio::spawn({
        let (env, wish) = (bench.env.clone(), wish.clone());
        async move { build(&env, &wish, None).await }
    });
    until("the compiler started", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')))
        .await;
    let pid: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(process_start(pid).is_some());
    build.abort();
    until("its grandchild ended", || process_start(pid).is_none()).await;
    // The folder can be built in again.
    bench.tool("gcc", "exec gcc \"$@\"");
    bench.build(&wish).await.unwrap();
}

#[tokio::test]
async fn a_library_of_the_core_is_used_where_its_header_is_included() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    write(
        &folder.join("blink.ino"),
        "#include <Dep.h>\n// #include <No.h>\nvoid setup() { dep(); }\nvoid loop() {}\n",
    );
    let built = bench.build(&sketch_wish(&folder)).await.unwrap();
    assert_eq!(built.compiled, 5);
}

#[tokio::test]
async fn a_program_that_does_not_fit_is_refused() {
    let bench = Bench::new(2);
    let wish = BuildWish { board: "arduino:avr:tiny".into(), ..sketch_wish(&bench.sketch("p")) };
    let problem = Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Build);
    assert!(problem.message.ends_with("bytes; arduino:avr:tiny has room for 10"), "{}", problem.message);
    assert_eq!(unchanged(&bench.env.paths, &wish), None, "it is refused the next time too");
}

#[tokio::test]
async fn a_board_that_there_is_not() {
    let bench = Bench::new(1);
    let wish = BuildWish { board: "arduino:avr:toi".into(), ..sketch_wish(&bench.sketch("p")) };
    let problem = Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Configuration);
    assert!(problem.help[0].contains("arduino:avr:toy"), "{problem:?}");
}

#[tokio::test]
async fn a_folder_without_a_sketch() {
    let bench = Bench::new(1);
    let folder = bench.root().join("empty");
    fs::create_dir(&folder).unwrap();
    let problem = Problem::from(bench.build(&sketch_wish(&folder)).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Configuration);
    let tree = wish(Source::Tree(folder.to_str().unwrap().into()), folder.join(".farmhand/build"));
    assert!(matches!(bench.build(&tree).await, Err(BuildError::NoSource { .. })));
}

#[tokio::test]
async fn a_tree_becomes_an_elf() {
    let bench = Bench::new(2);
    let folder = bench.root().join("tree");
    write(
        &folder.join("src/main.c"),
        "#include \"lib/a.h\"\n#include <b.h>\nint main(void) { return A + B; }\n",
    );
    write(&folder.join("src/lib/a.h"), "#define A 1\n");
    write(&folder.join("src/lib/a.c"), "int a;\n");
    write(&folder.join("include/b.h"), "#define B 2\n");
    write(&folder.join("test/not_this.c"), "nonsense\n");
    let_a_tick_pass(&bench.root()).await;
    let wish = wish(Source::Tree(folder.to_str().unwrap().into()), folder.join(".farmhand/build"));
    let built = bench.build(&wish).await.unwrap();
    assert_eq!(built.compiled, 2, "no core");
    assert!(fs::read(&built.artifact).unwrap().starts_with(b"\x7fELF"));
    assert!(unchanged(&bench.env.paths, &wish).is_some());
    write(&folder.join("include/b.h"), "#define B 3\n");
    let again = bench.build(&wish).await.unwrap();
    assert_eq!((again.compiled, again.cached), (1, 1));
    assert_ne!(again.hash, built.hash);
}

#[tokio::test]
async fn what_a_build_leaves_in_a_project_is_kept_out_of_git() {
    let bench = Bench::new(1);
    let folder = bench.sketch("p");
    let ignore = folder.join(".farmhand/.gitignore");
    bench.build(&sketch_wish(&folder)).await.unwrap();
    assert_eq!(fs::read_to_string(&ignore).unwrap(), "*\n");
    write(&ignore, "mine\n");
    write(&folder.join("config.h"), "#define PERIOD 2\n");
    bench.build(&sketch_wish(&folder)).await.unwrap();
    assert_eq!(fs::read_to_string(&ignore).unwrap(), "mine\n", "it is the project's own then");
}

#[tokio::test]
async fn a_tree_that_asks_for_the_core_gets_it() {
    let bench = Bench::new(2);
    let folder = bench.root().join("tree");
    write(&folder.join("a.cpp"), "#include <Arduino.h>\nvoid setup() {}\nvoid loop() { ticks(); }\n");
    let wish = wish(Source::Tree(folder.to_str().unwrap().into()), folder.join(".farmhand/build"));
    assert_eq!(bench.build(&wish).await.unwrap().compiled, 3);
}

const HEX: &str = ":0400000001020304F2\n:00000001FF\n";

#[tokio::test]
async fn a_command_leaves_an_artifact() {
    let bench = Bench::new(1);
    let folder = bench.root().join("any");
    write(&folder.join("in.hex"), HEX);
    let make = |command: &str, artifact: &str| {
        let source = Source::Command(folder.to_str().unwrap().into(), command.into(), artifact.into());
        wish(source, folder.join(".farmhand/build"))
    };
    let (built, printed) = bench.build_printed(&make("echo making && cp in.hex out.hex", "out.hex")).await;
    assert_eq!(built.unwrap().sizes.image_bytes, 4);
    assert_eq!(printed, "making\n");
    let problem = Problem::from(bench.build(&make("echo why >&2; exit 3", "out.hex")).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Build);
    assert_eq!(problem.detail, ["why"]);
    let missing = Problem::from(bench.build(&make("true", "none.hex")).await.unwrap_err());
    assert!(missing.message.starts_with("`true` ended well, and there is no "), "{missing:?}");
    assert_eq!((missing.code.as_str(), missing.help.len()), ("F410", 1));
}

#[tokio::test]
async fn a_command_that_says_what_it_reads_is_run_only_where_that_changed() {
    let bench = Bench::new(1);
    let folder = bench.root().join("any");
    write(&folder.join("src/in.hex"), HEX);
    let make = |command: &str, inputs: &[&str]| {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let folder_name = folder.to_str().unwrap().to_owned();
        wish(
            Source::CommandOf(folder_name, command.into(), "out.hex".into(), inputs),
            folder.join(".farmhand/build"),
        )
    };
    let copy = make("echo ran >>runs; cat src/*.hex >out.hex", &["src/*.hex"]);
    let runs = || fs::read_to_string(folder.join("runs")).unwrap().lines().count();
    let build = async |wish: &BuildWish| {
        let built = bench.build(wish).await.unwrap();
        (built.unchanged, runs())
    };
    assert_eq!(build(&copy).await, (false, 1));
    assert_eq!(build(&copy).await, (true, 1));
    assert!(unchanged(&bench.env.paths, &copy).is_some(), "without a runtime too");

    write(&folder.join("src/not-read.txt"), "x");
    assert_eq!(build(&copy).await, (true, 1), "what no pattern names");
    write(&folder.join("src/in.hex"), ":0400000001020305F1\n:00000001FF\n");
    assert_eq!(build(&copy).await, (false, 2), "other bytes, of the same length");
    write(&folder.join("src/z.hex"), "");
    assert_eq!(build(&copy).await, (false, 3), "a file that the pattern names now");
    fs::remove_file(folder.join("src/z.hex")).unwrap();
    assert_eq!(build(&copy).await, (false, 4), "and no longer");
    fs::remove_file(folder.join("out.hex")).unwrap();
    assert_eq!(build(&copy).await, (false, 5), "the artifact is gone");
    write(&folder.join("out.hex"), HEX);
    assert_eq!(build(&copy).await, (false, 6), "somebody else wrote the artifact");
    assert_eq!(build(&make("echo ran >>runs; cat src/in.hex >out.hex", &["src/*.hex"])).await, (false, 7));

    // What fails is run again, though nothing changed.
    let fails = make("echo ran >>runs; exit 1", &["src"]);
    for _ in 0..2 {
        bench.build(&fails).await.unwrap_err();
    }
    assert_eq!(runs(), 9);
    fs::remove_file(folder.join("out.hex")).unwrap();
    let missing = bench.build(&make("true", &["src"])).await.unwrap_err();
    assert!(matches!(missing, BuildError::NotLeft { .. }), "{missing}");
    let problem = Problem::from(bench.build(&make("true", &["gone/**"])).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Configuration);
    assert!(problem.message.contains("\"gone/**\" matches no file"), "{problem:?}");
}

#[tokio::test]
async fn an_artifact_is_taken_as_it_is() {
    let bench = Bench::new(1);
    let file = bench.root().join("a.hex");
    write(&file, HEX);
    let wish = wish(Source::Artifact(file.to_str().unwrap().into()), bench.root().join(".farmhand/build"));
    let built = bench.build(&wish).await.unwrap();
    assert_eq!(fs::read_to_string(&built.artifact).unwrap(), HEX);
    assert_ne!(built.artifact, file);
}

#[tokio::test]
async fn a_program_for_this_machine() {
    let bench = Bench::new(1);
    let program = |source: &str| HostProgram {
        name: "hello".into(),
        source: source.into(),
        packages: vec![],
        include: vec![],
        libraries: vec!["m".into()],
    };
    let hello = program("#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n");
    let path = build_host_program(&bench.env, &hello).await.unwrap();
    let ran = std::process::Command::new(&path).output().unwrap();
    assert_eq!(ran.stdout, b"hello\n");
    assert_eq!(build_host_program(&bench.env, &hello).await.unwrap(), path);
    let problem =
        Problem::from(build_host_program(&bench.env, &program("#include <none.h>\n")).await.unwrap_err());
    assert_eq!(problem.class, ProblemClass::Build);
    assert!(problem.detail[0].contains("none.h"), "{problem:?}");
}

#[tokio::test]
async fn a_report_tells_when_each_action_ran_and_how_the_size_changed() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let wish = sketch_wish(&folder);
    assert_eq!(last_report(&bench.env.paths, &wish), None, "not built yet");
    let first = bench.build(&wish).await.unwrap();
    assert_eq!(first.before, None);
    assert!(first.sizes.data_bytes < 100 && first.sizes.image_bytes > 20, "{:?}", first.sizes);
    let report = last_report(&bench.env.paths, &wish).unwrap();
    assert_eq!((report.compiled_and_cached(), report.workers), ((4, 0), 2));
    assert_eq!((report.steps.len(), report.sizes), (7, first.sizes), "an archive, a link and a hex besides");
    assert_eq!(anatomy(report.elf.as_deref().unwrap(), 1).unwrap().symbols.len(), 1);
    for step in &report.steps {
        assert!(step.ready_us <= step.began_us && step.began_us < step.ended_us, "{step:?}");
        assert!(step.ended_us <= report.elapsed_us);
        for &from in &step.from {
            assert!(report.steps[from].ended_us <= step.began_us, "{step:?} reads what was not there");
        }
    }
    let lanes = report.lanes();
    assert!(lanes.iter().all(|lane| lane.is_some_and(|lane| lane < 2)), "two workers: {lanes:?}");
    assert_eq!(report.critical_path().last(), Some(&6), "the hex");

    write(&folder.join("other.cpp"), "int room[64] = {1};\nint other() { return 7; }\n");
    let second = bench.build(&wish).await.unwrap();
    assert_eq!(second.before, Some(first.sizes));
    assert!(second.sizes.data_bytes >= first.sizes.data_bytes + 256, "{second:?}");
    let report = last_report(&bench.env.paths, &wish).unwrap();
    assert_eq!(report.compiled_and_cached(), (1, 3));
    assert_eq!(bench.build(&wish).await.unwrap().before, None, "nothing was built");
}
