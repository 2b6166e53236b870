//! A Debian archive, unpacked: `dpkg-deb` undoes its compression, we judge its entries.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use farmhand_runtime::Helper;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::InstallError;
use crate::apt::complaints_of;
use crate::packages::{Held, in_thread};
use crate::unpack::Unpacker;

/// Between the end of what `dpkg-deb` prints and its own end.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// What is kept of its complaints.
const WORDS_BYTES_MAX: u64 = 64 << 10;

/// Unpacks an archive, and gives the unpacker back. The caller has the deadline.
pub(crate) async fn unpack_deb(
    dpkg_deb: &Path,
    package: &str,
    archive: PathBuf,
    mut unpacker: Unpacker,
    held: &Held,
) -> Result<Unpacker, InstallError> {
    let failed = |source| InstallError::Helper { package: package.to_owned(), source };
    let mut command = Command::new(dpkg_deb);
    command.arg("--fsys-tarfile").arg(&archive).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut helper = Helper::start(command).await.map_err(failed)?;
    let stdout = helper.child().stdout.take().expect("its stdout is piped");
    let stderr = helper.child().stderr.take().expect("its stderr is piped");
    let pipe = stdout.into_owned_fd().map_err(|error| InstallError::io("read", &archive, error))?;
    let name = archive.clone();
    let unpacking = in_thread(held.clone(), move || {
        unpacker.tar(&name, File::from(pipe))?;
        Ok(unpacker)
    });
    let mut words = Vec::new();
    let mut bounded = stderr.take(WORDS_BYTES_MAX);
    let (unpacked, _its_end_says_enough) = tokio::join!(unpacking, bounded.read_to_end(&mut words));
    let refused = |words: &[u8]| InstallError::Client {
        package: package.to_owned(),
        client: "dpkg-deb".into(),
        detail: complaints_of(words),
    };
    // Where we stop reading it complains of that, which is not news.
    let complains = !words.is_empty() && !String::from_utf8_lossy(&words).contains("Broken pipe");
    match unpacked {
        Err(InstallError::BadArchive { .. }) if complains => Err(refused(&words)),
        Err(error) => Err(error),
        Ok(_) if !helper.wait(END_DEADLINE).await.map_err(failed)?.success() => Err(refused(&words)),
        Ok(unpacker) => Ok(unpacker),
    }
}
