//! Which profile is a device's: found by asking.

use std::collections::BTreeMap;

use farmhand_messages::fastboot::Profile;
use thiserror::Error;

use super::set::{Seen, holds};

/// Profiles that a device matches alike.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this device matches {} alike; name one of them as its board", .profiles.join(" and "))]
pub struct AmbiguousError {
    /// Their ids.
    pub profiles: Vec<String>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask for this variable, and give the answer to [`Probing::answer`].
    Ask(String),
    /// It is known: the profile, or none of them.
    Done(Result<Option<Box<Profile>>, AmbiguousError>),
}

/// Asks no variable twice, and none of a profile that cannot be the device's any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// Each with the number of its demands: of the identity, which hold, and the probes. Most first, and then by id.
    candidates: Vec<(usize, Profile)>,
    answers: BTreeMap<String, Option<String>>,
}

/// How one profile stands.
enum Stand<'a> {
    Out,
    Asks(&'a str),
    Holds,
}

impl Probing {
    /// Of those that the identity leaves; others are put aside.
    #[must_use]
    pub fn new<'p>(candidates: impl IntoIterator<Item = &'p Profile>, seen: &Seen) -> Self {
        let count = |profile: &Profile| Some((holds(profile, seen)? + profile.probes.len(), profile.clone()));
        let mut candidates: Vec<_> = candidates.into_iter().filter_map(count).collect();
        candidates.sort_by(|(one, left), (other, right)| other.cmp(one).then(left.id.cmp(&right.id)));
        Self { candidates, answers: BTreeMap::new() }
    }

    /// What the device said of a variable: a value, or that there is none (FAIL). A second answer is not heard.
    pub fn answer(&mut self, variable: &str, value: Option<String>) {
        self.answers.entry(variable.into()).or_insert(value);
    }

    /// The next variable, or the verdict: the profile with the most demands, all of which hold.
    #[must_use]
    pub fn next(&self) -> Next {
        let mut best: Option<usize> = None;
        let mut found: Vec<&Profile> = Vec::new();
        for (demands, profile) in &self.candidates {
            if best.is_some_and(|best| *demands < best) {
                break;
            }
            match self.stand(profile) {
                Stand::Out => {}
                Stand::Asks(variable) => return Next::Ask(variable.into()),
                Stand::Holds => {
                    best = Some(*demands);
                    found.push(profile);
                }
            }
        }
        Next::Done(match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(Box::new(one.clone()))),
            _ => Err(AmbiguousError { profiles: found.into_iter().map(|it| it.id.clone()).collect() }),
        })
    }

    fn stand<'a>(&self, profile: &'a Profile) -> Stand<'a> {
        for probe in &profile.probes {
            match self.answers.get(&probe.getvar) {
                None => return Stand::Asks(&probe.getvar),
                Some(answer) if probe.wanted.holds(answer.as_deref()) => {}
                Some(_) => return Stand::Out,
            }
        }
        Stand::Holds
    }
}
