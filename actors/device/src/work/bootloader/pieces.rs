//! An image as a device takes it: at once, or as sparse pieces of what it takes at once.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use farmhand_image::android::{FileKind, KIND_BYTES, classify};
use farmhand_image::sparse::{self, Map, SparseError};
use farmhand_messages::device::KeptFile;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::fastboot::{Piece, Pieces};

/// So much is read of a file at once.
const READ_BYTES: usize = 256 << 10;
/// Reads that may wait for the device: 2 MiB.
const READS_AHEAD: usize = 8;

/// Why an image is not cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutError {
    /// It cannot be read.
    #[error("its image is not kept any more: {0}; run it again")]
    Read(#[from] io::Error),
    /// It is no good sparse image, or the device takes too little.
    #[error(transparent)]
    Sparse(#[from] SparseError),
}

/// The pieces of a file. `most`: bytes that the device takes at once, where it says so.
pub(super) async fn of(file: &KeptFile, most: Option<u64>) -> Result<Box<dyn Pieces>, CutError> {
    let most = most.unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX));
    let path = file.path.clone();
    if let Ok(len) = u32::try_from(file.bytes)
        && file.bytes <= most
    {
        return Ok(Box::new(Whole { path, len }));
    }
    let cut = tokio::task::spawn_blocking(move || {
        let map = map(&path)?;
        Ok(Cut { pieces: Arc::new(map.pieces(most)?), path })
    });
    let cut: Result<Cut, CutError> = cut.await.unwrap_or_else(|panic| Err(io::Error::other(panic).into()));
    Ok(Box::new(cut?))
}

fn map(path: &Path) -> Result<Map, CutError> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(KIND_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(match classify(&head) {
        FileKind::Sparse => Map::of_sparse(&mut file)?,
        _ => Map::of_raw(&mut io::BufReader::with_capacity(READ_BYTES, file))?,
    })
}

/// All of it at once.
#[derive(Debug)]
struct Whole {
    path: PathBuf,
    len: u32,
}

#[async_trait]
impl Pieces for Whole {
    fn count(&self) -> usize {
        1
    }

    async fn piece(&mut self, _at: usize) -> io::Result<Piece<'_>> {
        let file = File::open(&self.path)?;
        Ok(Piece { len: self.len, writes: u64::from(self.len), source: Box::new(Ahead::of(file)) })
    }
}

/// Pieces of it.
#[derive(Debug)]
struct Cut {
    path: PathBuf,
    pieces: Arc<Vec<sparse::Piece>>,
}

#[async_trait]
impl Pieces for Cut {
    fn count(&self) -> usize {
        self.pieces.len()
    }

    async fn piece(&mut self, at: usize) -> io::Result<Piece<'_>> {
        let (file, pieces) = (File::open(&self.path)?, self.pieces.clone());
        let bytes = pieces[at].bytes();
        let len = u32::try_from(bytes).map_err(|_| io::Error::other("a piece of more than 4 GiB"))?;
        let source = Box::new(Ahead::new(move |give| give_all(&mut pieces[at].reader(file), give)));
        Ok(Piece { len, writes: bytes, source })
    }
}

type Give<'a> = &'a mut dyn FnMut(io::Result<Bytes>) -> bool;

/// Reads to the end, as long as somebody takes it.
fn give_all(reader: &mut dyn Read, give: Give<'_>) {
    loop {
        let mut piece = vec![0; READ_BYTES];
        match reader.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => {
                piece.truncate(read);
                if !give(Ok(piece.into())) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                give(Err(error));
                return;
            }
        }
    }
}

/// What a thread reads ahead of the device. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    read: mpsc::Receiver<io::Result<Bytes>>,
    now: Bytes,
}

impl Ahead {
    /// A file, to its end.
    pub(super) fn of(mut file: File) -> Self {
        Self::new(move |give| give_all(&mut file, give))
    }

    fn new(work: impl FnOnce(Give<'_>) + Send + 'static) -> Self {
        let (to, read) = mpsc::channel(READS_AHEAD);
        tokio::task::spawn_blocking(move || work(&mut |piece| to.blocking_send(piece).is_ok()));
        Self { read, now: Bytes::new() }
    }
}

impl AsyncRead for Ahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.now.is_empty() {
            match ready!(self.read.poll_recv(cx)) {
                Some(piece) => self.now = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let some = self.now.len().min(buffer.remaining());
        buffer.put_slice(&self.now[..some]);
        self.now.advance(some);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use farmhand_records::ContentHash;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_is_cut_is_whole_again_on_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system.img");
        let image: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7 % 251) as u8).collect();
        std::fs::write(&path, &image).unwrap();
        let file = KeptFile { path, hash: ContentHash([0; 32]), bytes: image.len() as u64 };
        let mut whole = of(&file, None).await.unwrap();
        assert_eq!(whole.count(), 1);
        let mut read = Vec::new();
        whole.piece(0).await.unwrap().source.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, image);

        let most = 1 << 20;
        let mut cut = of(&file, Some(most)).await.unwrap();
        assert!(cut.count() > 2);
        let mut device = Cursor::new(Vec::new());
        for at in 0..cut.count() {
            let mut piece = cut.piece(at).await.unwrap();
            let mut bytes = Vec::new();
            piece.source.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes.len(), piece.len as usize);
            assert!(bytes.len() as u64 <= most);
            sparse::expand(&mut Cursor::new(bytes), &mut device, 1 << 23).unwrap();
        }
        assert_eq!(&device.into_inner()[..image.len()], image);
    }
}
