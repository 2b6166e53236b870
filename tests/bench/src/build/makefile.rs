//! A tree that `make` builds by farmhand's own commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Farmhand;
use crate::Failure;
use crate::set_up::Tool;

/// A command, and its words as they are run.
struct Step {
    command: farmhand_compiler::Command,
    words: Vec<String>,
}

/// A project with a Makefile.
pub(crate) struct MakeTree {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    jobs: &'static str,
    made: Vec<PathBuf>,
    steps: Vec<Step>,
    /// How many commands there are.
    pub(crate) commands: usize,
    /// What goes on the device.
    pub(crate) artifact: PathBuf,
}

impl MakeTree {
    pub(crate) async fn plan(ours: &Farmhand, project: &Path, jobs: &'static str) -> Result<Self, Failure> {
        Self::plan_with(ours, project, jobs, None).await
    }

    /// With a program before each compiler, such as `ccache`.
    pub(crate) async fn plan_with(
        ours: &Farmhand,
        project: &Path,
        jobs: &'static str,
        before: Option<&Path>,
    ) -> Result<Self, Failure> {
        let planned = ours.commands(project).await?;
        let mut steps = Vec::new();
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
            let mut words: Vec<String> = Vec::new();
            if let (Some(before), true) = (before, command.depfile.is_some()) {
                words.push(text(before)?.to_owned());
            }
            words.push(text(&command.program)?.to_owned());
            words.extend(command.args.iter().cloned());
            let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            steps.push(Step { command: command.clone(), words });
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
            steps,
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

    /// Writes the same graph for ninja.
    pub(crate) fn write_ninja(&self) -> Result<(), Failure> {
        let mut text = String::from(
            "rule run\n  command = $line\nrule compile\n  command = $line\n  depfile = $dep\n  deps = gcc\n",
        );
        let relative = format!("{}/", self.folder.display());
        let name = |path: &Path| -> Result<String, Failure> {
            Ok(self::text(path)?
                .replace(&relative, "")
                .replace('$', "$$")
                .replace(' ', "$ ")
                .replace(':', "$:"))
        };
        for Step { command, words } in &self.steps {
            let inputs: Result<Vec<_>, _> = command.inputs.iter().map(|input| name(input)).collect();
            let rule = if command.depfile.is_some() { "compile" } else { "run" };
            writeln!(text, "build {}: {rule} {}", name(&command.output)?, inputs?.join(" "))?;
            let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            // `make` has doubled the dollars: ninja wants that too.
            writeln!(text, "  line = {}", line.join(" "))?;
            if let Some(depfile) = &command.depfile {
                writeln!(text, "  dep = {}", name(depfile)?)?;
            }
        }
        Ok(std::fs::write(self.folder.join("build.ninja"), text)?)
    }

    /// `ninja`, likewise.
    pub(crate) fn ninja(&self, ninja: &Path) -> Command {
        let mut command = Command::new(ninja);
        command.env_clear().envs(&self.environment);
        command.args(["-j", self.jobs]).current_dir(&self.folder);
        command
    }

    /// The commands that follow from a change of the sketch itself, in their order: compile, link, convert.
    pub(crate) fn after_an_edit(&self) -> Vec<Command> {
        let is_of_the_sketch = |step: &&Step| {
            let names = |end: &str| step.command.output.to_string_lossy().ends_with(end);
            names(".ino.cpp.o") || names(".elf") || names(".hex")
        };
        let command = |step: &Step| {
            let mut command = Command::new(&step.words[0]);
            command.args(&step.words[1..]).env_clear().envs(&self.environment).current_dir(&self.folder);
            command
        };
        self.steps.iter().filter(is_of_the_sketch).map(command).collect()
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
