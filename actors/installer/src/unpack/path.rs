//! Which names an archive may use. Pure.
//!
//! No link may lead out of the folder, however links are combined. Three rules hold that together: nothing is ever
//! written through a link (so a link lies where its name says), a link's target is written so that it goes up only at its
//! front and no higher than the folder, and a target that begins at `/` begins at the folder instead.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The path below the folder that an entry's name stands for; empty for the folder itself.
pub(crate) fn entry_path(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.contains(&0) {
        return Err("its name holds a NUL");
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("its name goes up with `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("its name is absolute"),
        }
    }
    Ok(path)
}

/// PATH_MAX.
const TARGET_BYTES_MAX: usize = 4096;

/// The target to give a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What is written: it goes up at its front only.
    pub(crate) path: PathBuf,
    /// It began at `/`.
    pub(crate) from_root: bool,
    /// As its archive has it, where it goes up after it went down: `a/../b`. What is written leads there too where `a` is
    /// no link.
    pub(crate) goes_up_again: Option<PathBuf>,
}

/// The target to give a symbolic link that lies at `link` (below the folder): where it stays inside, from the folder
/// where it begins at `/`.
pub(crate) fn link_target(link: &Path, target: &[u8]) -> Result<Target, &'static str> {
    if target.is_empty() || target.contains(&0) {
        return Err("its target is no path");
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err("its target is longer than a path may be");
    }
    let above = link.parent().map_or(0, |folder| folder.components().count());
    let said = Path::new(OsStr::from_bytes(target));
    let from_root = said.is_absolute();
    let (mut ups, mut inside, mut goes_up_again) = (0, PathBuf::new(), None);
    for component in said.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir if inside.pop() => goes_up_again = Some(said.to_owned()),
            Component::ParentDir => ups += 1,
        }
    }
    if from_root {
        // `/..` is `/`.
        ups = above;
    } else if ups > above {
        return Err("its target is outside the package");
    }
    let mut path: PathBuf = std::iter::repeat_n("..", ups).collect();
    path.extend(&inside);
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    Ok(Target { path, from_root, goes_up_again })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below() {
        let path = |name: &str| entry_path(name.as_bytes()).map(|path| path.display().to_string());
        assert_eq!(path("./usr//bin/./x").as_deref(), Ok("usr/bin/x"));
        assert_eq!(path("./").as_deref(), Ok(""));
        assert!(path("/etc/passwd").is_err());
        assert!(path("../x").is_err());
        assert!(path("a/../../x").is_err());
        assert!(path("a/..").is_err());
        assert!(path("a\0b").is_err());
    }

    #[test]
    fn targets_stay_below() {
        let target = |link: &str, target: &str| {
            link_target(Path::new(link), target.as_bytes()).map(|target| target.path.display().to_string())
        };
        assert_eq!(target("usr/lib/a.so", "a.so.1").as_deref(), Ok("a.so.1"));
        assert_eq!(target("usr/lib/a.so", "../lib/a.so.1").as_deref(), Ok("../lib/a.so.1"));
        assert_eq!(target("usr/lib/a", "/etc/a").as_deref(), Ok("../../etc/a"));
        assert_eq!(target("a", "/etc/a").as_deref(), Ok("etc/a"));
        assert_eq!(target("usr/a", "/../../etc/a").as_deref(), Ok("../etc/a"));
        assert_eq!(target("a", "/").as_deref(), Ok("."));
        assert_eq!(target("usr/a", "..").as_deref(), Ok(".."));
        assert!(target("a", "..").is_err());
        assert!(target("usr/a", "../../etc/passwd").is_err());
        assert_eq!(target("usr/a", "b/../c").as_deref(), Ok("c"));
        assert_eq!(target("usr/a", "../b/../usr/./c").as_deref(), Ok("../usr/c"));
        assert!(target("usr/a", "b/../../../c").is_err());
        assert!(target("usr/a", "").is_err());
    }

    proptest::proptest! {
        /// Whatever the names, following a chain of such links on paper never goes above the folder.
        #[test]
        fn no_combination_of_links_leaves(
            links in proptest::collection::vec(("[ab]/[ab]|[ab]", "(/|(\\.\\./){0,2})([ab]/|\\.\\./){0,3}[ab.]{0,2}"), 1..6),
            start in "([abc]/){0,3}[abc]",
        ) {
            let mut made: std::collections::BTreeMap<PathBuf, PathBuf> = std::collections::BTreeMap::new();
            for (link, target) in &links {
                let link = PathBuf::from(link);
                let below_a_link = link.ancestors().any(|above| made.contains_key(above));
                let above_a_link = made.keys().any(|other| other.starts_with(&link));
                if let (false, false, Ok(target)) = (below_a_link, above_a_link, link_target(&link, target.as_bytes())) {
                    made.insert(link, target.path);
                }
            }
            let (mut at, mut steps) = (PathBuf::new(), 0);
            let mut rest: std::collections::VecDeque<_> =
                Path::new(&start).components().map(|part| part.as_os_str().to_owned()).collect();
            while let Some(part) = rest.pop_front() {
                if part == ".." {
                    proptest::prop_assert!(at.pop(), "{made:?} leaves from {start}");
                    continue;
                }
                if part == "." { continue; }
                at.push(&part);
                if let Some(target) = made.get(&at) {
                    at.pop();
                    steps += 1;
                    // The kernel gives up after 40 links (path_resolution(7)).
                    if steps > 40 { break; }
                    for part in target.components().rev() {
                        rest.push_front(part.as_os_str().to_owned());
                    }
                }
            }
        }
    }
}
