//! A tree that `make` builds by farmhand's own commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Farmhand;
use crate::Failure;
use crate::set_up::Tool;

/// A project with a Makefile.
pub(crate) struct MakeTree {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    jobs: &'static str,
    made: Vec<PathBuf>,
    /// How many commands there are.
    pub(crate) commands: usize,
    /// What goes on the device.
    pub(crate) artifact: PathBuf,
}

impl MakeTree {
    pub(crate) async fn plan(ours: &Farmhand, project: &Path, jobs: &'static str) -> Result<Self, Failure> {
        let planned = ours.commands(project).await?;
        let last = planned
            .commands
            .iter()
            .find(|command| command.output.extension().is_some_and(|end| end == "hex"));
        let artifact = last.ok_or("no command makes a hex file")?.output.clone();
        let mut rules = format!("{}: {}\n", word("all"), path(&artifact)?);
        let mut includes = String::new();
        let mut made = Vec::new();
        for command in &planned.commands {
            if let Some(folder) = command.output.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let inputs: Result<Vec<_>, _> = command.inputs.iter().map(|input| path(input)).collect();
            writeln!(rules, "{}: {}", path(&command.output)?, inputs?.join(" "))?;
            let line =
                std::iter::once(text(&command.program)?).chain(command.args.iter().map(String::as_str));
            let line: Vec<_> = line.map(quoted).collect();
            writeln!(rules, "\t@{}", line.join(" "))?;
            if let Some(depfile) = &command.depfile {
                // Depfiles name the output as the compiler was told it, relative to the folder, and so does the rule.
                writeln!(includes, "-include {}", path(depfile)?)?;
                made.push(depfile.clone());
            }
            made.push(command.output.clone());
        }
        let relative = format!("{}/", text(&planned.folder)?);
        std::fs::write(planned.folder.join("Makefile"), (rules + &includes).replace(&relative, ""))?;
        Ok(Self {
            commands: planned.commands.len(),
            folder: planned.folder,
            environment: planned.environment,
            jobs,
            made,
            artifact,
        })
    }

    /// Removes all that was made.
    pub(crate) fn clean(&self) -> Result<(), Failure> {
        for path in &self.made {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// `make`, with the environment that farmhand gives its compilers.
    pub(crate) fn make(&self, make: &Tool) -> Command {
        let mut command = make.command();
        let own: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command.env_clear().envs(&self.environment).envs(own);
        command.args(["-j", self.jobs]).current_dir(&self.folder);
        command
    }
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()).into())
}

fn path(path: &Path) -> Result<String, Failure> {
    text(path).map(word)
}

/// As `make` reads a name.
fn word(text: &str) -> String {
    text.replace('$', "$$").replace(' ', "\\ ").replace('#', "\\#").replace(':', "\\:")
}

/// As the shell reads a word, in a recipe.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''")).replace('$', "$$")
}
