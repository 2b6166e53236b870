//! Which packages go. Pure: when each was used, and whether it is in use, are told.

use std::time::Duration;

/// What was used so short a time ago is about to be used again, by whoever asked for it.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

/// What collection is to leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// At most so many bytes, those used last.
    pub bytes: Option<u64>,
    /// Nothing that was last used longer ago.
    pub older_than: Option<Duration>,
}

/// What is known of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) bytes: u64,
    /// How long ago it was last used.
    pub(crate) idle: Duration,
    pub(crate) in_use: bool,
}

/// The numbers of those that go, the one used longest ago first.
pub(crate) fn choose(all: &[Candidate], keep: Keep) -> Vec<usize> {
    let mut free: Vec<usize> =
        (0..all.len()).filter(|&at| !all[at].in_use && all[at].idle >= GRACE).collect();
    free.sort_by_key(|&at| std::cmp::Reverse((all[at].idle, at)));
    let mut left: u64 = all.iter().map(|one| one.bytes).sum();
    let mut gone = Vec::new();
    for at in free {
        let is_old = keep.older_than.is_some_and(|age| all[at].idle > age);
        let is_much = keep.bytes.is_some_and(|bytes| left > bytes);
        if is_old || is_much {
            left -= all[at].bytes;
            gone.push(at);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0..1000_u64, 0..1000_u64, any::<bool>()).prop_map(|(bytes, idle, in_use)| Candidate {
            bytes,
            idle: Duration::from_secs(idle),
            in_use,
        });
        prop::collection::vec(one, 0..20)
    }

    proptest! {
        #[test]
        fn what_is_used_stays_and_the_bounds_are_kept(
            all in candidates(),
            bytes in prop::option::of(0..5000_u64),
            age in prop::option::of(0..1000_u64),
        ) {
            let keep = Keep { bytes, older_than: age.map(Duration::from_secs) };
            let gone = choose(&all, keep);
            prop_assert!(gone.iter().all(|&at| !all[at].in_use && all[at].idle >= GRACE));
            let stays: Vec<_> = (0..all.len()).filter(|at| !gone.contains(at)).collect();
            let free = |at: &usize| !all[*at].in_use && all[*at].idle >= GRACE;
            if let Some(bytes) = bytes {
                let left: u64 = stays.iter().map(|&at| all[at].bytes).sum();
                prop_assert!(left <= bytes || !stays.iter().any(free));
            }
            if let Some(age) = keep.older_than {
                prop_assert!(stays.iter().filter(|at| free(at)).all(|&at| all[at].idle <= age));
            }
            // What went for want of room was used longer ago than what stays.
            let last_gone = gone.iter().map(|&at| all[at].idle).min();
            if let Some(last) = last_gone {
                prop_assert!(stays.iter().filter(|at| free(at)).all(|&at| all[at].idle <= last));
            }
            if bytes.is_none() && age.is_none() {
                prop_assert!(gone.is_empty());
            }
        }
    }
}
