//! What is larger than the device takes at once.

use std::io;

use std::path::Path;

use farmhand_sim::fastboot::{Phone, PhoneHandle, PhoneOptions};

use super::{Heard, asked, fault, noise, options, over_bus, plugged_in, sha256};
use crate::fastboot::{ClientError, Connection, ImageError, ImageFile, Piece, Pieces, PipeError};

/// Each piece is an image of its own here: what stands in it is the sparse format's.
struct Three(Vec<Vec<u8>>);

impl Pieces for Three {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn piece(&self, at: usize) -> io::Result<Piece> {
        let piece = self.0[at].clone();
        let len = u32::try_from(piece.len()).unwrap();
        Ok(Piece { len, writes: u64::from(len), source: Box::new(io::Cursor::new(piece)) })
    }
}

/// What is heard is of the whole.
#[tokio::test(start_paused = true)]
async fn a_partition_is_read_in_extents_of_what_the_phone_gives_at_once() {
    let fetched = async |max_fetch: u32, variables: &[(&str, &str)]| {
        let own = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let options = PhoneOptions { max_fetch, variables: own, ..options() };
        let phone = PhoneHandle::start(Phone::new(options).unwrap(), |_| {});
        let mut client = over_bus(&phone).await;
        let misc = "misc".parse().unwrap();
        let image = noise(8 << 20);
        let len = u32::try_from(image.len()).unwrap();
        client.download(Box::new(io::Cursor::new(image.clone())), len, &mut ()).await.unwrap();
        client.flash(&misc, None, &mut ()).await.unwrap();
        let (mut back, mut heard) = (Vec::new(), Heard::default());
        client.fetch_whole(&misc, &mut back, &mut heard).await.unwrap();
        assert!(back == image);
        assert_eq!(heard.moved.last(), Some(&(8 << 20, 8 << 20)));
        assert!(heard.moved.is_sorted() && heard.moved.iter().all(|(_, whole)| *whole == 8 << 20));
        asked(&phone).await.into_iter().filter(|asked| asked.starts_with("fetch")).collect::<Vec<_>>()
    };
    let parts = ["fetch:misc:0x00000000:0x00300000", "fetch:misc:0x00300000:0x00300000"];
    let last = "fetch:misc:0x00600000:0x00200000";
    assert_eq!(fetched(3 << 20, &[]).await, [parts[0], parts[1], last]);
    // Some tell no sizes: all of it is asked for, and the device says what it thinks of that.
    assert_eq!(fetched(16 << 20, &[("partition-size:misc", "")]).await, ["fetch:misc"]);
    assert_eq!(fetched(16 << 20, &[("max-fetch-size", "0")]).await, ["fetch:misc"]);
}

#[tokio::test(start_paused = true)]
async fn pieces_are_written_in_order_and_go_on_where_they_were() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    let three = Three(vec![noise(70_000), noise(20_000), noise(5)]);
    fault(&phone, "fail download:00004e20 busy").await;
    let mut written = Vec::new();
    let misc = "misc".parse().unwrap();
    let mut tell = |at| written.push(at);
    client.flash_pieces(&misc, &three, 0, &mut tell, &mut ()).await.unwrap_err();
    assert_eq!(client.connection(), Connection::Ready);
    client.flash_pieces(&misc, &three, 1, &mut tell, &mut ()).await.unwrap();
    assert_eq!(written, [0, 1, 2]);
    let wanted = [
        "download:00011170",
        "flash:misc",
        "download:00004e20",
        "download:00004e20",
        "flash:misc",
        "download:00000005",
        "flash:misc",
    ];
    assert_eq!(asked(&phone).await, wanted);
}

/// A phone that takes half a megabyte at once.
fn small() -> PhoneHandle {
    PhoneHandle::start(Phone::new(PhoneOptions { max_download: 512 << 10, ..options() }).unwrap(), |_| {})
}

async fn write(phone: &PhoneHandle, path: &Path) -> Result<usize, ClientError> {
    let mut client = over_bus(phone).await;
    let max = client.max_download_size().await.unwrap();
    let image = ImageFile::open(path, max).await.unwrap();
    let mut count = 0;
    let mut tell = |_| count += 1;
    client.flash_pieces(&"misc".parse().unwrap(), &image, 0, &mut tell, &mut ()).await?;
    Ok(count)
}

async fn on_it(phone: &PhoneHandle, len: usize) -> String {
    let sha = phone.call(move |phone| phone.partition_sha256("misc", Some(len as u64)));
    sha.await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn an_image_larger_than_the_device_takes_is_split_and_is_whole_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    // Data, zeros, data, and an end that is no whole block.
    let image = [noise(900_000), vec![0; 1 << 20], noise(300_000)].concat();
    std::fs::write(&path, &image).unwrap();
    let phone = small();
    let count = write(&phone, &path).await.unwrap();
    assert!(count >= 3, "{count}");
    assert_eq!(on_it(&phone, image.len()).await, sha256(&image));
    assert_eq!(phone.call(|phone| phone.counters().flashes).await.unwrap(), count as u64);
}

#[tokio::test]
async fn an_image_that_the_device_takes_is_sent_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let image = noise(300_001);
    std::fs::write(&path, &image).unwrap();
    let phone = small();
    assert_eq!(write(&phone, &path).await.unwrap(), 1);
    assert_eq!(on_it(&phone, image.len()).await, sha256(&image));
    assert!(asked(&phone).await.contains(&"download:000493e1".to_owned()));
}

#[tokio::test]
async fn an_image_that_becomes_shorter_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, noise(900_000)).unwrap();
    let phone = small();
    let mut client = over_bus(&phone).await;
    let image = ImageFile::open(&path, Some(512 << 10)).await.unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let misc = "misc".parse().unwrap();
    let error = client.flash_pieces(&misc, &image, 0, &mut |_| {}, &mut ()).await.unwrap_err();
    assert!(matches!(error, ClientError::Cut { error: PipeError::Source(_), .. }), "{error}");
    assert_eq!(phone.call(|phone| phone.counters().flashes).await.unwrap(), 0);
    assert_eq!(client.resynchronise().await.unwrap(), Connection::Ready);
}

#[tokio::test]
async fn what_is_no_image_is_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let missing = ImageFile::open(&path, None).await.unwrap_err();
    assert!(matches!(missing, ImageError::Unreadable { .. }), "{missing}");
    std::fs::write(&path, b"").unwrap();
    let empty = ImageFile::open(&path, None).await.unwrap_err();
    assert!(matches!(empty, ImageError::Empty(_)), "{empty}");
    std::fs::write(&path, [0x3a, 0xff, 0x26, 0xed, 1, 0]).unwrap();
    let cut = ImageFile::open(&path, None).await.unwrap_err();
    assert!(matches!(cut, ImageError::Sparse { .. }), "{cut}");
}
