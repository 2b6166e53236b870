//! A plan's name.

use farmhand_records::PlanHash;
use farmhand_records::v1::HandoffKind;
use sha2::{Digest, Sha256};

/// Begins what is hashed, so that a plan's hash is no other hash of the same bytes, and of this form only.
const DOMAIN: &[u8] = b"farmhand plan v1\0";

/// The SHA-256 of all that decides what a handoff does: the driver, the board, the hash of what is handed over, the kind. Texts are preceded
/// by their length, so that no two plans are hashed alike.
#[must_use]
pub fn plan_hash(driver: &str, board: &str, content: &[u8; 32], kind: HandoffKind) -> PlanHash {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    for text in [driver, board] {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hasher.update(content);
    hasher.update([match kind {
        HandoffKind::Once => 0,
        HandoffKind::Repeatable => 1,
    }]);
    PlanHash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_decides_what_a_handoff_does_changes_it() {
        let image = |byte| [byte; 32];
        let one = plan_hash("stk500v1", "uno", &image(1), HandoffKind::Once);
        assert_eq!(one, plan_hash("stk500v1", "uno", &image(1), HandoffKind::Once));
        for other in [
            plan_hash("stk500v1u", "no", &image(1), HandoffKind::Once),
            plan_hash("stk500v2", "uno", &image(1), HandoffKind::Once),
            plan_hash("stk500v1", "mega", &image(1), HandoffKind::Once),
            plan_hash("stk500v1", "uno", &image(2), HandoffKind::Once),
            plan_hash("stk500v1", "uno", &image(1), HandoffKind::Repeatable),
        ] {
            assert_ne!(one, other);
        }
    }
}
