//! What builds left is removed, and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use farmhand_api::{Problem, ProblemClass};
use farmhand_compiler::{build, clean};
use farmhand_messages::compiler::ENVIRONMENTS_DIR;
use support::{Bench, sketch_wish, until, write};

#[tokio::test]
async fn a_build_is_removed_and_the_sketch_and_the_cache_stay() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let first = bench.build(&sketch_wish(&folder)).await.unwrap();
    let would = clean(&bench.env.paths, &folder, None, true).unwrap();
    assert!(would.files > 5 && would.bytes > would.freed_bytes && would.freed_bytes > 0, "{would:?}");
    assert!(folder.join(".farmhand/build/lock").exists(), "nothing was removed yet");
    let did = clean(&bench.env.paths, &folder, None, false).unwrap();
    assert_eq!(did, would);
    assert!(!folder.join(".farmhand").exists(), "all of it was ours");
    assert!(folder.join("blink.ino").is_file());
    let again = bench.build(&sketch_wish(&folder)).await.unwrap();
    assert_eq!((again.compiled, again.hash), (0, first.hash), "from the cache");
    clean(&bench.env.paths, &folder, None, false).unwrap();
    assert!(clean(&bench.env.paths, &folder, None, false).unwrap().folders.is_empty());
}

#[tokio::test]
async fn what_somebody_else_put_there_stays() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    bench.build(&sketch_wish(&folder)).await.unwrap();
    write(&folder.join(".farmhand/notes.txt"), "mine");
    clean(&bench.env.paths, &folder, None, false).unwrap();
    assert_eq!(fs::read_to_string(folder.join(".farmhand/notes.txt")).unwrap(), "mine");

    write(&folder.join(".farmhand/build/notes.txt"), "no build made this folder");
    let refused = clean(&bench.env.paths, &folder, None, false).unwrap_err();
    assert_eq!(Problem::from(refused).code, "F420");
    fs::remove_dir_all(folder.join(".farmhand")).unwrap();
    let away = bench.root().join("away");
    write(&away.join("build/lock"), "");
    symlink(&away, folder.join(".farmhand")).unwrap();
    assert_eq!(Problem::from(clean(&bench.env.paths, &folder, None, false).unwrap_err()).code, "F420");
    fs::remove_file(folder.join(".farmhand")).unwrap();
    fs::create_dir(folder.join(".farmhand")).unwrap();
    symlink(away.join("build"), folder.join(".farmhand/build")).unwrap();
    assert_eq!(Problem::from(clean(&bench.env.paths, &folder, None, false).unwrap_err()).code, "F420");
    assert!(away.join("build/lock").exists());
}

/// A file has the name of our folder: it is a person's, and the project is not read only for it.
#[tokio::test]
async fn a_file_in_place_of_our_folder_is_named_and_stays() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    write(&folder.join(".farmhand"), "mine");
    let built = bench.build(&sketch_wish(&folder)).await.unwrap_err();
    let cleaned = clean(&bench.env.paths, &folder, None, false).unwrap_err();
    for error in [built, cleaned] {
        let problem = Problem::from(error);
        assert_eq!(problem.code, "F420", "{problem:?}");
        assert!(problem.message.contains("/.farmhand is not farmhand's"), "{problem:?}");
    }
    assert_eq!(fs::read_to_string(folder.join(".farmhand")).unwrap(), "mine");
}

#[tokio::test]
async fn one_environment_is_removed_and_the_others_stay() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    for name in ["a", "b"] {
        let mut wish = sketch_wish(&folder);
        wish.build_dir = folder.join(ENVIRONMENTS_DIR).join(name);
        bench.build(&wish).await.unwrap();
    }
    let only = |name: &str| [folder.join(ENVIRONMENTS_DIR).join(name)];
    let would = clean(&bench.env.paths, &folder, Some(&only("a")), true).unwrap();
    assert_eq!(would.folders, [folder.join(ENVIRONMENTS_DIR).join("a")]);
    assert_eq!(clean(&bench.env.paths, &folder, Some(&only("a")), false).unwrap(), would);
    assert!(!folder.join(ENVIRONMENTS_DIR).join("a").exists());
    assert!(folder.join(ENVIRONMENTS_DIR).join("b/lock").exists());
    assert!(clean(&bench.env.paths, &folder, Some(&only("c")), false).unwrap().folders.is_empty());
}

#[tokio::test]
async fn while_a_build_runs_it_is_refused_and_who_waited_builds_anew() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let go = bench.root().join("go");
    bench.tool("g++", &format!("while [ ! -e {} ]; do sleep 0.01; done\nexec g++ \"$@\"", go.display()));
    let (env, wish) = (bench.env.clone(), sketch_wish(&folder));
    let building = tokio::spawn(async move { build(&env, &wish, None).await });
    until("a compiler runs", || bench.log_path().exists()).await;
    let problem = Problem::from(clean(&bench.env.paths, &folder, None, false).unwrap_err());
    assert_eq!((problem.class, problem.code.as_str()), (ProblemClass::Busy, "F419"));
    write(&go, "");
    building.await.unwrap().unwrap();

    // Removed under the eyes of one who waits for the folder: it must not build behind a lock that is gone.
    let held = fs::File::open(folder.join(".farmhand/build/lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    write(&folder.join("other.cpp"), "int other() { return 9; }\n");
    let (env, wish) = (bench.env.clone(), sketch_wish(&folder));
    let waiting = tokio::spawn(async move { build(&env, &wish, None).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    fs::remove_dir_all(folder.join(".farmhand/build")).unwrap();
    drop(held);
    let built = waiting.await.unwrap().unwrap();
    assert_eq!(built.compiled, 1);
    assert!(folder.join(".farmhand/build/lock").exists());
}
