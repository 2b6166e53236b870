//! What a person types, key by key; or what is piped in.

use std::io::{IsTerminal as _, stdin};

use bytes::Bytes;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::args::Eol;
use crate::streams;

/// Leaves the monitor, as in other tools (telnet's escape).
const CTRL_BRACKET: u8 = 0x1d;
/// One read: a pasted page; a frame holds much more.
const READ_BYTES: usize = 16 << 10;

/// Stdin. On a terminal each key goes out at once and is not echoed: the board does that.
pub(super) struct Input {
    stdin: Option<File>,
    eol: Eol,
    keys: Option<KeyByKey>,
}

impl Input {
    pub(super) fn new(eol: Eol) -> Self {
        Self { stdin: streams::stdin().ok(), eol, keys: KeyByKey::begin() }
    }

    pub(super) fn none() -> Self {
        Self { stdin: None, eol: Eol::Lf, keys: None }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.keys.is_some()
    }

    /// What comes next; none where the person leaves. At the end of a pipe nothing comes any more.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let Some(stdin) = &mut self.stdin else { return std::future::pending().await };
            let mut bytes = vec![0; READ_BYTES];
            match stdin.read(&mut bytes).await {
                Ok(0) | Err(_) => self.stdin = None,
                Ok(_) if self.keys.is_some() && bytes.contains(&CTRL_BRACKET) => return None,
                Ok(count) => return Some(with_ends(&bytes[..count], self.eol)),
            }
        }
    }
}

/// Lines end as the board wants it.
fn with_ends(bytes: &[u8], eol: Eol) -> Bytes {
    let end: &[u8] = match eol {
        Eol::Lf => return Bytes::copy_from_slice(bytes),
        Eol::Cr => b"\r",
        Eol::Crlf => b"\r\n",
    };
    bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(end).into()
}

/// The terminal, without lines and without an echo. Given back as it was on drop; signals stay.
struct KeyByKey {
    was: Termios,
}

impl KeyByKey {
    fn begin() -> Option<Self> {
        if !stdin().is_terminal() {
            return None;
        }
        let was = tcgetattr(stdin()).ok()?;
        let mut now = was.clone();
        now.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        tcsetattr(stdin(), OptionalActions::Now, &now).ok()?;
        Some(Self { was })
    }
}

impl Drop for KeyByKey {
    fn drop(&mut self) {
        let _it_has_gone = tcsetattr(stdin(), OptionalActions::Now, &self.was);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_board_wants_it() {
        assert_eq!(with_ends(b"a\nb\n", Eol::Crlf), "a\r\nb\r\n");
        assert_eq!(with_ends(b"a\n", Eol::Cr), "a\r");
        assert_eq!(with_ends(b"a\n", Eol::Lf), "a\n");
    }
}
