//! What is finished is kept for a while: by age and by number, at each start of the farm.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use farmhand_records::v1::{Key, ModelOf, Phase, Session as SessionRecord, Source};
use farmhand_records::{ContentHash, Record, SessionId};
use farmhand_runtime::{Paths, SavedError, forget, load_all, unix_ms};
use farmhand_store::{Durability, StoreHandle};

/// Finished sessions are kept this long at least: a month of looking back at what failed. In milliseconds.
const AGE_MS: u64 = 30 * 24 * 3600 * 1000;
/// However old, so many of the latest are kept: a folder that is used twice a year keeps its history.
const SESSIONS_MIN: usize = 200;
/// However young, no more than this are kept: a farm that runs day and night stays quick to start.
const SESSIONS_MAX: usize = 5000;

/// Images that no unfinished session can need are kept for so long: whoever boots one again today has it at once.
const IMAGE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Artifacts that no session names are kept for so long.
const ARTIFACT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which of the finished sessions go. Pure: newest first, `(id, finished)`.
fn to_forget(mut finished: Vec<(SessionId, u64)>, now_ms: u64) -> Vec<SessionId> {
    finished.sort_by_key(|&(id, _)| std::cmp::Reverse(id));
    let old = |at: u64| now_ms.saturating_sub(at) > AGE_MS;
    finished
        .into_iter()
        .enumerate()
        .filter(|&(place, (_, at))| place >= SESSIONS_MAX || (place >= SESSIONS_MIN && old(at)))
        .map(|(_, (id, _))| id)
        .collect()
}

/// Forgets old finished sessions with their keys, and artifacts that no session names any more.
pub(super) async fn collect(
    store: &StoreHandle,
    paths: &Paths,
    holding: &BTreeSet<SessionId>,
) -> Result<(), SavedError> {
    let sessions: Vec<SessionRecord> = load_all(store).await?.into_iter().flatten().collect();
    let needs_images = sessions.iter().any(|session| {
        let large = matches!(session.job.build.source, Source::Boot(_) | Source::Partitions(..));
        large && !matches!(session.phase, Phase::Finished(..))
    });
    if !needs_images {
        let folder = paths.images();
        let _counted = tokio::task::spawn_blocking(move || drop_images(&folder, SystemTime::now())).await;
    }
    let finished = sessions
        .iter()
        .filter(|session| matches!(session.phase, Phase::Finished(..)) && !holding.contains(&session.id))
        .map(|session| (session.id, session.finished_unix_ms.unwrap_or(session.created_unix_ms)))
        .collect();
    let gone: BTreeSet<_> = to_forget(finished, unix_ms()).into_iter().collect();
    for session in sessions.iter().filter(|session| gone.contains(&session.id)) {
        forget::<SessionRecord>(store, &session.key(), Durability::Progress).await?;
        let model = ModelOf { session: session.id, model: None }.key();
        forget::<ModelOf>(store, &model, Durability::Progress).await?;
    }
    if !gone.is_empty() {
        for key in
            load_all::<Key>(store).await?.into_iter().flatten().filter(|key| gone.contains(&key.session))
        {
            forget::<Key>(store, &Record::key(&key), Durability::Progress).await?;
        }
        tracing::info!(sessions = gone.len(), "collected");
    }
    let kept = sessions.iter().filter(|session| !gone.contains(&session.id));
    let kept = kept.filter_map(|session| Some(session.artifact.as_ref()?.hash)).collect();
    let folder = paths.artifacts();
    let drop = move || drop_artifacts(&folder, &kept, SystemTime::now());
    let _counted = tokio::task::spawn_blocking(drop).await;
    Ok(())
}

/// Removes images that have not been touched for long; a session that wants one keeps it again.
fn drop_images(folder: &Path, now: SystemTime) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter(|entry| {
            let touched = entry.metadata().and_then(|metadata| metadata.modified());
            let old = touched.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > IMAGE_AGE));
            old && std::fs::remove_file(entry.path()).is_ok()
        })
        .count()
}

/// Removes artifacts that no session names, and nobody made of late: a command beside the farm may be about to name one. A build that
/// is asked for again makes them again.
fn drop_artifacts(folder: &Path, kept: &BTreeSet<ContentHash>, now: SystemTime) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter(|entry| {
            let hash = entry.file_name().to_str().and_then(|name| name.parse::<ContentHash>().ok());
            let made = entry.metadata().and_then(|metadata| metadata.modified());
            let old = made.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > ARTIFACT_AGE));
            let unnamed = hash.is_some_and(|hash| !kept.contains(&hash));
            unnamed && old && std::fs::remove_file(entry.path()).is_ok()
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * AGE_MS;

    fn sessions(number: u64, at: u64) -> Vec<(SessionId, u64)> {
        (1..=number).map(|id| (SessionId(id), at)).collect()
    }

    #[test]
    fn what_is_young_stays_up_to_a_number() {
        assert!(to_forget(sessions(SESSIONS_MAX as u64, NOW), NOW).is_empty());
        assert_eq!(to_forget(sessions(SESSIONS_MAX as u64 + 2, NOW), NOW), [SessionId(2), SessionId(1)]);
    }

    #[test]
    fn what_is_old_goes_down_to_a_number() {
        assert!(to_forget(sessions(SESSIONS_MIN as u64, 0), NOW).is_empty());
        assert_eq!(to_forget(sessions(SESSIONS_MIN as u64 + 1, 0), NOW), [SessionId(1)]);
    }

    #[test]
    fn only_images_that_nobody_has_touched_for_long_go() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("image"), "").expect("a file");
        assert_eq!(drop_images(folder.path(), SystemTime::now()), 0);
        assert_eq!(drop_images(folder.path(), SystemTime::now() + IMAGE_AGE * 2), 1);
    }

    #[test]
    fn only_artifacts_that_nobody_names_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = ContentHash([1; 32]);
        for name in [named.to_string(), ContentHash([2; 32]).to_string(), "a person's file".into()] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let named_by_some = BTreeSet::from([named]);
        assert_eq!(drop_artifacts(folder.path(), &named_by_some, SystemTime::now()), 0, "made just now");
        assert_eq!(drop_artifacts(folder.path(), &named_by_some, SystemTime::now() + ARTIFACT_AGE * 2), 1);
        assert!(folder.path().join(named.to_string()).exists());
    }
}
