//! What sources say to the preprocessor, by their content: who plans a build reads a source again only where it was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Hash, ObjectStore, hash_bytes};
use crate::sketch::{Directive, directives};

/// The folder in the cache; its end is raised when what a `Directive` is changes.
const KIND: &str = "outlines1";

/// As it lies there.
type Kept = BTreeMap<Hash, Vec<Directive>>;

/// The sources that one build folder's plans read.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    known: BTreeMap<Hash, Arc<[Directive]>>,
    used: BTreeSet<Hash>,
    has_more: bool,
}

impl Outlines {
    /// What is known from earlier plans of the build in `folder`.
    #[must_use]
    pub(crate) fn load(objects: &ObjectStore, folder: &Path) -> Self {
        let kept = objects.sealed(&place(objects, folder));
        let known = kept.and_then(|bytes| postcard::from_bytes::<Kept>(&bytes).ok()).unwrap_or_default();
        let known = known.into_iter().map(|(hash, all)| (hash, all.into())).collect();
        Self { known, ..Self::default() }
    }

    /// Keeps what was used, for the next. Where that cannot be, the next reads it again.
    pub(crate) fn keep(&self, objects: &ObjectStore, folder: &Path) {
        if !self.has_more {
            return;
        }
        let known = |hash| self.known.get(hash).map(|all| (hash, &**all));
        let used: BTreeMap<&Hash, &[Directive]> = self.used.iter().filter_map(known).collect();
        if let Ok(bytes) = postcard::to_stdvec(&used) {
            let _read_again = objects.seal(&place(objects, folder), &bytes);
        }
    }

    /// Of a source with this hash, where it is known.
    pub(super) fn of(&mut self, hash: &Hash) -> Option<Arc<[Directive]>> {
        let known = self.known.get(hash)?.clone();
        self.used.insert(*hash);
        Some(known)
    }

    /// Of a source, which has this hash.
    pub(super) fn read(&mut self, hash: Hash, source: &[u8]) -> Arc<[Directive]> {
        self.of(&hash).unwrap_or_else(|| {
            let read: Arc<[Directive]> = directives(&String::from_utf8_lossy(source)).into();
            self.known.insert(hash, read.clone());
            self.used.insert(hash);
            self.has_more = true;
            read
        })
    }
}

fn place(objects: &ObjectStore, folder: &Path) -> PathBuf {
    objects.place(KIND, &hash_bytes(folder.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_read_and_only_what_is_used_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let objects = ObjectStore::new(folder.path().join("objects"));
        let build = Path::new("/project/build");
        let (one, other) = (b"#include <one.h>\n#define X 1\n", b"#ifdef X\n#endif\n");
        let (hash_one, hash_other) = (hash_bytes(one), hash_bytes(other));

        let mut first = Outlines::load(&objects, build);
        assert_eq!(first.of(&hash_one), None);
        let read = first.read(hash_one, one);
        first.read(hash_other, other);
        first.keep(&objects, build);

        let mut second = Outlines::load(&objects, build);
        assert_eq!(second.of(&hash_one), Some(read));
        assert!(!second.has_more);
        second.read([3; 32], b"int x;");
        second.keep(&objects, build);
        let mut third = Outlines::load(&objects, build);
        assert!(third.of(&hash_one).is_some() && third.of(&hash_other).is_none());
        assert_eq!(Outlines::load(&objects, Path::new("/another")).of(&hash_one), None);
    }
}
