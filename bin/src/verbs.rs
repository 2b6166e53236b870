//! One file a verb.

mod attach;
mod boot;
mod bootloader;
mod build;
mod cache;
mod cancel;
mod clean;
mod completions;
mod config;
mod devices;
mod doctor;
mod fastboot;
mod init;
pub(crate) mod install;
mod logs;
mod many;
mod monitor;
pub(crate) mod packages;
mod plan;
mod profile;
mod quarantine;
mod resume;
mod run;
mod sessions;
mod sim;
mod snapshot;
mod status;
mod stdio;
mod stop;
mod store;
mod vm;
mod watch;

use std::future::Future;

use farmhand::protocol::Goal;

use crate::args::{Cli, ConfigVerb, SimVerb, Verb};
use crate::failed::Failed;
use crate::reach::Reach;
use crate::term::Term;

/// Does what is asked; gives the exit code.
pub(crate) fn run(cli: &Cli, term: &Term) -> Result<u8, Failed> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Run { path, target, flags } => {
            run::run(global, term, path.as_deref(), Goal::Run, target, flags)
        }
        Verb::Flash { path, flags } => run::run(global, term, path.as_deref(), Goal::Flash, &[], flags),
        Verb::Build { path, all: true, flags, .. } => many::all(global, term, path.as_deref(), flags),
        Verb::CompileMany { folders, list, flags } => {
            many::sketches(global, term, folders, list.as_deref(), flags)
        }
        Verb::Build { path, all: false, size, timings, explain_libs, flags } => {
            let show = build::Show { size: *size, timings: *timings, libraries: *explain_libs };
            build::run(global, term, path.as_deref(), show, flags)
        }
        Verb::Clean { cache: true, keep_bytes, behind, .. } => cache::run(global, term, *keep_bytes, *behind),
        Verb::Clean { path, .. } => clean::run(global, term, path.as_deref()),
        Verb::Monitor { name, from, timestamp, no_input, eol, take } => {
            let wish = monitor::Wish {
                name: name.clone(),
                from: *from,
                timestamp: *timestamp,
                input: !no_input,
                eol: *eol,
                take: *take,
            };
            with_farm(cli, async |reach| monitor::run(reach, global, term, &wish).await)
        }
        Verb::Boot { image, flags } => boot::run(global, term, image.as_deref(), flags),
        Verb::Fastboot(flags) => fastboot::run(cli, term, flags),
        Verb::Profile { what } => profile::run(cli, term, what),
        Verb::Doctor { write_rules, root } => doctor::run(global, term, *write_rules, root),
        Verb::Sim { what: SimVerb::Fastboot(args) } => sim::fastboot(term, args),
        Verb::Snapshot { what } => snapshot::run(cli, term, what),
        Verb::Vm { what } => vm::run(cli, term, what),
        Verb::Devices { watch: true } => with_farm(cli, async |reach| watch::run(reach, term).await),
        Verb::Devices { watch: false } => with_farm(cli, async |reach| devices::run(reach, term).await),
        Verb::Sessions { all } => with_farm(cli, async |reach| sessions::run(reach, term, *all).await),
        Verb::Attach { session } => with_farm(cli, async |reach| attach::run(reach, term, *session).await),
        Verb::Resume { session, booted, not_booted, detach } => {
            let settle = resume::settle(*booted, *not_booted);
            with_farm(cli, async |reach| resume::run(reach, term, *session, settle, *detach).await)
        }
        Verb::Cancel { sessions } => with_farm(cli, async |reach| cancel::run(reach, term, sessions).await),
        Verb::Logs { of, follow, timestamp } => {
            with_farm(cli, async |reach| logs::run(reach, term, of.as_deref(), *follow, *timestamp).await)
        }
        Verb::Status => with_farm(cli, async |reach| status::run(reach, term).await),
        Verb::Install { packages, offline_bundle, all, flags } => {
            let wish = install::Wish { packages, bundle: offline_bundle.as_deref(), all: *all, flags };
            install::run(cli, term, &wish)
        }
        Verb::Packages { what } => packages::run(global, term, what),
        Verb::Init { path, board, force, add, name } => match add {
            Some(port) => init::add(cli, term, port, name.clone(), board.as_deref()),
            None => init::run(cli, term, path.as_deref(), board.as_deref(), *force),
        },
        Verb::Config { what: ConfigVerb::Show { origin, all } } => config::show(global, term, *origin, *all),
        Verb::Quarantine { name, lift: _ } => {
            with_farm(cli, async |reach| quarantine::lift(reach, term, name).await)
        }
        Verb::Completions { shell } => Ok(completions::run(term, *shell)),
        Verb::Store { what } => store::run(global, term, what),
        Verb::Stop { drain } => with_farm(cli, async |reach| stop::run(reach, term, *drain).await),
        Verb::Stdio => with_farm(cli, async |reach| stdio::run(reach).await),
    }
}

/// Runs what needs a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::io("start a runtime", &error))?;
    let done = runtime.block_on(future);
    // A thread that reads stdin cannot be woken.
    runtime.shutdown_background();
    done
}

/// Runs what needs a farm, and ends what was started for it within this process.
pub(crate) fn with_farm<T>(
    cli: &Cli,
    verb: impl AsyncFnOnce(&mut Reach) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let mut reach = Reach::new(&cli.global)?;
    block_on(async move {
        let done = verb(&mut reach).await;
        reach.close().await;
        done
    })
}
