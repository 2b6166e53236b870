//! Tools that PlatformIO installed with a core: they have other names there than the core's recipes ask for.

use std::path::Path;

use super::search::{Found, TOOL_WITH};
use crate::cores::{OwnCore, Places};
use crate::properties::{Table, split_command};

/// Before the name of a tool whose place a recipe asks for.
pub(super) const TOOL: &str = "{runtime.tools.";
/// The recipe by which a core's compiler is known.
pub(super) const CXX: &str = "recipe.cpp.o.pattern";
/// Of which recipes there are many: what is run beside compilers.
const RUN: &[&str] = &["recipe.objcopy.", "recipe.hooks."];
/// The others that are run.
const RECIPES: &[&str] =
    &[CXX, "recipe.c.o.pattern", "recipe.S.o.pattern", "recipe.ar.pattern", "recipe.c.combine.pattern"];

/// Whether a property is a command that a build runs.
fn is_recipe(key: &str) -> bool {
    RECIPES.contains(&key)
        || (key.ends_with(".pattern") && RUN.iter().any(|beginning| key.starts_with(beginning)))
}

/// PlatformIO's tools, for a core that it installed.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) places: Places,
    pub(super) core: OwnCore,
}

impl Shelf {
    /// A tool of PlatformIO's that recipes ask for and of which no place is known yet: the property that says where it is, and
    /// what it is to be. Takes down what was looked for.
    pub(super) fn missing(&self, table: &Table, looked_for: &mut Vec<Found>) -> Option<(String, String)> {
        let recipes: Vec<_> = table.iter().map(|(key, _)| key).filter(|key| is_recipe(key)).collect();
        let words = recipes.iter().flat_map(|key| split_command(&table.expanded(key).unwrap_or_default()));
        let mut look = |wanted: &str| {
            let found = self.places.tool_with(&self.core, wanted);
            let name = format!("{TOOL_WITH}{} {wanted}", self.core.name());
            let seen = Found { name, path: found.clone().unwrap_or_default() };
            if !looked_for.contains(&seen) {
                looked_for.push(seen);
            }
            found.map(|folder| folder.to_string_lossy().into_owned())
        };
        words.into_iter().find_map(|word| match word.split_once(TOOL) {
            Some((_, rest)) => {
                let (tool, wanted) = rest.split_once(".path}")?;
                Some((format!("runtime.tools.{tool}.path"), look(wanted.trim_start_matches('/'))?))
            }
            // Arduino's packaging writes names of tools into a core that has them below itself otherwise.
            None => {
                let below = self.core.folder.join("");
                let below = below.to_string_lossy();
                if !word.starts_with(&*below) || Path::new(&word).exists() {
                    return None;
                }
                let places = table.iter().filter_map(|(key, _)| Some((key, table.expanded(key)?)));
                let mut places: Vec<_> = places
                    .filter(|(_, place)| place.len() > below.len() && word.starts_with(place.as_str()))
                    .filter(|(_, place)| word.len() > place.len() && !Path::new(place).exists())
                    .collect();
                places.sort_by_key(|(_, place)| place.len());
                places.into_iter().find_map(|(key, place)| {
                    let rest = word[place.len()..].trim_start_matches('/');
                    let end = if place.ends_with('/') { "/" } else { "" };
                    let whole = look(rest).map(|folder| format!("{folder}{end}"));
                    let found =
                        whole.or_else(|| Some(format!("{}/bin{end}", look(&format!("bin/{rest}"))?)))?;
                    Some((key.to_owned(), found))
                })
            }
        })
    }
}
