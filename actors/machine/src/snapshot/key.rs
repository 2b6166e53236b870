//! What went into a machine, in one number: two machines of one key say the same at the same moment.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::SnapshotName;
use super::description::{Part, Role, digits, told};
use crate::kind::Kind;

/// Of what is hashed: another order, or another field, is another key.
const FORM: &str = "farmhand snapshot 2";

/// What went into a machine: the kind and what QEMU is told of it, QEMU itself, the files that it began with. QEMU's version is in
/// its file. The disk of a Linux guest is not in it, nor the memory: the one was blank when it began, and both came of it since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Of a machine of this kind.
    pub(super) fn of(kind: &Kind, emulator: &Part, files: &BTreeMap<Role, Part>) -> Self {
        Self::of_words(kind.name, &told(kind), emulator, files)
    }

    pub(super) fn of_words(
        kind: &str,
        arguments: &[String],
        emulator: &Part,
        files: &BTreeMap<Role, Part>,
    ) -> Self {
        let mut hash = Sha256::new();
        let mut add = |field: &str| {
            // With its length, so that no two fields are another two.
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        };
        [FORM, kind, &emulator.sha256].into_iter().for_each(&mut add);
        for (role, part) in files.iter().filter(|(role, _)| !matches!(role, Role::Disk | Role::Memory)) {
            add(role.file());
            add(&part.sha256);
        }
        add("");
        arguments.iter().for_each(|word| add(word));
        Self(digits(hash))
    }

    /// What the cached snapshot of it is called: half of the digits, which no two share.
    pub(super) fn name(&self) -> SnapshotName {
        let digits = self.0.get(..32).unwrap_or(&self.0);
        SnapshotName::new(&format!("cached-{digits}")).expect("digits make a name")
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_what_goes_in_makes_another_key() {
        let part = |digit: &str| Part { len: 7, sha256: digit.repeat(64) };
        let words = |all: &[&str]| all.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let file = |role, digit: &str| BTreeMap::from([(role, part(digit))]);
        let program = |digit: &str| file(Role::Program, digit);
        let one = Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &program("b"));
        assert_eq!(one, Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &program("b")));
        let mut run = program("b");
        run.extend([(Role::Memory, part("c")), (Role::Disk, part("d"))]);
        assert_eq!(one, Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &run), "what came of it");
        for other in [
            Key::of_words("due", &words(&["-M", "uno"]), &part("a"), &program("b")),
            Key::of_words("uno", &words(&["-Mu", "no"]), &part("a"), &program("b")),
            Key::of_words("uno", &words(&["-M", "uno", ""]), &part("a"), &program("b")),
            Key::of_words("uno", &words(&["-M", "uno"]), &part("b"), &program("a")),
            Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &program("c")),
            Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &file(Role::Kernel, "b")),
            Key::of_words("uno", &words(&["-M", "uno"]), &part("a"), &BTreeMap::new()),
        ] {
            assert_ne!(one, other);
        }
    }
}
