//! A session as people see it.

use farmhand_api::{PhaseName, SessionView};
use farmhand_records::SessionId;
use farmhand_records::v1::{Phase, Session};

/// The name of a phase.
#[must_use]
pub(crate) fn phase_name(phase: &Phase) -> PhaseName {
    match phase {
        Phase::Preparing => PhaseName::Preparing,
        Phase::Queued => PhaseName::Queued,
        Phase::Leased => PhaseName::Leased,
        Phase::Connecting => PhaseName::Connecting,
        Phase::Transferring => PhaseName::Transferring,
        Phase::HandoffIntended => PhaseName::HandoffIntended,
        Phase::HandoffIssued(_) => PhaseName::HandoffIssued,
        Phase::Observing => PhaseName::Observing,
        Phase::Finished(..) => PhaseName::Finished,
    }
}

/// A session as its record says.
#[must_use]
pub fn view(record: &Session) -> SessionView {
    let (verdict, problem) = match &record.phase {
        Phase::Finished(verdict, problem) => (Some(*verdict), problem.clone()),
        _ => (None, None),
    };
    let detail = match &record.phase {
        Phase::Observing => {
            let (elapsed, timeout) =
                (record.observed.elapsed_ms / 1000, record.job.timeout_ms.div_ceil(1000));
            format!("{elapsed}/{timeout} s")
        }
        Phase::HandoffIntended if record.cancel => "cancelled once it is resolved".into(),
        _ => String::new(),
    };
    SessionView {
        id: record.id,
        title: record.job.title.clone(),
        project: record.job.project.clone(),
        board: record.job.board.clone(),
        device: record.lease.as_ref().map(|lease| lease.device.clone()),
        phase: phase_name(&record.phase),
        detail,
        attempt: record.attempt.0,
        epoch: record.epoch,
        verdict,
        problem,
        created_unix_ms: record.created_unix_ms,
        // A session that was settled keeps it until it has its device again.
        finished_unix_ms: record.finished_unix_ms.filter(|_| verdict.is_some()),
    }
}

/// `2nd, behind s-9`.
#[must_use]
pub(crate) fn standing(place: u32, behind: Option<SessionId>) -> String {
    let ending = match (place % 10, place % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    match behind {
        Some(behind) => format!("{place}{ending}, behind {behind}"),
        None => format!("{place}{ending}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_people_say_it() {
        let text = [1, 2, 3, 4, 11, 12, 13, 21, 111].map(|place| standing(place, None)).join(" ");
        assert_eq!(text, "1st 2nd 3rd 4th 11th 12th 13th 21st 111th");
        assert_eq!(standing(2, Some(SessionId(9))), "2nd, behind s-9");
    }
}
