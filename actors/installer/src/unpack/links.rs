//! Where a link leads, among what is unpacked so far. Pure.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::tree::{Leaf, Tree};

/// The kernel gives up after so many links (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// There, through all links; nothing need be there.
    At(PathBuf),
    /// It goes through what is not there, or is no folder.
    Nowhere,
    /// Out of the package, or around for ever.
    Astray,
}

/// Follows a target as the kernel would, from the folder that the link lies in; `/` is the package's own folder.
pub(super) fn resolve(tree: &Tree, folder: &Path, target: &Path) -> Place {
    let mut at = if target.is_absolute() { PathBuf::new() } else { folder.to_owned() };
    let mut rest: VecDeque<OsString> = parts(target).collect();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            if !at.pop() && !target.is_absolute() {
                return Place::Astray;
            }
            continue;
        }
        at.push(&part);
        match tree.leaf(&at) {
            Some(Leaf::Link { target, .. }) => {
                links += 1;
                if links > LINKS_MAX {
                    return Place::Astray;
                }
                at.pop();
                for part in parts(target).rev() {
                    rest.push_front(part);
                }
            }
            Some(Leaf::Folder) => {}
            Some(Leaf::File { .. } | Leaf::Odd) | None if rest.is_empty() => {}
            Some(Leaf::File { .. } | Leaf::Odd) | None => return Place::Nowhere,
        }
    }
    Place::At(at)
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}
