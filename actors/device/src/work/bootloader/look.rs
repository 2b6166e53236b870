//! What is to be written, looked at as a whole before the first step is begun: files, names, and whether it fits.

use farmhand_api::Problem;
use farmhand_messages::device::PartitionWork;
use farmhand_records::DeviceName;
use farmhand_wire::fastboot::Partition;

use crate::fastboot::{Client, ClientError, ImageFile};
use crate::problems;

/// What is written to a partition of such a name lays partitions out anew, so that sizes told before it say nothing of
/// what comes behind it.
const LAYS_OUT: [&str; 6] = ["gpt", "mbr", "partition", "pit", "ptable", "super"];

/// One step that can be begun.
#[derive(Debug)]
pub(super) struct Looked {
    /// With its slot, where it has one.
    pub(super) partition: Partition,
    /// What is written; none where it is erased.
    pub(super) image: Option<ImageFile>,
}

/// Looks at steps. Reads files and asks variables; writes nothing.
pub(super) async fn look(
    device: &DeviceName,
    client: &mut Client,
    steps: &[PartitionWork],
) -> Result<Vec<Looked>, Box<Problem>> {
    let failed = |error: ClientError| Box::new(problems::bootloader_failed(device, &error));
    let most = client.max_download_size().await.map_err(failed)?;
    let mut looked = Vec::new();
    for step in steps {
        let (name, image) = match step {
            PartitionWork::Erase { partition } => (partition, None),
            PartitionWork::Flash { partition, file } => {
                let opened = ImageFile::open(&file.path, most).await;
                (partition, Some(opened.map_err(|error| problems::not_to_write(device, &file.said, &error))?))
            }
        };
        let partition = name.parse().map_err(|error| problems::no_partition(device, name, &error))?;
        looked.push(Looked { partition, image });
    }
    // All files first: they cost the device nothing.
    let mut sizes_hold = true;
    for (step, Looked { partition, image }) in steps.iter().zip(&mut looked) {
        *partition = client.in_active_slot(partition).await.map_err(failed)?;
        if let (true, PartitionWork::Flash { file, .. }, Some(image)) = (sizes_hold, step, image) {
            let writes = image.writes();
            // One that is not told, or told as nothing, refuses nothing.
            let size = client.partition_size(partition).await.map_err(failed)?.filter(|size| *size > 0);
            if let Some(size) = size.filter(|size| writes > *size)
                // It is made as large as it must be.
                && !client.is_logical(partition).await.map_err(failed)?
            {
                return Err(Box::new(problems::larger_than(device, partition, size, &file.said, writes)));
            }
        }
        sizes_hold &= !LAYS_OUT.iter().any(|name| partition.as_str().starts_with(name));
    }
    Ok(looked)
}
