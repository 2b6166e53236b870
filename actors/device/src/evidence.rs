//! What is known of a handoff of which nobody knows whether it was done. Taking it resets nothing and issues nothing.
//!
//! What proves what:
//!
//! - **The device's record says that the device acknowledged it**: `Complete`. The record is durable before the answer.
//! - **This incarnation holds the stay in the loader that ended the transfer, and has not issued the command**: `NotStarted`.
//!   The loader has answered a question of ours at least every quarter of a second since, and nobody else has the port.
//! - **The board counts.** At the end of the transfer the numbers of its starts and of the handoff commands that it had
//!   accepted were recorded. If both are the same now, *and its loader answers over the port*, *and both are still
//!   the same after that answer*, then the processor is in the same stay: `NotStarted`. The answer is needed though
//!   the counts are equal: a command may be under way in the line, which keeps the order, so that an answer to what was
//!   asked after it shows that it had come to nothing. The second look is needed because the first may have been just
//!   before the loader took such a command.
//!
//! What proves nothing, and is `Unknown`:
//!
//! - *The loader answers, and the board does not count.* Opening the port may have reset it back into its loader; so may
//!   its button; so may a power failure too short to be seen. Each can follow a handoff that was done.
//! - *The board has counted a start since.* It was the handoff, or the loader's own timeout, or a reset. The count of accepted
//!   commands tells which, but not that the program has not run: a second handoff would be its second run. It is told in
//!   words, for those who settle it.
//!   So a loader that gave up is `Unknown` after a crash, where the incarnation that had kept it awake knows better and
//!   says `LoaderTimedOut`: it had the port to itself until it heard the loader no more, and so knows that the command
//!   never left the host. Its successor has only the record, which is the same whether the crash came just before the
//!   command or just behind it.
//! - *The board has counted a handoff since.* It was ours, or another's whose port it was while we were dead; its first
//!   output is in nobody's epoch either way.
//! - *The board does not run any more, or the record is of another transfer.* Then there is nothing to compare.
//! - *Silence of the loader.* The program may run; the line may be cut.
//! - *The program speaks.* A program may be there from before.
//! - *Opening the port would reset the board.* Then it is not opened: evidence never resets.

use farmhand_records::v1::{Evidence, HandoffDone, LoaderStay};
use farmhand_records::{Attempt, PlanHash, SessionId};

use crate::virtual_uno::Counts;

/// One try at a handoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Try {
    /// Whose.
    pub session: SessionId,
    /// Which.
    pub attempt: Attempt,
    /// Of which plan.
    pub plan: PlanHash,
}

impl Try {
    /// Whether this is what the device acknowledged last.
    #[must_use]
    pub fn is_done(&self, done: Option<&HandoffDone>) -> bool {
        done.is_some_and(|done| {
            (done.session, done.attempt, done.plan) == (self.session, self.attempt, self.plan)
        })
    }

    /// Whether this is what the stay was for.
    #[must_use]
    pub fn is_of(&self, stay: &LoaderStay) -> bool {
        (stay.session, stay.attempt, stay.plan) == (self.session, self.attempt, self.plan)
    }
}

/// What the device's record proves.
#[must_use]
pub fn recorded(done: &HandoffDone) -> Evidence {
    Evidence::Complete(format!("the device acknowledged it, as recorded; it began epoch {}", done.epoch))
}

/// What the record and the board's counts prove, before anything is asked. `None`: the loader may be asked.
#[must_use]
pub fn before_asking(asked: &Try, noted: Option<&LoaderStay>, now: Option<&Counts>) -> Option<Evidence> {
    let unknown = |why: String| Some(Evidence::Unknown(why));
    let Some(noted) = noted.filter(|stay| asked.is_of(stay)) else {
        return unknown("nothing is recorded of a stay in the loader that this try left behind".into());
    };
    let (Some(starts), Some(handoffs)) = (noted.starts, noted.handoffs) else {
        return unknown(
            "the board does not count its starts, and whoever had the port has ended since: that its loader answers \
             now would not prove that it did all the while"
                .into(),
        );
    };
    let Some(now) = now else {
        return unknown("the board that was written does not run any more".into());
    };
    let starts_since = now.starts.saturating_sub(starts);
    let handoffs_since = now.handoffs.saturating_sub(handoffs);
    if starts_since == 0 && handoffs_since == 0 {
        return None;
    }
    unknown(match handoffs_since {
        0 => format!(
            "the board accepted no leave-programming since the transfer, but started {starts_since} times: the \
             loader's timeout may have started the program"
        ),
        n => format!(
            "since the transfer the board accepted {n} leave-programming, and started {starts_since} times"
        ),
    })
}

/// What it proves that the loader was asked over the port, with the counts after that.
#[must_use]
pub fn after_asking(
    asked: &Try,
    noted: Option<&LoaderStay>,
    answered: bool,
    now: Option<&Counts>,
) -> Evidence {
    if let Some(unknown) = before_asking(asked, noted, now) {
        return unknown;
    }
    if answered {
        Evidence::NotStarted(
            "the board has counted neither a start nor a handoff since the transfer, and its loader answers"
                .into(),
        )
    } else {
        Evidence::Unknown(
            "the board has counted no start since the transfer, but its loader does not answer".into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_try(session: u64, attempt: u32, plan: u8) -> Try {
        Try { session: SessionId(session), attempt: Attempt(attempt), plan: PlanHash([plan; 32]) }
    }

    fn noted(of: Try, counts: Option<(u64, u64)>) -> LoaderStay {
        let Try { session, attempt, plan } = of;
        let (starts, handoffs) = (counts.map(|counts| counts.0), counts.map(|counts| counts.1));
        LoaderStay { session, attempt, plan, starts, handoffs }
    }

    fn counts(starts: u64, handoffs: u64) -> Counts {
        Counts { starts, by_power: 1, by_reset: starts - 1, by_watchdog: 0, handoffs, program_starts: 0 }
    }

    fn unknown(evidence: Option<Evidence>, words: &str) {
        assert!(matches!(&evidence, Some(Evidence::Unknown(why)) if why.contains(words)), "{evidence:?}");
    }

    #[test]
    fn only_the_same_try_is_done() {
        let of = a_try(1, 2, 3);
        let done = HandoffDone {
            session: of.session,
            attempt: of.attempt,
            plan: of.plan,
            epoch: farmhand_records::Epoch(4),
            starts: None,
        };
        assert!(of.is_done(Some(&done)));
        assert!(!of.is_done(None));
        for other in [a_try(9, 2, 3), a_try(1, 9, 3), a_try(1, 2, 9)] {
            assert!(!other.is_done(Some(&done)));
        }
    }

    #[test]
    fn counts_that_have_not_moved_and_an_answer_prove_that_it_was_not_done() {
        let of = a_try(1, 1, 1);
        let stay = noted(of, Some((7, 3)));
        let now = counts(7, 3);
        assert_eq!(before_asking(&of, Some(&stay), Some(&now)), None);
        assert!(matches!(after_asking(&of, Some(&stay), true, Some(&now)), Evidence::NotStarted(_)));
    }

    #[test]
    fn everything_else_proves_nothing() {
        let of = a_try(1, 1, 1);
        let stay = noted(of, Some((7, 3)));
        unknown(before_asking(&of, None, Some(&counts(7, 3))), "nothing is recorded");
        for other in [a_try(2, 1, 1), a_try(1, 2, 1), a_try(1, 1, 2)] {
            unknown(before_asking(&other, Some(&stay), Some(&counts(7, 3))), "nothing is recorded");
        }
        unknown(before_asking(&of, Some(&noted(of, None)), Some(&counts(7, 3))), "does not count");
        unknown(before_asking(&of, Some(&stay), None), "does not run any more");
        // The loader's timeout, a reset, power.
        unknown(before_asking(&of, Some(&stay), Some(&counts(8, 3))), "the loader's timeout");
        // The command came through, and its start is still to come, or has come.
        unknown(before_asking(&of, Some(&stay), Some(&counts(7, 4))), "accepted 1");
        unknown(before_asking(&of, Some(&stay), Some(&counts(8, 4))), "accepted 1");
        // A command under way when the counts were read first, and the loader answered before it took it.
        unknown(Some(after_asking(&of, Some(&stay), true, Some(&counts(7, 4)))), "accepted 1");
        unknown(Some(after_asking(&of, Some(&stay), true, None)), "does not run");
        unknown(Some(after_asking(&of, Some(&stay), false, Some(&counts(7, 3)))), "does not answer");
    }
}
