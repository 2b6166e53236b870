//! When a session's doubt is over, that a store which went back gave it: pure.

use farmhand_records::Attempt;
use farmhand_records::v1::{Phase, Session};

/// How far a session was when the farm opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Was {
    attempt: Attempt,
    rank: u8,
}

fn rank(phase: &Phase) -> u8 {
    match phase {
        Phase::HandoffIntended => 1,
        Phase::HandoffIssued(_) => 2,
        Phase::Observing => 3,
        _ => 0,
    }
}

impl Was {
    pub(super) fn of(record: &Session) -> Self {
        Self { attempt: record.attempt, rank: rank(&record.phase) }
    }

    /// Whether what is on disk now can be taken at its word: a session in doubt writes an intent, or an issue, only
    /// after it has asked the device and knows (or has begun an attempt whose number nobody has used). Until then each
    /// incarnation is told of the doubt, for it is not on disk.
    pub(super) fn is_resolved(self, record: &Session) -> bool {
        self.resolved_by(Self::of(record))
    }

    fn resolved_by(self, now: Self) -> bool {
        let grew = now.attempt > self.attempt;
        now.rank > 0 && (grew || (self.rank < 2 && now.rank > self.rank))
    }
}

#[cfg(test)]
mod tests {
    use farmhand_records::v1::Evidence;

    use super::*;

    fn was(attempt: u32, phase: &Phase) -> Was {
        Was { attempt: Attempt(attempt), rank: rank(phase) }
    }

    #[test]
    fn doubt_ends_with_the_first_intent_or_issue_of_this_run() {
        let issued = Phase::HandoffIssued(Evidence::Complete("it said so".into()));
        let phases =
            [Phase::Preparing, Phase::Transferring, Phase::HandoffIntended, issued, Phase::Observing];
        for first in &phases {
            for now in &phases {
                let resolved = was(1, first).resolved_by(was(1, now));
                let before = rank(first) < 2;
                assert_eq!(resolved, before && rank(now) > rank(first), "{first:?} -> {now:?}");
                assert_eq!(was(1, first).resolved_by(was(9, now)), rank(now) > 0, "{first:?} -> {now:?}");
            }
        }
    }
}
