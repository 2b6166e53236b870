//! farmhand's own host, as a device actor uses it.

use std::path::Path;
use std::time::{Duration, Instant};

use farmhand_device::fastboot::{ImageFile, Pieces as _, connect};
use farmhand_messages::fastboot::{Address, UsbIdentity};

use super::Work;
use crate::Failure;

/// Does it; how long the commands took that the peer measures of its own.
pub(crate) async fn run(address: &str, work: Work, image: &Path) -> Result<Duration, Failure> {
    let address: Address = address.parse()?;
    let mut client = connect(&address, &UsbIdentity::default()).await?;
    let most = client.max_download_size().await?;
    let image = ImageFile::open(image, most).await?;
    if image.count() != 1 {
        return Err("the phone does not take the image at once".into());
    }
    let begun = Instant::now();
    match work {
        Work::Stage => {
            let whole = image.piece(0)?;
            client.download(whole.source, whole.len, &mut ()).await?;
        }
        Work::Flash => {
            let partition = "userdata".parse()?;
            client.flash_pieces(&partition, &image, 0, &mut |_| {}, &mut ()).await?;
        }
    }
    Ok(begun.elapsed())
}
