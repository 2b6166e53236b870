//! `farmhandd`: the farm as a process.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use farmhand::protocol::{Answer, Item, Problem, Request};
use farmhand::transport::Gateway;
use farmhand::{Api, Failpoint, FarmEnd, config};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing_subscriber::EnvFilter;

use crate::exit;
use crate::failed::Failed;
use crate::reach::start_farm;
use crate::signals::Signals;

/// The farm answers a question from memory.
const ANSWER: Duration = Duration::from_secs(10);

/// The farm: owns the boards, and serves them to `farmhand`. SIGTERM ends it gracefully, a second one at once.
#[derive(Debug, Parser)]
#[command(name = "farmhandd", version, max_term_width = 100, after_help = exit::TABLE)]
pub(crate) struct Args {
    /// The farm's folder (FARMHAND_HOME)
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The devices; without it, farm.toml in the farm's folder
    #[arg(long, value_name = "FILE")]
    farm: Option<PathBuf>,
    /// Leave the terminal, and end when nobody has needed the farm for a while
    #[arg(long)]
    on_demand: bool,
    /// How long that is
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// At the end, wait this long for sessions; what is left is resumed by the next start
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    drain: Duration,
    /// The names of the points at which a test may end this process
    #[arg(long, hide = true)]
    failpoints: bool,
}

pub(crate) fn run(args: Args) -> ExitCode {
    if args.failpoints {
        let names: Vec<_> = Failpoint::ALL.iter().map(|point| point.name()).collect();
        print(&names.join("\n"));
        return ExitCode::SUCCESS;
    }
    if args.on_demand {
        // So that no terminal's Ctrl-C or end reaches it. Fails where it leads its group already: then it is by
        // itself anyway.
        let _leads_already = rustix::process::setsid();
    }
    let filter = EnvFilter::try_from_env("FARMHAND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // A log that cannot be written, on a full disk, is a line less: to say so on stderr, which is the log, would panic.
    log.log_internal_errors(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(&Failed::io("start a runtime", &error)),
    };
    let code = runtime.block_on(serve(args)).unwrap_or_else(|failed| ended(&failed));
    // A second signal does not wait for work that cannot be cut short.
    runtime.shutdown_background();
    code
}

fn ended(failed: &Failed) -> ExitCode {
    let text = crate::render::problem(&failed.0, false);
    // Where nobody hears it, the code says it.
    let _unheard = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(exit::of(failed.0.class))
}

fn print(text: &str) {
    use std::io::Write as _;
    let _nobody_reads = writeln!(std::io::stdout(), "{text}");
}

async fn serve(args: Args) -> Result<ExitCode, Failed> {
    let home = args.home.or_else(|| config::home(|name| std::env::var(name).ok()));
    let home =
        home.ok_or_else(|| Failed::usage("nothing says which folder is the farm's", &["--home DIR"]))?;
    // Before the farm: a signal during the start is a graceful end too.
    let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let mut farm = start_farm(&home, args.farm.as_deref()).await?;
    let gateway = Gateway::listen(&farm)?;
    tracing::info!(home = %home.display(), pid = std::process::id(), "the farm runs");
    let api = farm.api();
    let why = tokio::select! {
        end = farm.ended() => End::Itself(end),
        signal = signals.next() => End::Told(signal),
        () = idle(api, gateway.connections(), args.idle), if args.on_demand => End::Idle,
    };
    tracing::info!(?why, "the farm ends");
    let ending = async {
        match why {
            End::Itself(end) => {
                // Whoever asked for it is still to be answered.
                gateway.stop().await;
                let closed = farm.stop(Duration::ZERO).await;
                if matches!(end, FarmEnd::Failed(_)) { end } else { closed }
            }
            End::Told(_) | End::Idle => {
                // Front ends see their sessions end.
                let end = farm.stop(args.drain).await;
                gateway.stop().await;
                end
            }
        }
    };
    let end = tokio::select! {
        end = ending => end,
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once; what was unfinished is resumed by the next start");
            return Ok(ExitCode::from(exit::CANCELLED));
        }
    };
    match end {
        FarmEnd::Stopped => Ok(ExitCode::SUCCESS),
        FarmEnd::Failed(why) => {
            let help = ["any command starts it again, and it goes on from what it had recorded"];
            Err(Failed::new(
                farmhand::protocol::ProblemClass::Infra,
                "F834",
                format!("the farm failed: {why}"),
                &help,
            ))
        }
    }
}

#[derive(Debug)]
enum End {
    Itself(FarmEnd),
    Told(#[allow(dead_code, reason = "shown in the log")] &'static str),
    Idle,
}

/// Returns when no front end was connected for `long` and nothing is unfinished.
async fn idle(api: Api, mut connections: watch::Receiver<usize>, long: Duration) {
    loop {
        if connections.wait_for(|count| *count == 0).await.is_err() {
            return;
        }
        let came = connections.wait_for(|count| *count > 0);
        if timeout(long, came).await.is_ok() {
            continue;
        }
        match unfinished(&api).await {
            Ok(false) if *connections.borrow() == 0 => return,
            Ok(_) => {}
            Err(problem) => {
                tracing::warn!(problem = problem.message, "ask for sessions");
                sleep(ANSWER).await;
            }
        }
    }
}

/// Sessions that have not ended, or whose device still does something for them.
async fn unfinished(api: &Api) -> Result<bool, Problem> {
    for request in [Request::Sessions { all: false }, Request::Status] {
        let (items, _none) = mpsc::channel::<Item>(1);
        let at_work = match timeout(ANSWER, api.answer(request, items)).await {
            Ok(Ok(Answer::Sessions(sessions))) => !sessions.is_empty(),
            Ok(Ok(Answer::Status(status))) => status.sessions > 0,
            Ok(Err(problem)) => return Err(problem),
            // No answer: somebody is at work.
            Ok(Ok(_)) | Err(_) => true,
        };
        if at_work {
            return Ok(true);
        }
    }
    Ok(false)
}
