//! There is one runtime in a process, made where it starts; and what blocks is where it is listed here, with the reason.

use std::collections::BTreeMap;

use farmhand_tests::sources;

/// Who makes the runtime, and enters it: the two programs. A verb enters by `verbs::block_on`, once.
const MAKES_ONE: [&str; 2] = ["bin/src/daemon.rs", "bin/src/verbs.rs"];

/// Files, how often they have work done in a thread that may block, and why that is no task's. In each of them the
/// kernel has no other way: a file system blocks whoever reads, writes or syncs.
const BLOCKS: [(&str, usize, &str); 30] = [
    ("actors/compiler/src/actor.rs", 1, "the cache is walked, and files of it removed"),
    (
        "actors/compiler/src/build.rs",
        1,
        "a plan reads hundreds of small files: what all of the compiler's own go through",
    ),
    (
        "actors/compiler/src/run/librarian.rs",
        1,
        "one thread reads all that a build reads, so that each file is read once",
    ),
    ("actors/device/src/fastboot/image.rs", 1, "an image is opened and looked at: files"),
    ("actors/device/src/fastboot/source.rs", 1, "an image is read by chunks, ahead of the wire"),
    ("actors/device/src/fastboot/thread.rs", 1, "a data phase hears an answer as soon as the kernel has it"),
    ("actors/device/src/fastboot/usb/list.rs", 1, "sysfs is read"),
    ("actors/device/src/fastboot/usb/open.rs", 1, "/proc is searched for who holds a device"),
    ("actors/device/src/taken.rs", 1, "a file is opened that may be a pipe or on a slow disk"),
    ("actors/device/src/work/bootloader/settle.rs", 1, "sysfs is read"),
    ("actors/device/src/work/machine/guest.rs", 1, "a guest's parts are written"),
    ("actors/installer/src/actor.rs", 1, "the store of packages is walked at its start"),
    ("actors/installer/src/packages.rs", 1, "archives are unpacked, files hashed and synced"),
    (
        "actors/machine/src/process.rs",
        1,
        "a disk is copied while a memory is, in threads that end before it returns",
    ),
    (
        "actors/machine/src/snapshot/description.rs",
        1,
        "parts are hashed side by side, in threads that end before it returns",
    ),
    ("actors/machine/src/snapshot/mod.rs", 1, "snapshots are read, hashed, removed"),
    ("actors/machine/src/snapshot/save.rs", 1, "what was saved is synced and hashed"),
    ("actors/runtime/src/effects.rs", 1, "the way by which an actor's blocking work is owned and awaited"),
    (
        "actors/runtime/src/helper.rs",
        1,
        "the parent-death signal follows the thread that makes a child: one that lives as long as we",
    ),
    ("actors/serial/src/actor.rs", 1, "a recording is opened and mended"),
    ("actors/serial/src/orders.rs", 1, "a port is opened: a driver may take seconds"),
    ("actors/serial/src/readers.rs", 1, "a recording is read"),
    ("actors/serial/src/task.rs", 1, "a recording is synced, beside the port"),
    ("actors/session/src/work.rs", 1, "images are copied and hashed"),
    ("actors/supervisor/src/api/snapshot.rs", 1, "snapshots are listed, verified, removed"),
    ("actors/supervisor/src/directory/actor.rs", 5, "profiles, boards' facts and sysfs are read"),
    ("actors/supervisor/src/facts.rs", 1, "a core's files are read"),
    ("actors/supervisor/src/farm/collect.rs", 2, "artifacts and images are removed"),
    (
        "bin/agent/src/serve.rs",
        1,
        "the agent has threads and no runtime: it is process 1's only helper in a small guest",
    ),
    ("store/src/handle.rs", 1, "one thread owns the database, which blocks"),
];

const BLOCKING: [&str; 5] =
    ["spawn_blocking(", "thread::spawn(", "thread::Builder::new(", "thread::scope(", "block_in_place("];

/// What is built into the programs: no test, no benchmark, no example.
fn program() -> impl Iterator<Item = (String, String)> {
    let is_test = |name: &str| {
        name.starts_with("tests/")
            || name.starts_with("examples/")
            || name.contains("/tests/")
            || name.ends_with("tests.rs")
    };
    sources().into_iter().filter(move |(name, _)| !is_test(name)).map(|(name, text)| {
        let until = text.find("#[cfg(test)]").unwrap_or(text.len());
        let code = text[..until].lines().filter(|line| !line.trim_start().starts_with("//"));
        (name, code.map(|line| format!("{line}\n")).collect())
    })
}

#[test]
fn only_the_programs_make_a_runtime() {
    let mut seen = Vec::new();
    for (name, text) in program() {
        let made = [
            "Runtime::new(",
            "runtime::Builder::new_",
            "Builder::new_multi_thread(",
            "Builder::new_current_thread(",
        ];
        let entered = [".block_on(", "Handle::block_on(", "executor::block_on("];
        if made.iter().chain(&entered).any(|call| text.contains(call)) {
            assert!(MAKES_ONE.contains(&name.as_str()), "{name} makes a runtime, or enters one");
            seen.push(name);
        } else {
            // The one helper, and only where a verb begins.
            assert!(
                !text.contains("block_on(") || name.starts_with("bin/src/verbs/"),
                "{name} enters the runtime"
            );
        }
    }
    assert_eq!(seen, MAKES_ONE);
}

#[test]
fn what_blocks_is_listed_with_its_reason() {
    let mut found = BTreeMap::new();
    for (name, text) in program() {
        let times: usize = BLOCKING.iter().map(|call| text.matches(call).count()).sum();
        if times > 0 {
            found.insert(name, times);
        }
    }
    let listed: BTreeMap<_, _> = BLOCKS.iter().map(|(name, times, _)| ((*name).to_owned(), *times)).collect();
    assert_eq!(listed.len(), BLOCKS.len(), "a file stands there twice");
    assert!(BLOCKS.iter().all(|(_, _, why)| why.len() > 10), "each has a reason");
    assert_eq!(found, listed);
}
