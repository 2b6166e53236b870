//! All that a project declares, installed together and held to its lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use farmhand_api::InstallEvent;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::packages::{PackageOrigin, PackageSpec};
use tokio::task::JoinSet;

use crate::apt::Sha256;
use crate::gc::{Verdict, verdict};
use crate::lockfile::{LOCK_FILE, LockFile, LockedPackage, source_words};
use crate::packages::shelf_name;
use crate::record::CompletionRecord;
use crate::shelf::Shelf;
use crate::source::identity;
use crate::{InstallError, Packages};

/// What may become of a project's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// What is new or was declared otherwise is written into it.
    Follow,
    /// It stays as it is, or nothing is installed.
    Locked,
}

impl Packages {
    /// Has packages of a project installed, several at once, each as its lock pins it; `all` are those that the
    /// project declares, `wanted` the names of those that are to be installed (all where it is empty). Answers when
    /// all are, and the lock is written.
    pub async fn install_project(
        &self,
        project: &Path,
        all: &[PackageSpec],
        wanted: &[String],
        mode: LockMode,
        progress: impl Fn(InstallEvent) + Send + Sync + 'static,
    ) -> Result<Vec<Installed>, InstallError> {
        let path = project.join(LOCK_FILE);
        if mode == LockMode::Locked {
            check_declared(project, all)?;
        }
        let before = LockFile::read(&path)?;
        let mut lock = before.clone();
        lock.packages.retain(|locked| all.iter().any(|spec| spec.name == locked.name));
        let changed =
            |name: &str, why| InstallError::LockChanges { path: path.clone(), name: name.into(), why };
        let progress: Arc<dyn Fn(InstallEvent) + Send + Sync> = Arc::new(progress);
        let (mut works, mut installed) = (JoinSet::new(), Vec::new());
        for spec in all.iter().filter(|spec| wanted.is_empty() || wanted.contains(&spec.name)) {
            let locked = lock.get(&spec.name).filter(|locked| is_as_declared(project, spec, locked)).cloned();
            if locked.is_none() && mode == LockMode::Locked {
                let why = match lock.get(&spec.name) {
                    Some(_) => "it is declared otherwise than it was locked",
                    None => "it is not locked",
                };
                return Err(changed(&spec.name, why));
            }
            // It came by another way, such as a bundle: what it was locked as is what is wanted of it.
            if let (PackageOrigin::Path { path: from, .. }, Some(locked)) = (&spec.origin, &locked)
                && !Path::new(from).exists()
                && let Some(hash) = Sha256::from_hex(&locked.hash)
                && let Some(there) = Shelf::new(self.folder(), &spec.name).installed(Some(hash.0))
            {
                let now = locked_as(project, spec, &there);
                if !is_same(locked, &now) {
                    return Err(not_as_locked(path, locked, &now));
                }
                installed.push(there);
                continue;
            }
            let (packages, pinned, progress) =
                (self.clone(), pinned(spec, locked.as_ref()), progress.clone());
            let spec = spec.clone();
            works.spawn(async move {
                let wish = PackageWish::Declared(Box::new(pinned));
                let installed = packages.install(&wish, move |event| progress(event)).await?;
                Ok((spec, locked, installed))
            });
        }
        let mut out_of_reach: Option<InstallError> = None;
        while let Some(done) = works.join_next().await {
            let (spec, locked, mut one) = match done {
                // Who is offline is told all that is missing.
                Ok(Err(error @ InstallError::Offline { .. })) => {
                    out_of_reach = Some(match out_of_reach {
                        Some(first) => first.and(error),
                        None => error,
                    });
                    continue;
                }
                Ok(outcome) => outcome?,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(InstallError::Interrupted { package: "a package".into() }),
                },
            };
            let now = locked_as(project, &spec, &one);
            one.version.clone_from(&now.version);
            match locked {
                Some(locked) if is_same(&locked, &now) => {}
                Some(_) if moves(&spec.origin) && mode == LockMode::Follow => put(&mut lock, now),
                Some(locked) => return Err(not_as_locked(path, &locked, &now)),
                None => put(&mut lock, now),
            }
            self.note_project(&one, project)?;
            installed.push(one);
        }
        if let Some(error) = out_of_reach {
            return Err(error);
        }
        installed.sort_by(|one, other| one.name.cmp(&other.name));
        if lock != before {
            lock.write(&path)?;
        }
        Ok(installed)
    }
}

impl Packages {
    /// Whether all of these are installed as their project's lock pins them. Blocks: it reads small files.
    #[must_use]
    pub fn has_all_locked(&self, project: &Path, specs: &[PackageSpec]) -> bool {
        let Ok(lock) = LockFile::read(&project.join(LOCK_FILE)) else { return false };
        specs.iter().all(|spec| {
            let shelf = Shelf::new(self.folder(), shelf_name(spec));
            let there = spec.locked.and_then(|hash| shelf.installed(Some(hash)));
            let is_same_as = |there| {
                lock.get(&spec.name).is_none_or(|locked| is_same(locked, &locked_as(project, spec, &there)))
            };
            there.is_some_and(is_same_as)
        })
    }

    /// Refuses packages that are not any more what was installed. Blocks: all of each is read.
    pub fn check_whole(&self, installed: &[Installed]) -> Result<(), InstallError> {
        installed.iter().try_for_each(|one| match verdict(&one.prefix)? {
            Verdict::Damaged => {
                Err(InstallError::Damaged { name: one.name.clone(), path: one.prefix.clone() })
            }
            Verdict::Whole | Verdict::Unknown => Ok(()),
        })
    }
}

/// Refuses a lock with a package that the project does not declare any more. Blocks: it reads a small file.
pub fn check_declared(project: &Path, all: &[PackageSpec]) -> Result<(), InstallError> {
    let path = project.join(LOCK_FILE);
    let lock = LockFile::read(&path)?;
    match lock.packages.into_iter().find(|locked| all.iter().all(|spec| spec.name != locked.name)) {
        Some(LockedPackage { name, .. }) => {
            Err(InstallError::LockChanges { path, name, why: "the project does not declare it any more" })
        }
        None => Ok(()),
    }
}

/// Refuses what is called as a package that a project's lock pins and holds something else.
pub(crate) fn check_with_lock<'a>(
    project: &Path,
    mut records: impl Iterator<Item = &'a CompletionRecord>,
) -> Result<(), InstallError> {
    let path = project.join(LOCK_FILE);
    let lock = LockFile::read(&path)?;
    records.try_for_each(|record| {
        let mut locked = lock.packages.iter().filter(|locked| locked.hash == record.hash);
        match locked.find(|locked| locked.tree.is_some() && locked.tree != record.tree) {
            Some(locked) => {
                let now = LockedPackage { tree: record.tree.clone(), ..locked.clone() };
                Err(not_as_locked(path.clone(), locked, &now))
            }
            None => Ok(()),
        }
    })
}

/// Whether the lock knows the hash that a declaration names, where it names one: another one is another package.
fn is_hash_as_declared(spec: &PackageSpec, locked: &LockedPackage) -> bool {
    if let PackageOrigin::Path { sha256: Some(declared), .. } = &spec.origin {
        return Sha256::from_hex(&locked.hash).is_some_and(|hash| hash.0 == identity(*declared, spec.strip));
    }
    let declared = match &spec.origin {
        PackageOrigin::Url { sha256, .. }
        | PackageOrigin::Pip { sha256, .. }
        | PackageOrigin::Npm { sha256, .. } => *sha256,
        _ => None,
    };
    let known = locked.sha256.as_deref().and_then(Sha256::from_hex).map(|hash| hash.0);
    declared.is_none() || known.is_none() || declared == known
}

/// A declaration with the hash that the lock knows, where it names none itself.
fn pinned(spec: &PackageSpec, locked: Option<&LockedPackage>) -> PackageSpec {
    let mut spec = spec.clone();
    let known = locked.and_then(|locked| Sha256::from_hex(locked.sha256.as_deref()?)).map(|hash| hash.0);
    match &mut spec.origin {
        PackageOrigin::Url { sha256, .. }
        | PackageOrigin::Pip { sha256, .. }
        | PackageOrigin::Npm { sha256, .. } => *sha256 = sha256.or(known),
        PackageOrigin::GitReference { url, .. } => {
            if let Some(commit) = locked.and_then(|locked| locked.commit.clone()) {
                spec.origin = PackageOrigin::Git { url: std::mem::take(url), commit };
            }
        }
        _ => {}
    }
    spec
}

/// The declarations of a project with what its lock pins each to, where it is locked as it is declared. Blocks: it reads a
/// small file.
pub fn locked(project: &Path, specs: &[PackageSpec]) -> Result<Vec<PackageSpec>, InstallError> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let lock = LockFile::read(&project.join(LOCK_FILE))?;
    let one = |spec: &PackageSpec| {
        let locked = lock.get(&spec.name).filter(|locked| is_as_declared(project, spec, locked));
        let mut pinned = pinned(spec, locked);
        pinned.locked = locked.and_then(|locked| Sha256::from_hex(&locked.hash)).map(|hash| hash.0);
        pinned
    };
    Ok(specs.iter().map(one).collect())
}

fn is_as_declared(project: &Path, spec: &PackageSpec, locked: &LockedPackage) -> bool {
    let is_called_so = label(spec).is_none_or(|label| *label == locked.version);
    is_called_so && locked.source == source_words(project, spec) && is_hash_as_declared(spec, locked)
}

/// A version that only the project's own words say.
fn label(spec: &PackageSpec) -> Option<&String> {
    let says_none = matches!(
        spec.origin,
        PackageOrigin::Url { .. } | PackageOrigin::Git { .. } | PackageOrigin::GitReference { .. }
    );
    spec.version.as_ref().filter(|_| says_none)
}

fn locked_as(project: &Path, spec: &PackageSpec, installed: &Installed) -> LockedPackage {
    let record: Option<CompletionRecord> =
        Shelf::record_of(&installed.prefix).and_then(|path: PathBuf| CompletionRecord::read(&path));
    let (tree, archives, source) =
        record.map(|record| (record.tree, record.archives, record.source)).unwrap_or_default();
    let commit = match &spec.origin {
        PackageOrigin::GitReference { .. } => {
            source.as_deref().and_then(|source| source.strip_prefix("git ")).map(str::to_owned)
        }
        _ => None,
    };
    let sha256 = match (&archives[..], &spec.origin) {
        ([one], PackageOrigin::Url { .. } | PackageOrigin::Pip { .. } | PackageOrigin::Npm { .. }) => {
            Some(one.sha256.clone())
        }
        _ => None,
    };
    let hash = Sha256(installed.hash).to_string();
    LockedPackage {
        name: spec.name.clone(),
        source: source_words(project, spec),
        version: label(spec).unwrap_or(&installed.version).clone(),
        commit,
        sha256,
        tree,
        hash,
    }
}

/// Whether what is declared is another thing tomorrow: Debian's archive keeps no old versions, and a folder is
/// worked in. Only a lock that must not change holds those to what they were.
fn moves(origin: &PackageOrigin) -> bool {
    matches!(origin, PackageOrigin::Debian { .. } | PackageOrigin::Path { sha256: None, .. })
}

fn is_same(locked: &LockedPackage, now: &LockedPackage) -> bool {
    let same_tree = match (&locked.tree, &now.tree) {
        (Some(locked), Some(now)) => locked == now,
        _ => true,
    };
    locked.hash == now.hash && same_tree
}

fn not_as_locked(path: PathBuf, locked: &LockedPackage, now: &LockedPackage) -> InstallError {
    let (expected, found) = match locked.hash == now.hash {
        true => (locked.tree.clone().unwrap_or_default(), now.tree.clone().unwrap_or_default()),
        false => (locked.hash.clone(), now.hash.clone()),
    };
    InstallError::NotAsLocked { path, name: locked.name.clone(), expected, found }
}

fn put(lock: &mut LockFile, now: LockedPackage) {
    lock.packages.retain(|locked| locked.name != now.name);
    lock.packages.push(now);
}
