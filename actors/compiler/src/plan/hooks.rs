//! What a person's core has run beside compilers (Arduino platform specification, "Pre and post build hooks"; `recipe.objcopy.*`): of
//! what it reads and makes nothing is known, so it is run in every build that has anything to do, at its place, and kept nowhere.

use std::path::PathBuf;

use farmhand_messages::compiler::BuildWish;
use farmhand_records::v1::Source;

use super::arduino::{Planner, Sketch};
use super::environment::FIRMWARE;
use super::extras::Extras;
use super::recipes::Recipes;
use super::scan::scan;
use super::{Action, CoreKit, Kind, Layout, Tools};
use crate::BuildError;
use crate::cache::Sources;
use crate::properties::split_command;

/// A program that a core has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The recipe's name: `recipe.hooks.prebuild.1.pattern`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

/// The hooks that come before all else.
pub(crate) fn hooks_before_all(
    wish: &BuildWish,
    layout: &Layout,
    tools: &Tools,
    kit: &CoreKit,
) -> Result<Vec<Hook>, BuildError> {
    let mut sources = Sources::new();
    let of = match &wish.build.source {
        Source::Environment(of) => Some(&**of),
        _ => None,
    };
    let planner = Planner::with_properties(wish, of, tools, kit, layout, &mut sources)?;
    let name = match &wish.build.source {
        Source::Sketch(_) | Source::Profile(_) => {
            let scan = scan(&mut Sources::new(), &layout.source, &layout.build)?;
            Sketch::of(&layout.source, &scan)?.name()
        }
        _ => FIRMWARE.to_owned(),
    };
    let mut recipes = planner.recipes(name, Extras::default());
    planner.core_folders(&mut recipes)?;
    Ok(recipes.hooks("recipe.hooks.prebuild"))
}

impl Recipes<'_> {
    /// The recipes whose names begin so, in the order of their names.
    pub(crate) fn hooks(&self, begin: &str) -> Vec<Hook> {
        let table = self.whole_paths();
        let is_it = |key: &&str| {
            key.strip_prefix(begin).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".pattern"))
        };
        let mut names: Vec<_> = table.iter().map(|(key, _)| key).filter(is_it).collect();
        names.sort_unstable();
        let hook = |name: &str| {
            let mut words = split_command(&table.expanded(name)?).into_iter();
            Some(Hook { name: name.to_owned(), program: PathBuf::from(words.next()?), args: words.collect() })
        };
        names.into_iter().filter_map(hook).collect()
    }
}

impl Hook {
    /// Files that its words name: of what it reads no more is known. A word may be a shell's whole line.
    fn files(&self, layout: &Layout) -> impl Iterator<Item = PathBuf> {
        let plain = |word: &String| word.replace(['"', '\''], "");
        let words: Vec<_> =
            self.args.iter().chain([&self.program.to_string_lossy().into_owned()]).map(plain).collect();
        let paths = words
            .iter()
            .flat_map(|word| word.split([' ', ';', '<', '>', '=', ',', '&', '|', '(', ')', '`', '@']))
            .filter(|word| !word.is_empty())
            .map(|word| layout.whole(word))
            .filter(|path| path.is_file() && !path.starts_with(&layout.build));
        paths.collect::<Vec<_>>().into_iter()
    }
}

impl Planner<'_> {
    /// Takes down what hooks read, as far as it is known: a build is not unchanged where that is not.
    fn note_hooks(&mut self, recipes: &Recipes<'_>) {
        for hook in ["recipe.hooks", "recipe.objcopy"].into_iter().flat_map(|begin| recipes.hooks(begin)) {
            for file in hook.files(self.layout) {
                let _what_cannot_be_read_is_the_hooks_to_say = self.sources.hash(&file);
            }
        }
    }

    /// Has a stage's hooks run behind all that is planned so far, and before all that comes.
    pub(crate) fn stage(&mut self, recipes: &Recipes<'_>, stage: &str) {
        if self.kit.is_own {
            self.run_behind_all(recipes.hooks(&format!("recipe.hooks.{stage}")));
        }
    }

    fn run_behind_all(&mut self, hooks: Vec<Hook>) {
        for Hook { name, program, args } in hooks {
            let at = self.actions.len();
            self.actions.push(Action {
                kind: Kind::Hook,
                // It makes no file of this name.
                output: self.layout.build.join("hooks").join(&name),
                what: name,
                program,
                args,
                sources: Vec::new(),
                from: (0..at).collect(),
                depfile: None,
                sees_project: true,
                cost: 1,
            });
            self.barrier = vec![at];
        }
    }

    /// Adds the link and all that a core has run behind it: the actions whose outputs are the linked program, and what goes on the
    /// device: an Intel HEX file where one is wanted and the core makes one.
    pub(crate) fn ending(
        &mut self,
        recipes: &Recipes<'_>,
        objects: &[usize],
        archive: Option<usize>,
        wants_hex: bool,
    ) -> Result<(usize, usize), BuildError> {
        self.stage(recipes, "linking.prelink");
        let mut link = recipes.link(&self.actions, objects, archive)?;
        link.from.extend(self.barrier.iter().copied());
        self.actions.push(link);
        let linked = self.actions.len() - 1;
        self.stage(recipes, "linking.postlink");
        self.stage(recipes, "objcopy.preobjcopy");
        let hex =
            recipes.hex(linked).filter(|_| wants_hex && (!self.kit.is_own || recipes.is_hex_for_device()));
        if let Some(mut hex) = hex {
            hex.from.extend(self.barrier.iter().copied());
            self.actions.push(hex);
        }
        let artifact = self.actions.len() - 1;
        let has_hex = self.actions[artifact].kind == Kind::Convert;
        if self.kit.is_own {
            self.note_hooks(recipes);
            let mut others = recipes.hooks("recipe.objcopy");
            others.retain(|hook| !has_hex || hook.name != "recipe.objcopy.hex.pattern");
            self.run_behind_all(others);
            self.stage(recipes, "objcopy.postobjcopy");
            self.stage(recipes, "postbuild");
        }
        Ok((linked, if has_hex { artifact } else { linked }))
    }
}
