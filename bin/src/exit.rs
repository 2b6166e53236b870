//! Exit codes: stable, one per class of failure.

use farmhand::protocol::{ProblemClass, SessionView, Verdict};

pub(crate) const PASSED: u8 = 0;
pub(crate) const USAGE: u8 = 2;
pub(crate) const CANCELLED: u8 = 130;

/// The whole table, as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0 passed       1 failed (the firmware)    2 usage           3 configuration
  4 no device, or several                   5 permission      6 busy
  7 build        8 infra (ours)             9 unknown
  10 package or network                     130 cancelled";

/// A problem's exit code.
pub(crate) fn of(class: ProblemClass) -> u8 {
    match class {
        ProblemClass::Firmware => 1,
        ProblemClass::Usage => USAGE,
        ProblemClass::Configuration => 3,
        ProblemClass::NoDevice => 4,
        ProblemClass::Permission => 5,
        ProblemClass::Busy => 6,
        ProblemClass::Build => 7,
        ProblemClass::Infra => 8,
        ProblemClass::Unknown => 9,
        ProblemClass::Package => 10,
        ProblemClass::Cancelled => CANCELLED,
    }
}

/// The exit code of a session that ended: a compile error is no fault of the firmware's behaviour, so the problem's
/// class says more than the verdict.
pub(crate) fn of_session(view: &SessionView) -> u8 {
    match (view.verdict, &view.problem) {
        (Some(Verdict::Passed), _) => PASSED,
        (Some(Verdict::Unknown), _) => of(ProblemClass::Unknown),
        (Some(Verdict::Cancelled), _) => CANCELLED,
        (_, Some(problem)) => of(problem.class),
        (Some(Verdict::Failed), None) => of(ProblemClass::Firmware),
        (Some(Verdict::Infra) | None, None) => of(ProblemClass::Infra),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_code_and_the_help_names_it() {
        use ProblemClass::*;
        let classes = [
            Firmware,
            Usage,
            Configuration,
            NoDevice,
            Permission,
            Busy,
            Build,
            Infra,
            Unknown,
            Package,
            Cancelled,
        ];
        let mut codes: Vec<_> = classes.into_iter().map(of).collect();
        for code in &codes {
            assert!(
                TABLE.split_whitespace().any(|word| word == code.to_string()),
                "{code} is not in the table"
            );
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), classes.len());
    }
}
