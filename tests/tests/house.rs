//! The rules of the house that no compiler holds: who may depend on whom, and what every crate has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use farmhand_tests::sources;

const ACTORS: [&str; 6] = [
    "farmhand-device",
    "farmhand-serial",
    "farmhand-session",
    "farmhand-compiler",
    "farmhand-installer",
    "farmhand",
];

/// Do nothing: no I/O, no clock, no actor.
const SILENT: [&str; 5] =
    ["farmhand-records", "farmhand-wire", "farmhand-image", "farmhand-api", "farmhand-agent-messages"];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let asked = Command::new("rustc").args(["--print", "host-tuple"]).output().expect("rustc is there");
    let host = String::from_utf8(asked.stdout).expect("a tuple is ASCII");
    // What other systems are built with is not there where these tests are the first that cargo does.
    let of_this_system = ["--filter-platform", host.trim(), "--locked", "--offline"];
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(of_this_system.map(str::to_owned))
        .exec()
        .expect("cargo metadata of this workspace")
}

/// What a crate is built with; not what only its tests are.
fn direct(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

/// All that a crate is built with, through others too.
fn closure(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("metadata with dependencies");
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let root = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let mut open = vec![root.unwrap_or_else(|| panic!("no crate {name}")).id.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let node = resolve.nodes.iter().find(|node| node.id == id).expect("a node for each package");
        for dependency in &node.deps {
            let built_with = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if built_with && seen.insert(names[&dependency.pkg].clone()) {
                open.push(dependency.pkg.clone());
            }
        }
    }
    seen
}

#[test]
fn no_actor_imports_an_actor() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if !ACTORS.contains(&name) || name == "farmhand" {
            continue;
        }
        // Not in its tests either: what one needs from another is a message.
        for dependency in &package.dependencies {
            assert!(
                !ACTORS.contains(&dependency.name.as_str()),
                "{name} depends on the actor {}",
                dependency.name
            );
        }
    }
}

#[test]
fn only_the_store_knows_sled() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let knows = package.dependencies.iter().any(|dependency| dependency.name == "sled");
        assert_eq!(knows, package.name.as_str() == "farmhand-store", "{}", package.name);
    }
}

#[test]
fn messages_do_nothing() {
    let metadata = metadata();
    for name in SILENT {
        let all = closure(&metadata, name);
        for banned in ["tokio", "ractor", "sled", "nusb", "serialport", "rustix"] {
            assert!(!all.contains(banned), "{name} is built with {banned}");
        }
    }
}

#[test]
fn only_the_supervisor_and_the_tests_know_the_actors() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if ["farmhand", "farmhand-tests", "farmhand-bench"].contains(&name) {
            continue;
        }
        for actor in ACTORS.into_iter().filter(|&actor| actor != "farmhand") {
            assert!(!direct(package).contains(actor), "{name} depends on the actor {actor}");
        }
    }
}

#[test]
fn every_crate_follows_the_workspace() {
    for package in metadata().workspace_packages() {
        let name = &package.name;
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
        assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"), "{name}");
        assert!(package.rust_version.is_some(), "{name} declares no rust-version");
        assert!(package.description.is_some(), "{name} has no description");
    }
}

#[test]
fn ractor_is_as_we_rely_on_it() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let ractor = metadata.packages.iter().find(|package| package.name.as_str() == "ractor").unwrap();
    let node = resolve.nodes.iter().find(|node| node.id == ractor.id).unwrap();
    let features: Vec<_> = node.features.iter().map(|feature| feature.to_string()).collect();
    assert!(features.contains(&"async-trait".to_owned()), "{features:?}");
    assert!(!features.contains(&"cluster".to_owned()), "{features:?}");
}

#[test]
fn a_file_does_one_thing() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{name} has {lines} lines: it holds two things");
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (name, text) in sources() {
        if name.ends_with("house.rs") {
            continue;
        }
        for word in ["todo!(", "unimplemented!(", "FIXME", "#[ignore"] {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn no_lock_is_shared() {
    for (name, text) in sources() {
        if name.ends_with("house.rs") {
            continue;
        }
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for lock in ["Mutex<", "Mutex::", "RwLock<", "RwLock::", "Condvar"] {
                assert!(!line.contains(lock), "{name}: {line}");
            }
        }
    }
}

/// An actor is asked by the runtime's `ask`, which has a deadline.
#[test]
fn nobody_asks_without_a_deadline() {
    for (name, text) in sources() {
        if !name.starts_with("actors/") || name.starts_with("actors/runtime/") || name.contains("/tests") {
            continue;
        }
        for call in [".call(", "call!(", "call_t!(", "RpcReplyPort::from"] {
            assert!(!text.contains(call), "{name} has {call}");
        }
    }
}

/// Each test that is named there is in that file.
#[test]
fn what_is_said_to_prove_a_hazard_is_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = std::fs::read_to_string(root.join("tests/HAZARDS.md")).unwrap();
    let mut rows = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let Ok(number) = line.split('|').nth(1).unwrap().trim().parse::<u32>() else { continue };
        assert!(rows.insert(number), "{number} stands there twice");
        let named: Vec<_> =
            line.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect();
        assert!(!named.is_empty() || line.contains("does not apply"), "{line}");
        for (file, test) in named {
            let text =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("fn {test}(")), "{number}: {file} has no {test}");
        }
    }
    assert_eq!(rows, (1..=30).collect());
}
