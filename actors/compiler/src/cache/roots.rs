//! Paths that do not depend on where a project or a package lies.

/// Stands around a root's name in a hidden text: no path or argument holds it.
const MARK: char = '\u{1}';

/// Folders with a name each. What is said relative to them is the same on every machine and in every project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots(Vec<(String, String)>);

impl Roots {
    /// None yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Names a folder (absolute).
    pub(crate) fn add(&mut self, name: &str, folder: &std::path::Path) {
        let folder = folder.to_string_lossy().trim_end_matches('/').to_owned();
        if folder.len() > 1 {
            self.0.push((folder, name.to_owned()));
            // The deepest folder first: the build folder lies in the project's.
            self.0.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.cmp(b)));
        }
    }

    /// `text` with every path below a root named by it.
    #[must_use]
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (folder, name) in &self.0 {
            if text.contains(folder.as_str()) {
                text = replace_whole(&text, folder, &format!("{MARK}{name}{MARK}"));
            }
        }
        text
    }

    /// The other way round. `None` where it names a root that there is not here.
    #[must_use]
    pub(crate) fn show(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for (folder, name) in &self.0 {
            if text.contains(MARK) {
                text = text.replace(&format!("{MARK}{name}{MARK}"), folder);
            }
        }
        (!text.contains(MARK)).then_some(text)
    }
}

/// Replaces `folder` where a whole path component ends with it.
fn replace_whole(text: &str, folder: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let after = &rest[at + folder.len()..];
        let goes_on = after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
        out.push_str(&rest[..at]);
        out.push_str(if goes_on { folder } else { with });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn hides_and_shows() {
        let mut roots = Roots::new();
        roots.add("project", Path::new("/home/a/p"));
        roots.add("build", Path::new("/home/a/p/.farmhand/build/"));
        let text = "-I/home/a/p/src -o /home/a/p/.farmhand/build/x.o /home/a/p2/y /home/a/p: /home/a/p";
        let hidden = roots.hide(text);
        assert!(!hidden.contains("/home/a/p/"), "{hidden}");
        assert!(hidden.contains("/home/a/p2/y"), "another folder with the same beginning");
        assert_eq!(roots.show(&hidden).as_deref(), Some(text));
        let mut elsewhere = Roots::new();
        elsewhere.add("project", Path::new("/q"));
        assert_eq!(elsewhere.show(&hidden), None, "it has no build folder");
        elsewhere.add("build", Path::new("/b"));
        assert_eq!(elsewhere.show(&hidden).as_deref(), Some("-I/q/src -o /b/x.o /home/a/p2/y /q: /q"));
    }
}
