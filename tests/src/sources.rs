//! What we wrote, for tests that hold the rules of the house.

use std::path::Path;

/// The files of the workspace that are ours, as git knows them.
#[must_use]
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(&root)
        .output()
        .expect("git lists files");
    let names = String::from_utf8(listed.stdout).expect("git names files in UTF-8");
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter_map(|name| Some((name.to_owned(), std::fs::read_to_string(root.join(name)).ok()?)))
        .collect()
}
