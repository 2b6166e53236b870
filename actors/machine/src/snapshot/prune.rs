//! Which cached snapshots go. Those of a person never do.

use std::time::Duration;

use super::{MadeBy, SnapshotError, SnapshotName, Snapshots};

/// How much is kept of what farmhand made for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Bytes of all of them together.
    pub len_bytes_max: u64,
    /// For so long after its last use.
    pub unused_max: Duration,
}

/// What pruning did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// They are gone.
    pub removed: Vec<SnapshotName>,
    /// They were to go, and are in use.
    pub in_use: Vec<SnapshotName>,
    /// They were to go, and could not be removed.
    pub failed: Vec<(SnapshotName, SnapshotError)>,
}

#[derive(Debug, Clone)]
struct One {
    name: SnapshotName,
    made_by: MadeBy,
    len_bytes: u64,
    used_unix_ms: u64,
}

impl Snapshots {
    /// Removes the cached ones that are too old, and then those whose last use is longest ago until there is room. One that is
    /// in use stays, and so does one whose description cannot be read: whose it is, is not known.
    pub fn prune(&self, keep: Keep, now_unix_ms: u64) -> Result<Pruned, SnapshotError> {
        let listed = self.list()?.into_iter().filter_map(|listed| {
            let said = listed.description.ok()?;
            let (len_bytes, used_unix_ms) = (said.len_bytes(), listed.used_unix_ms);
            Some(One { name: said.name, made_by: said.made_by, len_bytes, used_unix_ms })
        });
        let mut pruned = Pruned::default();
        for name in going(listed.collect(), keep, now_unix_ms) {
            match self.delete(&name) {
                // Somebody else was faster.
                Ok(()) | Err(SnapshotError::NoSuch(_)) => pruned.removed.push(name),
                Err(SnapshotError::InUse(name)) => pruned.in_use.push(name),
                Err(error) => pruned.failed.push((name, error)),
            }
        }
        Ok(pruned)
    }
}

/// Those that go, the one whose last use is longest ago first.
fn going(mut all: Vec<One>, keep: Keep, now_unix_ms: u64) -> Vec<SnapshotName> {
    all.retain(|one| one.made_by == MadeBy::Cache);
    all.sort_by(|a, b| (a.used_unix_ms, &a.name).cmp(&(b.used_unix_ms, &b.name)));
    let mut left: u64 = all.iter().map(|one| one.len_bytes).sum();
    let unused_max_ms = u64::try_from(keep.unused_max.as_millis()).unwrap_or(u64::MAX);
    let goes = |one: &One| {
        // A clock that was set back makes nothing old.
        let old = now_unix_ms.saturating_sub(one.used_unix_ms) > unused_max_ms;
        let goes = old || left > keep.len_bytes_max;
        left -= if goes { one.len_bytes } else { 0 };
        goes
    };
    all.into_iter().filter(goes).map(|one| one.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, made_by: MadeBy, len_bytes: u64, used_unix_ms: u64) -> One {
        One { name: SnapshotName::new(name).unwrap(), made_by, len_bytes, used_unix_ms }
    }

    #[test]
    fn too_old_then_too_many_and_never_a_persons() {
        let all = || {
            vec![
                one("new", MadeBy::Cache, 10, 900),
                one("mine", MadeBy::User, 1000, 1),
                one("old", MadeBy::Cache, 10, 100),
                one("middle", MadeBy::Cache, 10, 500),
            ]
        };
        let check = |len_bytes_max, unused_ms, now, wanted: &[&str]| {
            let keep = Keep { len_bytes_max, unused_max: Duration::from_millis(unused_ms) };
            let going = going(all(), keep, now);
            let going: Vec<_> = going.iter().map(SnapshotName::as_str).collect();
            assert_eq!(going, wanted, "{len_bytes_max} bytes, {unused_ms} ms, at {now}");
        };
        check(30, 1000, 1000, &[]);
        check(29, 1000, 1000, &["old"]);
        check(10, 1000, 1000, &["old", "middle"]);
        check(0, 1000, 1000, &["old", "middle", "new"]);
        check(30, 500, 1000, &["old"]);
        check(20, 500, 1000, &["old"]);
        check(30, 100, 1000, &["old", "middle"]);
        check(30, 0, 1000, &["old", "middle", "new"]);
        // The clock was set back.
        check(30, 0, 50, &[]);
        check(u64::MAX, u64::MAX, u64::MAX, &[]);
    }
}
