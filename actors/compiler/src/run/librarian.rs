//! Who reads files in a build: one thread, so that each is read once, with no lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::untold::{Says, asks, leaves_more};
use crate::BuildError;
use crate::cache::{
    Entry, Hash, Hasher, ObjectStore, Sources, Stat, hash_bytes, prerequisites, recent_ns, remove_file,
};
use crate::plan::{Action, Kind, Plan, files_and_scripts, folders_named, is_taken_in};

/// Questions that wait; each takes below a millisecond.
const QUESTIONS_MAX: usize = 64;

/// What is known of an action before it is run.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Its output is in its place: since then it was looked for, and waited for nobody.
    Hit(Made, Instant),
    /// It must be run; then it is found by this key.
    Miss(Hash),
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The output's hash.
    pub(crate) output: Hash,
    /// What was printed.
    pub(crate) printed: String,
    /// All that was read was there before, and stayed as it was.
    pub(crate) settled: bool,
}

enum Question {
    Look {
        action: usize,
        inputs: Vec<Hash>,
        reply: oneshot::Sender<Result<Looked, BuildError>>,
    },
    Keep {
        action: usize,
        key: Hash,
        started_ns: i128,
        printed: String,
        reply: oneshot::Sender<Result<Made, BuildError>>,
    },
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Librarian(mpsc::Sender<Question>);

fn gone<T>(_: T) -> BuildError {
    BuildError::Internal("the thread that reads files ended".into())
}

impl Librarian {
    /// Starts the thread; it ends when the last way to it is dropped, and gives back what was read.
    pub(crate) fn start(
        plan: Arc<Plan>,
        objects: ObjectStore,
        sources: Sources,
    ) -> (Self, JoinHandle<Sources>) {
        let (questions, mut asked) = mpsc::channel(QUESTIONS_MAX);
        let outputs = plan.actions.iter().flat_map(|action| action.depfile.iter().chain([&action.output]));
        let outputs = outputs.cloned().collect();
        let (made, said, looked_into) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let others = others(&plan, &sources);
        let mut desk =
            Desk { plan, objects, sources, made, outputs, said, others, looked_into, is_shut: false };
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(question) = asked.blocking_recv() {
                desk.answer(question);
            }
            desk.sources
        });
        (Self(questions), thread)
    }

    /// Looks for an action in the cache; its inputs' outputs have these hashes. Where it is not there, its place is
    /// made free.
    pub(crate) async fn look(&self, action: usize, inputs: Vec<Hash>) -> Result<Looked, BuildError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Question::Look { action, inputs, reply }).await.map_err(gone)?;
        answer.await.map_err(gone)?
    }

    /// Keeps what an action made, which was started at that time.
    pub(crate) async fn keep(
        &self,
        action: usize,
        key: Hash,
        started_ns: i128,
        printed: String,
    ) -> Result<Made, BuildError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Question::Keep { action, key, started_ns, printed, reply }).await.map_err(gone)?;
        answer.await.map_err(gone)?
    }
}

/// What an action read beside its inputs.
#[derive(Debug, Default)]
struct Read {
    /// Hidden paths, and what was in the files.
    files: Vec<(String, Hash)>,
    /// Likewise, of the names in folders.
    folders: Vec<(String, Hash)>,
    /// One of the files asks which there are.
    asks: bool,
    /// It says when it was made.
    is_of_now: bool,
}

struct Desk {
    plan: Arc<Plan>,
    objects: ObjectStore,
    sources: Sources,
    /// What actions made, and how that lay there: by the actions' numbers.
    made: BTreeMap<usize, (Hash, Lies)>,
    /// Where the plan's actions put what they make.
    outputs: BTreeSet<PathBuf>,
    /// Sources and headers that were read for what a compiler does not tell.
    said: BTreeMap<PathBuf, (Says, bool)>,
    /// Files of the project that are no headers by their names: by name, where they lie.
    others: BTreeMap<String, Vec<String>>,
    /// Folders of arguments of which what is recent was read.
    looked_into: BTreeSet<PathBuf>,
    /// The cache could not be written to.
    is_shut: bool,
}

/// How an output lies in its place. Not when its inode was changed: another project may link to the same object.
type Lies = (u64, u64, i128);

fn lies(path: &Path) -> io::Result<Lies> {
    Stat::of(path).map(|stat| (stat.size, stat.inode, stat.modified_ns))
}

impl Desk {
    fn answer(&mut self, question: Question) {
        let plan = self.plan.clone();
        match question {
            Question::Look { action, inputs, reply } => {
                let looked = self.look(&plan.actions[action], &inputs);
                if let Ok(Looked::Hit(made, _)) = &looked {
                    self.lies_there(action, made.output);
                }
                let _nobody_waits = reply.send(looked);
            }
            Question::Keep { action, key, started_ns, printed, reply } => {
                let of = &plan.actions[action];
                let kept = self.is_as_made(of).and_then(|()| self.keep(of, &key, started_ns, printed));
                if let Ok(made) = &kept {
                    self.lies_there(action, made.output);
                }
                let _nobody_waits = reply.send(kept);
            }
        }
    }

    fn lies_there(&mut self, action: usize, hash: Hash) {
        if let Ok(lies) = lies(&self.plan.actions[action].output) {
            self.made.insert(action, (hash, lies));
        }
    }

    /// Whether what an action was given is still what was made for it: a compiler of a build that was killed may end late,
    /// and write over it. What came of that is nobody's.
    fn is_as_made(&self, action: &Action) -> Result<(), BuildError> {
        // What a core has run in between may have changed it, and is there for that.
        if action.from.iter().any(|&from| self.plan.actions[from].kind == Kind::Hook) {
            return Ok(());
        }
        for from in &action.from {
            let path = &self.plan.actions[*from].output;
            let Some((hash, then)) = self.made.get(from) else { continue };
            let is_as_made = lies(path).is_ok_and(|now| now == *then)
                || fs::read(path).is_ok_and(|bytes| hash_bytes(&bytes) == *hash);
            if !is_as_made {
                return Err(BuildError::Overwritten { path: path.clone() });
            }
        }
        Ok(())
    }

    fn look(&mut self, action: &Action, inputs: &[Hash]) -> Result<Looked, BuildError> {
        let began = Instant::now();
        let key = self.key(action, inputs)?;
        let output = &action.output;
        let known = if leaves_more(&action.args) { Vec::new() } else { self.objects.manifest(&key) };
        for entry in known {
            if !self.holds(action, &entry) {
                continue;
            }
            let Some(printed) = self.plan.roots.show(&entry.printed) else { continue };
            make_place(output)?;
            if self.objects.deliver(&entry.output, output).map_err(BuildError::io("write", output))? {
                let made = Made { output: entry.output, printed, settled: true };
                return Ok(Looked::Hit(made, began));
            }
        }
        make_place(output)?;
        // An old output may be shared with the cache: a tool must not write through it.
        for old in [Some(output), action.depfile.as_ref()].into_iter().flatten() {
            remove_file(old).map_err(BuildError::io("remove", old))?;
        }
        Ok(Looked::Miss(key))
    }

    /// What an action does, before it is known what it will read beside its inputs.
    fn key(&mut self, action: &Action, inputs: &[Hash]) -> Result<Hash, BuildError> {
        let roots = &self.plan.roots;
        let mut key = Hasher::new("action 2")
            .part(self.plan.identity)
            .part(action.kind.verb())
            .part(roots.hide(&action.program.to_string_lossy()));
        let project = self.plan.layout.source.to_string_lossy().into_owned();
        for arg in &action.args {
            // A macro's value is the program's own, and so is a path in full that could be told from the project: `__FILE__`.
            let is_content = arg.starts_with("-D") || (arg.starts_with("-I") && arg.contains(&project));
            key = if is_content { key.part(arg) } else { key.part(roots.hide(arg)) };
        }
        key = key.part("inputs");
        for source in &action.sources {
            key = key.part(self.sources.hash(source).map_err(BuildError::io("read", source))?);
        }
        for input in inputs {
            key = key.part(input);
        }
        if self.plan.reads_args {
            key = self.files_of(key.part("named"), action)?;
        }
        key = self.folders_of(key, action)?;
        if action.kind == Kind::Compile {
            key = key.part(self.plan.core_listing);
        }
        if action.sees_project {
            // Where it tells what it read, names are compared with that.
            let listing = self.plan.listing;
            key = key.part("listing").part(match action.depfile {
                Some(_) => listing.headers,
                None => listing.all,
            });
        }
        Ok(key.finish())
    }

    /// With the files that an action's arguments name. Those in the build's own folder are other ones' work, and may be written anew
    /// between two actions: each is read when it is asked for.
    fn files_of(&mut self, mut key: Hasher, action: &Action) -> Result<Hasher, BuildError> {
        let plan = self.plan.clone();
        let roots = &plan.roots;
        for path in files_and_scripts(&plan.layout, &action.args) {
            // What actions make is told by their hashes, and a linker's map is nobody's input.
            if self.outputs.contains(&path) || path.extension().is_some_and(|end| end == "map") {
                continue;
            }
            let hash = self.now(&path).map_err(BuildError::io("read", &path))?;
            key = key.part(roots.hide(&path.to_string_lossy())).part(hash);
        }
        Ok(key)
    }

    /// With the names in the folders where an action's arguments have headers and libraries looked for: what is new in one may be
    /// found first.
    fn folders_of(&mut self, mut key: Hasher, action: &Action) -> Result<Hasher, BuildError> {
        let plan = self.plan.clone();
        let roots = &plan.roots;
        for folder in folders_named(&plan.layout, &action.args) {
            if self.is_known_place(&folder) {
                continue;
            }
            // That it is not there is seen in the names of the one above.
            let there = folder.ancestors().take(2).find(|folder| folder.is_dir()).map(Path::to_owned);
            if let Some(there) = there {
                let names = self.sources.names_hash(&there).map_err(BuildError::io("read", &there))?;
                key = key.part(roots.hide(&there.to_string_lossy())).part(names);
                if there == folder && self.looked_into.insert(folder) {
                    self.note_recent(&there).map_err(BuildError::io("read", &there))?;
                }
            }
        }
        Ok(key)
    }

    /// Reads the headers of a folder now that were changed just now, as a project's own are when it is scanned.
    fn note_recent(&mut self, folder: &Path) -> io::Result<()> {
        let recent = recent_ns();
        for name in self.sources.names(folder, &[])? {
            if !name.ends_with('/') && is_taken_in(&name) {
                self.sources.note_if_recent(&folder.join(name), recent);
            }
        }
        Ok(())
    }

    /// What a file holds now. What hooks write into the build's folder may be written anew between two actions.
    fn now(&mut self, path: &Path) -> io::Result<Hash> {
        if self.is_of_hooks(path) {
            return fs::read(path).map(|bytes| hash_bytes(&bytes));
        }
        self.sources.hash(path)
    }

    fn is_of_hooks(&self, path: &Path) -> bool {
        self.plan.is_own && path.starts_with(&self.plan.layout.build) && !self.outputs.contains(path)
    }

    /// Whether all that an entry says was read is as it was then.
    fn holds(&mut self, action: &Action, entry: &Entry) -> bool {
        let plan = self.plan.clone();
        let same = |shown: &str| plan.roots.show(shown).map(|shown| plan.layout.whole(&shown));
        entry.namesakes == self.namesakes(action, &entry.files, entry.asks)
            && entry.files.iter().all(|(file, hash)| {
                same(file).is_some_and(|path| self.now(&path).is_ok_and(|now| now == *hash))
            })
            && entry.folders.iter().all(|(folder, hash)| {
                same(folder).is_some_and(|path| self.sources.names_hash(&path).is_ok_and(|now| now == *hash))
            })
    }

    fn keep(
        &mut self,
        action: &Action,
        key: &Hash,
        started_ns: i128,
        printed: String,
    ) -> Result<Made, BuildError> {
        let output = &action.output;
        let read = self.read_by(action, started_ns)?;
        let settled = read.is_some();
        // What says when it was made is another one the next time.
        let Some(Read { files, folders, asks, is_of_now: false }) = read else {
            let hash = hash_bytes(&fs::read(output).map_err(BuildError::io("read", output))?);
            return Ok(Made { output: hash, printed, settled });
        };
        let bytes = fs::read(output).map_err(BuildError::io("read", output))?;
        let hash = hash_bytes(&bytes);
        if !self.is_shut && !leaves_more(&action.args) {
            let shown = self.plan.roots.hide(&printed);
            let namesakes = self.namesakes(action, &files, asks);
            let entry = Entry { files, folders, namesakes, asks, output: hash, printed: shown };
            let kept =
                self.objects.publish(output, &bytes, &hash).and_then(|()| self.objects.remember(key, entry));
            // A cache that is another's, or full, costs time and no build.
            if let Err(error) = kept {
                tracing::warn!(%error, "the object cache cannot be written to: what this build makes is made again by the next");
                self.is_shut = true;
            }
        }
        Ok(Made { output: hash, printed, settled: true })
    }

    /// What an action read beside its inputs; `None` where something changed meanwhile.
    fn read_by(&mut self, action: &Action, started_ns: i128) -> Result<Option<Read>, BuildError> {
        // What it was told to read is in the key.
        for source in &action.sources {
            if self.sources.settled(source, started_ns).is_none() {
                return Ok(None);
            }
        }
        let Some(depfile) = &action.depfile else {
            return Ok(Some(Read::default()));
        };
        let plan = self.plan.clone();
        let is_plain =
            action.sources.first().and_then(|source| source.extension()).is_some_and(|end| end == "s");
        let named: BTreeSet<String> = match fs::read(depfile) {
            Ok(text) => prerequisites(&String::from_utf8_lossy(&text)).into_iter().collect(),
            // What no preprocessor sees has no list: it is all that is read, or it says what else.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_plain => {
                action.sources.iter().map(|source| plan.layout.shown(source)).collect()
            }
            Err(error) => return Err(BuildError::io("read", depfile)(error)),
        };
        let mut files = Vec::with_capacity(named.len());
        let mut around = BTreeSet::new();
        let (mut is_of_now, mut asks) = (false, false);
        for name in named {
            let path = plan.layout.whole(&name);
            let hash = match self.is_of_hooks(&path) {
                true => Some(self.now(&path).map_err(BuildError::io("read", &path))?),
                false => self.sources.settled(&path, started_ns),
            };
            let Some(hash) = hash else { return Ok(None) };
            let (says, it_asks) = self.says(&path)?;
            asks |= it_asks;
            match says {
                Says::All => {}
                // What it reads beside is in no list: it is kept nowhere.
                Says::MoreFiles => return Ok(None),
                Says::WhenItIs => is_of_now = true,
            }
            if !self.is_known_place(&path) {
                around.extend(path.parent().map(Path::to_owned));
            }
            files.push((plan.roots.hide(&name), hash));
        }
        let mut folders = Vec::new();
        for folder in around {
            let hash = self.sources.names_hash(&folder).map_err(BuildError::io("read", &folder))?;
            folders.push((plan.roots.hide(&folder.to_string_lossy()), hash));
        }
        Ok(Some(Read { files, folders, asks, is_of_now }))
    }

    /// The places of the project's files that are called as one of those that an action read: one of them may be found first. What
    /// headers are called is in the key.
    fn namesakes(&self, action: &Action, files: &[(String, Hash)], asks: bool) -> Hash {
        let none = Hasher::new("namesakes");
        if !action.sees_project {
            return none.finish();
        }
        let read: BTreeSet<&str> = files.iter().filter_map(|(file, _)| file.rsplit('/').next()).collect();
        let counts = |name: &String| asks || read.contains(name.as_str());
        let places = self.others.iter().filter(|(name, _)| counts(name)).flat_map(|(_, places)| places);
        places.fold(none, Hasher::part).finish()
    }

    /// What a compiler's list of what it read does not say of a file, and whether that asks which files there are. Of an installed
    /// package nothing is expected, but that it asks for headers.
    fn says(&mut self, path: &Path) -> Result<(Says, bool), BuildError> {
        if self.plan.immutable.iter().any(|folder| path.starts_with(folder)) {
            return Ok((Says::All, false));
        }
        if let Some(says) = self.said.get(path) {
            return Ok(*says);
        }
        let text = fs::read(path).map_err(BuildError::io("read", path))?;
        let says = (Says::of(&text), asks(&text));
        self.said.insert(path.to_owned(), says);
        Ok(says)
    }

    /// Whether a file that would be found before this one is seen anyway.
    fn is_known_place(&self, path: &Path) -> bool {
        let layout = &self.plan.layout;
        path.starts_with(&layout.build)
            || self.plan.listed.iter().any(|folder| path.starts_with(folder))
            || self.plan.immutable.iter().any(|folder| path.starts_with(folder))
    }
}

/// Files of the plan's project that are no headers by their names: by name, where they lie in the folders that are looked into.
fn others(plan: &Plan, sources: &Sources) -> BTreeMap<String, Vec<String>> {
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (folder, seen) in sources.folders() {
        let within = |(number, listed)| Some((number, folder.strip_prefix(listed).ok()?));
        let Some((number, below)) = plan.listed.iter().enumerate().find_map(within) else { continue };
        for name in seen.names.iter().filter(|name| !is_taken_in(name)) {
            let place = format!("{number} {}", below.join(name).display());
            others.entry(name.clone()).or_default().push(place);
        }
    }
    others
}

fn make_place(output: &Path) -> Result<(), BuildError> {
    let folder: PathBuf = output.parent().unwrap_or(Path::new("/")).to_owned();
    let made: io::Result<()> = fs::create_dir_all(&folder);
    made.map_err(BuildError::io("make the folder", &folder))
}
