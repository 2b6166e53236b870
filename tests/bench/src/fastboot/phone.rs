//! The phone, a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Failure;
use crate::programs::built_of;

/// It takes the image at once, and has a partition for it.
const OPTIONS: [&str; 8] = [
    "--tcp",
    "127.0.0.1:0",
    "--udp",
    "127.0.0.1:0",
    "--max-download=512M",
    "--partition=userdata=512M",
    "--slots=0",
    "--die-with-stdin",
];

/// A simulated phone. It ends with its standard input, also where nobody says so.
#[derive(Debug)]
pub(crate) struct Phone {
    child: Child,
    tcp: String,
    udp: String,
}

impl Phone {
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = built_of("farmhand-sim", "farmhand-sim")?;
        let mut command = Command::new(program);
        command.arg("fastboot").args(OPTIONS).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("its words are not to be had")?).lines();
        let (mut tcp, mut udp) = (None, None);
        for line in lines.by_ref() {
            match line?.split_once(' ') {
                Some(("tcp", at)) => tcp = Some(format!("tcp:{at}")),
                Some(("udp", at)) => udp = Some(format!("udp:{at}")),
                Some(_) => {}
                None => break,
            }
        }
        let (Some(tcp), Some(udp)) = (tcp, udp) else { return Err("the phone does not listen".into()) };
        // What it says from now on is nobody's, and must not fill the pipe.
        std::thread::spawn(move || lines.count());
        Ok(Self { child, tcp, udp })
    }

    /// Where it is, as `-s` takes it.
    pub(crate) fn tcp(&self) -> &str {
        &self.tcp
    }

    /// As above.
    pub(crate) fn udp(&self) -> &str {
        &self.udp
    }

    pub(crate) fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}
