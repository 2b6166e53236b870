//! What is handed to a device, kept under its hash: files may change while the session runs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farmhand_api::{GuestSource, GuestStart, Leave, PartitionStep, Problem, Source};
use farmhand_image::Image;
use farmhand_messages::compiler::{Built, Sizes};
use farmhand_messages::device::{KeptFile, PartitionWork, Payload};
use farmhand_records::ContentHash;
use farmhand_records::v1::{Artifact, Job};
use farmhand_runtime::{Paths, replace_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::problems;

/// So much of a file is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What an artifact of partitions is: the steps, with files by their hashes. In order, for its hash is the plan's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Flash { partition: String, hash: ContentHash, bytes: u64 },
    Erase { partition: String },
}

/// Keeps a program that is built already. Blocking.
pub(crate) fn keep_program(paths: &Paths, path: &Path) -> Result<Built, Problem> {
    let text = path.display().to_string();
    let wrong = |error: io::Error| problems::no_file(&text, &error.to_string());
    let bytes = fs::read(path).map_err(wrong)?;
    let image =
        Image::from_bytes(&bytes).map_err(|error| problems::not_an_image(&text, &error.to_string()))?;
    keep_bytes(paths, &bytes, image.len()).map_err(wrong)
}

/// Keeps what a Linux guest is to run. Blocking.
pub(crate) fn keep_guest_program(paths: &Paths, path: &str) -> Result<Built, Problem> {
    let wrong = |error: io::Error| problems::no_file(path, &error.to_string());
    let bytes = fs::read(path).map_err(wrong)?;
    if bytes.is_empty() {
        return Err(problems::empty_file(path));
    }
    keep_bytes(paths, &bytes, bytes.len() as u64).map_err(wrong)
}

/// Keeps the files of partitions, and the list of what is done with them. Blocking.
pub(crate) fn keep_partitions(paths: &Paths, steps: &[PartitionStep]) -> Result<Built, Problem> {
    let mut kept = Vec::new();
    let mut sum = 0;
    for step in steps {
        kept.push(match step {
            PartitionStep::Erase(partition) => Step::Erase { partition: partition.clone() },
            PartitionStep::Flash(partition, path) => {
                let file = keep_file(paths, Path::new(path))
                    .map_err(|error| problems::no_file(path, &error.to_string()))?;
                if file.bytes == 0 {
                    return Err(problems::empty_file(path));
                }
                sum += file.bytes;
                Step::Flash { partition: partition.clone(), hash: file.hash, bytes: file.bytes }
            }
        });
    }
    let list = postcard::to_stdvec(&kept).expect("names, hashes and numbers only");
    keep_bytes(paths, &list, sum)
        .map_err(|error| problems::no_file("the list of partitions", &error.to_string()))
}

/// What is kept under its hash.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) hash: ContentHash,
    pub(crate) bytes: u64,
}

/// Keeps a file of any size: streamed into place under its hash, which the name of a half written one never is.
pub(crate) fn keep_file(paths: &Paths, path: &Path) -> io::Result<Kept> {
    keep_stream(paths, &mut File::open(path)?)
}

/// Keeps what a stream gives.
pub(crate) fn keep_stream(paths: &Paths, from: &mut dyn Read) -> io::Result<Kept> {
    let folder = paths.images();
    fs::create_dir_all(&folder)?;
    let mut staged = tempfile::NamedTempFile::new_in(&folder)?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0_u64);
    let mut piece = vec![0; COPY_BYTES];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&piece[..read]);
        staged.write_all(&piece[..read])?;
        bytes += read as u64;
    }
    let hash = ContentHash(hasher.finalize().into());
    let path = paths.image(&hash);
    if !fs::metadata(&path).is_ok_and(|known| known.len() == bytes) {
        staged.as_file().sync_data()?;
        staged.persist(&path).map_err(|failed| failed.error)?;
        File::open(&folder)?.sync_all()?;
    }
    Ok(Kept { path, hash, bytes })
}

fn keep_bytes(paths: &Paths, bytes: &[u8], image_bytes: u64) -> io::Result<Built> {
    let hash = ContentHash(Sha256::digest(bytes).into());
    let artifact = paths.artifact(&hash);
    let known = fs::read(&artifact).is_ok_and(|known| known == bytes);
    if !known {
        if let Some(folder) = artifact.parent() {
            fs::create_dir_all(folder)?;
        }
        replace_file(&artifact, bytes)?;
    }
    Ok(Built { unchanged: known, ..built(artifact, hash, image_bytes) })
}

/// What was made without a compiler.
pub(crate) fn built(artifact: PathBuf, hash: ContentHash, image_bytes: u64) -> Built {
    let sizes = Sizes { image_bytes, ..Sizes::default() };
    Built { artifact, hash, sizes, before: None, unchanged: false, compiled: 0, cached: 0 }
}

/// What is handed to the device, from what is kept.
pub(crate) async fn payload(paths: &Paths, job: &Job, artifact: &Artifact) -> Result<Payload, Problem> {
    let gone = |error: &dyn std::fmt::Display| problems::no_artifact(&artifact.path, &error.to_string());
    match &job.build.source {
        Source::Boot(boot) => {
            let said = boot.image.clone();
            let bytes = tokio::fs::metadata(&artifact.path).await.map_err(|error| gone(&error))?.len();
            Ok(Payload::Boot(KeptFile { said, path: (&artifact.path).into(), hash: artifact.hash, bytes }))
        }
        Source::Partitions(steps, leave) => {
            let list = tokio::fs::read(&artifact.path).await.map_err(|error| gone(&error))?;
            partitions(paths, &list, steps, *leave, job.once).map_err(|error| gone(&error))
        }
        of => {
            let bytes = tokio::fs::metadata(&artifact.path).await.map_err(|error| gone(&error))?.len();
            let said = match of {
                Source::Artifact(path) | Source::Guest(GuestSource { program: path, .. }) => path.clone(),
                _ => artifact.path.clone(),
            };
            let file = KeptFile { said, path: (&artifact.path).into(), hash: artifact.hash, bytes };
            if job.is_for_linux() {
                let start = if let Source::Guest(guest) = of { guest.start } else { GuestStart::Boot };
                return Ok(Payload::Guest { file, start });
            }
            Ok(Payload::Program { image: Arc::new(program(&artifact.path).await?), file })
        }
    }
}

/// `said`: the steps as the job has them. Names of files are its own, and not the list's: the same bytes under another
/// name are the same plan.
fn partitions(
    paths: &Paths,
    list: &[u8],
    said: &[PartitionStep],
    leave: Leave,
    once: bool,
) -> Result<Payload, postcard::Error> {
    let steps: Vec<Step> = postcard::from_bytes(list)?;
    let work = |(at, step)| match step {
        Step::Erase { partition } => PartitionWork::Erase { partition },
        Step::Flash { partition, hash, bytes } => {
            let path = paths.image(&hash);
            let said = match said.get(at) {
                Some(PartitionStep::Flash(_, file)) => file.clone(),
                _ => path.display().to_string(),
            };
            PartitionWork::Flash { partition, file: KeptFile { said, path, hash, bytes } }
        }
    };
    let steps = steps.into_iter().enumerate().map(work).collect();
    Ok(Payload::Partitions { steps: Arc::new(steps), leave, once })
}

/// A program, as it is kept.
pub(crate) async fn program(path: &str) -> Result<Image, Problem> {
    let bytes =
        tokio::fs::read(path).await.map_err(|error| problems::no_artifact(path, &error.to_string()))?;
    Image::from_bytes(&bytes).map_err(|error| problems::not_an_image(path, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_as_they_were_and_the_list_leads_to_them() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().to_path_buf());
        let file = home.path().join("system.img");
        fs::write(&file, vec![7; COPY_BYTES + 5]).unwrap();
        let text = file.display().to_string();
        let steps =
            [PartitionStep::Erase("userdata".into()), PartitionStep::Flash("system".into(), text.clone())];
        let built = keep_partitions(&paths, &steps).unwrap();
        fs::write(&file, "another").unwrap();
        let list = fs::read(&built.artifact).unwrap();
        let payload = partitions(&paths, &list, &steps, Leave::Reboot, true).unwrap();
        let Payload::Partitions { steps, leave: Leave::Reboot, once: true } = payload else { panic!() };
        let [PartitionWork::Erase { .. }, PartitionWork::Flash { partition, file }] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        assert_eq!((partition.as_str(), file.bytes), ("system", COPY_BYTES as u64 + 5));
        assert_eq!(fs::read(&file.path).unwrap(), vec![7; COPY_BYTES + 5]);
        assert_eq!((built.sizes.image_bytes, &file.said), (file.bytes, &text));
        let other = home.path().join("other.img").display().to_string();
        fs::write(&other, vec![7; COPY_BYTES + 5]).unwrap();
        let steps = [PartitionStep::Erase("userdata".into()), PartitionStep::Flash("system".into(), other)];
        assert_eq!(
            keep_partitions(&paths, &steps).unwrap().hash,
            built.hash,
            "a name is no part of the plan"
        );
    }

    #[test]
    fn an_empty_file_and_one_that_is_not_there_are_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().to_path_buf());
        let empty = home.path().join("empty.img").display().to_string();
        fs::write(&empty, "").unwrap();
        for (path, code) in [(empty, "F133"), ("/nowhere.img".to_owned(), "F311")] {
            let step = PartitionStep::Flash("p".into(), path.clone());
            let problem = keep_partitions(&paths, &[step]).unwrap_err();
            assert!(problem.code == code && problem.message.contains(&path), "{problem:?}");
        }
    }
}
