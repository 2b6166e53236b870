//! Whether a git server can be reached at all: who is offline is told within three seconds, and git itself waits for
//! minutes where nobody answers. What goes through a proxy, or by ssh, is left to those.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::Desk;
use crate::InstallError;

/// With what git itself takes to begin, this is below three seconds.
const CONNECT: Duration = Duration::from_millis(2400);
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

impl Desk<'_> {
    /// Refuses a repository whose server nobody reaches. `git` is the client.
    pub(super) async fn reach(&self, git: &Path, url: &str) -> Result<(), InstallError> {
        if PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|proxy| !proxy.is_empty())) {
            return Ok(());
        }
        let ask = |words: &[&str]| {
            let mut command = Command::new(git);
            command.args(words).current_dir("/").env_remove("GIT_DIR");
            command
        };
        // A person's own settings may put another in its place.
        let told = self.run("git", ask(&["ls-remote", "--get-url", "--", url])).await?;
        let url = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        let Some(server) = server_of(&url) else { return Ok(()) };
        if self.run("git", ask(&["config", "--get-urlmatch", "http.proxy", &url])).await.is_ok() {
            return Ok(());
        }
        let why = match timeout(CONNECT, TcpStream::connect(&server)).await {
            Ok(Ok(_reached)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not answer within {} s", CONNECT.as_secs_f32()),
        };
        Err(InstallError::Offline { package: self.name.to_owned(), detail: vec![format!("{server}: {why}")] })
    }
}

/// Host and port of a server that is spoken to without anything in between.
fn server_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        "git" => 9418,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
    let says_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if says_port { host.to_owned() } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_by_their_addresses() {
        for (url, server) in [
            ("https://x.org/a/b.git", Some("x.org:443")),
            ("https://me:secret@x.org:8443/a", Some("x.org:8443")),
            ("http://127.0.0.1:80", Some("127.0.0.1:80")),
            ("http://[::1]/a", Some("[::1]:80")),
            ("git://x.org/a", Some("x.org:9418")),
            ("ssh://git@x.org/a", None),
            ("git@x.org:a/b.git", None),
            ("file:///x", None),
        ] {
            assert_eq!(server_of(url).as_deref(), server, "{url}");
        }
    }
}
