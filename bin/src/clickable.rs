//! Compilers' words, as seen from where the person stands: they are told paths from the project's folder, and a path
//! that is clicked is one from the working folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What may stand before a path: gcc's and rustc's.
const LEADS: [&str; 3] = ["In file included from ", "from ", "--> "];

/// From where compilers speak, and how that folder is reached from the working folder.
#[derive(Debug, Clone)]
pub(crate) struct Viewpoint {
    project: PathBuf,
    /// With a slash behind it; empty where the person stands in the project.
    prefix: String,
}

impl Viewpoint {
    /// `project` (absolute), seen from the working folder.
    pub(crate) fn new(project: &Path) -> Self {
        let working = std::env::current_dir().and_then(|folder| folder.canonicalize()).unwrap_or_default();
        Self::from(project, &working)
    }

    fn from(project: &Path, working: &Path) -> Self {
        let path = match (project.strip_prefix(working), working.strip_prefix(project)) {
            (Ok(below), _) => below.to_owned(),
            (_, Ok(below)) => below.components().map(|_| "..").collect(),
            _ => project.to_owned(),
        };
        let prefix = path.display().to_string();
        let prefix = if prefix.is_empty() { prefix } else { format!("{}/", prefix.trim_end_matches('/')) };
        Self { project: project.to_owned(), prefix }
    }

    /// Text of a compiler with the paths at the beginning of its lines as they are reached from here; as written where
    /// that is the same.
    pub(crate) fn of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.prefix.is_empty() {
            return Cow::Borrowed(text);
        }
        text.split_inclusive('\n').map(|line| self.line(line)).collect::<String>().into()
    }

    /// The path (absolute) of a file that was said; as it was said where it is no file of the project's.
    pub(crate) fn whole(&self, file: &str) -> String {
        let path = self.project.join(file);
        if path.is_file() { path.display().to_string() } else { file.to_owned() }
    }

    fn line(&self, line: &str) -> String {
        let mut rest = uncoloured(line).trim_start();
        for lead in LEADS {
            rest = uncoloured(rest.strip_prefix(lead).unwrap_or(rest));
        }
        let before = &line[..line.len() - rest.len()];
        let path = rest.split_once(':').map(|(path, _)| Path::new(path));
        // What is no file of the project's is no path, or is one from elsewhere.
        let is_ours = |path: &Path| path.is_relative() && self.project.join(path).is_file();
        if path.is_some_and(is_ours) { format!("{before}{}{rest}", self.prefix) } else { line.to_owned() }
    }
}

/// Text behind the colours that it begins with.
fn uncoloured(text: &str) -> &str {
    let mut rest = text;
    while let Some(sequence) = rest.strip_prefix("\x1b[") {
        let Some(end) = sequence.find(|c: char| c.is_ascii_alphabetic()) else { break };
        rest = &sequence[end + 1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_that_can_be_clicked() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("p/blink");
        std::fs::create_dir_all(project.join("src")).unwrap();
        std::fs::write(project.join("blink.ino"), "").unwrap();
        std::fs::write(project.join("src/a.h"), "").unwrap();
        let said = "blink.ino: In function 'void loop()':\nblink.ino:3:5: error: no\n    3 |   x; // blink.ino:3\n\
                    In file included from src/a.h:1,\n                 from blink.ino:2:\n/usr/x.h:1:1: note: y\n\
                      --> src/a.h:1:2\ngone.c:1:1: z\nmake: *** [all] Error 1";
        let seen = |working: &Path| Viewpoint::from(&project, working).of(said).into_owned();
        assert_eq!(seen(&project), said, "as written");
        let from_above = seen(folder.path());
        insta::assert_snapshot!(from_above, @r"
        p/blink/blink.ino: In function 'void loop()':
        p/blink/blink.ino:3:5: error: no
            3 |   x; // blink.ino:3
        In file included from p/blink/src/a.h:1,
                         from p/blink/blink.ino:2:
        /usr/x.h:1:1: note: y
        --> p/blink/src/a.h:1:2
        gone.c:1:1: z
        make: *** [all] Error 1
        ");
        let coloured = "\x1b[01m\x1b[Kblink.ino:3:5:\x1b[m\x1b[K no\nIn file included from \x1b[01m\x1b[Kblink.ino:1\x1b[m:\n";
        assert_eq!(
            Viewpoint::from(&project, folder.path()).of(coloured),
            coloured.replace("blink.ino", "p/blink/blink.ino"),
        );
        assert!(seen(&project.join("src")).contains("\n../blink.ino:3:5:"));
        let elsewhere = format!("\n{}/blink.ino:3:5:", project.display());
        assert!(seen(Path::new("/elsewhere")).contains(&elsewhere));
    }
}
