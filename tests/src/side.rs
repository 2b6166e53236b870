//! Projects of PlatformIO's for this machine.

use std::process::Command;

use crate::Desk;

/// Projects side by side, which share a cache.
#[derive(Debug)]
pub struct Side {
    /// Where they are.
    pub desk: Desk,
}

impl Side {
    /// None yet.
    #[must_use]
    pub fn ready() -> Self {
        Self { desk: Desk::ready() }
    }

    /// Writes a project of one environment, with these options.
    pub fn project(&self, name: &str, options: &str, files: &[(&str, &str)]) {
        let ini = format!("[env:one]\nplatform = native\n{options}");
        for (file, text) in [("platformio.ini", &*ini)].iter().chain(files) {
            self.desk.write(&format!("{name}/{file}"), text);
        }
    }

    /// Builds a project, and runs what came of it: what it says.
    pub async fn says(&self, name: &str) -> String {
        self.desk.run(["build", name]).await.expect(0);
        let program = self.desk.work().join(name).join(".farmhand/builds/one/program");
        String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap()
    }
}
