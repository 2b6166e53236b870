//! A farm on another machine: the same frames, through ssh.

use std::process::Stdio;

use farmhand::protocol::ProblemClass;
use farmhand::transport::Client;
use tokio::process::{Child, Command};

use crate::failed::Failed;

/// The ssh that carries a connection; it ends with us.
pub(crate) struct Remote {
    _ssh: Child,
}

impl Remote {
    pub(crate) async fn connect(host: &str) -> Result<(Self, Client), Failed> {
        let Address { port, destination } = Address::parse(host)?;
        let mut command = Command::new("ssh");
        command.arg("-T");
        if let Some(port) = port {
            command.arg("-p").arg(port.to_string());
        }
        // `--`: a destination is never taken for an option.
        command.arg("--").arg(destination).args(["farmhand", "stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let spawned = command.spawn().map_err(|error| cannot(format!("start ssh: {error}")))?;
        let mut ssh = spawned;
        let (Some(stdin), Some(stdout)) = (ssh.stdin.take(), ssh.stdout.take()) else {
            return Err(cannot("start ssh: it has no pipes".into()));
        };
        let client = Client::over(tokio::io::join(stdout, stdin)).await;
        let client = client.map_err(|error| cannot(format!("{host}: {error}")))?;
        Ok((Self { _ssh: ssh }, client))
    }
}

fn cannot(message: String) -> Failed {
    let help = ["does `ssh HOST farmhand --version` work by itself?"];
    Failed::new(ProblemClass::Infra, "F833", message, &help)
}

struct Address<'a> {
    port: Option<u16>,
    destination: &'a str,
}

impl<'a> Address<'a> {
    /// `ssh://[user@]host[:port]`.
    fn parse(host: &'a str) -> Result<Self, Failed> {
        let wrong = || {
            let message = format!("FARMHAND_HOST: {host:?} is not ssh://[USER@]HOST[:PORT]");
            Failed::new(ProblemClass::Configuration, "F013", message, &[])
        };
        let rest = host.strip_prefix("ssh://").ok_or_else(wrong)?.trim_end_matches('/');
        let after_user = rest.rfind('@').map_or(0, |at| at + 1);
        let name = &rest[after_user..];
        // An address of IPv6 is written in brackets (RFC 3986, section 3.2.2).
        let colon = match name.rfind(']') {
            Some(bracket) => name[bracket..].find(':').map(|colon| bracket + colon),
            None => name.rfind(':'),
        };
        let (end, port) = match colon {
            Some(colon) => (after_user + colon, Some(name[colon + 1..].parse().map_err(|_| wrong())?)),
            None => (rest.len(), None),
        };
        let destination = &rest[..end];
        if destination.is_empty() || destination.ends_with('@') || destination.contains('/') {
            return Err(wrong());
        }
        Ok(Self { port, destination })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_destination_and_a_port() {
        let parse = |host| Address::parse(host).ok().map(|address| (address.destination, address.port));
        assert_eq!(parse("ssh://lab"), Some(("lab", None)));
        assert_eq!(parse("ssh://me@lab:2222/"), Some(("me@lab", Some(2222))));
        assert_eq!(parse("ssh://me@[::1]:22"), Some(("me@[::1]", Some(22))));
        assert_eq!(parse("ssh://[::1]"), Some(("[::1]", None)));
        for bad in ["lab", "ssh://", "ssh://me@", "ssh://lab:port", "ssh://lab/path"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
