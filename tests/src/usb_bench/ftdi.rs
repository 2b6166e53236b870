//! A serial adapter of the FTDI kind: QEMU's own `usb-serial`, its line a socket of ours.

use serde_json::json;
use tokio::net::UnixStream;

use super::bench::Bench;
use super::qmp::QmpError;

/// The adapter. What is written to its line while it is unplugged waits in the socket.
#[derive(Debug)]
pub struct Ftdi {
    name: String,
    serial: String,
    line: UnixStream,
}

impl Ftdi {
    /// With that USB serial number; not plugged in yet.
    pub async fn new(bench: &mut Bench, serial: &str) -> Result<Self, QmpError> {
        let name = format!("ftdi-{serial}");
        let path = bench.folder().join(&name);
        let address = json!({ "type": "unix", "data": { "path": path } });
        let backend = json!({ "type": "socket", "data": { "addr": address, "server": true, "wait": false } });
        bench.qmp().run("chardev-add", json!({ "id": name, "backend": backend })).await?;
        let line = UnixStream::connect(&path).await?;
        Ok(Self { name, serial: serial.to_owned(), line })
    }

    /// The far end of the line.
    pub fn line(&mut self) -> &mut UnixStream {
        &mut self.line
    }

    /// Plugs it into a port of the guest's controller (1 is the first).
    pub async fn plug(&self, bench: &mut Bench, port: u8) -> Result<(), QmpError> {
        let device = json!({
            "driver": "usb-serial",
            "id": self.name,
            "chardev": self.name,
            "serial": self.serial,
            "bus": "xhci.0",
            "port": port.to_string(),
        });
        bench.qmp().run("device_add", device).await.map(|_| ())
    }

    /// Pulls it out, and waits until QEMU has.
    pub async fn pull(&self, bench: &mut Bench) -> Result<(), QmpError> {
        bench.qmp().run("device_del", json!({ "id": self.name })).await?;
        let name = self.name.clone();
        bench.qmp().event("DEVICE_DELETED", |data| data["device"] == name.as_str()).await.map(|_| ())
    }
}
