//! Reading what is larger than the device gives at once: extent by extent.

use farmhand_wire::fastboot::{Command, Extent, Partition};
use tokio::io::AsyncWrite;

use super::commands::known;
use super::{Client, Listener};
use crate::fastboot::error::ClientError;

impl Client {
    /// How large a partition is, in bytes, where the device says so.
    pub async fn partition_size(&mut self, partition: &Partition) -> Result<Option<u64>, ClientError> {
        let asked = format!("partition-size:{partition}");
        let variable = asked
            .parse()
            .map_err(|error| ClientError::Command { command: format!("getvar:{asked}"), error })?;
        self.getvar_number(&variable).await
    }

    /// Reads a whole partition, and gives how many bytes it was: in extents of the device's `max-fetch-size`, as the tool
    /// people know. A device that tells neither that nor the partition's size is asked for all of it at once.
    pub async fn fetch_whole(
        &mut self,
        partition: &Partition,
        out: &mut (dyn AsyncWrite + Send + Unpin),
        hear: &mut dyn Listener,
    ) -> Result<u64, ClientError> {
        let most = self.getvar_number(&known("max-fetch-size")).await?.filter(|most| *most > 0);
        let size = self.partition_size(partition).await?.filter(|size| *size > 0);
        let (Some(most), Some(size)) = (most, size) else {
            return self.fetch(partition, Extent::All, out, hear).await;
        };
        let mut offset = 0;
        while offset < size {
            let len = most.min(size - offset);
            let extent = Extent::Part { offset, len };
            let mut part = PartOf { hear, before: offset, whole: size };
            let got = self.fetch(partition, extent, out, &mut part).await?;
            if got != len {
                let command = Command::Fetch { partition: partition.clone(), extent }.to_string();
                return Err(ClientError::Short { command, len: got, wanted: len });
            }
            offset += len;
        }
        Ok(size)
    }
}

/// Tells how far the whole is.
struct PartOf<'a> {
    hear: &'a mut dyn Listener,
    /// Bytes that came before it.
    before: u64,
    whole: u64,
}

impl Listener for PartOf<'_> {
    fn info(&mut self, line: &str) {
        self.hear.info(line);
    }

    fn text(&mut self, text: &str) {
        self.hear.text(text);
    }

    fn progress(&mut self, moved: u64, _len: u64) {
        self.hear.progress(self.before + moved, self.whole);
    }
}
