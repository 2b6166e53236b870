//! What runs in the guest: one download, timed from its command to its answer; the seconds are the answer.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use farmhand_device::fastboot::{ImageFile, Pieces as _, connect, usb};
use farmhand_messages::fastboot::{Address, UsbIdentity};
use nusb::transfer::{Buffer, Bulk, In, Out};
use nusb::{Endpoint, MaybeFuture};

use crate::Failure;

/// As our client has them: bytes of a transfer, and transfers in flight.
const TRANSFER_LEN: usize = 1 << 20;
const IN_FLIGHT: usize = 4;
/// Only what hangs reaches it.
const LONG: Duration = Duration::from_secs(60);
/// Of any reply.
const REPLY_LEN: usize = 512;
/// The simulated phone's endpoints.
const ENDPOINTS: (u8, u8) = (0x81, 0x01);

/// `farmhand|bare SERIAL FILE`.
pub(crate) async fn in_the_guest(words: &[String]) -> ExitCode {
    let done = match words {
        [what, serial, file] if what == "farmhand" => ours(serial, file).await,
        [what, serial, file] if what == "bare" => bare(serial, file),
        _ => Err("farmhand|bare SERIAL FILE".into()),
    };
    match done {
        Ok(seconds) => {
            println!("{seconds}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn ours(serial: &str, file: &str) -> Result<f64, Failure> {
    let found = usb::list().await?;
    let found =
        found.into_iter().find(|found| found.serial.as_deref() == Some(serial)).ok_or("no such phone")?;
    let mut client = connect(&Address::Usb(found.port_path), &UsbIdentity::default()).await?;
    let whole = ImageFile::open(file.as_ref(), None).await?.piece(0)?;
    let begun = Instant::now();
    client.download(whole.source, whole.len, &mut ()).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Nothing but what must be done: no deadline, no progress, no error that is told apart.
fn bare(serial: &str, file: &str) -> Result<f64, Failure> {
    let mut listed = nusb::list_devices().wait()?;
    let info = listed.find(|info| info.serial_number() == Some(serial)).ok_or("no such phone")?;
    let interface = info.open().wait()?.claim_interface(0).wait()?;
    let mut bulk_in: Endpoint<Bulk, In> = interface.endpoint(ENDPOINTS.0)?;
    let mut bulk_out: Endpoint<Bulk, Out> = interface.endpoint(ENDPOINTS.1)?;
    let mut source = File::open(file)?;
    let len = source.metadata()?.len();
    let begun = Instant::now();
    bulk_out.submit(Buffer::from(format!("download:{len:08x}").as_bytes()));
    bulk_out.wait_next_complete(LONG).ok_or("no end")?.status?;
    reply(&mut bulk_in, "DATA")?;
    let mut free: Vec<_> = (0..IN_FLIGHT).map(|_| bulk_out.allocate(TRANSFER_LEN)).collect();
    let (mut read, mut sent) = (0, 0);
    while sent < len {
        while read < len
            && let Some(mut buffer) = free.pop()
        {
            let part = usize::try_from(len - read)?.min(TRANSFER_LEN);
            buffer.clear();
            source.read_exact(buffer.extend_fill(part, 0))?;
            read += part as u64;
            bulk_out.submit(buffer);
        }
        let done = bulk_out.wait_next_complete(LONG).ok_or("no end")?;
        done.status?;
        sent += done.actual_len as u64;
        free.push(done.buffer);
    }
    reply(&mut bulk_in, "OKAY")?;
    Ok(begun.elapsed().as_secs_f64())
}

fn reply(bulk_in: &mut Endpoint<Bulk, In>, begins: &str) -> Result<(), Failure> {
    bulk_in.submit(Buffer::new(REPLY_LEN));
    let done = bulk_in.wait_next_complete(LONG).ok_or("no end")?;
    done.status?;
    let text = String::from_utf8_lossy(&done.buffer[..done.actual_len]).into_owned();
    if text.starts_with(begins) { Ok(()) } else { Err(format!("the phone says {text:?}").into()) }
}
