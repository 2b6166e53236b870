//! The cache of objects: what is in it is what it says, or is made again; and it is collected while builds go on.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use farmhand_compiler::{CollectWish, cache_is_due, collect_cache};
use support::{Bench, let_a_tick_pass, sketch_wish, write};

/// All that is in the cache, of a kind.
fn kept(bench: &Bench, kind: &str) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    below(&bench.env.paths.objects().join(kind)).iter().flat_map(|shelf| below(shelf)).collect()
}

fn wish(limit_bytes: u64) -> CollectWish {
    CollectWish { limit_bytes, dry_run: false, wait: Duration::from_secs(60) }
}

/// Turns one bit over, and leaves size and times as they are; another's link to the same file is not touched.
fn flip(path: &Path) {
    let before = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    let times =
        FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
    File::options().append(true).open(path).unwrap().set_times(times).unwrap();
    fs::set_permissions(path, before.permissions()).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_any_of_its_files_is_found_and_the_file_made_again() {
    for kind in ["o", "m2", "parts", "tools"] {
        let bench = Bench::new(2);
        let folder = bench.sketch("p");
        let_a_tick_pass(&bench.root()).await;
        let first = bench.build(&sketch_wish(&folder)).await.unwrap();
        let files = kept(&bench, kind);
        assert!(!files.is_empty(), "{kind}");
        let sound: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        files.iter().for_each(|file| flip(file));
        let again = bench.build(&sketch_wish(&bench.sketch("q"))).await.unwrap();
        assert_eq!(again.hash, first.hash, "{kind}");
        let expect = if matches!(kind, "o" | "m2") { (4, 0) } else { (0, 4) };
        assert_eq!((again.compiled, again.cached), expect, "{kind}");
        for (file, sound) in files.iter().zip(sound) {
            assert!(fs::read(file).unwrap() == sound, "{kind}: {} is damaged still", file.display());
        }
    }
}

#[tokio::test]
async fn what_is_collected_between_being_found_and_being_used_is_compiled_again() {
    let bench = Bench::new(2);
    let first = bench.build(&sketch_wish(&bench.sketch("p"))).await.unwrap();
    // What finds them is there, and they are not.
    for object in kept(&bench, "o") {
        fs::remove_file(object).unwrap();
    }
    let again = bench.build(&sketch_wish(&bench.sketch("q"))).await.unwrap();
    assert_eq!((again.hash, again.compiled), (first.hash, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_go_on_while_all_of_it_is_collected_over_and_over() {
    let bench = Arc::new(Bench::new(2));
    let expect = bench.build(&sketch_wish(&bench.sketch("first"))).await.unwrap().hash;
    let (over, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let collecting = {
        let (paths, over, gone) = (bench.env.paths.clone(), over.clone(), gone.clone());
        tokio::task::spawn_blocking(move || {
            while !over.load(Ordering::Relaxed) {
                let collected = collect_cache(&paths, wish(0), &|| false).unwrap();
                gone.fetch_add(collected.files_gone, Ordering::Relaxed);
            }
        })
    };
    let mut builds = tokio::task::JoinSet::new();
    for n in 0..12 {
        let bench = bench.clone();
        builds.spawn(async move {
            let folder = bench.sketch(&format!("p{n}"));
            bench.build(&sketch_wish(&folder)).await.unwrap().hash
        });
    }
    let built = builds.join_all().await;
    over.store(true, Ordering::Relaxed);
    collecting.await.unwrap();
    assert!(built.iter().all(|hash| *hash == expect), "{built:?}");
    assert!(gone.load(Ordering::Relaxed) > 0, "it was collected meanwhile");
}

#[tokio::test]
async fn what_was_used_last_stays() {
    let bench = Bench::new(2);
    let mut other = sketch_wish(&bench.sketch("other"));
    other.build.flags = vec!["-DOTHER".into()];
    bench.build(&other).await.unwrap();
    let theirs = kept(&bench, "o");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7 * 86_400);
    let old: Vec<_> = ["o", "m2", "outlines1"].iter().flat_map(|kind| kept(&bench, kind)).collect();
    for file in &old {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        let file = File::options().append(true).open(file).unwrap();
        file.set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    }
    // The core is used again by this one, and was compiled for the other: with that flag.
    let mut ours = sketch_wish(&bench.sketch("ours"));
    ours.build.flags = vec!["-DOTHER".into()];
    ours.build.source = farmhand_records::v1::Source::Sketch(ours_changed(&bench));
    let_a_tick_pass(&bench.root()).await;
    let built = bench.build(&ours).await.unwrap();
    assert_eq!((built.compiled, built.cached), (2, 2), "the core's objects are the other's");
    let all = collect_cache(&bench.env.paths, CollectWish { dry_run: true, ..wish(0) }, &|| false).unwrap();
    let is_unused = |about: &fs::Metadata| about.accessed().unwrap() == long_ago;
    let unused = old.iter().map(|file| file.metadata().unwrap()).filter(is_unused);
    let unused: u64 = unused.map(|about| about.blocks() * 512).sum();
    // What was not used for a week is just what must go: a fifth of the limit is made free.
    let limit = (all.bytes - unused) * 5 / 4;
    assert!(limit < all.bytes, "{unused} of {all:?}");
    let collected = collect_cache(&bench.env.paths, wish(limit), &|| false).unwrap();
    assert!(collected.files_gone > 0, "{collected:?}");
    assert!(theirs.iter().any(|object| !object.exists()), "what was not used since went");
    fs::remove_dir_all(&ours.build_dir).unwrap();
    let again = bench.build(&ours).await.unwrap();
    assert_eq!((again.compiled, again.cached, again.hash), (0, 4, built.hash), "what was used stayed");
    assert!(!cache_is_due(&bench.env.paths, limit), "and it is not collected again at once");
}

/// The sketch with other files of its own.
fn ours_changed(bench: &Bench) -> String {
    let folder = bench.sketch("ours");
    write(&folder.join("config.h"), "#define PERIOD 7\n");
    folder.to_string_lossy().into_owned()
}

/// As a compiler of a build that was killed does, which ends late.
#[tokio::test]
async fn what_is_written_over_while_it_is_linked_is_no_program_and_is_not_kept() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let other = bench.root().join("other.o");
    let object = folder.join(".farmhand/build/obj/sketch/other.cpp.o");
    let over = format!(
        "cp {other} {object}.new && mv -f {object}.new {object}",
        other = other.display(),
        object = object.display()
    );
    // The object of another day's source.
    write(&bench.root().join("other.cpp"), "int other() { return 77; }\n");
    let compile = format!("g++ -c {0}/other.cpp -o {0}/other.o", bench.root().display());
    assert!(std::process::Command::new("sh").args(["-c", &compile]).status().unwrap().success());
    bench.tool("gcc", &format!("case \"$*\" in *-c*) ;; *) {over} ;; esac; exec gcc \"$@\""));
    let wish = sketch_wish(&folder);
    let problem = farmhand_api::Problem::from(bench.build(&wish).await.unwrap_err());
    assert_eq!(problem.code, "F424", "{problem:?}");
    // Nothing of it is in the cache.
    let expect = Bench::new(2);
    let clean = expect.build(&sketch_wish(&expect.sketch("p"))).await.unwrap();
    bench.tool("gcc", "exec gcc \"$@\"");
    let built = bench.build(&wish).await.unwrap();
    assert_eq!((built.hash, built.sizes), (clean.hash, clean.sizes));
}

/// Two sketches of the same text with the same flags, which name a file of each one's own.
#[tokio::test]
async fn a_file_of_arguments_is_each_projects_own() {
    let bench = Bench::new(2);
    let say = |folder: &Path, by: &str| write(&folder.join("more"), &format!("-DBY={by}\n"));
    let mut made = Vec::new();
    for (place, by) in [("one", "1"), ("other", "2")] {
        let folder = bench.sketch(place);
        write(&folder.join("other.cpp"), "int other() { return BY; }\n");
        write(&folder.join("args"), "@more\n");
        say(&folder, by);
        let mut wish = sketch_wish(&folder);
        wish.build.flags = vec!["@args".into()];
        made.push(bench.build(&wish).await.unwrap().hash);
        assert!(!made[..made.len() - 1].contains(&made[made.len() - 1]), "{place}");
        say(&folder, "3");
        assert_ne!(bench.build(&wish).await.unwrap().hash, made[made.len() - 1], "{place}");
    }
}

#[tokio::test]
async fn what_a_killed_build_left_unfinished_in_its_folder_goes_with_the_next() {
    let bench = Bench::new(1);
    let folder = bench.sketch("p");
    let wish = sketch_wish(&folder);
    bench.build(&wish).await.unwrap();
    let left = [wish.build_dir.join(".tmpAbC"), wish.build_dir.join("sketch/.tmpDeF")];
    left.iter().for_each(|file| fs::write(file, "half").unwrap());
    write(&folder.join("config.h"), "#define PERIOD 5\n");
    bench.build(&wish).await.unwrap();
    assert!(left.iter().all(|file| !file.exists()));
}
