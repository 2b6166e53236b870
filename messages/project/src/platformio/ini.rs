//! The lines of an INI file, as Python's `configparser` reads them with `#` and `;` for comments (Python documentation,
//! "configparser", "Supported INI File Structure" and "Customizing Parser Behaviour").

use thiserror::Error;

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which file: as the reader numbers them.
    pub file: usize,
    /// From one.
    pub line: usize,
}

/// What is no INI file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IniError {
    /// An option in front of the first section.
    #[error("an option before any [section]: {text:?}")]
    NoSection {
        /// Where.
        at: Place,
        /// The line.
        text: String,
    },
    /// A line that is neither a section, nor an option, nor a value's.
    #[error("neither [section] nor option = value: {text:?}")]
    NoOption {
        /// Where.
        at: Place,
        /// The line.
        text: String,
    },
    /// A section that was there, in one file.
    #[error("there is a section [{section}] already, in line {first}")]
    SectionAgain {
        /// Where.
        at: Place,
        /// Its name.
        section: String,
        /// The line of the first.
        first: usize,
    },
    /// An option that was there, in one section of one file.
    #[error("[{section}] has {option} already, in line {first}")]
    OptionAgain {
        /// Where.
        at: Place,
        /// Its section.
        section: String,
        /// Its name.
        option: String,
        /// The line of the first.
        first: usize,
    },
}

impl IniError {
    /// Where it is.
    #[must_use]
    pub fn at(&self) -> Place {
        match self {
            Self::NoSection { at, .. }
            | Self::NoOption { at, .. }
            | Self::SectionAgain { at, .. }
            | Self::OptionAgain { at, .. } => *at,
        }
    }
}

/// An option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// In small letters.
    pub(super) option: String,
    /// Its lines, those that are empty too.
    pub(super) value: String,
    /// Of its name.
    pub(super) at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) entries: Vec<Entry>,
}

/// What a file says, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ini {
    pub(super) sections: Vec<Section>,
}

impl Ini {
    /// Reads it. `file`: its number, for [`Place`]s.
    pub fn parse(text: &str, file: usize) -> Result<Self, IniError> {
        let mut reader = Reader { file, ini: Self::default(), option_indent: None };
        for (nth, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            reader.line(nth + 1, line)?;
        }
        for entry in reader.ini.sections.iter_mut().flat_map(|section| &mut section.entries) {
            entry.value.truncate(entry.value.trim_end().len());
        }
        Ok(reader.ini)
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

impl Section {
    pub(super) fn entry(&self, option: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.option == option)
    }
}

struct Reader {
    file: usize,
    ini: Ini,
    /// Where the name of the option begins that lines which begin further right go on with.
    option_indent: Option<usize>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let at = Place { file: self.file, line: number };
        let (text, has_comment) = without_comment(line);
        let trimmed = text.trim();
        if trimmed.is_empty() {
            // An empty line is part of a value; one that was a comment is not.
            if let (false, Some(entry)) = (has_comment, self.open_entry()) {
                entry.value.push('\n');
            }
            return Ok(());
        }
        let indent = line.len() - line.trim_start().len();
        if self.option_indent.is_some_and(|option| indent > option)
            && let Some(entry) = self.open_entry()
        {
            entry.value.push('\n');
            entry.value.push_str(trimmed);
            return Ok(());
        }
        self.option_indent = None;
        if let Some(name) = header(trimmed) {
            return self.section(at, name);
        }
        self.option(at, indent, trimmed)
    }

    fn open_entry(&mut self) -> Option<&mut Entry> {
        self.option_indent?;
        self.ini.sections.last_mut()?.entries.last_mut()
    }

    fn section(&mut self, at: Place, name: &str) -> Result<(), IniError> {
        if let Some(first) = self.ini.section(name) {
            return Err(IniError::SectionAgain { at, section: name.to_owned(), first: first.at.line });
        }
        self.ini.sections.push(Section { name: name.to_owned(), at, entries: Vec::new() });
        Ok(())
    }

    fn option(&mut self, at: Place, indent: usize, text: &str) -> Result<(), IniError> {
        let Some(section) = self.ini.sections.last_mut() else {
            return Err(IniError::NoSection { at, text: text.to_owned() });
        };
        let split = text.split_once(['=', ':']).map(|(option, value)| (option.trim_end(), value.trim()));
        let Some((option, value)) = split.filter(|(option, _)| !option.is_empty()) else {
            return Err(IniError::NoOption { at, text: text.to_owned() });
        };
        let option = option.to_lowercase();
        if let Some(first) = section.entry(&option) {
            let (section, first) = (section.name.clone(), first.at.line);
            return Err(IniError::OptionAgain { at, section, option, first });
        }
        section.entries.push(Entry { option, value: value.to_owned(), at });
        self.option_indent = Some(indent);
        Ok(())
    }
}

/// `[name]`, and whatever stands behind the last bracket.
fn header(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.rfind(']')?;
    Some(&inner[..end]).filter(|name| !name.is_empty())
}

/// A comment begins a line, or stands behind a space.
fn without_comment(line: &str) -> (&str, bool) {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if matches!(c, '#' | ';') && before.is_whitespace() {
            return (&line[..at], true);
        }
        before = c;
    }
    (line, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(ini: &'a Ini, section: &str, option: &str) -> &'a str {
        &ini.section(section).unwrap().entry(option).unwrap().value
    }

    #[test]
    fn values_over_several_lines_and_comments_among_them() {
        let text = "[env:a]  ; the first\nBuild_Flags =\n    -D A=1 ; one\n    ; none\n    -D B#2\n\n    -D C:3\n\nboard: uno\n";
        let ini = Ini::parse(text, 0).unwrap();
        assert_eq!(value(&ini, "env:a", "build_flags"), "\n-D A=1\n-D B#2\n\n-D C:3");
        assert_eq!(value(&ini, "env:a", "board"), "uno");
        assert_eq!(ini.section("env:a").unwrap().entry("board").unwrap().at, Place { file: 0, line: 9 });
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let wrong = |text: &str| Ini::parse(text, 3).unwrap_err();
        assert!(matches!(wrong("a = 1"), IniError::NoSection { at: Place { file: 3, line: 1 }, .. }));
        assert!(matches!(wrong("[a]\nb = 1\n\nword"), IniError::NoOption { at: Place { line: 4, .. }, .. }));
        assert!(matches!(wrong("[a]\n= 1"), IniError::NoOption { .. }));
        assert!(matches!(wrong("[a]\n[b]\n[a]"), IniError::SectionAgain { first: 1, .. }));
        assert!(matches!(wrong("[a]\nB = 1\nb = 2"), IniError::OptionAgain { first: 2, .. }));
        assert_eq!(wrong("[a]\nB = 1\nb = 2").at().line, 3);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[ \\t\\[\\]a-c=:;#\\n]{0,60}") {
            let _read = Ini::parse(&text, 0);
        }
    }
}
